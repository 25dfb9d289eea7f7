//! Chunk codecs: Prometheus' own bytes, so that blocks can later take chunks as they are.
//!
//! Format: <https://github.com/prometheus/prometheus/blob/main/tsdb/docs/format/chunks.md> and the source of `tsdb/chunkenc`.
//! Knows bytes and samples only: who owns the bytes, and which samples are acceptable, is the head's business.

mod bits;
mod error;
mod header;
mod histogram;
mod start;
mod varbit;
mod xor;
mod xor2;

pub use error::ChunkError;
pub use header::{ChunkEncoding, CounterResetHeader};
pub use histogram::{
    ChunkCount, HistogramAppend, HistogramAppender, HistogramColumns, HistogramReader, HistogramScratch,
    NewChunkReason, decode_histograms,
};
pub use xor::{SAMPLE_BYTES_MAX, XorAppender, XorReader, decode_xor, encode_xor};
pub use xor2::{Xor2Reader, decode_xor2};

#[cfg(test)]
mod xor2_test;
#[cfg(test)]
mod xor_test;
