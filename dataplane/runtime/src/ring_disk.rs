//! `Disk` on io_uring: direct files for logs that are written once, buffered ones for what is read again soon.
//!
//! Operations on folders and names are rare and go to the executor's blocking thread. One-to-one with the trait: nothing is
//! cached, retried or reordered here.

use std::io;
use std::path::{Path, PathBuf};

use disk::{Access, BLOCK_BYTES, DirEntry, Disk, DiskError, DiskFile, FileMap, OpenMode, Operation};
use glommio::GlommioError;
use glommio::io::{BufferedFile, DmaFile, OpenOptions};

use crate::executor::InFlight;

/// One request moves at most so much: the kernel's copy of a larger one would hold that much memory twice.
const REQUEST_BYTES_MAX: usize = 4 << 20;

/// The files of this machine, for code on an executor.
#[derive(Clone, Copy, Default, Debug)]
pub struct RingDisk;

/// An open file of [`RingDisk`].
pub struct RingFile {
    path: PathBuf,
    kind: Kind,
}

enum Kind {
    Direct(DmaFile),
    Buffered(BufferedFile),
}

impl Disk for RingDisk {
    type File = RingFile;

    async fn open(&self, path: &Path, mode: OpenMode, access: Access) -> Result<RingFile, DiskError> {
        let mut options = OpenOptions::new();
        options.read(true).write(mode != OpenMode::Read).create_new(mode == OpenMode::CreateNew);
        let opened = in_flight(async {
            match access {
                Access::Direct => options.dma_open(path).await.map(Kind::Direct),
                Access::Buffered => options.buffered_open(path).await.map(Kind::Buffered),
            }
        });
        let opened = opened.await;
        let kind = opened.map_err(|error| ring_error(Operation::Open, path, error))?;
        if let Kind::Direct(file) = &kind {
            assert!(file.alignment() <= BLOCK_BYTES as u64, "a device with blocks of {} bytes", file.alignment());
        }
        Ok(RingFile { path: path.to_owned(), kind })
    }

    async fn list(&self, dir: &Path) -> Result<Vec<DirEntry>, DiskError> {
        blocking(Operation::List, dir, |dir| {
            let mut entries = Vec::new();
            for entry in std::fs::read_dir(dir)? {
                let entry = entry?;
                let is_dir = entry.file_type()?.is_dir();
                entries.push(DirEntry { name: entry.file_name().to_string_lossy().into_owned(), is_dir });
            }
            entries.sort();
            Ok(entries)
        })
        .await
    }

    async fn create_dir(&self, dir: &Path) -> Result<(), DiskError> {
        blocking(Operation::CreateDir, dir, |dir| {
            let missing: Vec<&Path> =
                dir.ancestors().take_while(|ancestor| !ancestor.as_os_str().is_empty() && !ancestor.exists()).collect();
            std::fs::create_dir_all(dir)?;
            // The name of each new folder is durable once its parent is synced.
            missing.iter().filter_map(|made| made.parent()).try_for_each(sync_folder)
        })
        .await
    }

    async fn remove(&self, path: &Path) -> Result<(), DiskError> {
        blocking(Operation::Remove, path, |path| std::fs::remove_file(path)).await
    }

    async fn remove_dir(&self, dir: &Path) -> Result<(), DiskError> {
        blocking(Operation::Remove, dir, |dir| std::fs::remove_dir_all(dir)).await
    }

    async fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        let to = to.to_owned();
        blocking(Operation::Rename, from, move |from| std::fs::rename(from, to)).await
    }

    async fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
        blocking(Operation::SyncDir, dir, sync_folder).await
    }

    async fn map(&self, path: &Path) -> Result<FileMap, DiskError> {
        blocking(Operation::Map, path, FileMap::of_path).await
    }

    async fn space(&self, dir: &Path) -> Result<(u64, u64), DiskError> {
        blocking(Operation::Space, dir, |dir| {
            let answer = rustix::fs::statvfs(dir)?;
            Ok((answer.f_bavail * answer.f_frsize, answer.f_blocks * answer.f_frsize))
        })
        .await
    }
}

impl RingFile {
    fn error(&self, operation: Operation, error: GlommioError<()>) -> DiskError {
        ring_error(operation, &self.path, error)
    }

    /// A bug of the caller on a direct file: the kernel would refuse it on some devices only.
    fn assert_aligned(&self, offset: u64, len: usize) {
        let block = BLOCK_BYTES as u64;
        let is_aligned = offset.is_multiple_of(block) && (len as u64).is_multiple_of(block);
        assert!(is_aligned, "direct access to {} at {offset} of {len} bytes is not aligned", self.path.display());
    }
}

impl DiskFile for RingFile {
    async fn size(&self) -> Result<u64, DiskError> {
        let size = match &self.kind {
            Kind::Direct(file) => in_flight(file.file_size()).await,
            Kind::Buffered(file) => in_flight(file.file_size()).await,
        };
        size.map_err(|error| self.error(Operation::Size, error))
    }

    async fn read_at(&self, offset: u64, len: usize) -> Result<Vec<u8>, DiskError> {
        if let Kind::Direct(_) = &self.kind {
            self.assert_aligned(offset, len);
        }
        let mut bytes: Vec<u8> = Vec::with_capacity(len);
        while bytes.len() < len {
            let (position, want) = (offset + bytes.len() as u64, (len - bytes.len()).min(REQUEST_BYTES_MAX));
            let piece = match &self.kind {
                Kind::Direct(file) => in_flight(file.read_at_aligned(position, want)).await,
                Kind::Buffered(file) => in_flight(file.read_at(position, want)).await,
            };
            let piece = piece.map_err(|error| self.error(Operation::Read, error))?;
            if piece.is_empty() {
                break;
            }
            bytes.extend_from_slice(&piece);
            // A direct read that stops inside of a block has met the end, and could not go on from there.
            if matches!(self.kind, Kind::Direct(_)) && !bytes.len().is_multiple_of(BLOCK_BYTES) {
                break;
            }
        }
        Ok(bytes)
    }

    async fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let mut written = 0;
        while written < bytes.len() {
            let rest = &bytes[written..(written + REQUEST_BYTES_MAX).min(bytes.len())];
            let position = offset + written as u64;
            let count = match &self.kind {
                Kind::Direct(file) => {
                    self.assert_aligned(position, rest.len());
                    let mut buffer = file.alloc_dma_buffer(rest.len());
                    buffer.as_bytes_mut()[..rest.len()].copy_from_slice(rest);
                    buffer.trim_to_size(rest.len());
                    in_flight(file.write_at(buffer, position)).await
                }
                Kind::Buffered(file) => in_flight(file.write_at(rest.to_vec(), position)).await,
            };
            match count.map_err(|error| self.error(Operation::Write, error))? {
                0 => {
                    let error = io::Error::from(io::ErrorKind::WriteZero);
                    return Err(DiskError::from_io(Operation::Write, &self.path, &error));
                }
                count => written += count,
            }
        }
        Ok(())
    }

    async fn allocate(&self, len: u64) -> Result<(), DiskError> {
        if len <= self.size().await? {
            return Ok(());
        }
        let done = match &self.kind {
            Kind::Direct(file) => in_flight(file.pre_allocate(len, false)).await,
            Kind::Buffered(file) => in_flight(file.pre_allocate(len, false)).await,
        };
        done.map_err(|error| self.error(Operation::Allocate, error))
    }

    async fn truncate(&self, len: u64) -> Result<(), DiskError> {
        let done = match &self.kind {
            Kind::Direct(file) => in_flight(file.truncate(len)).await,
            Kind::Buffered(file) => in_flight(file.truncate(len)).await,
        };
        done.map_err(|error| self.error(Operation::Truncate, error))
    }

    async fn sync(&self) -> Result<(), DiskError> {
        let done = match &self.kind {
            Kind::Direct(file) => in_flight(file.fdatasync()).await,
            Kind::Buffered(file) => in_flight(file.fdatasync()).await,
        };
        done.map_err(|error| self.error(Operation::Sync, error))
    }
}

async fn in_flight<T>(work: impl Future<Output = T>) -> T {
    let guard = InFlight::start();
    let value = work.await;
    guard.finish();
    value
}

fn sync_folder(dir: &Path) -> io::Result<()> {
    std::fs::File::open(dir)?.sync_all()
}

async fn blocking<T: Send + 'static>(
    operation: Operation,
    path: &Path,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T, DiskError> {
    let own = path.to_owned();
    let done = in_flight(glommio::executor().spawn_blocking(move || work(&own))).await;
    done.map_err(|error| DiskError::from_io(operation, path, &error))
}

fn ring_error(operation: Operation, path: &Path, error: GlommioError<()>) -> DiskError {
    let error = match error {
        GlommioError::IoError(error) | GlommioError::EnhancedIoError { source: error, .. } => error,
        other => io::Error::other(other.to_string()),
    };
    DiskError::from_io(operation, path, &error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ExecutorSpec, spawn_executor};

    /// The same steps on the ring and on plain files: both must behave alike.
    async fn check_disk<D: Disk>(disk: D, root: PathBuf, access: Access) {
        let dir = root.join("a/b");
        disk.create_dir(&dir).await.unwrap();
        disk.create_dir(&dir).await.unwrap();
        let path = dir.join("file");
        assert_eq!(disk.open(&path, OpenMode::Read, access).await.err().unwrap().kind, disk::DiskErrorKind::NotFound);
        let file = disk.open(&path, OpenMode::CreateNew, access).await.unwrap();
        assert_eq!(
            disk.open(&path, OpenMode::CreateNew, access).await.err().unwrap().kind,
            disk::DiskErrorKind::AlreadyExists
        );
        let block = |byte: u8, blocks: usize| vec![byte; blocks * BLOCK_BYTES];
        file.allocate(8 * BLOCK_BYTES as u64).await.unwrap();
        file.allocate(BLOCK_BYTES as u64).await.unwrap();
        assert_eq!(file.size().await.unwrap(), 8 * BLOCK_BYTES as u64);
        file.write_at(BLOCK_BYTES as u64, &block(7, 2)).await.unwrap();
        file.sync().await.unwrap();
        let read = file.read_at(0, 4 * BLOCK_BYTES).await.unwrap();
        assert_eq!(read, [block(0, 1), block(7, 2), block(0, 1)].concat());
        file.truncate(2 * BLOCK_BYTES as u64).await.unwrap();
        assert_eq!(file.read_at(BLOCK_BYTES as u64, 4 * BLOCK_BYTES).await.unwrap(), block(7, 1), "short at the end");
        file.truncate(BLOCK_BYTES as u64 + 100).await.unwrap();
        assert_eq!(
            file.read_at(0, 4 * BLOCK_BYTES).await.unwrap().len(),
            BLOCK_BYTES + 100,
            "an end inside of a block"
        );
        let words: Vec<u8> = (0..(9_u64 << 20) / 8).flat_map(u64::to_le_bytes).collect();
        file.write_at(BLOCK_BYTES as u64, &words).await.unwrap();
        let read = file.read_at(BLOCK_BYTES as u64, words.len() + BLOCK_BYTES).await.unwrap();
        assert!(read == words, "more than one request carries");
        file.truncate(BLOCK_BYTES as u64).await.unwrap();
        assert!(file.read_at(64 * BLOCK_BYTES as u64, BLOCK_BYTES).await.unwrap().is_empty(), "nothing behind it");
        drop(file);
        disk.rename(&path, &dir.join("other")).await.unwrap();
        disk.sync_dir(&dir).await.unwrap();
        let entry = |name: &str, is_dir| DirEntry { name: name.to_owned(), is_dir };
        assert_eq!(disk.list(&dir).await.unwrap(), vec![entry("other", false)]);
        assert_eq!(disk.list(&root.join("a")).await.unwrap(), vec![entry("b", true)]);
        let (available, total) = disk.space(&dir).await.unwrap();
        assert!(0 < available && available <= total);
        disk.remove(&dir.join("other")).await.unwrap();
        disk.remove_dir(&root.join("a")).await.unwrap();
        assert_eq!(disk.list(&root.join("a")).await.err().unwrap().kind, disk::DiskErrorKind::NotFound);
    }

    #[test]
    fn the_ring_behaves_like_plain_files() {
        for access in [Access::Direct, Access::Buffered] {
            let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
            let root = folder.path().to_owned();
            let spec = ExecutorSpec { name: "disk-test".to_owned(), cpu: None };
            let executor = spawn_executor(spec, move || async move {
                check_disk(RingDisk, root.join("ring"), access).await;
                check_disk(disk::PlainDisk, root.join("plain"), access).await;
            });
            executor.unwrap().join().unwrap();
        }
    }

    async fn create(path: PathBuf) -> RingFile {
        RingDisk.open(&path, OpenMode::CreateNew, Access::Direct).await.unwrap()
    }

    /// Requests of several futures at once, some dropped in the middle, then the end of the executor.
    #[test]
    fn an_executor_ends_with_requests_in_flight() {
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let root = folder.path().to_owned();
        let spec = ExecutorSpec { name: "disk-end".to_owned(), cpu: None };
        let executor = spawn_executor(spec, move || async move {
            let write = |index: u8| {
                let path = root.join(index.to_string());
                crate::spawn_local(async move {
                    let file = create(path).await;
                    for block in 0..32 {
                        file.write_at(block * BLOCK_BYTES as u64, &[index; BLOCK_BYTES]).await.unwrap();
                        file.sync().await.unwrap();
                    }
                })
            };
            let mut tasks: Vec<_> = (0..8).map(write).collect();
            tasks.pop().unwrap().join().await;
            tasks.drain(..2).for_each(crate::LocalTask::detach);
        });
        executor.unwrap().join().unwrap();
    }

    /// A future that only yields leaves room for the disk: a scan of series must not stop the log.
    #[test]
    fn a_yielding_future_does_not_stop_the_disk() {
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = folder.path().join("log");
        let spec = ExecutorSpec { name: "disk-busy".to_owned(), cpu: None };
        let executor = spawn_executor(spec, move || async move {
            let is_done = std::rc::Rc::new(std::cell::Cell::new(false));
            let busy = crate::spawn_local({
                let is_done = is_done.clone();
                async move {
                    while !is_done.get() {
                        futures_lite::future::yield_now().await;
                    }
                }
            });
            let file = create(path).await;
            for block in 0..50 {
                file.write_at(block * BLOCK_BYTES as u64, &[1; BLOCK_BYTES]).await.unwrap();
            }
            is_done.set(true);
            busy.join().await;
        });
        executor.unwrap().join().unwrap();
    }
}
