//! The write side of a shard's log: segments in reserve, one write and one sync a turn, a limit that refuses.
//!
//! A block that was synced is never written again, and a log never goes on in a file of an earlier process: opening starts a
//! fresh segment whose header says which place of the stream it takes up, which voids all that lies behind that place.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use disk::{Access, BLOCK_BYTES, Disk, DiskError, DiskErrorKind, DiskFile, OpenMode};
use model::ShardId;

use super::frame::{FRAME_BYTES_MAX, PART_PAYLOAD_BYTES_MAX, PartHeader, disk_bytes};
use super::segment::{SEGMENT_HEADER_BYTES, SegmentHeader, StreamPosition, file_name, parse_file_name};
use super::{Lsn, SegmentId, Turn};
use crate::recovery::FolderSurvey;

/// Sizes of a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WalOptions {
    /// Size of a segment file; whole blocks.
    pub segment_bytes: u64,
    /// How many preallocated segments wait behind the one in use.
    pub reserve_segments: usize,
    /// Largest payload of one part of a frame.
    pub part_bytes_max: usize,
    /// All segment files together; at this size turns are refused.
    pub bytes_max: u64,
}

impl Default for WalOptions {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, reserve_segments: 2, part_bytes_max: 1 << 20, bytes_max: 64 << 30 }
    }
}

/// Why a turn is not in the log.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WalError {
    /// Nothing was written; the turn can be tried again when there is room.
    #[error("the write-ahead log has {bytes} bytes and may not grow beyond {bytes_max}")]
    Full { bytes: u64, bytes_max: u64 },
    /// Nothing was written; the turn can be tried again when there is room.
    #[error("no space for a segment of the write-ahead log: {0}")]
    NoSpace(DiskError),
    /// A live file failed: what is on the device is unknown, the process must end.
    #[error("the write-ahead log failed: {0}")]
    Disk(#[from] DiskError),
    #[error("the write-ahead log failed before and takes nothing any more")]
    Failed,
    #[error("the folder {} holds a log already", .0.display())]
    NotEmpty(PathBuf),
}

impl WalError {
    /// Whether the caller holds and tries again, instead of ending the process.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::NoSpace(_))
    }
}

/// What a log did since it was opened, and its size now.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct WalCounters {
    pub frames: u64,
    /// Bytes of frames on the device, padding included.
    pub frame_bytes: u64,
    pub syncs: u64,
    pub segments_started: u64,
    pub segments_released: u64,
    pub samples: u64,
    pub refusals: u64,
}

/// The log of one shard, open for writing.
#[derive(Debug)]
pub struct Wal<D: Disk> {
    disk: D,
    dir: PathBuf,
    shard: ShardId,
    options: WalOptions,
    /// None while there was no room for a segment since the log was opened.
    active: Option<Segment<D::File>>,
    active_offset: u64,
    reserve: VecDeque<Segment<D::File>>,
    /// Older files that are longer than what counts in them, with both lengths: cut once the fence behind them is durable.
    surplus: Vec<(SegmentId, u64, u64)>,
    /// Those behind the active one, oldest first: the last frame of which each has a part, and its length.
    older: VecDeque<OlderSegment>,
    last_segment: Option<SegmentId>,
    synced: Lsn,
    latest_frame_bytes: u64,
    /// All segment files, reserve included.
    bytes: u64,
    buffer: Vec<u8>,
    counters: WalCounters,
    is_failed: bool,
}

#[derive(Clone, Copy, Debug)]
struct OlderSegment {
    id: SegmentId,
    last: Lsn,
    file_bytes: u64,
}

#[derive(Debug)]
struct Segment<F> {
    id: SegmentId,
    file: F,
}

impl<D: Disk> Wal<D> {
    /// Starts a log in a folder that has none.
    ///
    /// # Errors
    /// The folder holds segments, there is no room, or the disk failed.
    pub async fn create(disk: D, dir: &Path, shard: ShardId, options: WalOptions) -> Result<Self, WalError> {
        disk.create_dir(dir).await?;
        let entries = disk.list(dir).await?;
        if entries.iter().any(|entry| parse_file_name(&entry.name).is_some()) {
            return Err(WalError::NotEmpty(dir.to_owned()));
        }
        Self::open(disk, &FolderSurvey::empty(dir, shard), options).await
    }

    /// Goes on behind what recovery accepted, in a fresh segment. Where there is no room for one, the log opens all the same
    /// and refuses turns until there is. No other survey of this folder may be under way.
    ///
    /// # Errors
    /// The disk failed.
    pub async fn open(disk: D, survey: &FolderSurvey, options: WalOptions) -> Result<Self, WalError> {
        options.check();
        disk.create_dir(survey.dir()).await?;
        let mut wal = Self {
            disk,
            dir: survey.dir().to_owned(),
            shard: survey.shard(),
            options,
            active: None,
            // As good as full: the first frame starts a segment.
            active_offset: options.segment_bytes,
            reserve: VecDeque::new(),
            surplus: survey.surplus().collect(),
            older: survey.older().map(|(id, last, file_bytes)| OlderSegment { id, last, file_bytes }).collect(),
            last_segment: survey.last_segment(),
            latest_frame_bytes: 0,
            synced: survey.accepted(),
            bytes: survey.bytes(),
            buffer: Vec::new(),
            counters: WalCounters::default(),
            is_failed: false,
        };
        wal.adopt_reserve(survey).await?;
        if wal.reserve.is_empty() {
            match wal.grow().await {
                Err(error) if error.is_refusal() => return Ok(wal),
                result => result?,
            }
        }
        wal.start_next_segment(StreamPosition::start_of(wal.synced.next())).await?;
        wal.replenish().await?;
        Ok(wal)
    }

    /// Writes and syncs a turn as one frame. On success it is durable; on a refusal nothing was written.
    ///
    /// # Errors
    /// See [`WalError`]; everything but a refusal is fatal.
    pub async fn append(&mut self, turn: &mut Turn) -> Result<Lsn, WalError> {
        if self.is_failed {
            return Err(WalError::Failed);
        }
        let sample_count = turn.sample_count();
        let (data, marks) = turn.payload();
        assert!(data.len() + marks.len() <= FRAME_BYTES_MAX, "a turn of {} bytes", data.len() + marks.len());
        assert!(!(data.is_empty() && marks.is_empty()), "an empty turn needs no frame");
        let split = Split::new(data, marks, self.options.part_bytes_max);
        if let Err(error) = self.make_room(&split).await {
            self.counters.refusals += u64::from(error.is_refusal());
            self.is_failed |= !error.is_refusal();
            return Err(error);
        }
        // A caller that drops this future half-way leaves a log that nobody may write to any more.
        self.is_failed = true;
        let lsn = self.synced.next();
        let bytes_before = self.counters.frame_bytes;
        self.write(&split, lsn).await?;
        self.latest_frame_bytes = self.counters.frame_bytes - bytes_before;
        self.is_failed = false;
        self.synced = lsn;
        self.counters.frames += 1;
        self.counters.samples += sample_count;
        Ok(lsn)
    }

    /// Preallocates until the reserve is complete again. Best called when nobody waits. Having no room is no error here.
    ///
    /// # Errors
    /// The disk failed in another way than being full.
    pub async fn replenish(&mut self) -> Result<(), WalError> {
        if self.active.is_some() {
            self.cut_surplus().await.inspect_err(|_| self.is_failed = true)?;
        }
        while self.reserve.len() < self.options.reserve_segments {
            match self.grow().await {
                Ok(()) => {}
                Err(error) if error.is_refusal() => return Ok(()),
                Err(error) => {
                    self.is_failed = true;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Gives up the segments that hold nothing behind a frame: some become the reserve's next, the others are removed. One by
    /// one and each durably, from the oldest on: a crash in between must not leave a gap.
    ///
    /// # Errors
    /// The disk failed.
    pub async fn release(&mut self, up_to: Lsn) -> Result<(), WalError> {
        while let Some(oldest) = self.older.front().copied().filter(|oldest| oldest.last <= up_to) {
            let result = self.release_one(oldest).await;
            result.inspect_err(|_| self.is_failed = true)?;
            self.older.pop_front();
            self.counters.segments_released += 1;
        }
        Ok(())
    }

    async fn release_one(&mut self, oldest: OlderSegment) -> Result<(), DiskError> {
        let path = self.dir.join(file_name(oldest.id));
        let is_whole = oldest.file_bytes == self.options.segment_bytes;
        if is_whole && self.reserve.len() < 2 * self.options.reserve_segments {
            let id = self.last_segment.expect("there is an older one").next();
            let recycled = self.dir.join(file_name(id));
            self.disk.rename(&path, &recycled).await?;
            self.disk.sync_dir(&self.dir).await?;
            let file = self.disk.open(&recycled, OpenMode::ReadWrite, Access::Direct).await?;
            self.reserve.push_back(Segment { id, file });
            self.last_segment = Some(id);
            return Ok(());
        }
        self.disk.remove(&path).await?;
        self.disk.sync_dir(&self.dir).await?;
        self.bytes -= oldest.file_bytes;
        Ok(())
    }

    /// Bytes of the last frame on the device.
    #[must_use]
    pub fn latest_frame_bytes(&self) -> u64 {
        self.latest_frame_bytes
    }

    /// The last durable frame; 0 before the first.
    #[must_use]
    pub fn synced(&self) -> Lsn {
        self.synced
    }

    /// Bytes of all segment files, preallocated ones included.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    #[must_use]
    pub fn counters(&self) -> WalCounters {
        self.counters
    }

    #[must_use]
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// Bytes of memory that the log holds.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    /// Sees to it that the whole frame will find preallocated room.
    async fn make_room(&mut self, split: &Split<'_>) -> Result<(), WalError> {
        let mut offset = self.active_offset;
        let mut segments_needed = 0;
        for part in split.parts() {
            let bytes = disk_bytes(part.0.len() + part.1.len()) as u64;
            if offset + bytes > self.options.segment_bytes {
                segments_needed += 1;
                offset = SEGMENT_HEADER_BYTES;
            }
            offset += bytes;
        }
        while self.reserve.len() < segments_needed {
            self.grow().await?;
        }
        Ok(())
    }

    async fn grow(&mut self) -> Result<(), WalError> {
        let (disk, dir, options) = (&self.disk, &self.dir, self.options);
        let id = self.last_segment.map_or(SegmentId(1), SegmentId::next);
        if self.bytes + options.segment_bytes > options.bytes_max {
            return Err(WalError::Full { bytes: self.bytes, bytes_max: options.bytes_max });
        }
        let file = preallocate(disk, dir, id, options.segment_bytes).await?;
        self.last_segment = Some(id);
        self.bytes += options.segment_bytes;
        self.reserve.push_back(Segment { id, file });
        Ok(())
    }

    /// Takes over what an earlier process had preallocated. If there is no room to give a file the length that segments have
    /// now, it goes, and those behind it: ids in use must follow each other.
    async fn adopt_reserve(&mut self, survey: &FolderSurvey) -> Result<(), WalError> {
        let segment_bytes = self.options.segment_bytes;
        let mut is_full = false;
        for (id, file_bytes) in survey.reserve() {
            let path = self.dir.join(file_name(id));
            if !is_full {
                let file = self.disk.open(&path, OpenMode::ReadWrite, Access::Direct).await?;
                match fit(&file, file_bytes, segment_bytes).await {
                    Err(error) if error.kind == DiskErrorKind::NoSpace => is_full = true,
                    result => {
                        result?;
                        self.bytes = self.bytes - file_bytes + segment_bytes;
                        self.reserve.push_back(Segment { id, file });
                        continue;
                    }
                }
            }
            self.bytes -= file_bytes;
        }
        if is_full {
            let first_unfit = survey.reserve().nth(self.reserve.len()).expect("one did not fit").0;
            // From the last one down, each durably: a crash in between must not leave a gap.
            let mut unfit: Vec<SegmentId> =
                survey.reserve().map(|(id, _)| id).filter(|id| *id >= first_unfit).collect();
            while let Some(id) = unfit.pop() {
                self.disk.remove(&self.dir.join(file_name(id))).await?;
                self.disk.sync_dir(&self.dir).await?;
            }
            self.last_segment = first_unfit.0.checked_sub(1).filter(|id| *id > 0).map(SegmentId);
        }
        Ok(())
    }

    async fn cut_surplus(&mut self) -> Result<(), DiskError> {
        while let Some((id, file_bytes, keep_bytes)) = self.surplus.pop() {
            let file = self.disk.open(&self.dir.join(file_name(id)), OpenMode::ReadWrite, Access::Direct).await?;
            file.truncate(keep_bytes).await?;
            self.bytes -= file_bytes - keep_bytes;
            if let Some(cut) = self.older.iter_mut().find(|older| older.id == id) {
                cut.file_bytes = keep_bytes;
            }
        }
        Ok(())
    }

    async fn write(&mut self, split: &Split<'_>, lsn: Lsn) -> Result<(), DiskError> {
        self.buffer.clear();
        for (index, (data, marks)) in split.parts().enumerate() {
            let position = StreamPosition { lsn, part: index as u16 };
            let bytes = disk_bytes(data.len() + marks.len()) as u64;
            if self.active_offset + self.buffer.len() as u64 + bytes > self.options.segment_bytes {
                self.flush().await?;
                self.start_next_segment(position).await?;
            }
            let header = PartHeader { position, part_count: split.part_count, synced: self.synced };
            let active = self.active.as_ref().expect("started above at the latest");
            header.encode(active.id, data, marks, &mut self.buffer);
        }
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), DiskError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let active = self.active.as_ref().expect("a segment was started before the first part was laid out");
        active.file.write_at(self.active_offset, &self.buffer).await?;
        active.file.sync().await?;
        self.active_offset += self.buffer.len() as u64;
        self.counters.frame_bytes += self.buffer.len() as u64;
        self.counters.syncs += 1;
        self.buffer.clear();
        Ok(())
    }

    async fn start_next_segment(&mut self, first: StreamPosition) -> Result<(), DiskError> {
        let next = self.reserve.pop_front().expect("room was made before the first write");
        let (shard, segment_bytes, synced) = (self.shard, self.options.segment_bytes, self.synced);
        let header = SegmentHeader { shard, segment: next.id, segment_bytes, first, synced };
        next.file.write_at(0, &header.encode()).await?;
        next.file.sync().await?;
        if let Some(full) = self.active.replace(next) {
            // A frame that goes on in the next segment has a part in this one.
            let last = if first.part > 0 { first.lsn } else { Lsn(first.lsn.0 - 1) };
            self.older.push_back(OlderSegment { id: full.id, last, file_bytes: segment_bytes });
        }
        self.active_offset = SEGMENT_HEADER_BYTES;
        self.counters.segments_started += 1;
        self.counters.syncs += 1;
        Ok(())
    }
}

/// Makes a file of its full length, durably, or none at all.
async fn preallocate<D: Disk>(disk: &D, dir: &Path, id: SegmentId, segment_bytes: u64) -> Result<D::File, WalError> {
    let path = dir.join(file_name(id));
    let file = disk.open(&path, OpenMode::CreateNew, Access::Direct).await.map_err(no_space_or_fatal)?;
    if let Err(error) = file.allocate(segment_bytes).await {
        drop(file);
        disk.remove(&path).await?;
        disk.sync_dir(dir).await?;
        return Err(no_space_or_fatal(error));
    }
    file.sync().await?;
    disk.sync_dir(dir).await?;
    Ok(file)
}

/// Gives a file the length that segments have now.
async fn fit<F: DiskFile>(file: &F, file_bytes: u64, segment_bytes: u64) -> Result<(), DiskError> {
    if file_bytes > segment_bytes {
        file.truncate(segment_bytes).await?;
    } else if file_bytes < segment_bytes {
        file.allocate(segment_bytes).await?;
    }
    file.sync().await
}

fn no_space_or_fatal(error: DiskError) -> WalError {
    if error.kind == DiskErrorKind::NoSpace { WalError::NoSpace(error) } else { WalError::Disk(error) }
}

/// How a payload falls into parts: data in slices, the marks whole and in the last one.
struct Split<'a> {
    data: &'a [u8],
    marks: &'a [u8],
    part_bytes_max: usize,
    part_count: u16,
}

impl<'a> Split<'a> {
    fn new(data: &'a [u8], marks: &'a [u8], part_bytes_max: usize) -> Self {
        assert!(marks.len() <= part_bytes_max, "the progress of a turn fits one part");
        let data_parts = data.len().div_ceil(part_bytes_max).max(1);
        let room_in_last = data_parts * part_bytes_max - data.len();
        let part_count = data_parts + usize::from(marks.len() > room_in_last);
        let part_count = u16::try_from(part_count).expect("turns are bounded, parts are not that small");
        Self { data, marks, part_bytes_max, part_count }
    }

    fn parts(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let (data, marks, len_max, count) = (self.data, self.marks, self.part_bytes_max, usize::from(self.part_count));
        (0..count).map(move |index| {
            let slice = &data[(index * len_max).min(data.len())..((index + 1) * len_max).min(data.len())];
            (slice, if index + 1 == count { marks } else { &[][..] })
        })
    }
}

impl WalOptions {
    fn check(&self) {
        assert!(self.segment_bytes.is_multiple_of(BLOCK_BYTES as u64), "segments are whole blocks");
        assert!((1..=PART_PAYLOAD_BYTES_MAX).contains(&self.part_bytes_max), "part_bytes_max is out of range");
        let part_bytes = disk_bytes(self.part_bytes_max) as u64;
        assert!(SEGMENT_HEADER_BYTES + part_bytes <= self.segment_bytes, "a segment holds at least one part");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How a payload of `data` and `marks` bytes is cut, as `data+marks` for each part.
    fn check(data: usize, marks: usize, expected: &str) {
        let (data, marks) = (vec![1; data], vec![2; marks]);
        let split = Split::new(&data, &marks, 10);
        let parts: Vec<String> = split.parts().map(|(data, marks)| format!("{}+{}", data.len(), marks.len())).collect();
        assert_eq!(parts.join(" "), expected);
        assert!(split.parts().all(|(data, marks)| data.len() + marks.len() <= 10));
        assert_eq!(split.parts().flat_map(|(data, _)| data).count(), data.len());
    }

    #[test]
    fn marks_stay_whole_in_the_last_part() {
        check(0, 3, "0+3");
        check(4, 0, "4+0");
        check(4, 6, "4+6");
        check(4, 7, "4+0 0+7");
        check(10, 0, "10+0");
        check(10, 1, "10+0 0+1");
        check(25, 5, "10+0 10+0 5+5");
        check(25, 6, "10+0 10+0 5+0 0+6");
    }
}
