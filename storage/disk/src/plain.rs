//! [`Disk`] on the operating system's plain files, for offline tools and simple tests.
//!
//! Every future is complete at its first poll: the calling thread blocks in the system call, so nothing that serves requests
//! runs on this. Direct access goes through the page cache, but its alignment is checked as the real device would.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use crate::{Access, DirEntry, Disk, DiskError, DiskFile, FileMap, OpenMode, Operation, assert_aligned};

/// The file system of the process.
#[derive(Clone, Copy, Default, Debug)]
pub struct PlainDisk;

/// A file of [`PlainDisk`].
#[derive(Debug)]
pub struct PlainFile {
    file: File,
    path: PathBuf,
    access: Access,
}

impl Disk for PlainDisk {
    type File = PlainFile;

    async fn open(&self, path: &Path, mode: OpenMode, access: Access) -> Result<PlainFile, DiskError> {
        let mut options = OpenOptions::new();
        options.read(true).write(mode != OpenMode::Read).create_new(mode == OpenMode::CreateNew);
        let file = options.open(path).map_err(|error| DiskError::from_io(Operation::Open, path, &error))?;
        Ok(PlainFile { file, path: path.to_owned(), access })
    }

    async fn list(&self, dir: &Path) -> Result<Vec<DirEntry>, DiskError> {
        list(dir).map_err(|error| DiskError::from_io(Operation::List, dir, &error))
    }

    async fn create_dir(&self, dir: &Path) -> Result<(), DiskError> {
        create_dir(dir).map_err(|error| DiskError::from_io(Operation::CreateDir, dir, &error))
    }

    async fn remove(&self, path: &Path) -> Result<(), DiskError> {
        fs::remove_file(path).map_err(|error| DiskError::from_io(Operation::Remove, path, &error))
    }

    async fn remove_dir(&self, dir: &Path) -> Result<(), DiskError> {
        fs::remove_dir_all(dir).map_err(|error| DiskError::from_io(Operation::Remove, dir, &error))
    }

    async fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        fs::rename(from, to).map_err(|error| DiskError::from_io(Operation::Rename, from, &error))
    }

    async fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
        sync_dir(dir).map_err(|error| DiskError::from_io(Operation::SyncDir, dir, &error))
    }

    async fn map(&self, path: &Path) -> Result<FileMap, DiskError> {
        FileMap::of_path(path).map_err(|error| DiskError::from_io(Operation::Map, path, &error))
    }

    async fn space(&self, dir: &Path) -> Result<(u64, u64), DiskError> {
        let stat =
            rustix::fs::statvfs(dir).map_err(|error| DiskError::from_io(Operation::Space, dir, &error.into()))?;
        Ok((stat.f_bavail.saturating_mul(stat.f_frsize), stat.f_blocks.saturating_mul(stat.f_frsize)))
    }
}

impl DiskFile for PlainFile {
    async fn size(&self) -> Result<u64, DiskError> {
        self.file.metadata().map(|metadata| metadata.len()).map_err(|error| self.failed(Operation::Size, &error))
    }

    async fn read_at(&self, offset: u64, len: usize) -> Result<Vec<u8>, DiskError> {
        assert_aligned(self.access, offset, len);
        let mut bytes = vec![0; len];
        let mut filled = 0;
        while filled < len {
            match self.file.read_at(&mut bytes[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(Operation::Read, &error)),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    async fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        assert_aligned(self.access, offset, bytes.len());
        self.file.write_all_at(bytes, offset).map_err(|error| self.failed(Operation::Write, &error))
    }

    async fn allocate(&self, len: u64) -> Result<(), DiskError> {
        let size = self.size().await?;
        match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, len) {
            Ok(()) => Ok(()),
            // The file system cannot reserve: writing zeros to the new part is as good, only slower.
            Err(Errno::OPNOTSUPP) => {
                zero_fill(&self.file, size, len).map_err(|error| self.failed(Operation::Allocate, &error))
            }
            Err(error) => Err(self.failed(Operation::Allocate, &error.into())),
        }
    }

    async fn truncate(&self, len: u64) -> Result<(), DiskError> {
        self.file.set_len(len).map_err(|error| self.failed(Operation::Truncate, &error))
    }

    async fn sync(&self) -> Result<(), DiskError> {
        self.file.sync_data().map_err(|error| self.failed(Operation::Sync, &error))
    }
}

impl PlainFile {
    fn failed(&self, operation: Operation, error: &io::Error) -> DiskError {
        DiskError::from_io(operation, &self.path, error)
    }
}

fn list(dir: &Path) -> io::Result<Vec<DirEntry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a name in it is not valid UTF-8"));
        };
        entries.push(DirEntry { name, is_dir: entry.file_type()?.is_dir() });
    }
    entries.sort();
    Ok(entries)
}

fn create_dir(dir: &Path) -> io::Result<()> {
    if dir.as_os_str().is_empty() || dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().unwrap_or(Path::new(""));
    create_dir(parent)?;
    match fs::create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
        result => result?,
    }
    sync_dir(parent)
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    File::open(dir)?.sync_all()
}

fn zero_fill(file: &File, from: u64, to: u64) -> io::Result<()> {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    let mut offset = from;
    while offset < to {
        let len = (to - offset).min(ZEROS.len() as u64) as usize;
        file.write_all_at(&ZEROS[..len], offset)?;
        offset += len as u64;
    }
    Ok(())
}
