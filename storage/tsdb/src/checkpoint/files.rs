//! The files of a shard's checkpoints: those that are appended to, those that are full, and which may go.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use disk::{Disk, DiskError};
use model::ShardId;

use super::framed::{FileExtent, FileKind, FramedWriter, file_name, parse_file_name};
use super::{CheckpointOptions, ChunkAt, ChunkBytes, ChunkMaps, Manifest};
use crate::head::ChunkFiles;
use crate::wal::Lsn;

/// Checkpoints that are kept: the newest, and the one before in case that turns out to be damaged.
pub(crate) const KEPT: usize = 2;

/// See the module.
#[derive(Debug)]
pub(crate) struct CheckpointFiles<D: Disk> {
    pub(super) disk: D,
    pub(super) dir: PathBuf,
    pub(super) shard: ShardId,
    pub(super) options: CheckpointOptions,
    next_number: u64,
    /// Newest first.
    published: Vec<Manifest>,
    /// Of earlier processes, and still needed.
    pinned: Vec<Manifest>,
    is_pinned_for_good: bool,
    pub(super) series: Option<FramedWriter<D::File>>,
    pub(super) chunks: Option<FramedWriter<D::File>>,
    /// Full in this checkpoint, and not synced yet.
    pub(super) filled_chunks: Vec<FramedWriter<D::File>>,
    series_before: Vec<FileExtent>,
    chunks_before: Vec<FileExtent>,
    pub(super) maps: ChunkMaps,
}

/// What recovery found in the shard's folder.
#[derive(Debug)]
pub(crate) struct FilesFound {
    pub(crate) next_number: u64,
    /// Newest first.
    pub(crate) manifests: Vec<Manifest>,
    pub(crate) pin: Pin,
    /// The one that the heads were made from, with its chunk files.
    pub(crate) source: Option<(u64, ChunkMaps)>,
}

/// How long the checkpoints of earlier processes, and the log behind them, stay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pin {
    /// As those of this process: all partitions of the shard are in them.
    None,
    /// Until this process has as many as are kept: a partition of the shard is not in them.
    UntilReplaced,
    /// They hold partitions of other shards that nobody else has.
    ForGood,
}

impl<D: Disk> CheckpointFiles<D> {
    pub(crate) fn new(disk: D, dir: PathBuf, shard: ShardId, options: CheckpointOptions, found: FilesFound) -> Self {
        let FilesFound { next_number, manifests, pin, source } = found;
        let (published, pinned) = if pin == Pin::None { (manifests, Vec::new()) } else { (Vec::new(), manifests) };
        let mut files = Self {
            disk,
            dir,
            shard,
            options,
            next_number,
            published,
            pinned,
            is_pinned_for_good: pin == Pin::ForGood,
            series: None,
            chunks: None,
            filled_chunks: Vec::new(),
            series_before: Vec::new(),
            chunks_before: Vec::new(),
            maps: ChunkMaps::new(),
        };
        if let Some((number, maps)) = source {
            let manifest = files.published.iter().chain(&files.pinned).find(|manifest| manifest.number == number);
            let manifest = manifest.expect("the source is one of those that were found");
            (files.series_before, files.chunks_before) = (manifest.series.clone(), manifest.chunks.clone());
            files.maps = maps;
        }
        files
    }

    pub(super) fn take_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number - 1
    }

    /// The place of a chunk that goes into the chunk log.
    ///
    /// # Panics
    /// No file of the chunk log is open.
    pub(super) fn log_chunk(chunks: &mut FramedWriter<D::File>, bytes: &[u8]) -> ChunkAt {
        let block = chunks.put(|out| out.extend_from_slice(bytes));
        let number = u32::try_from(chunks.extent().number).ok().and_then(NonZeroU32::new);
        ChunkAt {
            file: number.expect("files are numbered from 1"),
            block: u32::try_from(block).expect("files are small"),
        }
    }

    /// A chunk of a full file.
    pub(super) fn mapped(maps: &ChunkMaps, at: ChunkAt, len: usize) -> Option<ChunkBytes> {
        ChunkBytes::of_map(maps.get(&at.file)?, at.block, u32::try_from(len).ok()?)
    }

    /// Opens what the next checkpoint appends to.
    pub(super) async fn open_writers(&mut self) -> Result<(), DiskError> {
        if self.series.is_none() {
            self.series = Some(self.create(FileKind::Series).await?);
        }
        let is_full = self.chunks.as_ref().is_some_and(|chunks| chunks.end() >= self.options.chunk_file_bytes);
        if is_full {
            self.filled_chunks.extend(self.chunks.take());
        }
        if self.chunks.is_none() {
            self.chunks = Some(self.create(FileKind::Chunks).await?);
        }
        Ok(())
    }

    async fn create(&mut self, kind: FileKind) -> Result<FramedWriter<D::File>, DiskError> {
        let number = self.take_number();
        let path = self.dir.join(file_name(kind, number));
        FramedWriter::create(&self.disk, &path, kind, self.shard, number).await
    }

    /// Writes what is in memory.
    pub(super) async fn flush(&mut self) -> Result<(), DiskError> {
        for file in self.series.iter_mut().chain(&mut self.chunks).chain(&mut self.filled_chunks) {
            file.flush().await?;
        }
        Ok(())
    }

    /// Gives up the full files of the chunk log of which nothing is named any more; checkpoints before may still need them.
    pub(super) fn keep_chunks(&mut self, named: &ChunkFiles) {
        let is_named =
            |number: u64| u32::try_from(number).ok().and_then(NonZeroU32::new).is_some_and(|n| named.contains(&n));
        self.chunks_before.retain(|file| is_named(file.number));
        self.maps.retain(|number, _| named.contains(number));
    }

    /// From the next checkpoint on, definitions go into a new file, all of them.
    pub(crate) fn rotate_series(&mut self) {
        self.series = None;
        self.series_before.clear();
    }

    /// The files of definitions and of chunks that a checkpoint counts on now.
    pub(super) fn extents(&self) -> (Vec<FileExtent>, Vec<FileExtent>) {
        let chunks = self.filled_chunks.iter().chain(&self.chunks).map(FramedWriter::extent);
        let series = self.series.iter().map(FramedWriter::extent);
        (
            self.series_before.iter().copied().chain(series).collect(),
            self.chunks_before.iter().copied().chain(chunks).collect(),
        )
    }

    /// Syncs all that a checkpoint counts on, but for the names.
    pub(super) async fn sync(&mut self) -> Result<(), DiskError> {
        for file in self.series.iter_mut().chain(&mut self.chunks).chain(&mut self.filled_chunks) {
            file.sync().await?;
        }
        for file in self.filled_chunks.drain(..) {
            let extent = file.extent();
            drop(file);
            let path = self.dir.join(file_name(FileKind::Chunks, extent.number));
            let number = u32::try_from(extent.number).ok().and_then(NonZeroU32::new).expect("numbered from 1");
            self.maps.insert(number, Arc::new(self.disk.map(&path).await?));
            self.chunks_before.push(extent);
        }
        Ok(())
    }

    /// Takes in a checkpoint whose name is durable, and removes what none of the kept ones needs.
    pub(super) async fn publish(&mut self, manifest: Manifest) -> Result<(), DiskError> {
        self.published.insert(0, manifest);
        self.published.truncate(KEPT);
        if self.published.len() == KEPT && !self.is_pinned_for_good {
            self.pinned.clear();
        }
        let kept = || self.published.iter().chain(&self.pinned);
        let mut needed: BTreeSet<(FileKind, u64)> =
            kept().map(|manifest| (FileKind::Checkpoint, manifest.number)).collect();
        needed.extend(kept().flat_map(|kept| &kept.series).map(|file| (FileKind::Series, file.number)));
        needed.extend(kept().flat_map(|kept| &kept.chunks).map(|file| (FileKind::Chunks, file.number)));
        let open = |kind| move |writer: &FramedWriter<D::File>| (kind, writer.extent().number);
        needed.extend(self.series.iter().map(open(FileKind::Series)));
        needed.extend(self.chunks.iter().map(open(FileKind::Chunks)));
        let mut is_changed = false;
        for entry in self.disk.list(&self.dir).await? {
            let name = entry.name.strip_suffix(TEMPORARY).unwrap_or(&entry.name);
            let Some(file) = parse_file_name(name) else { continue };
            if name.len() < entry.name.len() || !needed.contains(&file) {
                self.disk.remove(&self.dir.join(&entry.name)).await?;
                is_changed = true;
            }
        }
        if is_changed {
            self.disk.sync_dir(&self.dir).await?;
        }
        Ok(())
    }

    /// The frame up to which the log is not needed any more; none where all of it is.
    pub(crate) fn releasable(&self) -> Option<Lsn> {
        let is_complete = self.published.len() == KEPT && !self.is_pinned_for_good;
        is_complete.then(|| self.published.iter().map(|manifest| manifest.lsn).min()).flatten()
    }

    /// Length of the newest checkpoint; 0 where there is none.
    pub(crate) fn newest_bytes(&self) -> u64 {
        self.published.first().map_or(0, |manifest| manifest.bytes)
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        let writers = self.series.iter().chain(&self.chunks).chain(&self.filled_chunks);
        writers.map(|writer| writer.memory_bytes() as u64).sum()
    }
}

/// Behind the name of a checkpoint that is not published.
pub(super) const TEMPORARY: &str = ".new";

/// The number that a folder's next file may have.
pub(crate) fn next_number(names: impl Iterator<Item = String>) -> u64 {
    let number =
        |name: String| parse_file_name(name.strip_suffix(TEMPORARY).unwrap_or(&name)).map(|(_, number)| number);
    names.filter_map(number).max().map_or(1, |last| last + 1)
}
