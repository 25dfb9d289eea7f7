//! Where a partition begins after records were deleted: an offset within its oldest segments, in a small file of its own.
//!
//! Whole segments before it are removed; the rest of the segment that holds it stays on disk and is not given out.

use std::path::Path;

use disk::{Disk, DiskError};

use super::Log;
use super::checked_text::CheckedText;
use super::partition::Partition;
use super::request::{DeleteBefore, DeleteRecords};
use crate::counters::add;
use crate::error::{BrokerError, Refusal};

const FILE: CheckedText = CheckedText { name: "log-start", title: "wellhead broker log start", format: 1 };

pub(super) async fn save<D: Disk>(disk: &D, dir: &Path, offset: i64) -> Result<(), DiskError> {
    FILE.save(disk, dir, &format!("offset {offset}\n")).await
}

/// The saved offset; 0 where none was.
pub(super) async fn load<D: Disk>(disk: &D, dir: &Path) -> Result<i64, BrokerError> {
    let Some(lines) = FILE.load(disk, dir).await? else { return Ok(0) };
    let offset = lines.strip_prefix("offset ").and_then(|rest| rest.trim_end().parse().ok());
    offset.ok_or_else(|| BrokerError::damaged(&dir.join(FILE.name), 0, "it does not tell an offset"))
}

impl<D: Disk> Log<D> {
    pub(super) async fn delete_records(&self, wanted: DeleteRecords) -> Result<Result<i64, Refusal>, BrokerError> {
        let found = self.topics.borrow().partition(&wanted.topic, wanted.partition);
        let partition = match found {
            Ok(partition) => partition,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let offset = match wanted.before {
            DeleteBefore::HighWatermark => partition.high_watermark(),
            DeleteBefore::Offset(offset) => offset,
        };
        if !(0..=partition.high_watermark()).contains(&offset) {
            return Ok(Err(Refusal::OffsetOutOfRange));
        }
        if offset > partition.start_offset() && !self.start_at(&partition, offset).await? {
            return Ok(Err(Refusal::NoSpace));
        }
        Ok(Ok(partition.start_offset()))
    }

    /// `false`: there is no room, and nothing changed.
    async fn start_at(&self, partition: &Partition<D>, offset: i64) -> Result<bool, BrokerError> {
        let (disk, space) = (&self.place.disk, &self.place.space);
        if !partition.begin_at(disk, offset).await? {
            return Ok(false);
        }
        loop {
            let segments = partition.segments();
            if segments.len() == 1 || segments[0].index().end_offset > offset {
                return Ok(true);
            }
            partition.remove_oldest(disk, space).await?;
            add(&self.counters.segments_deleted, 1);
        }
    }
}
