//! What readers take out of a head: labels and chunks of one series at a time.

use model::{Label, Labels, SeriesRef, TimeRange};

use super::append::{finished, open_range};
use super::postings::PairId;
use super::series::Series;
use super::symbols::{Symbol, Symbols};
use super::{Head, SealedChunk};
use crate::read::{ChunkEncoding, ChunkSnapshot, StepCost};

impl Head {
    /// The labels of a series as results show them.
    ///
    /// # Panics
    /// The series is not of this head.
    #[must_use]
    pub fn labels(&self, symbols: &Symbols, series: SeriesRef) -> Labels {
        let label = |pair: &PairId| {
            let pair = self.postings.pair(*pair);
            Label { name: symbols.text(pair.name).clone(), value: symbols.text(pair.value).clone() }
        };
        Labels::from_sorted(self.pairs_of(series.0).iter().map(label).collect())
    }

    /// The chunks that overlap the range, oldest first; the open one is copied. Behind them those of late samples, which
    /// overlap any.
    pub(crate) fn chunks(&self, series_index: u32, range: TimeRange) -> Vec<ChunkSnapshot> {
        let series = self.series.get(series_index);
        let mut chunks: Vec<ChunkSnapshot> = Vec::new();
        if let Some((slot, open)) = self.open_within(series, range) {
            let bytes = finished(slot, &series.open);
            chunks.push(ChunkSnapshot { range: open, encoding: ChunkEncoding::Xor, bytes: bytes.into() });
        }
        for chunk in self.sealed_within(series, range) {
            let bytes = chunk.bytes.clone();
            chunks.push(ChunkSnapshot { range: chunk.range, encoding: ChunkEncoding::Xor, bytes });
        }
        chunks.reverse();
        self.add_late_chunks(series_index, range, &mut chunks);
        chunks
    }

    pub(crate) fn has_chunk(&self, series_index: u32, range: TimeRange) -> bool {
        let series = self.series.get(series_index);
        self.open_within(series, range).is_some()
            || self.sealed_within(series, range).next().is_some()
            || self.has_late_chunk(series_index, range)
    }

    /// Adds what [`Head::chunks`] would hand out.
    pub(crate) fn add_chunk_bytes(&self, series_index: u32, range: TimeRange, cost: &mut StepCost) {
        let series = self.series.get(series_index);
        if self.open_within(series, range).is_some() {
            cost.copied_bytes += series.open.byte_len() as u64;
        }
        cost.referenced_bytes += self.sealed_within(series, range).map(|chunk| chunk.bytes.len() as u64).sum::<u64>();
        self.add_late_cost(series_index, range, cost);
    }

    #[inline]
    pub(crate) fn pairs_of(&self, series: u32) -> &[PairId] {
        self.labels.get(self.series.get(series).labels)
    }

    pub(crate) fn pair_name(&self, pair: PairId) -> Symbol {
        self.postings.pair(pair).name
    }

    pub(crate) fn pair_value(&self, pair: PairId) -> Symbol {
        self.postings.pair(pair).value
    }

    pub(crate) fn label_names(&self) -> impl Iterator<Item = Symbol> {
        self.postings.names()
    }

    pub(crate) fn label_values(&self, name: Symbol) -> impl Iterator<Item = Symbol> {
        self.postings.pairs_of(name).iter().map(|pair| self.postings.pair(*pair).value)
    }

    /// The open chunk's slot and its range, if there is one and it overlaps.
    fn open_within(&self, series: &Series, range: TimeRange) -> Option<(&[u8], TimeRange)> {
        if series.open.count() == 0 {
            return None;
        }
        let slot = self.arena.slot(series.slot);
        let open = open_range(slot, &series.open);
        open.overlaps(&range).then_some((slot, open))
    }

    /// Newest first.
    fn sealed_within(&self, series: &Series, range: TimeRange) -> impl Iterator<Item = &SealedChunk> {
        self.chunk_list(series.sealed)
            .skip_while(move |chunk| chunk.range.min_ms > range.max_ms)
            .take_while(move |chunk| chunk.range.max_ms >= range.min_ms)
    }
}
