//! Writes a block: series after series in the order of their labels, then what is known only at the end. `meta.json` gets its
//! name last, when everything else is synced: a folder without it is no block.

use std::path::{Path, PathBuf};

use disk::{Access, Disk, DiskErrorKind, DiskFile, OpenMode};
use model::{Labels, TimeRange};

use super::chunk_file::ChunkFileWriter;
use super::index::IndexWriter;
use super::{
    BlockError, BlockFile, BlockFileEntry, BlockMeta, BlockStats, CHUNK_SEGMENT_BYTES_MAX, CHUNKS_FOLDER, ChunkMeta,
    Compaction, Downsample, IndexStats, META_VERSION, THANOS_VERSION, ThanosMeta, Ulid, WellheadMeta,
    encode_tombstones,
};
use crate::chunk::ChunkEncoding;

/// What is known of a block before it is written.
#[derive(Clone, PartialEq, Debug)]
pub struct BlockOptions {
    pub ulid: Ulid,
    pub segment_bytes_max: u64,
    pub compaction: Compaction,
    /// Thanos' word for who made it.
    pub source: String,
    pub wellhead: Option<WellheadMeta>,
}

impl BlockOptions {
    /// Of a block of level 1 that is made of heads.
    #[must_use]
    pub fn of_heads(ulid: Ulid) -> Self {
        let compaction = Compaction { level: 1, sources: vec![ulid], ..Compaction::default() };
        let (segment_bytes_max, source) = (CHUNK_SEGMENT_BYTES_MAX, "receive".to_owned());
        Self { ulid, segment_bytes_max, compaction, source, wellhead: None }
    }
}

/// A chunk for a block.
#[derive(Clone, Copy, Debug)]
pub struct BlockChunk<'a> {
    /// From its first to its last sample.
    pub range: TimeRange,
    pub encoding: ChunkEncoding,
    pub bytes: &'a [u8],
}

/// See the module. Dropping it leaves a folder that [`remove_unfinished`] takes away.
#[must_use = "a block that is not finished is none"]
pub struct BlockWriter<D: Disk> {
    disk: D,
    folder: PathBuf,
    options: BlockOptions,
    index: IndexWriter<D>,
    chunks: ChunkFileWriter<D>,
    stats: BlockStats,
    chunk_bytes_max: u64,
    range: Option<TimeRange>,
    metas: Vec<ChunkMeta>,
}

impl<D: Disk> BlockWriter<D> {
    /// Begins a block in a folder of its name below `blocks`. `symbols` are all names and values, sorted, each once.
    ///
    /// # Errors
    /// The disk failed, or there is such a folder.
    pub async fn create<'a>(
        disk: D,
        blocks: &Path,
        options: BlockOptions,
        symbols: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, BlockError> {
        let folder = blocks.join(options.ulid.to_string());
        disk.create_dir(&folder.join(CHUNKS_FOLDER)).await?;
        let index = IndexWriter::create(&disk, &folder.join(BlockFile::Index.path()), symbols).await?;
        let chunks = ChunkFileWriter::new(disk.clone(), folder.clone(), options.segment_bytes_max);
        let (stats, range, metas) = (BlockStats::default(), None, Vec::new());
        Ok(Self { disk, folder, options, index, chunks, stats, chunk_bytes_max: 0, range, metas })
    }

    /// Adds a series; one without chunks is left out.
    ///
    /// # Errors
    /// The disk failed, a chunk is none, or the block becomes too large.
    ///
    /// # Panics
    /// Its labels do not follow those before, or its chunks overlap: callers have merged them.
    pub async fn add_series(&mut self, labels: &Labels, chunks: &[BlockChunk<'_>]) -> Result<(), BlockError> {
        if chunks.is_empty() {
            return Ok(());
        }
        self.metas.clear();
        for chunk in chunks {
            let count = chunk.encoding.count(chunk.bytes);
            let count = count.map_err(|error| BlockError::damaged(BlockFile::Chunks(1), 0, error.to_string()))?;
            let at = self.chunks.add(chunk.encoding, chunk.bytes).await?;
            self.metas.push(ChunkMeta { range: chunk.range, at });
            self.count(chunk, count.into());
        }
        self.index.add_series(labels, &self.metas).await?;
        self.stats.num_series += 1;
        Ok(())
    }

    fn count(&mut self, chunk: &BlockChunk<'_>, samples: u64) {
        self.stats.num_chunks += 1;
        self.stats.num_samples += samples;
        match chunk.encoding {
            ChunkEncoding::Xor | ChunkEncoding::Xor2 => self.stats.num_float_samples += samples,
            _ => self.stats.num_histogram_samples += samples,
        }
        self.chunk_bytes_max = self.chunk_bytes_max.max(chunk.bytes.len() as u64);
        let range = self.range.get_or_insert(chunk.range);
        range.min_ms = range.min_ms.min(chunk.range.min_ms);
        range.max_ms = range.max_ms.max(chunk.range.max_ms);
    }

    /// Completes the block, durably. One without any series is none: its folder goes.
    ///
    /// # Errors
    /// The disk failed.
    pub async fn finish(self) -> Result<Option<BlockMeta>, BlockError> {
        let Self { disk, folder, options, index, chunks, stats, chunk_bytes_max, range, .. } = self;
        let Some(range) = range else {
            drop((index, chunks));
            disk.remove_dir(&folder).await?;
            return Ok(None);
        };
        let segments = chunks.finish().await?;
        let (index_bytes, series_max_size) = index.finish().await?;
        let tombstones = encode_tombstones(&[]);
        write_whole(&disk, &folder.join(BlockFile::Tombstones.path()), &tombstones).await?;
        let mut files = vec![];
        let mut segment_files = vec![];
        for (number, size_bytes) in (1..).zip(segments) {
            files.push(BlockFileEntry { rel_path: BlockFile::Chunks(number).path(), size_bytes });
            segment_files.push(format!("{number:06}"));
        }
        files.push(BlockFileEntry { rel_path: BlockFile::Index.path(), size_bytes: index_bytes });
        files.push(BlockFileEntry { rel_path: BlockFile::Meta.path(), size_bytes: 0 });
        let index_stats = IndexStats { series_max_size, chunk_max_size: chunk_bytes_max, ..IndexStats::default() };
        let thanos = ThanosMeta {
            version: THANOS_VERSION,
            labels: serde_json::Map::new(),
            downsample: Downsample::default(),
            source: options.source,
            segment_files,
            files,
            index_stats: Some(index_stats),
            unknown: serde_json::Map::new(),
        };
        let meta = BlockMeta {
            ulid: options.ulid,
            min_time_ms: range.min_ms,
            end_time_ms: range.max_ms.saturating_add(1),
            stats,
            compaction: options.compaction,
            version: META_VERSION,
            thanos: Some(thanos),
            wellhead: options.wellhead,
            unknown: serde_json::Map::new(),
        };
        disk.sync_dir(&folder.join(CHUNKS_FOLDER)).await?;
        write_meta(&disk, &folder, &meta).await?;
        Ok(Some(meta))
    }
}

/// Gives a folder the file that makes it a block.
async fn write_meta<D: Disk>(disk: &D, folder: &Path, meta: &BlockMeta) -> Result<(), BlockError> {
    let (path, fresh) = (folder.join(BlockFile::Meta.path()), folder.join("meta.json.tmp"));
    write_whole(disk, &fresh, &meta.encode()).await?;
    disk.sync_dir(folder).await?;
    disk.rename(&fresh, &path).await?;
    disk.sync_dir(folder).await?;
    Ok(())
}

async fn write_whole<D: Disk>(disk: &D, path: &Path, bytes: &[u8]) -> Result<(), BlockError> {
    let file = disk.open(path, OpenMode::CreateNew, Access::Buffered).await?;
    file.write_at(0, bytes).await?;
    file.sync().await?;
    Ok(())
}

/// Removes the folders of blocks that were not finished. Tells which blocks are there.
///
/// # Errors
/// The disk failed.
pub async fn remove_unfinished<D: Disk>(disk: &D, blocks: &Path) -> Result<Vec<Ulid>, BlockError> {
    let entries = match disk.list(blocks).await {
        Err(error) if error.kind == DiskErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let (mut finished, mut is_changed) = (Vec::new(), false);
    for entry in entries.iter().filter(|entry| entry.is_dir) {
        let Ok(ulid) = entry.name.parse::<Ulid>() else { continue };
        let folder = blocks.join(&entry.name);
        let files = disk.list(&folder).await?;
        if files.iter().any(|file| file.name == BlockFile::Meta.path()) {
            finished.push(ulid);
        } else {
            disk.remove_dir(&folder).await?;
            is_changed = true;
        }
    }
    if is_changed {
        disk.sync_dir(blocks).await?;
    }
    Ok(finished)
}
