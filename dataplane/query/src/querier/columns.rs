//! Chunks into columns: decoded, clipped to the range, and one column for each label set, however many heads it came from.

use model::{Labels, TimeRange, is_stale_marker};
use promql::{SelectError, Series};
use tsdb::chunk::decode_xor;
use tsdb::read::{ChunkEncoding, ChunkSnapshot, SeriesSnapshot};

/// Sorted, unique times and as many values.
#[derive(Clone, Default, Debug)]
struct Column {
    timestamps_ms: Vec<i64>,
    values: Vec<f64>,
}

/// Collects the series of one selection.
pub(super) struct SeriesColumns {
    range: TimeRange,
    samples_left: u64,
    found: Vec<(Labels, Column)>,
}

impl SeriesColumns {
    pub(super) fn new(range: TimeRange, samples_max: u64) -> Self {
        Self { range, samples_left: samples_max, found: Vec::new() }
    }

    /// Decodes a series. Samples are charged before they are decoded where a chunk lies within the range as a whole.
    pub(super) fn add(&mut self, snapshot: SeriesSnapshot) -> Result<(), SelectError> {
        let mut column = Column::default();
        for chunk in snapshot.chunks.iter().filter(|chunk| chunk.range.overlaps(&self.range)) {
            let is_whole = self.range.contains(chunk.range.min_ms) && self.range.contains(chunk.range.max_ms);
            if is_whole && claimed_samples(&chunk.bytes) > self.samples_left {
                return Err(SelectError::TooManySamples);
            }
            if !chunk.bytes.are_intact() {
                let what = format!("a chunk of {} on disk fails its checksum", snapshot.labels);
                return Err(SelectError::Storage(what));
            }
            let taken = column
                .append(chunk, self.range)
                .map_err(|reason| SelectError::Storage(format!("decoding a chunk of {}: {reason}", snapshot.labels)))?;
            self.samples_left = self.samples_left.checked_sub(taken).ok_or(SelectError::TooManySamples)?;
        }
        if !column.values.is_empty() {
            self.found.push((snapshot.labels, column));
        }
        Ok(())
    }

    /// All series, sorted by labels.
    pub(super) fn finish(mut self) -> Vec<Series> {
        // Stable, so that what came first stays first among equals.
        self.found.sort_by(|left, right| left.0.cmp(&right.0));
        let mut merged: Vec<(Labels, Column)> = Vec::with_capacity(self.found.len());
        for (labels, column) in self.found {
            match merged.last_mut() {
                Some((last, joined)) if *last == labels => joined.merge(column),
                _ => merged.push((labels, column)),
            }
        }
        let series = |(labels, column): (Labels, Column)| Series::floats(labels, column.timestamps_ms, column.values);
        merged.into_iter().map(series).collect()
    }
}

/// The count that every chunk starts with.
fn claimed_samples(bytes: &[u8]) -> u64 {
    bytes.first_chunk::<2>().map_or(0, |count| u64::from(u16::from_be_bytes(*count)))
}

impl Column {
    /// Decodes a chunk behind what is there and gives the number of samples that lie in the range.
    fn append(&mut self, chunk: &ChunkSnapshot, range: TimeRange) -> Result<u64, tsdb::chunk::ChunkError> {
        let start = self.values.len();
        match chunk.encoding {
            ChunkEncoding::Xor => decode_xor(&chunk.bytes, &mut self.timestamps_ms, &mut self.values)?,
        }
        let decoded = &self.timestamps_ms[start..];
        let end = start + decoded.partition_point(|time_ms| *time_ms <= range.max_ms);
        let skipped = decoded.partition_point(|time_ms| *time_ms < range.min_ms).min(end - start);
        self.truncate(end);
        self.timestamps_ms.drain(start..start + skipped);
        self.values.drain(start..start + skipped);
        let taken = self.values.len() - start;
        let is_in_order = start == 0 || taken == 0 || self.timestamps_ms[start - 1] < self.timestamps_ms[start];
        if !is_in_order {
            let later =
                Self { timestamps_ms: self.timestamps_ms.split_off(start), values: self.values.split_off(start) };
            self.merge(later);
        }
        Ok(taken as u64)
    }

    fn truncate(&mut self, len: usize) {
        self.timestamps_ms.truncate(len);
        self.values.truncate(len);
    }

    /// Joins two columns of one series; of two samples at one time one stays.
    fn merge(&mut self, other: Self) {
        let (Some(first_ms), Some(last_ms)) = (other.timestamps_ms.first(), self.timestamps_ms.last()) else {
            if self.values.is_empty() {
                *self = other;
            }
            return;
        };
        if last_ms < first_ms {
            self.timestamps_ms.extend(other.timestamps_ms);
            self.values.extend(other.values);
            return;
        }
        let len_max = self.values.len() + other.values.len();
        let mut joined = Self { timestamps_ms: Vec::with_capacity(len_max), values: Vec::with_capacity(len_max) };
        let (mut left, mut right) = (0, 0);
        loop {
            let sides = (self.timestamps_ms.get(left), other.timestamps_ms.get(right));
            let (time_ms, value) = match sides {
                (Some(a), Some(b)) if a == b => {
                    let value = chosen(self.values[left], other.values[right]);
                    left += 1;
                    right += 1;
                    (*a, value)
                }
                (Some(a), b) if b.is_none_or(|b| a < b) => {
                    left += 1;
                    (*a, self.values[left - 1])
                }
                (_, Some(b)) => {
                    right += 1;
                    (*b, other.values[right - 1])
                }
                (_, None) => break,
            };
            joined.timestamps_ms.push(time_ms);
            joined.values.push(value);
        }
        *self = joined;
    }
}

/// Which of two values at one time is shown. Heads of different partitions have no order, so the rule looks at the values
/// only: a value outlives a stale marker, then the larger one does. Any rule would do, but it must give the same each time.
fn chosen(left: f64, right: f64) -> f64 {
    match (is_stale_marker(left), is_stale_marker(right)) {
        (true, false) => right,
        (false, true) => left,
        _ if left.total_cmp(&right).is_lt() => right,
        _ => left,
    }
}
