//! Blocks of Prometheus' TSDB on disk: immutable folders of a half-open range of time, byte for byte what Prometheus reads.
//!
//! A block is `index` (version 2), `chunks/000001` .., `tombstones` and `meta.json`, which is written when everything else is
//! synced: a folder without it is no block. Formats: `tsdb/docs/format/` of Prometheus. Knows chunks as bytes with
//! a range; which samples a block is made of, and when, is decided elsewhere.

mod appender;
mod chunk_file;
mod chunk_read;
mod cursor;
mod deletion;
mod error;
mod index;
mod items;
mod matching;
mod meta;
mod reader;
#[cfg(test)]
mod reader_test;
mod source;
mod tombstones;
mod ulid;
mod verify;
mod writer;
#[cfg(test)]
mod writer_test;

pub use chunk_file::{CHUNK_SEGMENT_BYTES_MAX, ChunkRef};
pub use chunk_read::StoredChunk;
pub use cursor::{BlockCursor, BlockSeries, BlockSeriesChunk};
pub use error::BlockError;
pub use index::{ChunkMeta, SeriesEntry, SeriesEntryRef};
pub use meta::{
    BlockDescription, BlockFileEntry, BlockMeta, BlockStats, Compaction, Downsample, IndexStats, KafkaSource,
    META_VERSION, THANOS_VERSION, ThanosMeta, WellheadMeta,
};
pub use reader::Block;
pub use source::{BlockSource, FolderSource};
pub use tombstones::{Tombstone, decode_tombstones, encode_tombstones};
pub use ulid::{Ulid, UlidError};
pub use verify::{FINDINGS_MAX, Finding, Verification, verify};
pub use writer::{BlockChunk, BlockOptions, BlockWriter, remove_unfinished};

/// The files of a block, by their names in the block's folder.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum BlockFile {
    /// `chunks/000001` and so on, counted from 1.
    Chunks(u32),
    Index,
    Meta,
    Tombstones,
}

impl BlockFile {
    /// The path below the block's folder, with `/` between its parts.
    #[must_use]
    pub fn path(self) -> String {
        match self {
            Self::Chunks(segment) => format!("{CHUNKS_FOLDER}/{segment:06}"),
            Self::Index => "index".to_owned(),
            Self::Meta => "meta.json".to_owned(),
            Self::Tombstones => "tombstones".to_owned(),
        }
    }

    /// The file of a path; none where a block has no such file.
    #[must_use]
    pub fn of_path(path: &str) -> Option<Self> {
        let segment = path.strip_prefix(CHUNKS_FOLDER).and_then(|rest| rest.strip_prefix('/'));
        let segment = segment.and_then(|number| number.parse().ok()).map(Self::Chunks);
        let found = segment.into_iter().chain([Self::Index, Self::Meta, Self::Tombstones]);
        found.into_iter().find(|file| file.path() == path)
    }
}

impl std::fmt::Display for BlockFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.path())
    }
}

const CHUNKS_FOLDER: &str = "chunks";
