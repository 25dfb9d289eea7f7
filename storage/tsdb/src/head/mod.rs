//! The newest samples of one tenant in one partition, in memory: series found by fingerprint, open and sealed chunks, postings.
//!
//! Plain data of one owner: no locks, no clock, no files, no `await`. What is written here is durable only when the shard's log
//! has it. Series are numbered from 0 in the order of their definitions, because the log names them by number.
//!
//! Stops of a batch: [`Head::find`] (fingerprints), [`Head::define`] (what was not found), [`Head::append_batch`].

mod append;
mod arena;
mod counters;
mod cut;
mod definition;
mod fingerprints;
mod image;
mod late;
mod matching;
mod paged;
mod postings;
mod series;
mod sets;
mod snapshot;
mod symbols;

use std::sync::Arc;

use hashbrown::HashMap;
use model::{Fingerprint, RejectReason, SeriesRef, TimeRange};

pub use append::{Appended, Horizon, Reading};
pub use counters::{HeadBytes, HeadCounters};
pub use cut::{CutNumber, CutSize, OpenCut};
pub(crate) use image::{ChunkFiles, ImageError, LabelDictionary};
pub(crate) use matching::{Decisive, decisive};
pub(crate) use sets::{intersect, subtract};
pub use symbols::{Symbol, Symbols};

use crate::checkpoint::{ChunkAt, ChunkBytes};
use crate::chunk::XorAppender;

use arena::{ChunkArena, Slot};
use definition::{LatestLabels, checked_labels};
use fingerprints::FingerprintTable;
use late::LateSamples;
use paged::Paged;
use postings::{PairId, Postings};
use series::{LabelPool, Series};

/// Samples of a full chunk.
pub const SAMPLES_PER_CHUNK: u16 = 120;
/// Room that an open chunk may need: [`SAMPLES_PER_CHUNK`] of the longest samples (a first of 18 bytes, a second of 20,
/// others of 145 bits), the count before them, and what one more append may touch.
pub const CHUNK_BYTES_MAX: usize = 2304;
/// No chunk crosses a multiple of this: blocks of any range that Prometheus uses can take chunks as they are.
pub const CHUNK_RANGE_MS: i64 = 2 * 60 * 60 * 1000;
/// Labels of one series. Tenants' limits are far lower and are held where the labels come in.
pub const LABELS_MAX: usize = 1024;
/// Series of one head, whatever its options say: numbers end before `u32::MAX`, which means "none".
pub const SERIES_MAX: u32 = u32::MAX - 1;

const _: () = assert!(
    2 + 18 + 20 + ((SAMPLES_PER_CHUNK as usize - 2) * 145).div_ceil(8) + crate::chunk::SAMPLE_BYTES_MAX
        <= CHUNK_BYTES_MAX
);

/// What a head is told at its start and whenever the tenant's limits change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeadOptions {
    /// New series beyond this are refused; series from the log never are.
    pub series_max: u32,
    /// Samples may be this much later than their record's timestamp.
    pub future_grace_ms: i64,
    /// Samples may be this much older than the last one of their series.
    pub out_of_order_window_ms: i64,
}

/// A definition from the log that does not fit the head: damage, or a bug of the writer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DefineError {
    #[error("the log defines series {found}, the next one is {expected}")]
    Gap { expected: u32, found: u32 },
    #[error("the log defines series {series} again, with another fingerprint")]
    Redefined { series: u32 },
    #[error("the log defines one fingerprint as series {first} and as series {second}")]
    Twice { first: u32, second: u32 },
    #[error("the log's definition of series {series} is refused: {}", .reason.as_label())]
    Refused { series: u32, reason: RejectReason },
}

/// See the module.
pub struct Head {
    options: HeadOptions,
    fingerprints: FingerprintTable,
    series: Paged<Series>,
    labels: LabelPool,
    postings: Postings,
    arena: ChunkArena,
    sealed: Paged<SealedChunk>,
    late: LateSamples,
    /// While records are read again: the last time that they brought of each series.
    last_read_again: HashMap<u32, i64>,
    /// From the earliest to the latest sample; empty (`min > max`) before the first.
    range: TimeRange,
    /// Of sealed chunks' bytes, with what an allocation of them adds.
    sealed_bytes: u64,
    latest: LatestLabels,
    last_cut: CutNumber,
    open_cuts: Vec<OpenCut>,
    /// `i64::MAX` where all samples are in cuts.
    uncut_min_ms: i64,
    numbering: u32,
    /// Readers hold a clone.
    hold: Arc<()>,
}

/// A chunk that gets no more samples. Chunks of a series are a list, the one sealed last first.
struct SealedChunk {
    range: TimeRange,
    bytes: ChunkBytes,
    previous: u32,
    /// Where the chunk log has it.
    logged: Option<ChunkAt>,
    /// Whose block has it.
    cut: CutNumber,
}

impl Head {
    #[must_use]
    pub fn new(options: HeadOptions) -> Self {
        Self {
            options,
            fingerprints: FingerprintTable::new(),
            series: Paged::new(),
            labels: LabelPool::new(),
            postings: Postings::new(),
            arena: ChunkArena::new(),
            sealed: Paged::new(),
            late: LateSamples::new(),
            last_read_again: HashMap::new(),
            range: TimeRange { min_ms: i64::MAX, max_ms: i64::MIN },
            sealed_bytes: 0,
            latest: LatestLabels::default(),
            last_cut: CutNumber::NONE,
            open_cuts: Vec::new(),
            uncut_min_ms: i64::MAX,
            numbering: 0,
            hold: Arc::default(),
        }
    }

    #[must_use]
    pub fn options(&self) -> HeadOptions {
        self.options
    }

    pub fn set_options(&mut self, options: HeadOptions) {
        self.options = options;
    }

    #[must_use]
    pub fn series_count(&self) -> u32 {
        self.series.len()
    }

    /// From the earliest to the latest sample; none before the first.
    #[must_use]
    pub fn range(&self) -> Option<TimeRange> {
        (self.range.min_ms <= self.range.max_ms).then_some(self.range)
    }

    /// Costs a few additions: the parts know what they hold.
    #[must_use]
    pub fn counters(&self) -> HeadCounters {
        let bytes = HeadBytes {
            series: self.series.bytes() + self.labels.bytes() + self.fingerprints.bytes(),
            postings: self.postings.bytes(),
            chunks_open: self.arena.bytes(),
            chunks_sealed: self.sealed_bytes + self.sealed.bytes(),
            late: self.late.bytes() + (self.last_read_again.capacity() * size_of::<(u32, i64)>()) as u64,
        };
        HeadCounters {
            series: u64::from(self.series.len()),
            chunks_open: self.arena.slots_used(),
            chunks_sealed: u64::from(self.sealed.len()),
            bytes,
        }
    }

    /// To be cloned by who reads it in steps.
    pub(crate) fn hold(&self) -> &Arc<()> {
        &self.hold
    }

    pub(crate) fn is_read(&self) -> bool {
        Arc::strong_count(&self.hold) > 1
    }

    /// Looks up a batch; `found` is cleared and then as long as `fingerprints`.
    pub fn find(&self, fingerprints: &[Fingerprint], found: &mut Vec<Option<SeriesRef>>) {
        self.fingerprints.find(fingerprints, found);
    }

    /// The series of a fingerprint, defined with the next number if it is new: the caller then logs the definition before
    /// any sample of it.
    ///
    /// # Errors
    /// The head is full, or the bytes are not canonical labels: at least one, sorted, unique, no empty name or value.
    pub fn define(
        &mut self,
        symbols: &mut Symbols,
        fingerprint: Fingerprint,
        canonical_labels: &[u8],
    ) -> Result<SeriesRef, RejectReason> {
        if let Some(series) = self.fingerprints.get(fingerprint) {
            return Ok(series);
        }
        if self.series.len() >= self.options.series_max.min(SERIES_MAX) {
            return Err(RejectReason::SeriesLimit);
        }
        self.define_next(symbols, fingerprint, canonical_labels)
    }

    /// Defines what the log says was defined. A definition that is there already, from a checkpoint or a repeated frame, is
    /// none. No limit of the options applies: the series was accepted once.
    ///
    /// # Errors
    /// The definition does not follow from the ones before it.
    pub fn define_at(
        &mut self,
        symbols: &mut Symbols,
        series: SeriesRef,
        fingerprint: Fingerprint,
        canonical_labels: &[u8],
    ) -> Result<(), DefineError> {
        let expected = self.series.len();
        match self.fingerprints.get(fingerprint) {
            Some(known) if known == series => return Ok(()),
            Some(known) => return Err(DefineError::Twice { first: known.0, second: series.0 }),
            None if series.0 < expected => return Err(DefineError::Redefined { series: series.0 }),
            None if series.0 > expected => return Err(DefineError::Gap { expected, found: series.0 }),
            None => {}
        }
        let refused = |reason| DefineError::Refused { series: series.0, reason };
        if expected == SERIES_MAX {
            return Err(refused(RejectReason::SeriesLimit));
        }
        self.define_next(symbols, fingerprint, canonical_labels).map_err(refused)?;
        Ok(())
    }

    /// Drops the head: its partition has moved away, or starts anew. Texts that only it used leave the tenant's symbols.
    pub fn dissolve(self, symbols: &mut Symbols) {
        self.postings.release(symbols);
    }

    fn define_next(
        &mut self,
        symbols: &mut Symbols,
        fingerprint: Fingerprint,
        canonical_labels: &[u8],
    ) -> Result<SeriesRef, RejectReason> {
        let labels = checked_labels(canonical_labels)?;
        self.latest.replace(&labels, |name, value| {
            let (name, value) = (symbols.intern(name), symbols.intern(value));
            self.postings.intern(symbols, name, value)
        });
        let latest = std::mem::take(&mut self.latest);
        let series = self.push_series(latest.pairs());
        self.latest = latest;
        self.fingerprints.insert(fingerprint, series);
        Ok(series)
    }

    /// A list of sealed chunks, the one sealed last first.
    fn chunk_list(&self, newest: u32) -> impl Iterator<Item = &SealedChunk> {
        let mut next = newest;
        std::iter::from_fn(move || {
            let chunk = (next != series::NONE).then(|| self.sealed.get(next))?;
            next = chunk.previous;
            Some(chunk)
        })
    }

    fn widen(&mut self, range: TimeRange) {
        self.range.min_ms = self.range.min_ms.min(range.min_ms);
        self.range.max_ms = self.range.max_ms.max(range.max_ms);
    }

    fn push_series(&mut self, pairs: &[PairId]) -> SeriesRef {
        let labels = self.labels.push(pairs);
        let open = XorAppender::new();
        let added = Series { open, seal_at_ms: i64::MIN, slot: Slot::NONE, sealed: series::NONE, labels };
        let series = SeriesRef(self.series.push(added));
        for pair in pairs {
            self.postings.add(*pair, series.0);
        }
        series
    }
}

#[cfg(test)]
mod append_test;
#[cfg(test)]
mod cut_test;
#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod head_test;
#[cfg(test)]
mod matching_test;
