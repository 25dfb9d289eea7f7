//! Native histograms as plain values: integer ones, as clients send them, and float ones, as rules and queries make them.
//!
//! Both have the same layout (which buckets there are) and the same numbers; they differ in how a bucket is written down: an
//! integer histogram holds the difference to the bucket before, a float histogram the count itself. Field names and meaning
//! are those of Prometheus `model/histogram`. No arithmetic of queries here: that belongs to the engine.

mod check;
mod compact;
mod resolution;
mod spans;

pub use check::{HistogramError, check_spans};
pub use spans::{BucketIndexes, bucket_indexes, bucket_total, merge_spans, spread_buckets};

use std::fmt::Debug;

use crate::is_stale_marker;

/// Buckets grow by a factor of 2^(2^-schema).
pub const SCHEMA_MIN: i32 = -4;
pub const SCHEMA_MAX: i32 = 8;
/// Exponential schemas that the formats reserve: other writers may use them one day, and readers must not choke.
pub const SCHEMA_RESERVED_MIN: i32 = -9;
pub const SCHEMA_RESERVED_MAX: i32 = 52;
/// The buckets are bounded by [`HistogramLayout::custom_bounds`].
pub const SCHEMA_CUSTOM: i32 = -53;

/// Buckets of both signs together that one histogram may name: 256 powers of two at the finest schema. Clients keep to a few
/// hundred; a sample of this many takes 8 KiB and more in a chunk.
pub const BUCKETS_MAX: usize = 1 << 16;

/// A run of neighbouring buckets.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Span {
    /// Of the first span: the index of its first bucket. Later: buckets left out since the span before.
    pub offset: i32,
    pub length: u32,
}

/// What is known of a counter reset between the histogram before and this one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum CounterResetHint {
    #[default]
    Unknown,
    CounterReset,
    NotCounterReset,
    /// Not a counter: it may go down.
    Gauge,
}

/// Which buckets there are.
#[derive(Clone, Default, Debug)]
pub struct HistogramLayout {
    pub schema: i32,
    /// Observations of at most this absolute value are counted in the zero bucket.
    pub zero_threshold: f64,
    pub positive_spans: Vec<Span>,
    pub negative_spans: Vec<Span>,
    /// Upper bounds, ascending, without the last one, which is infinite. Empty unless the schema is [`SCHEMA_CUSTOM`].
    pub custom_bounds: Vec<f64>,
}

/// How one kind of histogram counts.
pub trait HistogramCount: Copy + Default + PartialOrd + Debug + 'static {
    /// One bucket as it is written down.
    type Bucket: Copy + Default + PartialOrd + Debug + 'static;

    fn count_bits(self) -> u64;
    fn bucket_bits(bucket: Self::Bucket) -> u64;
    /// The count of `bucket`, which follows one that counts `before`. Wraps rather than panics: sums are judged by the check.
    fn absolute(before: Self::Bucket, bucket: Self::Bucket) -> Self::Bucket;
    /// How a bucket that counts `absolute` is written behind one that counts `before`.
    fn written(before: Self::Bucket, absolute: Self::Bucket) -> Self::Bucket;
    /// The count of two buckets that become one. Wraps as well.
    fn together(left: Self::Bucket, right: Self::Bucket) -> Self::Bucket;
    /// Whether counts are not negative and add up as far as this kind promises.
    ///
    /// # Errors
    /// [`HistogramError`] of the counts.
    fn check_counts(histogram: &NativeHistogram<Self>) -> Result<(), HistogramError>;
}

/// Counts are whole and buckets are differences.
impl HistogramCount for u64 {
    type Bucket = i64;

    fn count_bits(self) -> u64 {
        self
    }

    fn bucket_bits(bucket: i64) -> u64 {
        bucket.cast_unsigned()
    }

    #[inline]
    fn absolute(before: i64, bucket: i64) -> i64 {
        before.wrapping_add(bucket)
    }

    #[inline]
    fn written(before: i64, absolute: i64) -> i64 {
        absolute.wrapping_sub(before)
    }

    #[inline]
    fn together(left: i64, right: i64) -> i64 {
        left.wrapping_add(right)
    }

    fn check_counts(histogram: &NativeHistogram<u64>) -> Result<(), HistogramError> {
        check::check_whole_counts(histogram)
    }
}

/// Counts are floats and buckets are counts.
impl HistogramCount for f64 {
    type Bucket = f64;

    fn count_bits(self) -> u64 {
        self.to_bits()
    }

    fn bucket_bits(bucket: f64) -> u64 {
        bucket.to_bits()
    }

    #[inline]
    fn absolute(_: f64, bucket: f64) -> f64 {
        bucket
    }

    #[inline]
    fn written(_: f64, absolute: f64) -> f64 {
        absolute
    }

    #[inline]
    fn together(left: f64, right: f64) -> f64 {
        left + right
    }

    fn check_counts(histogram: &NativeHistogram<f64>) -> Result<(), HistogramError> {
        check::check_float_counts(histogram)
    }
}

/// One histogram. `positive_buckets` and `negative_buckets` are as long as their spans say, unless it is a stale marker.
#[derive(Clone, Default, Debug)]
pub struct NativeHistogram<C: HistogramCount> {
    pub layout: HistogramLayout,
    pub counter_reset_hint: CounterResetHint,
    /// Observations, those of NaN included: they are in no bucket.
    pub count: C,
    pub zero_count: C,
    pub sum: f64,
    pub positive_buckets: Vec<C::Bucket>,
    pub negative_buckets: Vec<C::Bucket>,
}

pub type IntHistogram = NativeHistogram<u64>;
pub type FloatHistogram = NativeHistogram<f64>;

impl HistogramLayout {
    #[must_use]
    pub fn has_custom_buckets(&self) -> bool {
        self.schema == SCHEMA_CUSTOM
    }

    /// Whether both name the same buckets, however the spans are cut. Thresholds and bounds are compared to the bit.
    #[must_use]
    pub fn names_same_buckets(&self, other: &Self) -> bool {
        self.schema == other.schema
            && self.zero_threshold.to_bits() == other.zero_threshold.to_bits()
            && same_bits(&self.custom_bounds, &other.custom_bounds)
            && bucket_indexes(&self.positive_spans).eq(bucket_indexes(&other.positive_spans))
            && bucket_indexes(&self.negative_spans).eq(bucket_indexes(&other.negative_spans))
    }

    /// Takes over `other` without giving up the memory held.
    pub fn copy_from(&mut self, other: &Self) {
        (self.schema, self.zero_threshold) = (other.schema, other.zero_threshold);
        self.positive_spans.clone_from(&other.positive_spans);
        self.negative_spans.clone_from(&other.negative_spans);
        self.custom_bounds.clone_from(&other.custom_bounds);
    }

    /// No bucket at all, as a stale marker has it; the memory is kept.
    pub fn clear(&mut self) {
        (self.schema, self.zero_threshold) = (0, 0.0);
        self.positive_spans.clear();
        self.negative_spans.clear();
        self.custom_bounds.clear();
    }
}

/// The spelling, not only the meaning: spans cut differently are different here. Floats to the bit.
impl PartialEq for HistogramLayout {
    fn eq(&self, other: &Self) -> bool {
        self.schema == other.schema
            && self.zero_threshold.to_bits() == other.zero_threshold.to_bits()
            && self.positive_spans == other.positive_spans
            && self.negative_spans == other.negative_spans
            && same_bits(&self.custom_bounds, &other.custom_bounds)
    }
}

impl<C: HistogramCount> NativeHistogram<C> {
    /// "The series ended here", said by a histogram: only its sum means anything.
    #[must_use]
    pub fn is_stale_marker(&self) -> bool {
        is_stale_marker(self.sum)
    }

    /// Whether both say the same: buckets and numbers to the bit, the hint left out, spans compared by what they name. Two
    /// stale markers say the same.
    #[must_use]
    pub fn is_same_value(&self, other: &Self) -> bool {
        if self.is_stale_marker() || other.is_stale_marker() {
            return self.is_stale_marker() && other.is_stale_marker();
        }
        self.layout.names_same_buckets(&other.layout) && self.has_same_numbers(other)
    }

    fn has_same_numbers(&self, other: &Self) -> bool {
        let are_same = |left: &[C::Bucket], right: &[C::Bucket]| {
            left.len() == right.len() && left.iter().zip(right).all(|(l, r)| C::bucket_bits(*l) == C::bucket_bits(*r))
        };
        self.count.count_bits() == other.count.count_bits()
            && self.zero_count.count_bits() == other.zero_count.count_bits()
            && self.sum.to_bits() == other.sum.to_bits()
            && are_same(&self.positive_buckets, &other.positive_buckets)
            && are_same(&self.negative_buckets, &other.negative_buckets)
    }

    /// The counts of buckets as they are written down.
    pub fn absolutes(buckets: &[C::Bucket]) -> impl Iterator<Item = C::Bucket> {
        buckets.iter().scan(C::Bucket::default(), |before, bucket| {
            *before = C::absolute(*before, *bucket);
            Some(*before)
        })
    }

    /// Becomes the stale marker; the memory is kept.
    pub fn set_stale(&mut self) {
        self.layout.clear();
        self.counter_reset_hint = CounterResetHint::Unknown;
        (self.count, self.zero_count, self.sum) = (C::default(), C::default(), crate::stale_marker());
        self.positive_buckets.clear();
        self.negative_buckets.clear();
    }
}

/// Every field, the hint and the spelling of spans included; floats to the bit.
impl<C: HistogramCount> PartialEq for NativeHistogram<C> {
    fn eq(&self, other: &Self) -> bool {
        self.counter_reset_hint == other.counter_reset_hint
            && self.layout == other.layout
            && self.has_same_numbers(other)
    }
}

impl IntHistogram {
    /// The same histogram in floats, written over `float`, whose memory is reused. Counts above 2^53 are rounded once each.
    pub fn to_float_in(&self, float: &mut FloatHistogram) {
        float.layout.copy_from(&self.layout);
        float.counter_reset_hint = self.counter_reset_hint;
        (float.count, float.zero_count, float.sum) = (self.count as f64, self.zero_count as f64, self.sum);
        float.positive_buckets.clear();
        float.positive_buckets.extend(Self::absolutes(&self.positive_buckets).map(|count| count as f64));
        float.negative_buckets.clear();
        float.negative_buckets.extend(Self::absolutes(&self.negative_buckets).map(|count| count as f64));
    }

    #[must_use]
    pub fn to_float(&self) -> FloatHistogram {
        let mut float = FloatHistogram::default();
        self.to_float_in(&mut float);
        float
    }
}

fn same_bits(left: &[f64], right: &[f64]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(left, right)| left.to_bits() == right.to_bits())
}

#[cfg(test)]
mod histogram_test;
