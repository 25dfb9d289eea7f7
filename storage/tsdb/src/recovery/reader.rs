//! Reads the parts of one segment file, a window at a time.

use std::ops::Range;
use std::path::{Path, PathBuf};

use disk::{Access, BLOCK_BYTES, Disk, DiskError, DiskFile, OpenMode};

use crate::wal::{PART_HEADER_BYTES, Part, PartError, PartHeader, SEGMENT_HEADER_BYTES, SegmentId, file_name};

const WINDOW_BYTES: usize = 1 << 20;
const BLOCK: u64 = BLOCK_BYTES as u64;

/// A segment file, open for reading.
pub(super) struct SegmentReader<F> {
    file: F,
    pub(super) id: SegmentId,
    pub(super) path: PathBuf,
    pub(super) file_bytes: u64,
    window_at: u64,
    window: Vec<u8>,
    payload: Range<usize>,
}

/// A whole part; its payload is at hand until the next read.
#[derive(Clone, Copy, Debug)]
pub(super) struct FoundPart {
    pub(super) header: PartHeader,
    pub(super) disk_bytes: u64,
}

impl<F: DiskFile> SegmentReader<F> {
    pub(super) async fn open<D: Disk<File = F>>(disk: &D, dir: &Path, id: SegmentId) -> Result<Self, DiskError> {
        let path = dir.join(file_name(id));
        let file = disk.open(&path, OpenMode::Read, Access::Direct).await?;
        let file_bytes = file.size().await?;
        Ok(Self { file, id, path, file_bytes, window_at: 0, window: Vec::new(), payload: 0..0 })
    }

    /// The first block, shorter where the file is.
    pub(super) async fn header_block(&mut self) -> Result<&[u8], DiskError> {
        self.load(0, BLOCK_BYTES).await?;
        Ok(&self.window[..self.window.len().min(BLOCK_BYTES)])
    }

    /// The part at a block boundary, or what stands there instead.
    pub(super) async fn part(&mut self, offset: u64) -> Result<Result<FoundPart, PartError>, DiskError> {
        let mut start = self.load(offset, BLOCK_BYTES).await?;
        if let Err(PartError::Incomplete { bytes }) = Part::decode(&self.window[start..], self.id) {
            start = self.load(offset, bytes).await?;
        }
        let part = match Part::decode(&self.window[start..], self.id) {
            Ok(part) => part,
            Err(error) => return Ok(Err(error)),
        };
        let payload_start = start + PART_HEADER_BYTES;
        self.payload = payload_start..payload_start + part.payload.len();
        Ok(Ok(FoundPart { header: part.header, disk_bytes: part.disk_bytes() as u64 }))
    }

    /// The payload of the part that was found last.
    pub(super) fn payload(&self) -> &[u8] {
        &self.window[self.payload.clone()]
    }

    /// The next whole part at or behind a block boundary, wherever it is.
    pub(super) async fn search(&mut self, mut offset: u64) -> Result<Option<(u64, FoundPart)>, DiskError> {
        while offset < self.file_bytes {
            let start = self.load(offset, BLOCK_BYTES).await?;
            if Part::may_start(&self.window[start..])
                && let Ok(found) = self.part(offset).await?
            {
                return Ok(Some((offset, found)));
            }
            offset += BLOCK;
        }
        Ok(None)
    }

    pub(super) async fn holds_parts(&mut self) -> Result<bool, DiskError> {
        Ok(self.search(SEGMENT_HEADER_BYTES).await?.is_some())
    }

    /// Where in the window `offset` is; from there on at least `len` bytes are at hand unless the file ends before.
    async fn load(&mut self, offset: u64, len: usize) -> Result<usize, DiskError> {
        let end = (offset + len as u64).min(self.file_bytes);
        let is_at_hand = offset >= self.window_at && end <= self.window_at + self.window.len() as u64;
        if !is_at_hand {
            let bytes = len.max(WINDOW_BYTES).next_multiple_of(BLOCK_BYTES);
            self.window = self.file.read_at(offset, bytes).await?;
            self.window_at = offset;
        }
        Ok((offset - self.window_at).min(self.window.len() as u64) as usize)
    }
}
