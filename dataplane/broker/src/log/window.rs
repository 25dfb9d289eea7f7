//! Reads a file in large pieces for someone who walks through it in small ones.

use disk::{DiskError, DiskFile};

pub(super) struct Window<'a, F> {
    file: &'a F,
    /// How much is read at once, unless more is asked for.
    piece_bytes: usize,
    start: u64,
    bytes: Vec<u8>,
}

impl<'a, F: DiskFile> Window<'a, F> {
    pub fn new(file: &'a F, piece_bytes: usize) -> Self {
        Self { file, piece_bytes, start: 0, bytes: Vec::new() }
    }

    /// `len` bytes at `position`, fewer where the file ends. The caller has checked `len`: so much is read.
    pub async fn get(&mut self, position: u64, len: usize) -> Result<&[u8], DiskError> {
        let is_inside = position >= self.start && position + len as u64 <= self.start + self.bytes.len() as u64;
        if !is_inside {
            self.bytes = self.file.read_at(position, len.max(self.piece_bytes)).await?;
            self.start = position;
        }
        let from = (position - self.start) as usize;
        Ok(&self.bytes[from..(from + len).min(self.bytes.len())])
    }
}
