//! What a reader asks of a shard's heads and what it gets: immutable snapshots that any thread may hold.

use std::sync::Arc;

use model::{Labels, Matcher, TenantId, TimeRange};

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
    pub range: TimeRange,
    pub encoding: ChunkEncoding,
    /// The chunk's bytes: big-endian u16 sample count, then the bit stream.
    pub bytes: Arc<[u8]>,
}

/// Prometheus' encoding numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum ChunkEncoding {
    Xor = 1,
}
