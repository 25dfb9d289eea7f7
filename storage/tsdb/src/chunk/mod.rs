//! Chunk codecs: Prometheus' own bytes, so that blocks can later take chunks as they are.
//!
//! Format: <https://github.com/prometheus/prometheus/blob/main/tsdb/docs/format/chunks.md> and the source of `tsdb/chunkenc`.
//! Knows bytes and samples only: who owns the bytes, and which samples are acceptable, is the head's business.

mod bits;
mod xor;

pub use xor::{ChunkError, SAMPLE_BYTES_MAX, XorAppender, XorReader, decode_xor, encode_xor};

#[cfg(test)]
mod xor_test;
