//! One shard's folder: which segments count, where its log ends, what it holds for whom.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use disk::{Access, Disk, DiskFile, OpenMode};
use model::{PartitionId, ShardId};

use super::RecoveryError;
use super::decision::{
    Evidence, Finding, HeaderEvidence, HeaderFinding, HeaderVerdict, Verdict, judge_header, judge_stream,
};
use super::reader::SegmentReader;
use crate::checkpoint::{Manifest, next_number, survey_checkpoints};
use crate::wal::{
    Epoch, FRAME_BYTES_MAX, HeaderState, LogIdentity, Lsn, Malformed, PartError, PartHeader, SEGMENT_HEADER_BYTES,
    Section, Sections, SegmentHeader, SegmentId, StreamPosition, file_name, parse_file_name,
};

/// What a shard's folder holds. Plain data, taken while nobody writes to the folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FolderSurvey {
    dir: PathBuf,
    shard: ShardId,
    pub(super) segments: Vec<SegmentSurvey>,
    accepted: Lsn,
    /// Frames up to here are known to have been synced.
    synced: Lsn,
    identity: Option<LogIdentity>,
    torn_tail: Option<TornTail>,
    /// The first frame that is there as a whole.
    first: Lsn,
    /// Newest first.
    checkpoints: Vec<Manifest>,
    damaged_checkpoints: Vec<RecoveryError>,
    next_file_number: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct SegmentSurvey {
    pub(super) id: SegmentId,
    pub(super) file_bytes: u64,
    pub(super) role: Role,
    /// Where its header takes up the stream; none while it is not in use.
    pub(super) first: Option<Lsn>,
    /// Accepted frames that end in it.
    pub(super) frame_count: u64,
    /// What its accepted frames concern, those included that only pass through.
    pub(super) routes: BTreeSet<(PartitionId, Epoch)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    /// Holds accepted frames up to `end`; `last` is the last frame of which it has a part.
    Kept {
        end: u64,
        last: Lsn,
    },
    /// Was in use; nothing in it counts.
    Void,
    Reserve,
}

/// Frames that a crash cut off: nobody was told that they were durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TornTail {
    pub segment: SegmentId,
    pub offset: u64,
    pub finding: Finding,
    pub evidence: Evidence,
}

/// Reads a shard's folder, decides where its log ends, and syncs what it accepts.
///
/// # Errors
/// The disk failed, or the log is damaged or of a newer release.
pub async fn survey_folder<D: Disk>(disk: &D, dir: &Path, shard: ShardId) -> Result<FolderSurvey, RecoveryError> {
    let survey = read_folder(disk, dir, shard).await?;
    sync_again(disk, &survey).await?;
    Ok(survey)
}

/// The same without the sync: opens files for reading only.
pub(super) async fn read_folder<D: Disk>(disk: &D, dir: &Path, shard: ShardId) -> Result<FolderSurvey, RecoveryError> {
    let ids = list_segments(disk, dir).await?;
    let mut in_use = Vec::new();
    let mut unused = Vec::new();
    let mut segments = Vec::new();
    for id in ids {
        let mut reader = SegmentReader::open(disk, dir, id).await?;
        let state = SegmentHeader::judge(reader.header_block().await?, id);
        let (index, mut first) = (segments.len(), None);
        match in_use_or(&reader, shard, state)? {
            Ok(header) => {
                first = Some(header.first.lsn);
                in_use.push((index, header));
            }
            Err(finding) => unused.push((index, finding, reader.holds_parts().await?)),
        }
        let (file_bytes, role, routes) = (reader.file_bytes, Role::Reserve, BTreeSet::new());
        segments.push(SegmentSurvey { id, file_bytes, role, first, frame_count: 0, routes });
    }
    for (index, finding, holds_parts) in unused {
        let is_later_in_use = in_use.last().is_some_and(|(used, _)| *used > index);
        let evidence = match (holds_parts, is_later_in_use) {
            (true, _) => HeaderEvidence::HoldsFrames,
            (false, true) => HeaderEvidence::LaterInUse,
            (false, false) => HeaderEvidence::Nothing,
        };
        let (verdict, what) = judge_header(finding, evidence);
        if verdict == HeaderVerdict::Damage {
            return Err(damaged(&dir.join(file_name(segments[index].id)), 0, what));
        }
    }
    let (checkpoints, damaged_checkpoints) = survey_checkpoints(disk, dir, shard).await?;
    let kept = drop_void(&mut segments, in_use);
    let first = kept.first().map_or(StreamPosition::start_of(Lsn(1)), |(_, header)| header.first);
    let path = kept.first().map_or(dir.to_owned(), |(index, _)| dir.join(file_name(segments[*index].id)));
    check_floor(&path, first, &checkpoints, &damaged_checkpoints)?;
    let mut scan = Scan::new(dir, segments, first);
    scan.read(disk, &kept).await?;
    let Scan { segments, accepted, synced, identity, torn_tail, .. } = scan;
    if let Some(ahead) = checkpoints.iter().find(|checkpoint| checkpoint.last > accepted) {
        let what = format!("the log ends with frame {accepted}, but a checkpoint has frame {} already", ahead.last);
        return Err(damaged(dir, 0, &what));
    }
    let identity = identity.or_else(|| checkpoints.iter().find_map(|checkpoint| checkpoint.identity.clone()));
    let names = disk.list(dir).await?.into_iter().map(|entry| entry.name);
    Ok(FolderSurvey {
        dir: dir.to_owned(),
        shard,
        segments,
        accepted,
        synced,
        identity,
        torn_tail,
        first: if first.part > 0 { first.lsn.next() } else { first.lsn },
        checkpoints,
        damaged_checkpoints,
        next_file_number: next_number(names),
    })
}

/// What the log begins with must follow from a checkpoint, unless it is its first frame.
fn check_floor(
    path: &Path,
    first: StreamPosition,
    checkpoints: &[Manifest],
    damages: &[RecoveryError],
) -> Result<(), RecoveryError> {
    let is_start = first == StreamPosition::start_of(Lsn(1));
    let is_covered = |lsn: Lsn| checkpoints.iter().any(|checkpoint| checkpoint.lsn >= lsn);
    let before = if first.part > 0 { first.lsn } else { Lsn(first.lsn.0.saturating_sub(1)) };
    if is_start || is_covered(before) {
        return Ok(());
    }
    match damages.first() {
        Some(damage) => Err(damage.clone()),
        None => Err(damaged(path, 0, &format!("the frames up to {before} are missing, and no checkpoint has them"))),
    }
}

async fn list_segments<D: Disk>(disk: &D, dir: &Path) -> Result<Vec<SegmentId>, RecoveryError> {
    let entries = disk.list(dir).await?;
    let mut ids: Vec<SegmentId> = entries.iter().filter_map(|entry| parse_file_name(&entry.name)).collect();
    ids.sort();
    if let Some(gap) = ids.windows(2).find(|pair| pair[0].next() != pair[1]) {
        return Err(RecoveryError::MissingSegment { dir: dir.to_owned(), segment: gap[0].next() });
    }
    Ok(ids)
}

/// The header of a segment in use, or what stands there instead.
fn in_use_or<F: DiskFile>(
    reader: &SegmentReader<F>,
    shard: ShardId,
    state: HeaderState,
) -> Result<Result<SegmentHeader, HeaderFinding>, RecoveryError> {
    match state {
        HeaderState::Valid(header) if header.shard != shard => {
            Err(damaged(&reader.path, 0, &format!("it was written for shard {}", header.shard)))
        }
        HeaderState::Valid(header) => Ok(Ok(header)),
        HeaderState::UnknownVersion(version) => {
            Err(RecoveryError::Unsupported { segment: reader.path.clone(), offset: 0, version })
        }
        HeaderState::Blank | HeaderState::Stale | HeaderState::Short => Ok(Err(HeaderFinding::Unused)),
        HeaderState::Damaged => Ok(Err(HeaderFinding::Damaged)),
    }
}

fn damaged(path: &Path, offset: u64, what: &str) -> RecoveryError {
    RecoveryError::Damaged { segment: path.to_owned(), offset, what: what.to_owned() }
}

/// A header voids all older segments that start at or behind its own place in the stream.
fn drop_void(segments: &mut [SegmentSurvey], in_use: Vec<(usize, SegmentHeader)>) -> Vec<(usize, SegmentHeader)> {
    let mut kept: Vec<(usize, SegmentHeader)> = Vec::new();
    for (index, header) in in_use {
        segments[index].role = Role::Void;
        while kept.last().is_some_and(|(_, older)| older.first >= header.first) {
            kept.pop();
        }
        kept.push((index, header));
    }
    kept
}

/// The pass over the segments that count.
struct Scan<'a> {
    dir: &'a Path,
    segments: Vec<SegmentSurvey>,
    expected: StreamPosition,
    accepted: Lsn,
    /// Frames up to here are known to have been synced.
    synced: Lsn,
    /// Parts of the frame that is being put together: the segments that they are in.
    frame_segments: Vec<(usize, u64)>,
    part_count: u16,
    /// The first frame goes on from a segment that was given up: a checkpoint has it.
    is_beginning_gone: bool,
    payload: Vec<u8>,
    epochs: BTreeMap<PartitionId, Epoch>,
    identity: Option<LogIdentity>,
    torn_tail: Option<TornTail>,
}

impl<'a> Scan<'a> {
    fn new(dir: &'a Path, segments: Vec<SegmentSurvey>, first: StreamPosition) -> Self {
        Self {
            dir,
            segments,
            expected: first,
            accepted: Lsn(first.lsn.0.saturating_sub(1)),
            is_beginning_gone: first.part > 0,
            synced: Lsn(0),
            frame_segments: Vec::new(),
            part_count: 0,
            payload: Vec::new(),
            epochs: BTreeMap::new(),
            identity: None,
            torn_tail: None,
        }
    }

    async fn read<D: Disk>(&mut self, disk: &D, kept: &[(usize, SegmentHeader)]) -> Result<(), RecoveryError> {
        for (place, (index, header)) in kept.iter().enumerate() {
            let mut reader = SegmentReader::open(disk, self.dir, self.segments[*index].id).await?;
            if header.first != self.expected {
                return Err(damaged(&reader.path, 0, "the frames before its first one are missing"));
            }
            self.synced = self.synced.max(header.synced);
            self.segments[*index].role = Role::Kept { end: SEGMENT_HEADER_BYTES, last: self.accepted };
            let limit = kept.get(place + 1).map(|(_, next)| next.first);
            let Some((offset, finding)) = self.read_segment(&mut reader, *index, header, limit).await? else {
                continue;
            };
            let later = &kept[place + 1..];
            let evidence = self.evidence(disk, &mut reader, offset, later).await?;
            let (verdict, what) = judge_stream(finding, evidence);
            if verdict == Verdict::Damage {
                let what = format!("{what} (frame {} was expected)", self.expected.lsn);
                return Err(damaged(&reader.path, offset, &what));
            }
            if verdict == Verdict::TornTail || !self.frame_segments.is_empty() {
                self.torn_tail = Some(TornTail { segment: reader.id, offset, finding, evidence });
            }
            return Ok(());
        }
        Ok(())
    }

    /// Reads up to `limit`, the place where the next segment takes over. Otherwise tells where the stream breaks off.
    async fn read_segment<F: DiskFile>(
        &mut self,
        reader: &mut SegmentReader<F>,
        index: usize,
        header: &SegmentHeader,
        limit: Option<StreamPosition>,
    ) -> Result<Option<(u64, Finding)>, RecoveryError> {
        let mut offset = SEGMENT_HEADER_BYTES;
        loop {
            if limit == Some(self.expected) {
                return Ok(None);
            }
            if offset >= header.segment_bytes {
                return Ok(Some((offset, Finding::SegmentEnd)));
            }
            if offset >= reader.file_bytes {
                return Ok(Some((offset, Finding::Shortened)));
            }
            let found = match reader.part(offset).await? {
                Ok(found) => found,
                Err(error) => {
                    let finding = finding_of(error, reader, offset, header)?;
                    return Ok(Some((offset, finding)));
                }
            };
            if !self.fits(&found.header) {
                return Ok(Some((offset, Finding::OutOfSequence)));
            }
            let end = offset + found.disk_bytes;
            if !self.take_part(&found.header, reader, index, end)? {
                return Ok(Some((offset, Finding::EpochFellBack)));
            }
            offset = end;
        }
    }

    fn fits(&self, part: &PartHeader) -> bool {
        let is_known = part.position.part == 0 || part.part_count == self.part_count || self.part_count == 0;
        part.position == self.expected && is_known
    }

    /// False where the frame takes a partition back to an older epoch.
    fn take_part<F: DiskFile>(
        &mut self,
        part: &PartHeader,
        reader: &SegmentReader<F>,
        index: usize,
        end: u64,
    ) -> Result<bool, RecoveryError> {
        if part.position.part == 0 {
            self.payload.clear();
            self.frame_segments.clear();
        }
        self.part_count = part.part_count;
        if self.is_beginning_gone {
            self.pass_over(part, index, end);
            return Ok(true);
        }
        if self.payload.len() + reader.payload().len() > FRAME_BYTES_MAX {
            return Err(damaged(&reader.path, end, "a frame is larger than any that is written"));
        }
        self.payload.extend_from_slice(reader.payload());
        self.frame_segments.push((index, end));
        if part.position.part + 1 < part.part_count {
            self.expected.part += 1;
            return Ok(true);
        }
        let lsn = part.position.lsn;
        let malformed = |malformed: Malformed| {
            let (segment, what) = (reader.path.clone(), malformed.to_string());
            RecoveryError::Unintelligible { segment, lsn, what }
        };
        let mut sections = Sections::new(&self.payload);
        let mut routes = BTreeSet::new();
        while let Some(section) = sections.next_section().map_err(malformed)? {
            if let Some((partition, epoch)) = section.route() {
                if self.epochs.insert(partition, epoch).is_some_and(|before| before > epoch) {
                    return Ok(false);
                }
                routes.insert((partition, epoch));
            }
            if let Section::Identity(identity) = section {
                self.identity = Some(identity);
            }
        }
        self.segments[index].frame_count += 1;
        for (index, end) in self.frame_segments.drain(..) {
            self.segments[index].role = Role::Kept { end, last: lsn };
            self.segments[index].routes.extend(&routes);
        }
        self.synced = self.synced.max(part.synced);
        self.accepted = lsn;
        self.expected = StreamPosition::start_of(lsn.next());
        Ok(true)
    }

    /// A part of a frame whose beginning is gone.
    fn pass_over(&mut self, part: &PartHeader, index: usize, end: u64) {
        let lsn = part.position.lsn;
        self.segments[index].role = Role::Kept { end, last: lsn };
        self.synced = self.synced.max(part.synced);
        if part.position.part + 1 < part.part_count {
            self.expected.part += 1;
            return;
        }
        self.is_beginning_gone = false;
        self.segments[index].frame_count += 1;
        self.accepted = lsn;
        self.expected = StreamPosition::start_of(lsn.next());
    }

    /// Looks behind a hole for anything that was written later.
    async fn evidence<D: Disk>(
        &self,
        disk: &D,
        reader: &mut SegmentReader<D::File>,
        hole: u64,
        later: &[(usize, SegmentHeader)],
    ) -> Result<Evidence, RecoveryError> {
        let mut last_synced: Option<Lsn> = None;
        let mut note = |synced: Lsn| last_synced = last_synced.max(Some(synced));
        let block = SEGMENT_HEADER_BYTES;
        search_all(reader, hole + block, &mut note).await?;
        for (index, header) in later {
            note(header.synced);
            let mut reader = SegmentReader::open(disk, self.dir, self.segments[*index].id).await?;
            search_all(&mut reader, block, &mut note).await?;
        }
        Ok(match last_synced {
            None => Evidence::Nothing,
            Some(synced) if synced >= self.expected.lsn => Evidence::SyncedPast,
            Some(_) => Evidence::LaterUnsynced,
        })
    }
}

/// The writer may have died between a write and its sync: what is accepted now, frames and the last header, must not
/// vanish in the next crash.
async fn sync_again<D: Disk>(disk: &D, survey: &FolderSurvey) -> Result<(), RecoveryError> {
    let last_in_use = survey.segments.iter().rposition(|segment| segment.role != Role::Reserve);
    for (index, segment) in survey.segments.iter().enumerate() {
        let holds_unsynced = matches!(segment.role, Role::Kept { last, .. } if last > survey.synced);
        if holds_unsynced || last_in_use == Some(index) {
            let path = survey.dir.join(file_name(segment.id));
            disk.open(&path, OpenMode::ReadWrite, Access::Direct).await?.sync().await?;
        }
    }
    disk.sync_dir(&survey.dir).await?;
    Ok(())
}

fn finding_of<F: DiskFile>(
    error: PartError,
    reader: &SegmentReader<F>,
    offset: u64,
    header: &SegmentHeader,
) -> Result<Finding, RecoveryError> {
    Ok(match error {
        PartError::Zeros => Finding::Zeros,
        PartError::NotAPart => Finding::NotAPart,
        PartError::Checksum => Finding::Checksum,
        // Inside a whole file the claimed length is just wrong: a torn header.
        PartError::Incomplete { .. } if reader.file_bytes >= header.segment_bytes => Finding::Checksum,
        PartError::Incomplete { .. } => Finding::Shortened,
        PartError::UnknownVersion { version, .. } => {
            let (segment, version) = (reader.path.clone(), version.into());
            return Err(RecoveryError::Unsupported { segment, offset, version });
        }
    })
}

async fn search_all<F: DiskFile>(
    reader: &mut SegmentReader<F>,
    from: u64,
    note: &mut impl FnMut(Lsn),
) -> Result<(), RecoveryError> {
    let mut offset = from;
    while let Some((at, found)) = reader.search(offset).await? {
        note(found.header.synced);
        offset = at + found.disk_bytes;
    }
    Ok(())
}

impl FolderSurvey {
    /// A folder without a log.
    #[must_use]
    pub fn empty(dir: &Path, shard: ShardId) -> Self {
        let (dir, segments) = (dir.to_owned(), Vec::new());
        Self {
            dir,
            shard,
            segments,
            accepted: Lsn(0),
            synced: Lsn(0),
            identity: None,
            torn_tail: None,
            first: Lsn(1),
            checkpoints: Vec::new(),
            damaged_checkpoints: Vec::new(),
            next_file_number: 1,
        }
    }

    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    #[must_use]
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// The last frame that counts; 0 if there is none.
    #[must_use]
    pub fn accepted(&self) -> Lsn {
        self.accepted
    }

    /// Which Kafka log its offsets belong to, as far as it says.
    #[must_use]
    pub fn identity(&self) -> Option<&LogIdentity> {
        self.identity.as_ref()
    }

    /// What a crash cut off, for the log line.
    #[must_use]
    pub fn torn_tail(&self) -> Option<TornTail> {
        self.torn_tail
    }

    /// Bytes of all segment files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.file_bytes).sum()
    }

    /// The partitions and epochs that accepted frames and checkpoints name.
    pub fn routes(&self) -> impl Iterator<Item = (PartitionId, Epoch)> {
        let marks = self.checkpoints.iter().flat_map(|checkpoint| checkpoint.marks.values());
        let of_checkpoints = marks.map(|mark| (mark.progress.partition, mark.progress.epoch));
        let of_frames = self.segments.iter().flat_map(|segment| &segment.routes).copied();
        of_frames.chain(of_checkpoints).collect::<BTreeSet<_>>().into_iter()
    }

    /// Newest first.
    pub(crate) fn checkpoints(&self) -> &[Manifest] {
        &self.checkpoints
    }

    /// Checkpoints that cannot be read, where an older one can. For the log.
    #[must_use]
    pub fn damaged_checkpoints(&self) -> &[RecoveryError] {
        &self.damaged_checkpoints
    }

    pub(crate) fn next_file_number(&self) -> u64 {
        self.next_file_number
    }

    /// The first frame that is there as a whole.
    pub(super) fn first(&self) -> Lsn {
        self.first
    }

    /// Bytes of the log that the newest checkpoint does not make unnecessary, about.
    pub(crate) fn bytes_behind_checkpoint(&self) -> u64 {
        let floor = self.checkpoints.first().map_or(Lsn(0), |newest| newest.lsn);
        let is_needed = |role: Role| matches!(role, Role::Kept { last, .. } if last > floor);
        let end = |role: Role| if let Role::Kept { end, .. } = role { end } else { 0 };
        self.segments.iter().filter(|segment| is_needed(segment.role)).map(|segment| end(segment.role)).sum()
    }

    /// Files that were in use, oldest first: the last frame of which each has a part, and its length.
    pub(crate) fn older(&self) -> impl Iterator<Item = (SegmentId, Lsn, u64)> {
        let mut last_so_far = Lsn(0);
        self.segments.iter().filter_map(move |segment| {
            match segment.role {
                Role::Kept { last, .. } => last_so_far = last_so_far.max(last),
                Role::Void => {}
                Role::Reserve => return None,
            }
            Some((segment.id, last_so_far, segment.file_bytes))
        })
    }

    #[must_use]
    pub fn last_epoch(&self, partition: PartitionId) -> Option<Epoch> {
        self.routes().filter(|route| route.0 == partition).map(|route| route.1).max()
    }

    pub(crate) fn last_segment(&self) -> Option<SegmentId> {
        self.segments.last().map(|segment| segment.id)
    }

    /// Files that wait to be taken into use, with their lengths.
    pub(crate) fn reserve(&self) -> impl Iterator<Item = (SegmentId, u64)> {
        let is_reserve = |segment: &&SegmentSurvey| segment.role == Role::Reserve;
        self.segments.iter().filter(is_reserve).map(|segment| (segment.id, segment.file_bytes))
    }

    /// Files that are longer than what counts in them: `(segment, length, bytes to keep)`.
    pub(crate) fn surplus(&self) -> impl Iterator<Item = (SegmentId, u64, u64)> {
        self.segments.iter().filter_map(|segment| {
            let keep_bytes = match segment.role {
                Role::Kept { end, .. } => end,
                Role::Void => SEGMENT_HEADER_BYTES,
                Role::Reserve => return None,
            };
            (segment.file_bytes > keep_bytes).then_some((segment.id, segment.file_bytes, keep_bytes))
        })
    }
}
