//! What bounds a shard's log and its restart: everything that its heads hold, in files beside the log.
//!
//! Three kinds of files, all of checked blocks (`framed`), in the shard's folder:
//!
//! | file | holds | life |
//! |---|---|---|
//! | `N.series` | definitions of series, in runs | appended by each checkpoint, for what it finds new |
//! | `N.chunks` | the chunk log: sealed chunks, one a block | appended likewise; mapped for readers once it is full |
//! | `N.checkpoint` | marks of partitions; of each series its open chunk and where its sealed ones lie | written anew, renamed when it is durable |
//!
//! A checkpoint is fuzzy: ingest goes on between its slices. It is *at* a frame (LSN): what frames up to there say is in it.
//! Each slice tells the newest frame of which its series have all samples, so that a replay passes over what is in it. It is
//! published only when the log has all those frames. The one before is kept, with the log from there on: if the newest turns
//! out to be damaged, recovery takes that. Knows heads by their images; nothing of Kafka.

mod chunk_bytes;
mod files;
mod framed;
mod manifest;
mod restore;
mod take;

pub use chunk_bytes::ChunkBytes;
pub(crate) use files::{CheckpointFiles, FilesFound, KEPT, Pin, next_number};
pub(crate) use manifest::{Manifest, PartitionMark, survey_checkpoints};
pub(crate) use restore::{CheckpointSource, ChunkMaps, HeadSource, Stamps, covers, restore_checkpoint};
pub use take::{Checkpoint, is_out_of_space};
pub(crate) use take::{CheckpointStage, HeadTask};

use std::num::NonZeroU32;

/// Series of one slice, and of one run of definitions. Tests have few series and want several slices.
pub(crate) const SLICE_SERIES: u32 = if cfg!(test) { 8 } else { 1024 };

/// Where the chunk log has a chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ChunkAt {
    pub(crate) file: NonZeroU32,
    /// Where its block starts.
    pub(crate) block: u32,
}

/// Sizes of checkpoints.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CheckpointOptions {
    /// Bytes of frames after which the next checkpoint is due; more where the last one was larger.
    pub wal_bytes: u64,
    /// At this size a file of the chunk log is full. Below 4 GiB by far: chunks name places in it by 32 bits.
    pub chunk_file_bytes: u64,
}

impl Default for CheckpointOptions {
    fn default() -> Self {
        Self { wal_bytes: 32 << 20, chunk_file_bytes: 32 << 20 }
    }
}
