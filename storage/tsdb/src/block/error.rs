//! What writing or reading a block can fail with.

use disk::DiskError;

use super::BlockFile;
use crate::chunk::ChunkEncoding;

/// The world failed, the block is damaged, or it would be larger than its format can tell.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BlockError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Whoever holds the bytes of a block could not hand them out.
    #[error("cannot read {file} of the block: {reason}")]
    Source { file: BlockFile, reason: String },
    /// The block has no such file.
    #[error("the block has no {file}")]
    Missing { file: BlockFile },
    /// Samples of this encoding cannot be taken out of a chunk, or put into what readers take.
    #[error("a chunk of encoding {encoding:?} cannot be read by queries of this release")]
    Unsupported { encoding: ChunkEncoding },
    /// The bytes are not what the format says. `offset` is where the part begins that is wrong.
    #[error("{file} is damaged at byte {offset}: {reason}")]
    Damaged { file: BlockFile, offset: u64, reason: String },
    /// The format has no room for it: the block has to become several.
    #[error("{what} would be larger than {limit_bytes} bytes, which a block cannot hold")]
    TooLarge { what: &'static str, limit_bytes: u64 },
}

impl BlockError {
    pub(super) fn damaged(file: BlockFile, offset: u64, reason: impl Into<String>) -> Self {
        Self::Damaged { file, offset, reason: reason.into() }
    }
}
