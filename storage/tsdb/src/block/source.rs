//! Where a block's bytes come from: a folder here, or whatever else answers reads of ranges.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;

use disk::{Access, Disk, DiskErrorKind, DiskFile, OpenMode};

use super::{BlockError, BlockFile};

/// Hands out ranges of a block's files, which do not change any more.
#[allow(async_fn_in_trait)]
pub trait BlockSource {
    /// Reads up to `length` bytes; fewer only where the file ends. Must not take memory for more than the file has: lengths
    /// may be claims of damaged files.
    ///
    /// # Errors
    /// [`BlockError::Missing`] where there is no such file, else whatever failed.
    async fn read(&self, file: &BlockFile, offset: u64, length: usize) -> Result<Vec<u8>, BlockError>;

    /// Length of a file in bytes. Asked for often: it should not take a round trip each time.
    ///
    /// # Errors
    /// [`BlockError::Missing`] where there is no such file, else whatever failed.
    async fn length(&self, file: &BlockFile) -> Result<u64, BlockError>;
}

/// Reads exactly so many bytes.
pub(super) async fn read_exact<S: BlockSource>(
    source: &S,
    file: BlockFile,
    offset: u64,
    length: usize,
) -> Result<Vec<u8>, BlockError> {
    let bytes = source.read(&file, offset, length).await?;
    if bytes.len() == length {
        return Ok(bytes);
    }
    Err(BlockError::damaged(file, offset, format!("it ends after {} of {length} bytes", bytes.len())))
}

/// A small file as a whole.
pub(super) async fn read_whole<S: BlockSource>(
    source: &S,
    file: BlockFile,
    bytes_max: usize,
) -> Result<Vec<u8>, BlockError> {
    let length = usize::try_from(source.length(&file).await?).unwrap_or(usize::MAX);
    if length > bytes_max {
        return Err(BlockError::damaged(file, 0, format!("it has {length} bytes, {bytes_max} are the most")));
    }
    read_exact(source, file, 0, length).await
}

/// A block's folder on a disk. Files stay open once they were read.
#[derive(Debug)]
pub struct FolderSource<D: Disk> {
    disk: D,
    folder: PathBuf,
    open: RefCell<HashMap<BlockFile, Rc<OpenFile<D::File>>>>,
}

#[derive(Debug)]
struct OpenFile<F> {
    file: F,
    length: u64,
}

impl<D: Disk> FolderSource<D> {
    /// Of the block whose folder this is.
    #[must_use]
    pub fn new(disk: D, folder: PathBuf) -> Self {
        Self { disk, folder, open: RefCell::default() }
    }

    async fn file(&self, file: BlockFile) -> Result<Rc<OpenFile<D::File>>, BlockError> {
        if let Some(open) = self.open.borrow().get(&file) {
            return Ok(Rc::clone(open));
        }
        let path = self.folder.join(file.path());
        let opened = self.disk.open(&path, OpenMode::Read, Access::Buffered).await;
        let handle = opened.map_err(|error| match error.kind {
            DiskErrorKind::NotFound => BlockError::Missing { file },
            _ => error.into(),
        })?;
        let length = handle.size().await?;
        let open = Rc::new(OpenFile { file: handle, length });
        self.open.borrow_mut().insert(file, Rc::clone(&open));
        Ok(open)
    }
}

impl<D: Disk> BlockSource for FolderSource<D> {
    async fn read(&self, file: &BlockFile, offset: u64, length: usize) -> Result<Vec<u8>, BlockError> {
        let open = self.file(*file).await?;
        let there = usize::try_from(open.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        Ok(open.file.read_at(offset, length.min(there)).await?)
    }

    async fn length(&self, file: &BlockFile) -> Result<u64, BlockError> {
        Ok(self.file(*file).await?.length)
    }
}
