//! Where offsets and timestamps of one segment are: an entry for every 256 KiB, in memory; sealed segments keep a copy in a file.
//!
//! An entry only says where to begin to look; the batch headers from there on decide. The file is rebuilt from the segment when it
//! is missing or not valid, so nobody waits for its sync.

use std::path::Path;

use disk::{Access, Disk, DiskError, DiskErrorKind, DiskFile, OpenMode};

use super::append_file::DATA_START;
use crate::batch::BatchHeader;

const ENTRY_INTERVAL_BYTES: u64 = 256 << 10;
const MAGIC: &[u8; 8] = b"WLHDBIDX";
const FORMAT: u32 = 1;
/// The same, of a segment with batches of idempotent producers.
const FORMAT_WITH_PRODUCERS: u32 = 2;
/// Magic, format, count, then five numbers.
const FIXED_BYTES: usize = 8 + 4 + 4 + 5 * 8;
const ENTRY_BYTES: usize = 3 * 8;
/// A gigabyte-sized segment has 4,096 entries.
const FILE_BYTES_MAX: u64 = 16 << 20;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Entry {
    /// Base offset of the batch at `position`.
    offset: i64,
    position: u64,
    /// The largest timestamp of all batches before.
    max_timestamp_before: i64,
}

/// What is known of a segment without reading it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct SegmentIndex {
    entries: Vec<Entry>,
    /// The position after the last batch.
    pub end: u64,
    /// The offset after the last batch.
    pub end_offset: i64,
    /// `i64::MIN` while there is no batch.
    pub max_timestamp: i64,
    /// Base offset of the first batch that has `max_timestamp`.
    pub max_timestamp_offset: i64,
    /// Whether a batch is an idempotent producer's.
    pub has_producers: bool,
}

impl SegmentIndex {
    pub fn new(base_offset: i64) -> Self {
        Self {
            entries: Vec::new(),
            end: DATA_START,
            end_offset: base_offset,
            max_timestamp: i64::MIN,
            max_timestamp_offset: base_offset,
            has_producers: false,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.end == DATA_START
    }

    /// Adds the batch that follows the last one.
    pub fn push(&mut self, header: &BatchHeader) {
        assert_eq!(header.base_offset, self.end_offset, "batches follow one another");
        if self.entries.last().is_none_or(|entry| self.end >= entry.position + ENTRY_INTERVAL_BYTES) {
            let max_timestamp_before = self.max_timestamp;
            self.entries.push(Entry { offset: header.base_offset, position: self.end, max_timestamp_before });
        }
        if header.max_timestamp > self.max_timestamp {
            self.max_timestamp = header.max_timestamp;
            self.max_timestamp_offset = header.base_offset;
        }
        self.has_producers |= header.producer_id >= 0;
        self.end += header.bytes as u64;
        self.end_offset = header.next_offset();
    }

    /// A batch at or before the one that holds `offset`: its base offset and position.
    pub fn floor_of_offset(&self, offset: i64) -> (i64, u64) {
        self.floor(self.entries.partition_point(|entry| entry.offset <= offset))
    }

    /// A batch at or before the first one with a timestamp of at least `timestamp`.
    pub fn floor_of_timestamp(&self, timestamp: i64) -> (i64, u64) {
        self.floor(self.entries.partition_point(|entry| entry.max_timestamp_before < timestamp))
    }

    fn floor(&self, entries_passed: usize) -> (i64, u64) {
        let entry = self.entries.get(entries_passed.saturating_sub(1));
        entry.map_or((self.end_offset, self.end), |entry| (entry.offset, entry.position))
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FIXED_BYTES + self.entries.len() * ENTRY_BYTES + 4);
        bytes.extend_from_slice(MAGIC);
        let format = if self.has_producers { FORMAT_WITH_PRODUCERS } else { FORMAT };
        bytes.extend_from_slice(&format.to_le_bytes());
        bytes.extend_from_slice(&(self.entries.len() as u32).to_le_bytes());
        let first = self.entries.first().map_or(self.end_offset, |entry| entry.offset);
        for number in [first, self.end.cast_signed(), self.end_offset, self.max_timestamp, self.max_timestamp_offset] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for entry in &self.entries {
            bytes.extend_from_slice(&entry.offset.to_le_bytes());
            bytes.extend_from_slice(&entry.position.to_le_bytes());
            bytes.extend_from_slice(&entry.max_timestamp_before.to_le_bytes());
        }
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `None`: not the index of a segment with this base offset, or not valid.
    pub fn decode(bytes: &[u8], base_offset: i64) -> Option<Self> {
        let (body, crc) = bytes.split_last_chunk::<4>()?;
        if body.len() < FIXED_BYTES || !body.starts_with(MAGIC) || crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
            return None;
        }
        let number = |at: usize| i64::from_le_bytes(*body[at..].first_chunk().expect("the length was checked"));
        let format = u32::from_le_bytes(*body[8..].first_chunk()?);
        let rest = &body[FIXED_BYTES..];
        if !matches!(format, FORMAT | FORMAT_WITH_PRODUCERS)
            || number(16) != base_offset
            || !rest.len().is_multiple_of(ENTRY_BYTES)
        {
            return None;
        }
        let entry = |bytes: &[u8]| {
            let number = |at: usize| i64::from_le_bytes(*bytes[at..].first_chunk().expect("an entry has 24 bytes"));
            Entry { offset: number(0), position: number(8).cast_unsigned(), max_timestamp_before: number(16) }
        };
        Some(Self {
            entries: rest.chunks_exact(ENTRY_BYTES).map(entry).collect(),
            end: number(24).cast_unsigned(),
            end_offset: number(32),
            max_timestamp: number(40),
            max_timestamp_offset: number(48),
            has_producers: format == FORMAT_WITH_PRODUCERS,
        })
    }

    /// Writes the copy of a sealed segment's index; without room there is none.
    pub async fn save<D: Disk>(&self, disk: &D, path: &Path) -> Result<(), DiskError> {
        let saved = async {
            match disk.remove(path).await {
                Err(error) if error.kind != DiskErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let file = disk.open(path, OpenMode::CreateNew, Access::Buffered).await?;
            file.write_at(0, &self.encode()).await
        };
        match saved.await {
            Err(error) if error.kind == DiskErrorKind::NoSpace => Ok(()),
            result => result,
        }
    }

    /// The saved copy, if it is there and valid.
    pub async fn load<D: Disk>(disk: &D, path: &Path, base_offset: i64) -> Result<Option<Self>, DiskError> {
        let file = match disk.open(path, OpenMode::Read, Access::Buffered).await {
            Ok(file) => file,
            Err(error) if error.kind == DiskErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let size = file.size().await?.min(FILE_BYTES_MAX);
        Ok(Self::decode(&file.read_at(0, size as usize).await?, base_offset))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::batch::{RecordBatch, fixture};

    /// Batches of three records of 30,000 bytes; the timestamps are given.
    fn index(timestamps: &[i64]) -> SegmentIndex {
        let mut index = SegmentIndex::new(100);
        for timestamp in timestamps {
            let batch = RecordBatch::check(fixture::batch(3, *timestamp, &[1; 30_000])).unwrap();
            let header = batch.store(index.end_offset, &mut Vec::new());
            index.push(&header);
        }
        index
    }

    #[test]
    fn floors_lie_at_or_before_and_never_far() {
        let timestamps: Vec<i64> = (0..60).map(|at| 1_000 + (at % 7) * 100 + at).collect();
        let index = index(&timestamps);
        assert_eq!(index.entries.len(), 7);
        let batch_bytes = (index.end - DATA_START) / 60;
        for offset in 100..280 {
            let (base, position) = index.floor_of_offset(offset);
            assert_eq!(position, DATA_START + (base - 100) as u64 / 3 * batch_bytes);
            assert!(base <= offset && offset - base <= 30, "{offset} {base}");
        }
        for timestamp in 900..1_700 {
            let first = timestamps.iter().position(|at| *at >= timestamp);
            let (base, _) = index.floor_of_timestamp(timestamp);
            assert!(first.is_none_or(|at| base <= 100 + 3 * at as i64), "{timestamp} {base}");
        }
        assert_eq!((index.max_timestamp, index.max_timestamp_offset), (1_655, 265));
    }

    #[test]
    fn the_file_gives_back_what_was_saved_or_nothing() {
        for index in [SegmentIndex::new(100), index(&[5; 40])] {
            let bytes = index.encode();
            assert_eq!(SegmentIndex::decode(&bytes, 100), Some(index));
            assert_eq!(SegmentIndex::decode(&bytes, 101), None);
            for at in 0..bytes.len() {
                let mut bad = bytes.clone();
                bad[at] ^= 4;
                assert_eq!(SegmentIndex::decode(&bad, 100), None, "byte {at}");
                assert_eq!(SegmentIndex::decode(&bytes[..at], 100), None, "{at} bytes");
            }
        }
    }

    proptest! {
        #[test]
        fn garbage_is_no_index(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(SegmentIndex::decode(&bytes, 0), None);
        }
    }
}
