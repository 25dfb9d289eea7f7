//! Which samples a head takes, and how they get into chunks.
//!
//! What is accepted depends on the series' own samples and the record's timestamp only, never on other series:
//!
//! | sample | outcome |
//! |---|---|
//! | later than the horizon | `TooFarInFuture` |
//! | first of its series, or later than the last | `InOrder` |
//! | at the time of one that is there, same bits | `Equal` |
//! | older than the last by more than the window, which is 0 | `SampleOutOfOrder` |
//! | older than the last by more than the window, which is not 0 | `SampleTooOld` |
//! | at the time of one that is there, other bits | `DuplicateTimestamp` |
//! | otherwise | `Late` |
//!
//! What is there may be in the open chunk, in a sealed one, among the late samples or in a chunk of these. Equal means bit for
//! bit: NaNs are values, and a stale marker equals itself.

use std::sync::Arc;

use hashbrown::HashMap;
use model::{RejectReason, Sample, SeriesRef, TimeRange};

use super::fingerprints::prefetch;
use super::late::{bits_at, bits_in};
use super::series::{NONE, Series};
use super::{CHUNK_RANGE_MS, CutNumber, Head, SAMPLES_PER_CHUNK, SealedChunk, Slot};
use crate::checkpoint::ChunkBytes;
use crate::chunk::{SAMPLE_BYTES_MAX, XorAppender, XorReader};

/// Appends in flight between prefetch and use: their lines (two each) stay well within the first-level cache.
const BATCH_LEN: usize = 64;

/// Which times are acceptable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Horizon {
    /// The latest one.
    pub latest_ms: i64,
    /// By how much a sample may be older than its series' last one.
    pub window_ms: i64,
}

impl Horizon {
    /// For samples that were accepted before: those of the log.
    pub const NONE: Self = Self { latest_ms: i64::MAX, window_ms: i64::MAX };
}

/// Whether a record is read for the first time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reading {
    First,
    /// An order went back to it. What is missing is missing wherever it lies, so a sample's age is judged by what was read
    /// again before it, as it was judged the first time.
    Again,
}

/// What became of an acceptable sample.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Appended {
    InOrder,
    Late,
    /// It was there already.
    Equal,
}

impl Head {
    /// The horizon for the samples of a record.
    #[must_use]
    pub fn horizon(&self, record_timestamp_ms: i64) -> Horizon {
        let window_ms = self.options.out_of_order_window_ms;
        Horizon { latest_ms: record_timestamp_ms.saturating_add(self.options.future_grace_ms), window_ms }
    }

    /// Appends one sample.
    ///
    /// # Errors
    /// See the table of the module.
    ///
    /// # Panics
    /// The series is not of this head.
    #[inline]
    pub fn append(&mut self, series: SeriesRef, sample: Sample, horizon: Horizon) -> Result<Appended, RejectReason> {
        let index = series.0;
        let series = self.series.get(index);
        if sample.timestamp_ms > horizon.latest_ms {
            return Err(RejectReason::TooFarInFuture);
        }
        if series.open.count() > 0 {
            if sample.timestamp_ms <= series.open.last_timestamp_ms() {
                return self.judge_late(index, sample, horizon);
            }
        } else if self.last_closed_ms(index).is_some_and(|last_ms| sample.timestamp_ms <= last_ms) {
            return self.judge_late(index, sample, horizon);
        }
        // A series without an open chunk begins one: nothing is open before the beginning of time.
        if series.open.count() == SAMPLES_PER_CHUNK || sample.timestamp_ms >= series.seal_at_ms {
            self.begin_chunk(index, sample.timestamp_ms);
        }
        let series = self.series.get_mut(index);
        let mut bytes = self.arena.slot_mut(series.slot);
        if bytes.len() < series.open.byte_len() + SAMPLE_BYTES_MAX {
            series.slot = self.arena.grow(series.slot, series.open.byte_len());
            bytes = self.arena.slot_mut(series.slot);
        }
        series.open.append(bytes, sample);
        self.widen(TimeRange { min_ms: sample.timestamp_ms, max_ms: sample.timestamp_ms });
        self.uncut_min_ms = self.uncut_min_ms.min(sample.timestamp_ms);
        Ok(Appended::InOrder)
    }

    /// Appends samples of one record in their order; `outcomes` is cleared and then as long as `items`.
    ///
    /// # Panics
    /// A series is not of this head.
    pub fn append_batch(
        &mut self,
        items: &[(SeriesRef, Sample)],
        horizon: Horizon,
        reading: Reading,
        outcomes: &mut Vec<Result<Appended, RejectReason>>,
    ) {
        outcomes.clear();
        outcomes.reserve(items.len());
        if reading == Reading::Again {
            return outcomes.extend(items.iter().map(|(series, sample)| self.append_again(*series, *sample, horizon)));
        }
        if !self.last_read_again.is_empty() {
            self.last_read_again = HashMap::new();
        }
        for batch in items.chunks(BATCH_LEN) {
            for (series, _) in batch {
                prefetch(self.series.get(series.0));
            }
            for (series, _) in batch {
                self.prefetch_tail(series.0);
            }
            outcomes.extend(batch.iter().map(|(series, sample)| self.append(*series, *sample, horizon)));
        }
    }

    /// Appends a sample of a record that was read before.
    fn append_again(&mut self, series: SeriesRef, sample: Sample, horizon: Horizon) -> Result<Appended, RejectReason> {
        let last_ms = self.last_read_again.get(&series.0).copied().unwrap_or(i64::MIN);
        let was_taken = last_ms.saturating_sub(sample.timestamp_ms) <= horizon.window_ms;
        let window_ms = if was_taken { i64::MAX } else { horizon.window_ms };
        let outcome = self.append(series, sample, Horizon { window_ms, ..horizon });
        if outcome.is_ok() {
            self.last_read_again.insert(series.0, last_ms.max(sample.timestamp_ms));
        }
        outcome
    }

    #[inline]
    fn prefetch_tail(&self, series: u32) {
        let series = self.series.get(series);
        if series.slot != Slot::NONE {
            // The sample's end may lie in the next line.
            let slot = self.arena.slot(series.slot);
            let tail = series.open.byte_len() - 1;
            prefetch(&slot[tail]);
            prefetch(&slot[(tail + 10).min(slot.len() - 1)]);
        }
    }

    /// A sample that is not later than the series' last one. At most one chunk in order is decoded for it, and those of late
    /// samples around its time.
    #[cold]
    fn judge_late(&mut self, index: u32, sample: Sample, horizon: Horizon) -> Result<Appended, RejectReason> {
        let series = self.series.get(index);
        let last_ms = match series.open.count() {
            0 => self.last_closed_ms(index).expect("it has samples"),
            _ => series.open.last_timestamp_ms(),
        };
        match self.bits_at(index, sample.timestamp_ms) {
            Some(bits) if bits == sample.value.to_bits() => Ok(Appended::Equal),
            _ if last_ms.saturating_sub(sample.timestamp_ms) > horizon.window_ms => Err(match horizon.window_ms {
                0 => RejectReason::SampleOutOfOrder,
                _ => RejectReason::SampleTooOld,
            }),
            Some(_) => Err(RejectReason::DuplicateTimestamp),
            None => {
                self.add_late(index, sample);
                Ok(Appended::Late)
            }
        }
    }

    /// The value bits of the series' sample at a time that is not later than its last one.
    fn bits_at(&self, index: u32, timestamp_ms: i64) -> Option<u64> {
        let series = self.series.get(index);
        if series.open.count() > 0 && timestamp_ms == series.open.last_timestamp_ms() {
            return Some(series.open.last_value_bits());
        }
        let in_order = match self.sealed_around(series, timestamp_ms) {
            Around::Open if series.open.count() == 0 => None,
            Around::Open => bits_in(XorReader::of_open(self.arena.slot(series.slot), &series.open), timestamp_ms),
            Around::Sealed(chunk) => bits_at(chunk, timestamp_ms),
            Around::Gap => None,
        };
        in_order.or_else(|| self.late_bits_at(index, timestamp_ms))
    }

    /// The time of the last sample of a series without an open chunk. Where all that was in order is forgotten, that of the
    /// late samples.
    #[cold]
    fn last_closed_ms(&self, index: u32) -> Option<i64> {
        match self.series.get(index).sealed {
            NONE => self.last_late_ms(index),
            newest => Some(self.sealed.get(newest).range.max_ms),
        }
    }

    /// The chunk that would hold a sample of this time. Chunks of a series do not overlap and are listed newest first.
    fn sealed_around(&self, series: &Series, timestamp_ms: i64) -> Around<'_> {
        let mut next = series.sealed;
        while next != NONE {
            let chunk = self.sealed.get(next);
            if chunk.range.contains(timestamp_ms) {
                return Around::Sealed(chunk);
            }
            if timestamp_ms > chunk.range.max_ms {
                return if next == series.sealed { Around::Open } else { Around::Gap };
            }
            next = chunk.previous;
        }
        if series.sealed == NONE { Around::Open } else { Around::Gap }
    }

    /// Makes room for a sample that does not belong into the chunk so far.
    fn begin_chunk(&mut self, series_index: u32, timestamp_ms: i64) {
        if self.series.get(series_index).open.count() > 0 {
            self.seal(series_index);
        }
        let series = self.series.get_mut(series_index);
        series.slot = self.arena.allocate();
        series.seal_at_ms = range_end_ms(timestamp_ms);
    }

    /// Ends the open chunk: its bytes move out of the arena, exactly as long as they are.
    pub(super) fn seal(&mut self, series_index: u32) {
        let series = self.series.get_mut(series_index);
        let bytes = finished(self.arena.slot(series.slot), &series.open);
        let range = open_range(&bytes, &series.open);
        let bytes = ChunkBytes::Held(bytes);
        self.sealed_bytes += bytes.memory_bytes();
        series.sealed =
            self.sealed.push(SealedChunk { range, bytes, previous: series.sealed, logged: None, cut: CutNumber::NONE });
        self.arena.free(series.slot);
        series.slot = Slot::NONE;
        series.open = XorAppender::new();
        series.seal_at_ms = i64::MIN;
    }
}

/// Where a sample of some time would be.
enum Around<'a> {
    /// After all sealed chunks.
    Open,
    Sealed(&'a SealedChunk),
    /// Between the chunks or before them all.
    Gap,
}

/// A copy of an open chunk that any reader understands.
pub(super) fn finished(slot: &[u8], open: &XorAppender) -> Arc<[u8]> {
    let mut bytes: Arc<[u8]> = slot[..open.byte_len()].into();
    open.finish(Arc::get_mut(&mut bytes).expect("nobody else has it yet"));
    bytes
}

/// The range of a chunk that is not empty.
pub(super) fn open_range(finished: &[u8], open: &XorAppender) -> TimeRange {
    let first = XorReader::of_open(finished, open).next_sample().expect("the head's own bytes");
    let min_ms = first.expect("an open chunk has a sample").timestamp_ms;
    TimeRange { min_ms, max_ms: open.last_timestamp_ms() }
}

/// The exclusive end of the aligned range that holds a time.
pub(super) fn range_end_ms(timestamp_ms: i64) -> i64 {
    timestamp_ms.div_euclid(CHUNK_RANGE_MS).saturating_add(1).saturating_mul(CHUNK_RANGE_MS)
}
