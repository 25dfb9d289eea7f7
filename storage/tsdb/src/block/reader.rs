//! A block, open for reading: its symbols and the table of its postings are in memory, all else is read when it is asked for.

use model::{Labels, Matcher, TimeRange};

use super::chunk_read::{StoredChunk, read_chunks};
use super::cursor::BlockCursor;
use super::index::{Contents, PostingsTable, SeriesEntry, SymbolTable, Texts, read_entries};
use super::matching::resolve;
use super::source::read_whole;
use super::{BlockError, BlockFile, BlockMeta, BlockSource, ChunkRef, SeriesEntryRef, Tombstone, decode_tombstones};

/// Of `meta.json`: a block of thousands of others and all its files is a tenth of it.
pub(super) const META_BYTES_MAX: usize = 16 << 20;
/// Of tombstones: Prometheus rewrites a block long before.
pub(super) const TOMBSTONES_BYTES_MAX: usize = 64 << 20;

/// See the module.
#[derive(Debug)]
pub struct Block<S: BlockSource> {
    pub(super) source: S,
    pub(super) meta: BlockMeta,
    pub(super) contents: Contents,
    pub(super) symbols: SymbolTable,
    pub(super) postings: PostingsTable,
    /// In order of their series.
    pub(super) tombstones: Vec<Tombstone>,
}

impl<S: BlockSource> Block<S> {
    /// Reads and checks what every question needs. A block without a file of tombstones has none.
    ///
    /// # Errors
    /// The source failed, or the block is damaged.
    pub async fn open(source: S) -> Result<Self, BlockError> {
        let meta = BlockMeta::decode(&read_whole(&source, BlockFile::Meta, META_BYTES_MAX).await?)?;
        let contents = Contents::read(&source).await?;
        let symbols = SymbolTable::read(&source, &contents).await?;
        let postings = PostingsTable::read(&source, &contents).await?;
        let mut tombstones = match read_whole(&source, BlockFile::Tombstones, TOMBSTONES_BYTES_MAX).await {
            Err(BlockError::Missing { .. }) => Vec::new(),
            bytes => decode_tombstones(&bytes?)?,
        };
        tombstones.sort_unstable_by_key(|tombstone| tombstone.series);
        Ok(Self { source, meta, contents, symbols, postings, tombstones })
    }

    #[must_use]
    pub fn meta(&self) -> &BlockMeta {
        &self.meta
    }

    /// Of samples, both ends included.
    #[must_use]
    pub fn range(&self) -> TimeRange {
        TimeRange { min_ms: self.meta.min_time_ms, max_ms: self.meta.end_time_ms.saturating_sub(1) }
    }

    /// All label names, in order.
    pub fn label_names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.postings.names()
    }

    /// All values of a label, in order.
    pub fn label_values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.postings.values(name).map(|(value, _)| value)
    }

    /// The series that satisfy all matchers, in the order of their labels. No matcher: all series. The cursor then hands out
    /// what overlaps the range.
    ///
    /// # Errors
    /// The source failed, or the block is damaged.
    pub async fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<BlockCursor, BlockError> {
        if !self.range().overlaps(&range) {
            return Ok(BlockCursor::empty(range));
        }
        Ok(BlockCursor::new(resolve(self, matchers).await?, range))
    }

    /// Labels and chunks of series, which are in order of their refs.
    ///
    /// # Errors
    /// The source failed, the block is damaged, or a series is not of this block.
    pub async fn series(&self, series: &[SeriesEntryRef]) -> Result<Vec<SeriesEntry>, BlockError> {
        self.entries(series, &mut Texts::default()).await
    }

    /// The bytes of chunks, in any order.
    ///
    /// # Errors
    /// The source failed, the block is damaged, or a chunk is not of this block.
    pub async fn chunks(&self, chunks: &[ChunkRef]) -> Result<Vec<StoredChunk>, BlockError> {
        read_chunks(&self.source, chunks).await
    }

    pub(super) async fn entries(
        &self,
        series: &[SeriesEntryRef],
        texts: &mut Texts,
    ) -> Result<Vec<SeriesEntry>, BlockError> {
        read_entries(&self.source, &self.contents, &self.symbols, series, texts).await
    }

    /// What was deleted of a series.
    pub(super) fn deleted(&self, series: SeriesEntryRef) -> &[Tombstone] {
        let begin = self.tombstones.partition_point(|tombstone| tombstone.series < series);
        let behind = &self.tombstones[begin..];
        &behind[..behind.partition_point(|tombstone| tombstone.series == series)]
    }
}

/// Do all matchers accept the series?
pub(super) fn satisfies(labels: &Labels, matchers: &[Matcher]) -> bool {
    matchers.iter().all(|matcher| matcher.matches(labels.get(&matcher.name)))
}
