//! Hands the accepted frames to whoever builds heads from them.
//!
//! Order: for each partition by (epoch, LSN). Partitions are independent, so one pass over a folder for each epoch in it is
//! enough; nearly always there is one epoch.

use std::collections::BTreeSet;

use disk::Disk;
use model::{PartitionId, ShardId};

use super::folder::{FolderSurvey, Role};
use super::reader::SegmentReader;
use super::{RecoveryError, Survey};
use crate::wal::{Epoch, Lsn, Malformed, SEGMENT_HEADER_BYTES, Section, Sections, SegmentId, StreamPosition};

/// Where a section stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FramePlace {
    pub shard: ShardId,
    pub lsn: Lsn,
}

/// Takes in what is replayed.
pub trait Replay {
    /// Why a section makes no sense to the visitor.
    type Error: std::fmt::Display + From<Malformed>;

    /// One section of a wanted partition.
    ///
    /// # Errors
    /// The section breaks the format or contradicts the ones before it; the replay ends with the error's text.
    fn section(&mut self, place: FramePlace, section: Section<'_>) -> Result<(), Self::Error>;
}

/// Replays the sections of the partitions that `is_wanted` names. Log identities are in the survey, not here.
///
/// # Errors
/// The disk failed, or the bytes are not those that were surveyed.
pub async fn replay<D: Disk>(
    disk: &D,
    survey: &Survey,
    is_wanted: &dyn Fn(PartitionId) -> bool,
    visitor: &mut impl Replay,
) -> Result<(), RecoveryError> {
    let routes = survey.folders().iter().flat_map(FolderSurvey::routes);
    let epochs: BTreeSet<Epoch> = routes.filter(|route| is_wanted(route.0)).map(|route| route.1).collect();
    for epoch in epochs {
        for folder in survey.folders() {
            Pass { folder, survey, epoch, is_wanted, payload: Vec::new(), next: None }.run(disk, visitor).await?;
        }
    }
    Ok(())
}

/// One reading of one folder for one epoch.
struct Pass<'a> {
    folder: &'a FolderSurvey,
    survey: &'a Survey,
    epoch: Epoch,
    is_wanted: &'a dyn Fn(PartitionId) -> bool,
    payload: Vec<u8>,
    /// The part that would complete `payload`; none while the beginning of a frame was not read.
    next: Option<StreamPosition>,
}

impl Pass<'_> {
    /// Whether a frame says anything of a partition that no checkpoint has.
    fn wants(&self, (partition, epoch): (PartitionId, Epoch), lsn: Lsn) -> bool {
        if epoch != self.epoch || !(self.is_wanted)(partition) {
            return false;
        }
        let (floor_epoch, floor_lsn) = self.survey.floor(partition);
        epoch > floor_epoch || (epoch == floor_epoch && lsn > floor_lsn)
    }

    async fn run<D: Disk>(&mut self, disk: &D, visitor: &mut impl Replay) -> Result<(), RecoveryError> {
        let folder = self.folder;
        for segment in &folder.segments {
            if let Role::Kept { end, last } = segment.role
                && segment.routes.iter().any(|route| self.wants(*route, last))
            {
                self.read_segment(disk, segment.id, end, visitor).await?;
            }
        }
        Ok(())
    }

    async fn read_segment<D: Disk>(
        &mut self,
        disk: &D,
        id: SegmentId,
        end: u64,
        visitor: &mut impl Replay,
    ) -> Result<(), RecoveryError> {
        let mut reader = SegmentReader::open(disk, self.folder.dir(), id).await?;
        let mut offset = SEGMENT_HEADER_BYTES;
        while offset < end {
            let Ok(found) = reader.part(offset).await? else {
                let what = "a frame that was readable a moment ago no longer is".to_owned();
                return Err(RecoveryError::Damaged { segment: reader.path, offset, what });
            };
            offset += found.disk_bytes;
            let position = found.header.position;
            if position.part == 0 {
                self.payload.clear();
            } else if self.next != Some(position) {
                continue;
            }
            self.payload.extend_from_slice(reader.payload());
            if position.part + 1 < found.header.part_count {
                self.next = Some(StreamPosition { part: position.part + 1, ..position });
                continue;
            }
            self.next = None;
            let place = FramePlace { shard: self.folder.shard(), lsn: position.lsn };
            self.visit(place, visitor).map_err(|error| RecoveryError::Unintelligible {
                segment: reader.path.clone(),
                lsn: position.lsn,
                what: error.to_string(),
            })?;
        }
        Ok(())
    }

    fn visit<R: Replay>(&self, place: FramePlace, visitor: &mut R) -> Result<(), R::Error> {
        let mut sections = Sections::new(&self.payload);
        while let Some(section) = sections.next_section()? {
            if section.route().is_some_and(|route| self.wants(route, place.lsn)) {
                visitor.section(place, section)?;
            }
        }
        Ok(())
    }
}
