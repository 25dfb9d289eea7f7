//! Histogram chunks of both kinds, byte for byte as Prometheus writes them.
//!
//! Header (see `header.rs`), layout, samples. All samples of a chunk have the layout of the first. A sample that brings new
//! buckets makes the chunk be written anew; one that lacks buckets gets empty ones. A counter reset, another schema, zero
//! threshold or custom bounds, a sample behind a stale marker, or a change between gauge and counter need another chunk.
//!
//! Source of the format: Prometheus `tsdb/chunkenc/histogram.go`, `float_histogram.go`, `histogram_meta.go`. Which samples are
//! acceptable, and when a chunk is full, is the head's business.

mod append;
mod field;
mod layout;
mod read;
mod state;

pub use append::{HistogramAppend, HistogramAppender, HistogramScratch, NewChunkReason};
pub use field::ChunkCount;
pub use read::{HistogramColumns, HistogramReader, decode_histograms};

#[cfg(test)]
mod damage_test;
#[cfg(test)]
mod golden_test;
#[cfg(test)]
mod script;
