//! A file that only grows: a header page that says whose it is, then bytes, then preallocated zeros.
//!
//! The header page also holds, in two sectors by turns, how much of the file was synced before the sync that carries the mark. So
//! recovery can tell a torn tail (nobody was promised those bytes) from damage (somebody was). Knows nothing of what is appended.
//!
//! ```text
//! byte 0     magic "WLHDBRKR" | format u32 | kind u32 | topic id 16 B | partition i32 | base offset i64 | writer 32 B
//! byte 508   CRC32C of bytes 0..508
//! byte 512   mark: number u64 | synced length u64 | CRC32C of the 16 bytes before, u32
//! byte 1024  mark of the next number
//! byte 4096  data
//! ```
//! All integers are little endian.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use disk::{Access, Disk, DiskError, DiskFile, OpenMode};
use uuid::Uuid;

use super::space::Space;
use crate::error::BrokerError;

/// Where the appended bytes begin.
pub(super) const DATA_START: u64 = 4096;

const MAGIC: &[u8; 8] = b"WLHDBRKR";
const FORMAT: u32 = 1;
const SECTOR_BYTES: usize = 512;
const HEADER_CRC_AT: usize = SECTOR_BYTES - 4;
const MARK_BYTES: usize = 20;
const ALLOCATE_STEP_MAX: u64 = 16 << 20;

/// What a file is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FileKind {
    Segment = 1,
    GroupOffsets = 2,
}

/// Stands in the header: a file that was moved or belongs to something older is noticed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct FileIdentity {
    pub kind: FileKind,
    pub topic: Uuid,
    pub partition: i32,
    pub base_offset: i64,
}

pub(super) struct AppendFile<F> {
    file: F,
    path: PathBuf,
    end: Cell<u64>,
    synced: Cell<u64>,
    allocated: Cell<u64>,
    /// The number of the newest mark.
    mark_number: Cell<u64>,
    /// The synced length that the newest mark tells.
    marked: Cell<u64>,
}

/// What opening found.
pub(super) enum Opened<F> {
    /// Its end is not known yet: scan, then [`AppendFile::cut`]. At least `synced` bytes were promised to somebody.
    File { file: AppendFile<F>, synced: u64 },
    /// A crash fell into its creation; nothing was ever appended.
    Unfinished,
}

impl<F: DiskFile> AppendFile<F> {
    /// Makes an empty file. Its name is durable after a sync of the folder, which is the caller's.
    pub async fn create<D: Disk<File = F>>(disk: &D, path: &Path, identity: FileIdentity) -> Result<Self, DiskError> {
        let file = disk.open(path, OpenMode::CreateNew, Access::Buffered).await?;
        file.write_at(0, &header_page(identity)).await?;
        file.sync().await?;
        let start = || Cell::new(DATA_START);
        Ok(Self {
            file,
            path: path.to_owned(),
            end: start(),
            synced: start(),
            allocated: start(),
            mark_number: Cell::new(0),
            marked: start(),
        })
    }

    pub async fn open<D: Disk<File = F>>(
        disk: &D,
        path: &Path,
        identity: FileIdentity,
    ) -> Result<Opened<F>, BrokerError> {
        let file = disk.open(path, OpenMode::ReadWrite, Access::Buffered).await?;
        let size = file.size().await?;
        let page = file.read_at(0, DATA_START as usize).await?;
        if !has_valid_header(&page) && size <= DATA_START {
            return Ok(Opened::Unfinished);
        }
        check_header(path, &page, identity)?;
        let (mark_number, synced) = newest_mark(path, &page)?;
        let file = Self {
            file,
            path: path.to_owned(),
            end: Cell::new(size),
            synced: Cell::new(synced),
            allocated: Cell::new(size),
            mark_number: Cell::new(mark_number),
            marked: Cell::new(synced),
        };
        Ok(Opened::File { file, synced })
    }

    pub fn file(&self) -> &F {
        &self.file
    }

    /// The position of the next appended byte.
    pub fn end(&self) -> u64 {
        self.end.get()
    }

    /// What it occupies.
    pub fn allocated(&self) -> u64 {
        self.allocated.get()
    }

    /// Makes sure that bytes below `len` have a place. Grows in steps, so that few syncs have to write the file's length.
    ///
    /// `Ok(false)`: the budget or the device has no room, and nothing changed.
    pub async fn reserve(&self, len: u64, space: &Space) -> Result<bool, DiskError> {
        let allocated = self.allocated.get();
        if len <= allocated {
            return Ok(true);
        }
        let step = allocated.clamp(1 << 16, ALLOCATE_STEP_MAX);
        // At the limit a whole step may not fit where the bytes themselves still do.
        for target in [len.max(allocated + step), len] {
            if !space.take(target - allocated) {
                continue;
            }
            match self.file.allocate(target).await {
                Ok(()) => {
                    self.allocated.set(target);
                    return Ok(true);
                }
                Err(error) if error.kind == disk::DiskErrorKind::NoSpace => space.give_back(target - allocated),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Appends within what was reserved. After an error the end is where it was.
    pub async fn append(&self, bytes: &[u8]) -> Result<(), DiskError> {
        let end = self.end.get() + bytes.len() as u64;
        assert!(end <= self.allocated.get(), "appending to {} beyond what was reserved", self.path.display());
        self.file.write_at(self.end.get(), bytes).await?;
        self.end.set(end);
        Ok(())
    }

    /// Whether a next start finds nothing to cut and nothing to sync.
    pub fn is_closed(&self) -> bool {
        let end = self.end.get();
        self.allocated.get() == end && self.marked.get() == end
    }

    /// Makes all that was appended durable.
    pub async fn sync(&self) -> Result<(), DiskError> {
        let end = self.end.get();
        self.write_mark().await?;
        self.file.sync().await?;
        self.synced.set(end);
        Ok(())
    }

    /// Ends the file at `len`, durably, gives back what was reserved beyond and marks the rest as promised.
    pub async fn cut(&self, len: u64, space: &Space) -> Result<(), DiskError> {
        if self.end.get() == len && self.is_closed() {
            return Ok(());
        }
        self.file.truncate(len).await?;
        self.file.sync().await?;
        space.give_back(self.allocated.get() - len);
        self.allocated.set(len);
        self.end.set(len);
        self.synced.set(len);
        self.write_mark().await?;
        self.file.sync().await
    }

    async fn write_mark(&self) -> Result<(), DiskError> {
        let number = self.mark_number.get() + 1;
        self.file.write_at(mark_position(number), &encode_mark(number, self.synced.get())).await?;
        self.mark_number.set(number);
        self.marked.set(self.synced.get());
        Ok(())
    }
}

/// Checks the header of a file that is only read.
pub(super) fn check_header(path: &Path, page: &[u8], identity: FileIdentity) -> Result<(), BrokerError> {
    if !has_valid_header(page) {
        return Err(BrokerError::damaged(path, 0, "its header is not valid"));
    }
    let found = u32_at(page, 8);
    if found > FORMAT {
        return Err(BrokerError::TooNew { path: path.to_owned(), found, known: FORMAT });
    }
    if page[12..44] != header_page(identity)[12..44] {
        return Err(BrokerError::damaged(path, 12, "it belongs to another topic, partition or offset"));
    }
    Ok(())
}

fn header_page(identity: FileIdentity) -> Vec<u8> {
    let mut page = vec![0; DATA_START as usize];
    page[0..8].copy_from_slice(MAGIC);
    page[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    page[12..16].copy_from_slice(&(identity.kind as u32).to_le_bytes());
    page[16..32].copy_from_slice(identity.topic.as_bytes());
    page[32..36].copy_from_slice(&identity.partition.to_le_bytes());
    page[36..44].copy_from_slice(&identity.base_offset.to_le_bytes());
    let writer = concat!("wellhead ", env!("CARGO_PKG_VERSION"));
    page[44..44 + writer.len()].copy_from_slice(writer.as_bytes());
    let crc = crc32c::crc32c(&page[..HEADER_CRC_AT]);
    page[HEADER_CRC_AT..SECTOR_BYTES].copy_from_slice(&crc.to_le_bytes());
    page
}

fn has_valid_header(page: &[u8]) -> bool {
    page.len() == DATA_START as usize
        && page.starts_with(MAGIC)
        && u32_at(page, HEADER_CRC_AT) == crc32c::crc32c(&page[..HEADER_CRC_AT])
}

fn mark_position(number: u64) -> u64 {
    SECTOR_BYTES as u64 * (1 + number % 2)
}

fn encode_mark(number: u64, synced: u64) -> [u8; MARK_BYTES] {
    let mut mark = [0; MARK_BYTES];
    mark[0..8].copy_from_slice(&number.to_le_bytes());
    mark[8..16].copy_from_slice(&synced.to_le_bytes());
    let crc = crc32c::crc32c(&mark[..16]);
    mark[16..].copy_from_slice(&crc.to_le_bytes());
    mark
}

/// Number and synced length of the newest mark. A mark is a sector, so a crash leaves the old one or the new one; zeros: none yet.
fn newest_mark(path: &Path, page: &[u8]) -> Result<(u64, u64), BrokerError> {
    let mut newest = (0, DATA_START);
    for position in [SECTOR_BYTES, 2 * SECTOR_BYTES] {
        let mark = &page[position..position + MARK_BYTES];
        if mark.iter().all(|byte| *byte == 0) {
            continue;
        }
        if u32_at(mark, 16) != crc32c::crc32c(&mark[..16]) {
            return Err(BrokerError::damaged(path, position as u64, "the mark of what was synced is not valid"));
        }
        let field = |at: usize| u64::from_le_bytes(*mark[at..].first_chunk().expect("a mark has 20 bytes"));
        newest = newest.max((field(0), field(8)));
    }
    Ok(newest)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("the caller checked the length"))
}

const _: () = assert!(2 * SECTOR_BYTES + MARK_BYTES <= DATA_START as usize);
