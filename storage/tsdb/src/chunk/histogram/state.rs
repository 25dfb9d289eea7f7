//! What must be remembered between two samples of a histogram chunk, for writing and for reading alike.
//!
//! A sample is: timestamp (varbit; later delta of delta), count, zero count, sum (XOR), positive buckets, negative buckets.
//! A stale marker ends behind its sum, and as a first sample it has an empty layout.

use model::{BUCKETS_MAX, CounterResetHint, HistogramLayout, NativeHistogram, Span, check_spans, is_stale_marker};

use super::field::{ChunkCount, ChunkField};
use super::layout::{put_layout, read_layout};
use crate::chunk::varbit::{BitReader, BitWriter};

type BucketPast<C> = <<C as model::HistogramCount>::Bucket as ChunkField>::Past;

/// The last sample. Meaningless before the first one.
#[derive(Clone, Debug)]
pub struct SampleState<C: ChunkCount> {
    pub layout: HistogramLayout,
    pub timestamp_ms: i64,
    delta_ms: i64,
    /// None before the first sample.
    numbers: Option<Numbers<C>>,
    /// Positive ones, then negative ones.
    buckets: Vec<BucketPast<C>>,
    positive_len: usize,
}

#[derive(Clone, Copy, Debug)]
struct Numbers<C: ChunkCount> {
    count: C::Past,
    zero_count: C::Past,
    sum: <f64 as ChunkField>::Past,
}

/// The numbers of a histogram whose buckets lie as the chunk's layout says.
#[derive(Clone, Copy)]
pub struct Counts<'a, C: ChunkCount> {
    pub timestamp_ms: i64,
    pub count: C,
    pub zero_count: C,
    pub sum: f64,
    pub positive: &'a [C::Bucket],
    pub negative: &'a [C::Bucket],
}

impl<'a, C: ChunkCount> Counts<'a, C> {
    pub fn of(timestamp_ms: i64, histogram: &'a NativeHistogram<C>) -> Self {
        Self {
            timestamp_ms,
            count: histogram.count,
            zero_count: histogram.zero_count,
            sum: histogram.sum,
            positive: &histogram.positive_buckets,
            negative: &histogram.negative_buckets,
        }
    }

    fn is_stale(&self) -> bool {
        is_stale_marker(self.sum)
    }

    fn buckets(&self) -> impl Iterator<Item = C::Bucket> {
        self.positive.iter().chain(self.negative).copied()
    }
}

impl<C: ChunkCount> SampleState<C> {
    pub fn new() -> Self {
        Self {
            layout: HistogramLayout::default(),
            timestamp_ms: 0,
            delta_ms: 0,
            numbers: None,
            buckets: Vec::new(),
            positive_len: 0,
        }
    }

    /// Forgets everything but the memory held.
    pub fn clear(&mut self) {
        self.layout.clear();
        (self.timestamp_ms, self.delta_ms) = (0, 0);
        self.numbers = None;
        self.buckets.clear();
        self.positive_len = 0;
    }

    pub fn count(&self) -> C {
        self.numbers.map_or_else(C::default, |numbers| C::last(&numbers.count))
    }

    pub fn zero_count(&self) -> C {
        self.numbers.map_or_else(C::default, |numbers| C::last(&numbers.zero_count))
    }

    pub fn sum(&self) -> f64 {
        self.numbers.map_or(0.0, |numbers| f64::last(&numbers.sum))
    }

    pub fn is_stale(&self) -> bool {
        is_stale_marker(self.sum())
    }

    pub fn positive_buckets(&self) -> impl Iterator<Item = C::Bucket> {
        self.buckets[..self.positive_len].iter().map(C::Bucket::last)
    }

    pub fn negative_buckets(&self) -> impl Iterator<Item = C::Bucket> {
        self.buckets[self.positive_len..].iter().map(C::Bucket::last)
    }

    pub fn bucket_len(&self) -> usize {
        self.buckets.len()
    }

    /// The last sample, over what `histogram` holds. A stale marker has only its sum.
    pub fn copy_to(&self, hint: CounterResetHint, histogram: &mut NativeHistogram<C>) {
        if self.is_stale() {
            return histogram.set_stale();
        }
        histogram.layout.copy_from(&self.layout);
        histogram.counter_reset_hint = hint;
        (histogram.count, histogram.zero_count, histogram.sum) = (self.count(), self.zero_count(), self.sum());
        histogram.positive_buckets.clear();
        histogram.positive_buckets.extend(self.positive_buckets());
        histogram.negative_buckets.clear();
        histogram.negative_buckets.extend(self.negative_buckets());
    }

    /// Bytes on the heap.
    pub fn memory_bytes(&self) -> usize {
        let spans = self.layout.positive_spans.capacity() + self.layout.negative_spans.capacity();
        spans * size_of::<Span>()
            + self.layout.custom_bounds.capacity() * size_of::<f64>()
            + self.buckets.capacity() * size_of::<BucketPast<C>>()
    }

    /// Writes the layout, which the caller has set, and the first sample. A stale marker sets an empty layout.
    pub fn put_first(&mut self, writer: &mut BitWriter<'_>, counts: Counts<'_, C>) {
        let counts = self.without_stale_fields(counts);
        put_layout(writer, &self.layout);
        writer.put_varbit_int(counts.timestamp_ms);
        (self.timestamp_ms, self.delta_ms) = (counts.timestamp_ms, 0);
        self.numbers = Some(Numbers {
            count: C::put_first(writer, counts.count),
            zero_count: C::put_first(writer, counts.zero_count),
            sum: f64::put_first(writer, counts.sum),
        });
        self.buckets.clear();
        self.buckets.extend(counts.buckets().map(|bucket| C::Bucket::put_first(writer, bucket)));
        self.positive_len = counts.positive.len();
    }

    fn without_stale_fields<'a>(&mut self, counts: Counts<'a, C>) -> Counts<'a, C> {
        if !counts.is_stale() {
            return counts;
        }
        self.layout.clear();
        Counts { count: C::default(), zero_count: C::default(), positive: &[], negative: &[], ..counts }
    }

    /// Writes a later sample; its buckets lie as the layout says.
    pub fn put_next(&mut self, writer: &mut BitWriter<'_>, counts: Counts<'_, C>) {
        let delta_ms = counts.timestamp_ms.wrapping_sub(self.timestamp_ms);
        writer.put_varbit_int(delta_ms.wrapping_sub(self.delta_ms));
        (self.timestamp_ms, self.delta_ms) = (counts.timestamp_ms, delta_ms);
        let numbers = self.numbers.as_mut().expect("a sample was written before");
        if counts.is_stale() {
            C::put_stale(writer, &mut numbers.count);
            C::put_stale(writer, &mut numbers.zero_count);
            return f64::put_next(writer, &mut numbers.sum, counts.sum);
        }
        C::put_next(writer, &mut numbers.count, counts.count);
        C::put_next(writer, &mut numbers.zero_count, counts.zero_count);
        f64::put_next(writer, &mut numbers.sum, counts.sum);
        debug_assert_eq!(counts.positive.len() + counts.negative.len(), self.buckets.len());
        for (past, bucket) in self.buckets.iter_mut().zip(counts.buckets()) {
            C::Bucket::put_next(writer, past, bucket);
        }
    }

    /// False if no writer makes such bits. Holds no more buckets than the bits behind the layout can carry.
    #[must_use]
    pub fn read_first(&mut self, reader: &mut BitReader<'_>) -> bool {
        self.buckets.clear();
        self.positive_len = 0;
        if !read_layout(reader, &mut self.layout) {
            return false;
        }
        let sides = (check_spans(&self.layout.positive_spans), check_spans(&self.layout.negative_spans));
        let (Ok(positive), Ok(negative)) = sides else { return false };
        let plausible = (reader.bits_left() / C::Bucket::FIRST_BITS_MIN).min(BUCKETS_MAX);
        if positive + negative > plausible as u64 {
            return false;
        }
        (self.timestamp_ms, self.delta_ms) = (reader.varbit_int(), 0);
        self.numbers = Some(Numbers {
            count: C::read_first(reader),
            zero_count: C::read_first(reader),
            sum: f64::read_first(reader),
        });
        self.buckets.extend((0..positive + negative).map(|_| C::Bucket::read_first(reader)));
        self.positive_len = positive as usize;
        true
    }

    /// False if no writer makes such bits.
    #[must_use]
    pub fn read_next(&mut self, reader: &mut BitReader<'_>) -> bool {
        self.delta_ms = self.delta_ms.wrapping_add(reader.varbit_int());
        self.timestamp_ms = self.timestamp_ms.wrapping_add(self.delta_ms);
        let Some(numbers) = self.numbers.as_mut() else { return false };
        let are_well_formed = C::read_next(reader, &mut numbers.count)
            && C::read_next(reader, &mut numbers.zero_count)
            && f64::read_next(reader, &mut numbers.sum);
        if !are_well_formed || is_stale_marker(f64::last(&numbers.sum)) {
            return are_well_formed;
        }
        self.buckets.iter_mut().all(|past| C::Bucket::read_next(reader, past))
    }
}
