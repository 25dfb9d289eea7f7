//! Appending to a histogram chunk: does the sample fit, must the chunk be written anew, or is another chunk needed.
//!
//! Follows Prometheus' appenders decision by decision, because each of them shows in the bytes.

use model::{
    CounterResetHint, HistogramCount, HistogramLayout, NativeHistogram, Span, bucket_indexes, bucket_total,
    merge_spans, spread_buckets,
};

use super::field::ChunkCount;

use super::read::HistogramReader;
use super::state::{Counts, SampleState};
use crate::chunk::ChunkError;
use crate::chunk::header::{CounterResetHeader, HISTOGRAM_HEADER_BYTES};
use crate::chunk::varbit::BitWriter;

/// What became of a sample.
#[must_use]
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HistogramAppend {
    Appended,
    /// The sample has buckets that the chunk lacked: these are the chunk's new bytes, the sample included. The appender
    /// goes on from them; the old bytes are untouched, so that a reader of them may finish.
    Recoded(Vec<u8>),
    /// The sample does not go into this chunk, which is as before. `header` is for the chunk that the sample opens.
    NewChunkNeeded {
        reason: NewChunkReason,
        header: CounterResetHeader,
    },
}

/// Why a sample does not go into the chunk.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum NewChunkReason {
    /// The sample says so, or a count went down.
    CounterReset,
    /// Another schema or zero threshold.
    LayoutChanged,
    /// Other custom bounds.
    BoundsChanged,
    /// The series comes back behind its stale marker.
    AfterStale,
    /// From gauge to counter or back.
    GaugeChanged,
    /// No more samples can be counted.
    Full,
}

/// Memory for buckets that are brought into a chunk's layout. One for many appenders.
#[derive(Clone, Default, Debug)]
pub struct HistogramScratch<C: HistogramCount> {
    positive: Vec<C::Bucket>,
    negative: Vec<C::Bucket>,
}

/// How a sample's buckets lie to those of the chunk.
#[derive(Clone, Copy, Default)]
struct SideFit {
    /// The sample has buckets that the chunk lacks.
    has_new: bool,
    /// The chunk has (empty) buckets that the sample lacks.
    has_missing: bool,
}

/// What must be remembered to go on with an open chunk; its bytes lie elsewhere and are a whole chunk after each sample.
#[derive(Clone, Debug)]
pub struct HistogramAppender<C: ChunkCount> {
    state: SampleState<C>,
    at_bit: usize,
    count: u16,
    /// None for an empty chunk whose first sample decides.
    header: Option<CounterResetHeader>,
}

impl<C: ChunkCount> HistogramAppender<C> {
    /// For the first chunk of a series: its header is what the first sample says of itself.
    #[must_use]
    pub fn new() -> Self {
        Self { state: SampleState::new(), at_bit: 0, count: 0, header: None }
    }

    /// For an empty chunk behind another one, with the memory kept. `header` is what [`HistogramAppend::NewChunkNeeded`] or
    /// [`Self::header_behind`] said.
    pub fn restart(&mut self, header: CounterResetHeader) {
        self.state.clear();
        (self.at_bit, self.count, self.header) = (0, 0, Some(header));
    }

    /// The appender that wrote these bytes.
    ///
    /// # Errors
    /// The bytes are not a histogram chunk of this kind, or go on behind its last sample.
    pub fn resume(bytes: &[u8]) -> Result<Self, ChunkError> {
        let mut reader = HistogramReader::<C>::new(bytes)?;
        let (mut was_stale, count) = (false, reader.count());
        for sample in 0..count {
            reader.next_timestamp_ms()?;
            if was_stale && !reader.is_stale() {
                return Err(ChunkError::Malformed { sample, count });
            }
            was_stale = reader.is_stale();
        }
        let header = (count > 0).then(|| reader.header());
        let (state, at_bit) = reader.into_state();
        if at_bit.div_ceil(8) != bytes.len() {
            return Err(ChunkError::Overlong { bytes: bytes.len() });
        }
        Ok(Self { state, at_bit, count, header })
    }

    #[must_use]
    pub fn count(&self) -> u16 {
        self.count
    }

    /// Meaningless while the chunk is empty.
    #[must_use]
    pub fn last_timestamp_ms(&self) -> i64 {
        self.state.timestamp_ms
    }

    #[must_use]
    pub fn layout(&self) -> &HistogramLayout {
        &self.state.layout
    }

    #[must_use]
    pub fn header(&self) -> CounterResetHeader {
        self.header.unwrap_or_default()
    }

    /// Bytes held besides the chunk's own.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.state.memory_bytes()
    }

    /// Writes the last sample over what `histogram` holds, as a reader of the chunk would see it.
    pub fn last_in(&self, histogram: &mut NativeHistogram<C>) {
        self.state.copy_to(self.header().hint_of(self.count), histogram);
    }

    /// Appends one sample. `bytes` is the chunk so far; of an empty chunk at most a header. The histogram passed its check; times
    /// are not judged here.
    ///
    /// # Panics
    /// `bytes` is not this chunk, or spans and buckets disagree: bugs of the caller.
    pub fn append(
        &mut self,
        scratch: &mut HistogramScratch<C>,
        bytes: &mut Vec<u8>,
        timestamp_ms: i64,
        histogram: &NativeHistogram<C>,
    ) -> HistogramAppend {
        assert_agreement(histogram);
        if self.count == 0 {
            self.open(bytes, timestamp_ms, histogram);
            return HistogramAppend::Appended;
        }
        if self.count == u16::MAX {
            return HistogramAppend::NewChunkNeeded {
                reason: NewChunkReason::Full,
                header: self.header_behind(histogram),
            };
        }
        let (positive, negative) = match self.fit(histogram) {
            Ok(sides) => sides,
            Err(reason) => {
                return HistogramAppend::NewChunkNeeded { reason, header: header_of::<C>(reason, histogram) };
            }
        };
        if positive.has_new || negative.has_new {
            return HistogramAppend::Recoded(self.recode(
                scratch,
                bytes,
                timestamp_ms,
                histogram,
                (positive, negative),
            ));
        }
        let mut counts = Counts::of(timestamp_ms, histogram);
        if positive.has_missing || negative.has_missing {
            scratch.spread(&histogram.layout, histogram, &self.state.layout);
            (counts.positive, counts.negative) = (&scratch.positive, &scratch.negative);
        }
        self.put_next(bytes, counts);
        HistogramAppend::Appended
    }

    /// The header of a chunk that is opened behind this one for reasons that the bytes do not know (full, another hour).
    #[must_use]
    pub fn header_behind(&self, histogram: &NativeHistogram<C>) -> CounterResetHeader {
        match (histogram.counter_reset_hint, self.fit(histogram)) {
            (CounterResetHint::Gauge, _) => CounterResetHeader::Gauge,
            (CounterResetHint::CounterReset, _) => CounterResetHeader::CounterReset,
            (_, Ok(_)) => CounterResetHeader::NotCounterReset,
            (_, Err(reason)) => match header_of::<C>(reason, histogram) {
                // Prometheus claims more than it knows here, and what it claims is in its bytes.
                CounterResetHeader::Unknown if !C::HEADERS_ARE_EXACT => CounterResetHeader::NotCounterReset,
                header => header,
            },
        }
    }

    fn open(&mut self, bytes: &mut Vec<u8>, timestamp_ms: i64, histogram: &NativeHistogram<C>) {
        self.header = match (histogram.counter_reset_hint, self.header) {
            (CounterResetHint::Gauge, _) => Some(CounterResetHeader::Gauge),
            (CounterResetHint::CounterReset, None) => Some(CounterResetHeader::CounterReset),
            (_, header) => header,
        };
        self.state.layout.copy_from(&histogram.layout);
        self.put_first(bytes, Counts::of(timestamp_ms, histogram));
    }

    fn put_first(&mut self, bytes: &mut Vec<u8>, counts: Counts<'_, C>) {
        assert!(bytes.len() <= HISTOGRAM_HEADER_BYTES, "an empty chunk has a header at most");
        bytes.clear();
        bytes.extend([0, 0, self.header().as_bits()]);
        let mut writer = BitWriter::new(bytes, HISTOGRAM_HEADER_BYTES * 8);
        self.state.put_first(&mut writer, counts);
        self.at_bit = writer.finish();
        self.set_count(bytes, 1);
    }

    fn put_next(&mut self, bytes: &mut Vec<u8>, counts: Counts<'_, C>) {
        let mut writer = BitWriter::new(bytes, self.at_bit);
        self.state.put_next(&mut writer, counts);
        self.at_bit = writer.finish();
        self.set_count(bytes, self.count + 1);
    }

    fn set_count(&mut self, bytes: &mut [u8], count: u16) {
        self.count = count;
        bytes[..2].copy_from_slice(&count.to_be_bytes());
    }

    /// Whether the sample goes into this chunk, perhaps after one of both was widened.
    fn fit(&self, histogram: &NativeHistogram<C>) -> Result<(SideFit, SideFit), NewChunkReason> {
        let is_gauge = histogram.counter_reset_hint == CounterResetHint::Gauge;
        if is_gauge != (self.header() == CounterResetHeader::Gauge) {
            return Err(NewChunkReason::GaugeChanged);
        }
        if histogram.counter_reset_hint == CounterResetHint::CounterReset {
            return Err(NewChunkReason::CounterReset);
        }
        if histogram.is_stale_marker() {
            return Ok((SideFit::default(), SideFit::default()));
        }
        if self.state.is_stale() {
            return Err(NewChunkReason::AfterStale);
        }
        if !is_gauge && histogram.count < self.state.count() {
            return Err(NewChunkReason::CounterReset);
        }
        let (ours, theirs) = (&self.state.layout, &histogram.layout);
        if ours.schema != theirs.schema || ours.zero_threshold != theirs.zero_threshold {
            return Err(NewChunkReason::LayoutChanged);
        }
        if ours.has_custom_buckets() && ours.custom_bounds != theirs.custom_bounds {
            return Err(NewChunkReason::BoundsChanged);
        }
        if !is_gauge && histogram.zero_count < self.state.zero_count() {
            return Err(NewChunkReason::CounterReset);
        }
        let positive = fit_side::<C>(
            is_gauge,
            (&ours.positive_spans, self.state.positive_buckets()),
            (&theirs.positive_spans, &histogram.positive_buckets),
        )?;
        let negative = fit_side::<C>(
            is_gauge,
            (&ours.negative_spans, self.state.negative_buckets()),
            (&theirs.negative_spans, &histogram.negative_buckets),
        )?;
        Ok((positive, negative))
    }

    /// Writes the chunk anew with the buckets of both, and the sample behind it.
    fn recode(
        &mut self,
        scratch: &mut HistogramScratch<C>,
        bytes: &[u8],
        timestamp_ms: i64,
        histogram: &NativeHistogram<C>,
        fit: (SideFit, SideFit),
    ) -> Vec<u8> {
        let mut layout = self.state.layout.clone();
        layout.positive_spans = self.widened(fit, fit.0, &histogram.layout.positive_spans, &layout.positive_spans);
        layout.negative_spans = self.widened(fit, fit.1, &histogram.layout.negative_spans, &layout.negative_spans);
        let mut recoded = Vec::with_capacity(bytes.len() + bytes.len() / 4);
        let mut appender = Self { header: self.header, ..Self::new() };
        let mut reader = HistogramReader::<C>::new(bytes).expect("the chunk's own bytes");
        let mut old = NativeHistogram::default();
        while let Some(old_ms) = reader.next_timestamp_ms().expect("the chunk's own bytes") {
            reader.histogram_in(&mut old);
            scratch.spread(&old.layout, &old, &layout);
            let counts = scratch.counts(old_ms, &old);
            if appender.count == 0 {
                appender.state.layout.copy_from(&layout);
                appender.put_first(&mut recoded, counts);
            } else {
                appender.put_next(&mut recoded, counts);
            }
        }
        scratch.spread(&histogram.layout, histogram, &layout);
        appender.put_next(&mut recoded, scratch.counts(timestamp_ms, histogram));
        *self = appender;
        recoded
    }

    /// The new spans of one side. Prometheus keeps the sample's own spelling where nothing is missing in it (in a gauge: on
    /// neither side).
    fn widened(&self, fit: (SideFit, SideFit), side: SideFit, theirs: &[Span], ours: &[Span]) -> Vec<Span> {
        let must_merge = match self.header() {
            CounterResetHeader::Gauge => fit.0.has_missing || fit.1.has_missing,
            _ => side.has_missing,
        };
        if must_merge { merge_spans(theirs, ours) } else { theirs.to_vec() }
    }
}

impl<C: ChunkCount> Default for HistogramAppender<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C: ChunkCount> HistogramScratch<C> {
    /// Brings the buckets of `histogram`, which lie as `from` says, into the layout `to`.
    fn spread(&mut self, from: &HistogramLayout, histogram: &NativeHistogram<C>, to: &HistogramLayout) {
        self.positive.clear();
        self.negative.clear();
        spread_buckets::<C>(&from.positive_spans, &histogram.positive_buckets, &to.positive_spans, &mut self.positive);
        spread_buckets::<C>(&from.negative_spans, &histogram.negative_buckets, &to.negative_spans, &mut self.negative);
    }

    fn counts(&self, timestamp_ms: i64, histogram: &NativeHistogram<C>) -> Counts<'_, C> {
        Counts {
            timestamp_ms,
            count: histogram.count,
            zero_count: histogram.zero_count,
            sum: histogram.sum,
            positive: &self.positive,
            negative: &self.negative,
        }
    }
}

fn assert_agreement<C: ChunkCount>(histogram: &NativeHistogram<C>) {
    let layout = &histogram.layout;
    let is_whole = bucket_total(&layout.positive_spans) == histogram.positive_buckets.len() as u64
        && bucket_total(&layout.negative_spans) == histogram.negative_buckets.len() as u64;
    assert!(is_whole || histogram.is_stale_marker(), "spans and buckets agree in a checked histogram");
}

/// What Prometheus writes into the chunk that a refused sample opens.
fn header_of<C: ChunkCount>(reason: NewChunkReason, histogram: &NativeHistogram<C>) -> CounterResetHeader {
    if histogram.counter_reset_hint == CounterResetHint::Gauge {
        return CounterResetHeader::Gauge;
    }
    match reason {
        NewChunkReason::CounterReset | NewChunkReason::BoundsChanged => CounterResetHeader::CounterReset,
        NewChunkReason::GaugeChanged if C::HEADERS_ARE_EXACT => CounterResetHeader::NotCounterReset,
        _ => CounterResetHeader::Unknown,
    }
}

/// Walks both sides bucket by bucket. In a counter no bucket goes down, and one that counts something does not vanish.
fn fit_side<C: ChunkCount>(
    is_gauge: bool,
    (our_spans, our_buckets): (&[Span], impl Iterator<Item = C::Bucket>),
    (their_spans, their_buckets): (&[Span], &[C::Bucket]),
) -> Result<SideFit, NewChunkReason> {
    let empty = C::Bucket::default();
    let mut ours = our_buckets.scan(empty, |before, bucket| {
        *before = C::absolute(*before, bucket);
        Some(*before)
    });
    let mut theirs = NativeHistogram::<C>::absolutes(their_buckets);
    if our_spans == their_spans {
        let is_reset = !is_gauge && ours.zip(theirs).any(|(our, their)| our > their);
        return if is_reset { Err(NewChunkReason::CounterReset) } else { Ok(SideFit::default()) };
    }
    let (mut our_indexes, mut their_indexes) = (bucket_indexes(our_spans), bucket_indexes(their_spans));
    let (mut our_index, mut their_index) = (our_indexes.next(), their_indexes.next());
    let mut fit = SideFit::default();
    loop {
        let is_ours = our_index.is_some_and(|ours| their_index.is_none_or(|theirs| ours <= theirs));
        let is_theirs = their_index.is_some_and(|theirs| our_index.is_none_or(|ours| theirs <= ours));
        let our = if is_ours { ours.next() } else { None };
        let their = if is_theirs { theirs.next() } else { None };
        match (our, their) {
            (None, None) => return Ok(fit),
            (Some(our), Some(their)) if !is_gauge && our > their => return Err(NewChunkReason::CounterReset),
            (Some(our), None) if !is_gauge && our != empty => return Err(NewChunkReason::CounterReset),
            (Some(_), Some(_)) => {}
            (Some(_), None) => fit.has_missing = true,
            (None, Some(_)) => fit.has_new = true,
        }
        if is_ours {
            our_index = our_indexes.next();
        }
        if is_theirs {
            their_index = their_indexes.next();
        }
    }
}
