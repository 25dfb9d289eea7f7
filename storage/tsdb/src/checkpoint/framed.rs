//! Files of checked blocks: a header that says what the file is, then blocks of length, CRC32C and payload.
//!
//! Written through the page cache and synced as a whole; what counts in a file is said elsewhere (see the module above), so
//! there is no torn tail to judge. Little-endian.
//!
//! - header, 64 bytes: magic (8), format version `u16`, shard `u16`, 4 zeros, file number `u64`, writer (32, zero-padded),
//!   4 zeros, CRC32C of the 60 bytes before
//! - block: payload length `u32`, CRC32C of those 4 bytes and the payload, payload

use std::path::{Path, PathBuf};

use disk::{Access, Disk, DiskError, DiskErrorKind, DiskFile, OpenMode};
use model::ShardId;

use crate::recovery::RecoveryError;

pub(super) const FILE_HEADER_BYTES: u64 = 64;
pub(super) const BLOCK_HEADER_BYTES: usize = 8;
/// Payload of one block; writers stay far below.
pub(super) const BLOCK_BYTES_MAX: usize = 16 << 20;
const FORMAT_VERSION: u16 = 1;
const WRITER_AT: usize = 24;
const WRITER_BYTES: usize = 32;
const CRC_AT: usize = 60;
const WINDOW_BYTES: usize = 1 << 20;
const WRITE_BYTES: usize = 1 << 20;

/// What a file holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum FileKind {
    Series,
    Chunks,
    Checkpoint,
}

impl FileKind {
    pub(super) const ALL: [Self; 3] = [Self::Series, Self::Chunks, Self::Checkpoint];

    fn magic(self) -> [u8; 8] {
        match self {
            Self::Series => *b"WELLSER\n",
            Self::Chunks => *b"WELLCNK\n",
            Self::Checkpoint => *b"WELLCKP\n",
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::Series => ".series",
            Self::Chunks => ".chunks",
            Self::Checkpoint => ".checkpoint",
        }
    }
}

/// `0000000000000007.chunks`, sixteen digits.
pub(super) fn file_name(kind: FileKind, number: u64) -> String {
    format!("{number:016}{}", kind.suffix())
}

pub(super) fn parse_file_name(name: &str) -> Option<(FileKind, u64)> {
    let kind = FileKind::ALL.into_iter().find(|kind| name.ends_with(kind.suffix()))?;
    let digits = name.strip_suffix(kind.suffix())?;
    let is_ours = digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_ours.then(|| digits.parse().ok().map(|number| (kind, number))).flatten()
}

/// Which file, and how much of it counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FileExtent {
    pub(crate) number: u64,
    pub(crate) end: u64,
}

/// The write side of one file.
#[derive(Debug)]
pub(super) struct FramedWriter<F> {
    file: F,
    number: u64,
    written: u64,
    buffer: Vec<u8>,
}

impl<F: DiskFile> FramedWriter<F> {
    /// Makes the file; its name is durable after a sync of the folder.
    pub(super) async fn create<D: Disk<File = F>>(
        disk: &D,
        path: &Path,
        kind: FileKind,
        shard: ShardId,
        number: u64,
    ) -> Result<Self, DiskError> {
        let file = disk.open(path, OpenMode::CreateNew, Access::Buffered).await?;
        Ok(Self { file, number, written: 0, buffer: file_header(kind, shard, number).to_vec() })
    }

    /// Adds a block, at first in memory, and says where it starts.
    ///
    /// # Panics
    /// The payload is larger than [`BLOCK_BYTES_MAX`].
    pub(super) fn put(&mut self, fill: impl FnOnce(&mut Vec<u8>)) -> u64 {
        let (at, start) = (self.end(), self.buffer.len());
        self.buffer.extend_from_slice(&[0; BLOCK_HEADER_BYTES]);
        fill(&mut self.buffer);
        let payload = start + BLOCK_HEADER_BYTES;
        let len = self.buffer.len() - payload;
        assert!(len <= BLOCK_BYTES_MAX, "a block of {len} bytes");
        let len = (len as u32).to_le_bytes();
        let crc = crc32c::crc32c_append(crc32c::crc32c(&len), &self.buffer[payload..]);
        self.buffer[start..start + 4].copy_from_slice(&len);
        self.buffer[start + 4..payload].copy_from_slice(&crc.to_le_bytes());
        at
    }

    /// Where the next block will start.
    pub(super) fn end(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    pub(super) fn extent(&self) -> FileExtent {
        FileExtent { number: self.number, end: self.end() }
    }

    pub(super) fn wants_flush(&self) -> bool {
        self.buffer.len() >= WRITE_BYTES
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    pub(super) async fn flush(&mut self) -> Result<(), DiskError> {
        if !self.buffer.is_empty() {
            self.file.write_at(self.written, &self.buffer).await?;
            self.written += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(())
    }

    pub(super) async fn sync(&mut self) -> Result<(), DiskError> {
        self.flush().await?;
        self.file.sync().await
    }
}

fn file_header(kind: FileKind, shard: ShardId, number: u64) -> [u8; FILE_HEADER_BYTES as usize] {
    let mut header = [0; FILE_HEADER_BYTES as usize];
    let writer = concat!("wellhead ", env!("CARGO_PKG_VERSION")).as_bytes();
    let writer = &writer[..writer.len().min(WRITER_BYTES)];
    header[..8].copy_from_slice(&kind.magic());
    header[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    header[10..12].copy_from_slice(&shard.0.to_le_bytes());
    header[16..24].copy_from_slice(&number.to_le_bytes());
    header[WRITER_AT..WRITER_AT + writer.len()].copy_from_slice(writer);
    let crc = crc32c::crc32c(&header[..CRC_AT]);
    header[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// The blocks of a file in order, up to where it counts.
pub(super) struct FramedReader<F> {
    file: F,
    path: PathBuf,
    end: u64,
    at: u64,
    window_at: u64,
    window: Vec<u8>,
}

impl<F: DiskFile> FramedReader<F> {
    /// Opens a file and checks its header. Without an `end` all of it counts.
    pub(super) async fn open<D: Disk<File = F>>(
        disk: &D,
        path: PathBuf,
        kind: FileKind,
        shard: ShardId,
        (number, end): (u64, Option<u64>),
    ) -> Result<Self, RecoveryError> {
        let file = match disk.open(&path, OpenMode::Read, Access::Buffered).await {
            Err(error) if error.kind == DiskErrorKind::NotFound => {
                return Err(damaged(&path, 0, "the file is missing"));
            }
            result => result?,
        };
        let size = file.size().await?;
        let end = end.unwrap_or(size);
        if end > size {
            return Err(damaged(&path, size, "the file is shorter than it was made"));
        }
        let mut reader = Self { file, path, end, at: FILE_HEADER_BYTES, window_at: 0, window: Vec::new() };
        reader.check_header(kind, shard, number).await?;
        Ok(reader)
    }

    async fn check_header(&mut self, kind: FileKind, shard: ShardId, number: u64) -> Result<(), RecoveryError> {
        let expected = file_header(kind, shard, number);
        let header = self.load(0, FILE_HEADER_BYTES as usize).await?;
        if header.len() < expected.len() || header[..8] != expected[..8] {
            return Err(damaged(&self.path, 0, "it does not begin as such a file does"));
        }
        let version = u16::from_le_bytes([header[8], header[9]]);
        if version != FORMAT_VERSION {
            return Err(RecoveryError::Unsupported { segment: self.path.clone(), offset: 0, version });
        }
        let crc = crc32c::crc32c(&header[..CRC_AT]).to_le_bytes();
        if header[CRC_AT..expected.len()] != crc || header[10..WRITER_AT] != expected[10..WRITER_AT] {
            return Err(damaged(&self.path, 0, "its header is damaged, or of another file"));
        }
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the next block starts.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// The next block's payload; none behind the last one.
    pub(super) async fn next(&mut self) -> Result<Option<&[u8]>, RecoveryError> {
        if self.at == self.end {
            return Ok(None);
        }
        let left = self.end - self.at;
        let at = self.at;
        let len = match self.load(at, BLOCK_HEADER_BYTES).await?.first_chunk::<4>() {
            Some(len) => u32::from_le_bytes(*len) as usize,
            None => return Err(damaged(&self.path, at, "it ends inside a block")),
        };
        if len > BLOCK_BYTES_MAX || (BLOCK_HEADER_BYTES + len) as u64 > left {
            return Err(damaged(&self.path, at, "a block is longer than the file"));
        }
        self.load(at, BLOCK_HEADER_BYTES + len).await?;
        self.at += (BLOCK_HEADER_BYTES + len) as u64;
        let start = (at - self.window_at) as usize;
        let block = &self.window[start..];
        match checked_block(block) {
            Some(payload) => Ok(Some(payload)),
            None => Err(damaged(&self.path, at, "a block fails its checksum")),
        }
    }

    /// At least `len` bytes from `at` on, unless what counts ends before.
    async fn load(&mut self, at: u64, len: usize) -> Result<&[u8], DiskError> {
        let is_at_hand = at >= self.window_at && at + len as u64 <= self.window_at + self.window.len() as u64;
        if !is_at_hand {
            let wanted = len.max(WINDOW_BYTES).min((self.end - at) as usize);
            self.window = self.file.read_at(at, wanted).await?;
            self.window_at = at;
        }
        Ok(&self.window[(at - self.window_at) as usize..])
    }
}

/// The payload of the block that `bytes` start with, if it is whole.
pub(super) fn checked_block(bytes: &[u8]) -> Option<&[u8]> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let payload = rest.get(..u32::from_le_bytes(*len) as usize)?;
    let found = crc32c::crc32c_append(crc32c::crc32c(len), payload);
    (found == u32::from_le_bytes(*crc)).then_some(payload)
}

pub(super) fn damaged(path: &Path, offset: u64, what: &str) -> RecoveryError {
    RecoveryError::Damaged { segment: path.to_owned(), offset, what: what.to_owned() }
}
