//! What a reader asks of a shard's heads and what it gets: immutable snapshots that any thread may hold.
//!
//! A cursor resolves the question once and then answers it in steps of a bounded number of series, so that the shard can do
//! other work in between. It holds numbers of series, not borrows: the head may grow between steps.

mod names;
mod select;

use std::sync::Arc;

use model::{Labels, Matcher, TenantId, TimeRange};

use crate::checkpoint::ChunkBytes;

pub use names::{NamesCursor, NamesQuestion};
pub use select::SelectCursor;

/// Which series, and which part of their samples.
#[derive(Clone, Debug)]
pub struct SelectRequest {
    pub tenant: TenantId,
    /// All must match. At least one must not match the empty value; callers check that.
    pub matchers: Arc<[Matcher]>,
    pub range: TimeRange,
}

/// One series with the chunks that overlap the range, oldest first. A series lives in one head, but after a topic has
/// grown it can come from two: readers merge by labels.
#[derive(Clone, Debug)]
pub struct SeriesSnapshot {
    pub labels: Labels,
    pub chunks: Vec<ChunkSnapshot>,
}

/// A run of samples in Prometheus' own encoding, sealed chunks by reference and the open one by copy.
#[derive(Clone, Debug)]
pub struct ChunkSnapshot {
    /// From the first to the last sample of the chunk; it may begin before the range that was asked for and end behind it.
    pub range: TimeRange,
    pub encoding: ChunkEncoding,
    /// The chunk's bytes: big-endian u16 sample count, then the bit stream.
    pub bytes: ChunkBytes,
}

/// Prometheus' encoding numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum ChunkEncoding {
    Xor = 1,
}

/// What the next step of a cursor would hand out, at most: to be charged to a query before it is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StepCost {
    /// Of open chunks, which are copied.
    pub copied_bytes: u64,
    /// Of sealed chunks, which stay in memory as long as the snapshot lives.
    pub referenced_bytes: u64,
}

#[cfg(test)]
mod read_test;
