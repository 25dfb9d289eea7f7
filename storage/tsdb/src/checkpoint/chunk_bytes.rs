//! A sealed chunk's bytes, wherever they are: in memory, or in a file of the chunk log that is mapped.

use std::sync::Arc;

use disk::FileMap;

use super::framed::{BLOCK_HEADER_BYTES, checked_block};

/// Cheap to clone, readable by any thread. A mapped file stays readable as long as somebody holds one of its chunks.
#[derive(Clone, Debug)]
pub enum ChunkBytes {
    Held(Arc<[u8]>),
    /// `len` bytes at `offset`, behind the header of their block.
    Mapped {
        file: Arc<FileMap>,
        offset: u32,
        len: u32,
    },
}

impl ChunkBytes {
    /// The payload of the block at `block` of a file; none where the file is shorter than that.
    #[must_use]
    pub(super) fn of_map(file: &Arc<FileMap>, block: u32, len: u32) -> Option<Self> {
        let offset = block.checked_add(BLOCK_HEADER_BYTES as u32)?;
        file.get(offset as usize..)?.get(..len as usize)?;
        Some(Self::Mapped { file: Arc::clone(file), offset, len })
    }

    #[must_use]
    pub fn is_mapped(&self) -> bool {
        matches!(self, Self::Mapped { .. })
    }

    /// False where a file gives other bytes than were written. Reads them all.
    #[must_use]
    pub fn are_intact(&self) -> bool {
        match self {
            Self::Held(_) => true,
            Self::Mapped { file, offset, .. } => {
                let block = &file[*offset as usize - BLOCK_HEADER_BYTES..];
                checked_block(block).is_some_and(|payload| payload.len() == self.len())
            }
        }
    }

    /// Memory that goes when the last clone does; mapped files are the page cache's.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        match self {
            Self::Held(bytes) => bytes.len().next_multiple_of(8) as u64 + ARC_BYTES,
            Self::Mapped { .. } => 0,
        }
    }
}

/// The two counters in front of an `Arc`'s bytes.
const ARC_BYTES: u64 = 16;

impl std::ops::Deref for ChunkBytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Held(bytes) => bytes,
            Self::Mapped { file, offset, len } => &file[*offset as usize..][..*len as usize],
        }
    }
}

impl From<Arc<[u8]>> for ChunkBytes {
    fn from(bytes: Arc<[u8]>) -> Self {
        Self::Held(bytes)
    }
}
