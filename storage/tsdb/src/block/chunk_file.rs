//! Chunk files: segments of chunks one behind the other, each with its length, its encoding and a checksum.
//!
//! Format: `tsdb/docs/format/chunks.md` of Prometheus. Knows nothing of what a chunk's bytes say.

use std::path::{Path, PathBuf};

use disk::Disk;

use super::appender::Appender;
use super::{BlockError, BlockFile};
use crate::chunk::ChunkEncoding;
use crate::wal::put_varint;

/// Largest segment: what Prometheus writes, and the default here.
pub const CHUNK_SEGMENT_BYTES_MAX: u64 = 512 << 20;

pub(super) const CHUNK_MAGIC: u32 = 0x85BD_40DD;
pub(super) const CHUNK_VERSION: u8 = 1;
/// Magic, version and three bytes of zeros.
pub(super) const CHUNK_HEADER_BYTES: usize = 8;
pub(super) const CHUNK_CHECKSUM_BYTES: usize = 4;

/// The length of a chunk in front of it: a u32 as varint.
pub(super) const CHUNK_LENGTH_BYTES_MAX: usize = 5;

/// Where a chunk stands: the segment's index from 0 in the upper half, the offset in the segment in the lower one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ChunkRef(pub u64);

impl ChunkRef {
    #[must_use]
    pub fn new(file: u32, offset: u32) -> Self {
        assert!(file > 0, "segment files are counted from 1");
        Self(u64::from(file - 1) << 32 | u64::from(offset))
    }

    /// The segment file, none where its number is beyond all bounds.
    #[must_use]
    pub fn file(self) -> Option<BlockFile> {
        ((self.0 >> 32) as u32).checked_add(1).map(BlockFile::Chunks)
    }

    /// Byte in the segment file.
    #[must_use]
    pub fn offset(self) -> u32 {
        self.0 as u32
    }
}

/// Writes segments one after the other.
#[derive(Debug)]
pub(super) struct ChunkFileWriter<D: Disk> {
    disk: D,
    folder: PathBuf,
    segment_bytes_max: u64,
    open: Option<Appender<D::File>>,
    /// Lengths of the segments that are complete and synced.
    finished: Vec<u64>,
}

impl<D: Disk> ChunkFileWriter<D> {
    pub(super) fn new(disk: D, folder: PathBuf, segment_bytes_max: u64) -> Self {
        assert!(segment_bytes_max <= CHUNK_SEGMENT_BYTES_MAX, "offsets in a segment are positive 32-bit numbers");
        Self { disk, folder, segment_bytes_max, open: None, finished: Vec::new() }
    }

    /// Adds a chunk: into the segment that is open, or into a new one where it has no room for it.
    pub(super) async fn add(&mut self, encoding: ChunkEncoding, bytes: &[u8]) -> Result<ChunkRef, BlockError> {
        let needed = (CHUNK_LENGTH_BYTES_MAX + 1 + bytes.len() + CHUNK_CHECKSUM_BYTES) as u64;
        let limit_bytes = self.segment_bytes_max;
        if CHUNK_HEADER_BYTES as u64 + needed > limit_bytes {
            return Err(BlockError::TooLarge { what: "a chunk's segment", limit_bytes });
        }
        if self.open.as_ref().is_some_and(|segment| segment.position() + needed > limit_bytes) {
            self.finish_segment().await?;
        }
        let file = u32::try_from(self.finished.len() + 1).expect("segments are large");
        let segment = match &mut self.open {
            Some(segment) => segment,
            closed => closed.insert(create(&self.disk, &self.folder, file).await?),
        };
        let offset = u32::try_from(segment.position()).expect("bounded above");
        let mut length = Vec::with_capacity(CHUNK_LENGTH_BYTES_MAX);
        put_varint(bytes.len() as u64, &mut length);
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&[encoding as u8]), bytes);
        segment.put(&length);
        segment.put(&[encoding as u8]);
        segment.put(bytes);
        segment.put(&checksum.to_be_bytes());
        segment.relieve().await?;
        Ok(ChunkRef::new(file, offset))
    }

    /// Syncs all segments, not their names, and tells their lengths.
    pub(super) async fn finish(mut self) -> Result<Vec<u64>, BlockError> {
        self.finish_segment().await?;
        Ok(self.finished)
    }

    async fn finish_segment(&mut self) -> Result<(), BlockError> {
        if let Some(segment) = self.open.take() {
            self.finished.push(segment.finish().await?);
        }
        Ok(())
    }
}

async fn create<D: Disk>(disk: &D, folder: &Path, file: u32) -> Result<Appender<D::File>, BlockError> {
    let mut segment = Appender::create(disk, &folder.join(BlockFile::Chunks(file).path())).await?;
    segment.put(&CHUNK_MAGIC.to_be_bytes());
    segment.put(&[CHUNK_VERSION, 0, 0, 0]);
    assert_eq!(segment.position(), CHUNK_HEADER_BYTES as u64);
    Ok(segment)
}
