//! A new file that is written from its start to its end, with a buffer in front and a few fields filled in later.

use std::path::Path;

use disk::{Access, Disk, DiskError, DiskFile, OpenMode};

/// Written when so much has come together.
const BUFFER_BYTES: usize = 1 << 20;

/// Nothing is durable before [`Appender::finish`].
#[derive(Debug)]
pub(super) struct Appender<F: DiskFile> {
    file: F,
    buffer: Vec<u8>,
    written: u64,
}

impl<F: DiskFile> Appender<F> {
    pub(super) async fn create<D: Disk<File = F>>(disk: &D, path: &Path) -> Result<Self, DiskError> {
        let file = disk.open(path, OpenMode::CreateNew, Access::Buffered).await?;
        Ok(Self { file, buffer: Vec::new(), written: 0 })
    }

    /// Where the next byte goes.
    pub(super) fn position(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Zeros up to the next multiple.
    pub(super) fn pad_to(&mut self, multiple: u64) {
        let zeros = self.position().next_multiple_of(multiple) - self.position();
        self.buffer.extend(std::iter::repeat_n(0, zeros as usize));
    }

    /// Keeps the buffer small; to be called between any two things of bounded size.
    pub(super) async fn relieve(&mut self) -> Result<(), DiskError> {
        if self.buffer.len() < BUFFER_BYTES {
            return Ok(());
        }
        self.flush().await
    }

    /// Fills in what was not known when its place was left.
    pub(super) async fn amend(&mut self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        assert!(offset + bytes.len() as u64 <= self.position(), "only what is there can be amended");
        if let Some(start) = offset.checked_sub(self.written) {
            self.buffer[start as usize..][..bytes.len()].copy_from_slice(bytes);
            return Ok(());
        }
        self.flush().await?;
        self.file.write_at(offset, bytes).await
    }

    /// Syncs the file and tells its length.
    pub(super) async fn finish(mut self) -> Result<u64, DiskError> {
        self.flush().await?;
        self.file.sync().await?;
        Ok(self.written)
    }

    async fn flush(&mut self) -> Result<(), DiskError> {
        self.file.write_at(self.written, &self.buffer).await?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}
