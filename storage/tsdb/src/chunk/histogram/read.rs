//! Reading histogram chunks: sample by sample into a histogram whose memory is reused, or whole into columns.
//!
//! Schemas that are reserved for finer or coarser buckets come out as they are; who cannot compute with them reduces them.

use model::{CounterResetHint, HistogramLayout, NativeHistogram};

use super::field::ChunkCount;
use super::state::SampleState;
use crate::chunk::ChunkError;
use crate::chunk::header::{ChunkEncoding, CounterResetHeader, HISTOGRAM_HEADER_BYTES};
use crate::chunk::start::StartReader;
use crate::chunk::varbit::BitReader;

/// Reads the samples of a chunk in order. Bytes behind the last sample are not looked at.
#[derive(Clone, Debug)]
pub struct HistogramReader<'b, C: ChunkCount> {
    reader: BitReader<'b>,
    state: SampleState<C>,
    header: CounterResetHeader,
    count: u16,
    read: u16,
    /// Only with the encodings that have start timestamps.
    start: Option<StartReader>,
    /// Half a sample was read over the one before: there is no way on.
    failed: Option<ChunkError>,
}

impl<'b, C: ChunkCount> HistogramReader<'b, C> {
    /// # Errors
    /// There is no room for a header.
    pub fn new(bytes: &'b [u8]) -> Result<Self, ChunkError> {
        Self::with_state(bytes, ChunkEncoding::Histogram, SampleState::new())
    }

    /// For the encodings with start timestamps.
    ///
    /// # Errors
    /// There is no room for a header.
    pub fn with_start_timestamps(bytes: &'b [u8]) -> Result<Self, ChunkError> {
        Self::with_state(bytes, ChunkEncoding::HistogramWithStart, SampleState::new())
    }

    /// Another chunk of the same encoding, with the memory of this reader.
    ///
    /// # Errors
    /// There is no room for a header.
    pub fn reuse<'c>(mut self, bytes: &'c [u8]) -> Result<HistogramReader<'c, C>, ChunkError> {
        let has_start = self.start.is_some();
        self.state.clear();
        let encoding = if has_start { ChunkEncoding::HistogramWithStart } else { ChunkEncoding::Histogram };
        HistogramReader::with_state(bytes, encoding, self.state)
    }

    /// Integer and float chunks have the same header.
    fn with_state(bytes: &'b [u8], encoding: ChunkEncoding, state: SampleState<C>) -> Result<Self, ChunkError> {
        let count = encoding.count(bytes)?;
        let (header, start) = match encoding {
            ChunkEncoding::HistogramWithStart => (bytes[0], Some(StartReader::new(bytes[2]))),
            _ => (bytes[2], None),
        };
        let header = CounterResetHeader::from_bits(header);
        Ok(Self {
            reader: BitReader::new(bytes, HISTOGRAM_HEADER_BYTES * 8),
            state,
            header,
            count,
            read: 0,
            start,
            failed: None,
        })
    }

    /// Samples that the chunk says it holds.
    #[must_use]
    pub fn count(&self) -> u16 {
        self.count
    }

    #[must_use]
    pub fn header(&self) -> CounterResetHeader {
        self.header
    }

    /// Goes to the next sample and says when it was; none behind the last one.
    ///
    /// # Errors
    /// The bytes end early, or no encoder writes them. The reader is then of no further use: the same error comes again.
    pub fn next_timestamp_ms(&mut self) -> Result<Option<i64>, ChunkError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if self.read == self.count {
            return Ok(None);
        }
        let previous_ms = self.state.timestamp_ms;
        let mut is_well_formed = match self.read {
            0 => self.state.read_first(&mut self.reader),
            _ => self.state.read_next(&mut self.reader),
        };
        if let Some(start) = self.start.as_mut().filter(|_| is_well_formed) {
            is_well_formed = start.read(&mut self.reader, self.read, self.state.timestamp_ms, previous_ms);
        }
        let (sample, count) = (self.read, self.count);
        if self.reader.is_past_end() {
            return Err(*self.failed.insert(ChunkError::Truncated { sample, count }));
        }
        if !is_well_formed {
            return Err(*self.failed.insert(ChunkError::Malformed { sample, count }));
        }
        self.read += 1;
        Ok(Some(self.state.timestamp_ms))
    }

    /// Writes the sample that was read last over what `histogram` holds; nothing is allocated once that is large enough. A
    /// stale marker has only its sum.
    pub fn histogram_in(&self, histogram: &mut NativeHistogram<C>) {
        self.state.copy_to(self.header.hint_of(self.read), histogram);
    }

    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.state.is_stale()
    }

    /// Which buckets all samples have; empty before the first one was read.
    #[must_use]
    pub fn layout(&self) -> &HistogramLayout {
        &self.state.layout
    }

    /// Since when the counter of the sample read last counts; 0 if the chunk does not say.
    #[must_use]
    pub fn start_timestamp_ms(&self) -> i64 {
        self.start.map_or(0, |start| start.start_ms())
    }

    pub(super) fn into_state(self) -> (SampleState<C>, usize) {
        (self.state, self.reader.at())
    }
}

/// A whole chunk, a row for each sample. All rows have the layout of the chunk.
#[derive(Clone, Default, Debug)]
pub struct HistogramColumns<C: ChunkCount> {
    pub layout: HistogramLayout,
    pub header: CounterResetHeader,
    pub timestamps_ms: Vec<i64>,
    /// 0 if unknown.
    pub start_timestamps_ms: Vec<i64>,
    pub counts: Vec<C>,
    pub zero_counts: Vec<C>,
    pub sums: Vec<f64>,
    /// Rows of `positive_len + negative_len` counts each, positive buckets first: counts, not differences, in either kind. A
    /// stale marker's row is empty buckets.
    pub bucket_counts: Vec<C::Bucket>,
    pub positive_len: usize,
    pub negative_len: usize,
}

impl<C: ChunkCount> HistogramColumns<C> {
    #[must_use]
    pub fn len(&self) -> usize {
        self.timestamps_ms.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.timestamps_ms.is_empty()
    }

    /// Counts of the positive and the negative buckets of one row.
    #[must_use]
    pub fn row(&self, row: usize) -> (&[C::Bucket], &[C::Bucket]) {
        let width = self.positive_len + self.negative_len;
        self.bucket_counts[row * width..][..width].split_at(self.positive_len)
    }

    #[must_use]
    pub fn hint(&self, row: usize) -> CounterResetHint {
        self.header.hint_of(u16::try_from(row + 1).unwrap_or(u16::MAX))
    }

    fn clear(&mut self) {
        self.layout.clear();
        self.header = CounterResetHeader::Unknown;
        self.timestamps_ms.clear();
        self.start_timestamps_ms.clear();
        self.counts.clear();
        self.zero_counts.clear();
        self.sums.clear();
        self.bucket_counts.clear();
        (self.positive_len, self.negative_len) = (0, 0);
    }

    fn push(&mut self, timestamp_ms: i64, reader: &HistogramReader<'_, C>) {
        let state = &reader.state;
        self.timestamps_ms.push(timestamp_ms);
        self.start_timestamps_ms.push(reader.start_timestamp_ms());
        self.sums.push(state.sum());
        if state.is_stale() {
            self.counts.push(C::default());
            self.zero_counts.push(C::default());
            let width = self.positive_len + self.negative_len;
            return self.bucket_counts.resize(self.bucket_counts.len() + width, C::Bucket::default());
        }
        self.counts.push(state.count());
        self.zero_counts.push(state.zero_count());
        push_absolutes::<C>(state.positive_buckets(), &mut self.bucket_counts);
        push_absolutes::<C>(state.negative_buckets(), &mut self.bucket_counts);
    }
}

fn push_absolutes<C: ChunkCount>(buckets: impl Iterator<Item = C::Bucket>, out: &mut Vec<C::Bucket>) {
    out.extend(buckets.scan(C::Bucket::default(), |before, bucket| {
        *before = C::absolute(*before, bucket);
        Some(*before)
    }));
}

/// Decodes a whole chunk over what `columns` holds, whose memory is reused. Takes any `reader` that has read nothing yet, and
/// gives it back for its memory.
///
/// # Errors
/// See [`ChunkError`]; the columns are then empty.
pub fn decode_histograms<'b, C: ChunkCount>(
    mut reader: HistogramReader<'b, C>,
    columns: &mut HistogramColumns<C>,
) -> Result<HistogramReader<'b, C>, ChunkError> {
    columns.clear();
    columns.header = reader.header();
    loop {
        match reader.next_timestamp_ms() {
            Ok(Some(timestamp_ms)) => {
                if columns.is_empty() {
                    columns.layout.copy_from(reader.layout());
                    columns.positive_len = reader.state.positive_buckets().count();
                    columns.negative_len = reader.state.bucket_len() - columns.positive_len;
                }
                columns.push(timestamp_ms, &reader);
            }
            Ok(None) => return Ok(reader),
            Err(error) => {
                columns.clear();
                return Err(error);
            }
        }
    }
}
