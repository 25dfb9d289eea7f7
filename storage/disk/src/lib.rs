//! The one narrow door to files: WAL, checkpoints, broker segments and offsets all go through [`Disk`].
//!
//! Production runs it on io_uring (`dataplane/runtime`), offline tools on plain files, tests on a simulated device that loses,
//! tears and rots what a real one may. *Fake the device, never the component.* Knows nothing of what is stored.

mod error;
mod map;
mod plain;
#[cfg(test)]
mod plain_test;
mod sim;

pub use error::{DiskError, DiskErrorKind, Operation};
pub use map::FileMap;
pub use plain::{PlainDisk, PlainFile};
pub use sim::{Fault, SimDisk, SimFile, Unsynced};

use std::path::Path;

/// Direct reads and writes start on such a boundary and are a multiple of it long.
pub const BLOCK_BYTES: usize = 4096;

/// How a file is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpenMode {
    /// It must exist; only reads will follow.
    Read,
    /// It must exist.
    ReadWrite,
    /// It must not exist. The name survives a crash only after [`Disk::sync_dir`] of its folder.
    CreateNew,
}

/// Which way the bytes go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Past the page cache: offsets and lengths are multiples of [`BLOCK_BYTES`].
    Direct,
    /// Through the page cache, at any offset.
    Buffered,
}

/// An entry of a folder: its plain name, never `.` or `..`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct DirEntry {
    pub name: String,
    pub is_dir: bool,
}

/// A file system as seen by one thread. Cheap to clone. Futures are not `Send`: a file belongs to one core.
///
/// What a crash may do: every write and every change of a folder since the last successful sync of that file or folder may be
/// there, be missing, or (writes) be there in part, in any order, at the granularity of a 512-byte sector.
#[allow(async_fn_in_trait)]
pub trait Disk: Clone + 'static {
    type File: DiskFile;

    /// Opens a file.
    async fn open(&self, path: &Path, mode: OpenMode, access: Access) -> Result<Self::File, DiskError>;

    /// Lists a folder in order of name. A missing folder is `NotFound`.
    async fn list(&self, dir: &Path) -> Result<Vec<DirEntry>, DiskError>;

    /// Makes a folder and its parents, durably. Not an error where it is there already.
    async fn create_dir(&self, dir: &Path) -> Result<(), DiskError>;

    /// Removes a file; durable after [`Disk::sync_dir`].
    async fn remove(&self, path: &Path) -> Result<(), DiskError>;

    /// Removes a folder and all below it; durable after [`Disk::sync_dir`] of its parent.
    async fn remove_dir(&self, dir: &Path) -> Result<(), DiskError>;

    /// Gives a file another name, replacing what has it; durable after [`Disk::sync_dir`].
    async fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError>;

    /// Makes creations, removals and renames in this folder survive a crash.
    async fn sync_dir(&self, dir: &Path) -> Result<(), DiskError>;

    /// The bytes of a whole file for any thread. It must be complete: nobody writes to it, cuts it or replaces it any more.
    /// Removing it is fine.
    async fn map(&self, path: &Path) -> Result<FileMap, DiskError>;

    /// Bytes that the file system still has for this process, and its size: `(available, total)`.
    async fn space(&self, dir: &Path) -> Result<(u64, u64), DiskError>;
}

/// An open file. Dropping it closes it without a sync.
#[allow(async_fn_in_trait)]
pub trait DiskFile: 'static {
    /// Length in bytes.
    async fn size(&self) -> Result<u64, DiskError>;

    /// Reads up to `len` bytes; fewer only where the file ends.
    async fn read_at(&self, offset: u64, len: usize) -> Result<Vec<u8>, DiskError>;

    /// Writes all of `bytes`. Durable only after [`DiskFile::sync`].
    async fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError>;

    /// Reserves blocks so that writes below `len` cannot fail for want of space, and sets the length to at least `len`;
    /// new bytes read as zero. `NoSpace` is the error that a caller is expected to survive.
    async fn allocate(&self, len: u64) -> Result<(), DiskError>;

    /// Cuts the file to `len` bytes.
    async fn truncate(&self, len: u64) -> Result<(), DiskError>;

    /// Makes all earlier writes durable (`fdatasync`). A failed sync is never tried again: the process ends.
    async fn sync(&self) -> Result<(), DiskError>;
}

/// The rule of [`Access::Direct`]. A breach is a bug of the caller: a real device answers it with `EINVAL`.
fn assert_aligned(access: Access, offset: u64, len: usize) {
    if access == Access::Direct {
        assert!(offset.is_multiple_of(BLOCK_BYTES as u64), "direct access at {offset}: not on a block boundary");
        assert!(len.is_multiple_of(BLOCK_BYTES), "direct access of {len} bytes: not whole blocks");
    }
}
