//! The index of a block, version 2: symbols, series with their chunks, postings. Format: `tsdb/docs/format/index.md` of
//! Prometheus. Big-endian; every part has its own CRC32C.
//!
//! ```text
//! magic, version | symbols | series, each on a multiple of 16 | postings | label offsets (none) | postings offsets | TOC
//! ```

mod contents;
mod entry;
mod postings;
mod symbols;
mod writer;

use model::TimeRange;

use super::ChunkRef;

pub use entry::SeriesEntry;

pub(super) use contents::Contents;
pub(super) use entry::{Texts, frame_bytes, read_entries};
pub(super) use postings::{PostingsTable, read_lists};
pub(super) use symbols::SymbolTable;
pub(super) use writer::IndexWriter;

pub(super) const MAGIC: u32 = 0xBAAA_D700;
pub(super) const VERSION: u8 = 2;
/// Series begin at multiples of this.
pub(super) const SERIES_ALIGNMENT: u64 = 16;
pub(super) const POSTINGS_ALIGNMENT: u64 = 4;

/// A series of a block: where it stands in the index, in units of [`SERIES_ALIGNMENT`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SeriesEntryRef(pub u32);

/// A chunk as the index knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChunkMeta {
    /// From its first to its last sample.
    pub range: TimeRange,
    pub at: ChunkRef,
}
