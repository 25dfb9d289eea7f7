//! The cursor over the series of a block that matchers select: so many at a step, with their chunks or with labels only.

use model::{Labels, TimeRange};

use super::deletion::without_deleted;
use super::index::Texts;
use super::matching::Selection;
use super::reader::satisfies;
use super::{Block, BlockError, BlockSource, ChunkRef, SeriesEntry, SeriesEntryRef, Tombstone};
use crate::checkpoint::ChunkBytes;
use crate::chunk::ChunkEncoding;
use crate::read;
use crate::read::{ChunkSnapshot, SeriesSnapshot};

/// A series with its chunks that overlap a range, oldest first, without what was deleted.
#[derive(Clone, Debug)]
pub struct BlockSeries {
    pub labels: Labels,
    pub chunks: Vec<BlockSeriesChunk>,
}

#[derive(Clone, Debug)]
pub struct BlockSeriesChunk {
    /// From its first to its last sample.
    pub range: TimeRange,
    pub encoding: ChunkEncoding,
    pub bytes: ChunkBytes,
}

/// A resolved selection in one block; every step takes the block that it was opened with.
#[derive(Debug)]
pub struct BlockCursor {
    selection: Selection,
    at: usize,
    range: TimeRange,
    texts: Texts,
}

impl BlockCursor {
    pub(super) fn empty(range: TimeRange) -> Self {
        Self::new(Selection::default(), range)
    }

    pub(super) fn new(selection: Selection, range: TimeRange) -> Self {
        Self { selection, at: 0, range, texts: Texts::default() }
    }

    #[must_use]
    pub fn is_done(&self) -> bool {
        self.at == self.selection.series.len()
    }

    /// Series still to be looked at.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.selection.series.len() - self.at
    }

    /// Looks at up to `series_max` series and adds those with chunks in the range, which may be none before the end.
    ///
    /// # Errors
    /// The source failed, or the block is damaged; the cursor stays where it was.
    pub async fn next<S: BlockSource>(
        &mut self,
        block: &Block<S>,
        series_max: usize,
        found: &mut Vec<BlockSeries>,
    ) -> Result<(), BlockError> {
        let entries = self.entries(block, series_max).await?;
        let wanted: Vec<ChunkRef> =
            entries.iter().flat_map(|(_, entry)| entry.chunks.iter().map(|chunk| chunk.at)).collect();
        let mut stored = block.chunks(&wanted).await?.into_iter();
        let mut step = Vec::with_capacity(entries.len());
        for (series, entry) in entries {
            let mut chunks = Vec::with_capacity(entry.chunks.len());
            for meta in &entry.chunks {
                let chunk = stored.next().expect("one for each that was asked for");
                let whole = BlockSeriesChunk { range: meta.range, encoding: chunk.encoding, bytes: chunk.bytes };
                without_deleted(meta.at, whole, block.deleted(series), &mut chunks)?;
            }
            chunks.retain(|chunk| chunk.range.overlaps(&self.range));
            if !chunks.is_empty() {
                step.push(BlockSeries { labels: entry.labels, chunks });
            }
        }
        found.append(&mut step);
        self.advance(series_max);
        Ok(())
    }

    /// Like [`BlockCursor::next`], labels only; no chunk is read.
    ///
    /// # Errors
    /// The source failed, or the block is damaged; the cursor stays where it was.
    pub async fn next_labels<S: BlockSource>(
        &mut self,
        block: &Block<S>,
        series_max: usize,
        found: &mut Vec<Labels>,
    ) -> Result<(), BlockError> {
        let entries = self.entries(block, series_max).await?;
        found.extend(entries.into_iter().map(|(_, entry)| entry.labels));
        self.advance(series_max);
        Ok(())
    }

    /// The entries of the next series that the matchers accept and that have chunks in the range, with these chunks only.
    async fn entries<S: BlockSource>(
        &mut self,
        block: &Block<S>,
        series_max: usize,
    ) -> Result<Vec<(SeriesEntryRef, SeriesEntry)>, BlockError> {
        let series = &self.selection.series[self.at..][..series_max.min(self.remaining())];
        let entries = block.entries(series, &mut self.texts).await?;
        let mut kept = Vec::with_capacity(entries.len());
        for (series, mut entry) in series.iter().zip(entries) {
            let deleted = block.deleted(*series);
            entry.chunks.retain(|chunk| chunk.range.overlaps(&self.range) && !is_deleted(deleted, chunk.range));
            if !entry.chunks.is_empty() && satisfies(&entry.labels, &self.selection.matchers) {
                kept.push((*series, entry));
            }
        }
        Ok(kept)
    }

    fn advance(&mut self, series_max: usize) {
        self.at += series_max.min(self.remaining());
    }
}

/// All of it, by one tombstone.
fn is_deleted(deleted: &[Tombstone], chunk: TimeRange) -> bool {
    deleted.iter().any(|it| it.range.contains(chunk.min_ms) && it.range.contains(chunk.max_ms))
}

impl TryFrom<BlockSeries> for SeriesSnapshot {
    type Error = BlockError;

    /// Into what heads hand out, so that readers merge both.
    fn try_from(series: BlockSeries) -> Result<Self, BlockError> {
        let snapshot = |chunk: BlockSeriesChunk| match chunk.encoding {
            ChunkEncoding::Xor => {
                Ok(ChunkSnapshot { range: chunk.range, encoding: read::ChunkEncoding::Xor, bytes: chunk.bytes })
            }
            encoding => Err(BlockError::Unsupported { encoding }),
        };
        let chunks = series.chunks.into_iter().map(snapshot).collect::<Result<_, _>>()?;
        Ok(Self { labels: series.labels, chunks })
    }
}
