//! Which native histograms are acceptable: Prometheus' rules (`Validate` of `model/histogram`), and our own limit of buckets.

use super::{
    BUCKETS_MAX, FloatHistogram, HistogramCount, HistogramLayout, IntHistogram, NativeHistogram, SCHEMA_MAX,
    SCHEMA_MIN, Span,
};

/// Why a histogram is refused. Spans, buckets and bounds are counted from 0.
#[derive(Clone, Copy, PartialEq, Debug, thiserror::Error)]
pub enum HistogramError {
    #[error("schema {schema} is neither between -4 and 8 (exponential) nor -53 (custom buckets)")]
    InvalidSchema { schema: i32 },
    #[error("spans name {named} buckets, but {held} are there")]
    SpansBucketsMismatch { named: u64, held: usize },
    #[error("span {span} has a negative offset")]
    NegativeOffset { span: usize },
    #[error("span {span} leaves the range of bucket indexes")]
    IndexOutOfRange { span: usize },
    #[error("{buckets} buckets are more than {BUCKETS_MAX}")]
    TooManyBuckets { buckets: u64 },
    #[error("bucket {bucket} has a negative count")]
    NegativeBucket { bucket: usize },
    #[error("the count of observations or of the zero bucket is negative")]
    NegativeCount,
    #[error("the buckets hold {in_buckets} observations, more than the count of {count}")]
    CountTooSmall { count: u64, in_buckets: u64 },
    #[error("the buckets hold {in_buckets} observations, but the count is {count}")]
    CountMismatch { count: u64, in_buckets: u64 },
    #[error("the buckets hold more observations than 64 bits can count")]
    CountOverflow,
    #[error("custom bound {bound} is not a number")]
    BoundNotANumber { bound: usize },
    #[error("custom bound {bound} is not larger than the one before")]
    BoundsNotAscending { bound: usize },
    #[error("the last custom bound is infinite; that bucket is there without a bound")]
    BoundInfinite,
    #[error("{bounds} custom bounds are too few for spans that reach {reach} buckets")]
    TooFewBounds { bounds: usize, reach: u64 },
    #[error("custom buckets go with a zero bucket of count and threshold 0")]
    CustomWithZeroBucket,
    #[error("custom buckets have no negative side")]
    CustomWithNegative,
    #[error("custom bounds do not go with an exponential schema")]
    BoundsOfExponential,
}

impl<C: HistogramCount> NativeHistogram<C> {
    /// Whether the histogram holds together. A stale marker is judged like any other: an empty one passes.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn check(&self) -> Result<(), HistogramError> {
        let layout = &self.layout;
        match layout.schema {
            super::SCHEMA_CUSTOM => self.check_custom()?,
            SCHEMA_MIN..=SCHEMA_MAX if !layout.custom_bounds.is_empty() => {
                return Err(HistogramError::BoundsOfExponential);
            }
            SCHEMA_MIN..=SCHEMA_MAX => {}
            schema => return Err(HistogramError::InvalidSchema { schema }),
        }
        let positive = check_side(&layout.positive_spans, self.positive_buckets.len())?;
        let negative = check_side(&layout.negative_spans, self.negative_buckets.len())?;
        if positive + negative > BUCKETS_MAX as u64 {
            return Err(HistogramError::TooManyBuckets { buckets: positive + negative });
        }
        C::check_counts(self)
    }

    fn check_custom(&self) -> Result<(), HistogramError> {
        let layout = &self.layout;
        check_bounds(&layout.custom_bounds)?;
        if self.zero_count != C::default() || layout.zero_threshold != 0.0 {
            return Err(HistogramError::CustomWithZeroBucket);
        }
        if !layout.negative_spans.is_empty() || !self.negative_buckets.is_empty() {
            return Err(HistogramError::CustomWithNegative);
        }
        check_reach(layout)
    }
}

fn check_bounds(bounds: &[f64]) -> Result<(), HistogramError> {
    if let Some(bound) = bounds.iter().position(|bound| bound.is_nan()) {
        return Err(HistogramError::BoundNotANumber { bound });
    }
    if let Some(before) = bounds.windows(2).position(|pair| pair[1] <= pair[0]) {
        return Err(HistogramError::BoundsNotAscending { bound: before + 1 });
    }
    match bounds.last() {
        Some(&f64::INFINITY) => Err(HistogramError::BoundInfinite),
        _ => Ok(()),
    }
}

/// Each bucket needs its bound; the last one is infinite and implied.
fn check_reach(layout: &HistogramLayout) -> Result<(), HistogramError> {
    let mut reach = 0;
    for (span, Span { offset, length }) in layout.positive_spans.iter().enumerate() {
        let offset = u32::try_from(*offset).map_err(|_| HistogramError::NegativeOffset { span })?;
        reach += u64::from(offset) + u64::from(*length);
    }
    let bounds = layout.custom_bounds.len();
    if bounds as u64 + 1 < reach { Err(HistogramError::TooFewBounds { bounds, reach }) } else { Ok(()) }
}

fn check_side(spans: &[Span], held: usize) -> Result<u64, HistogramError> {
    let named = check_spans(spans)?;
    if named != held as u64 {
        return Err(HistogramError::SpansBucketsMismatch { named, held });
    }
    Ok(named)
}

/// Bucket indexes stay within this distance of 0, so that the gap between any two fits the 32 bits of an offset. No float
/// reaches beyond 275,000 at the finest schema.
const INDEX_MAX: i64 = 1 << 29;

/// How many buckets the spans name, if they ascend and stay within the range of indexes.
///
/// # Errors
/// [`HistogramError::NegativeOffset`] or [`HistogramError::IndexOutOfRange`].
pub fn check_spans(spans: &[Span]) -> Result<u64, HistogramError> {
    let mut next_index = 0i64;
    let mut named = 0;
    for (span, Span { offset, length }) in spans.iter().enumerate() {
        if span > 0 && *offset < 0 {
            return Err(HistogramError::NegativeOffset { span });
        }
        let first_index = next_index + i64::from(*offset);
        next_index = first_index + i64::from(*length);
        if first_index < -INDEX_MAX || next_index > INDEX_MAX {
            return Err(HistogramError::IndexOutOfRange { span });
        }
        named += u64::from(*length);
    }
    Ok(named)
}

/// No bucket is negative, and all of them are the count; observations of NaN are counted, but are in no bucket.
pub(super) fn check_whole_counts(histogram: &IntHistogram) -> Result<(), HistogramError> {
    let mut in_buckets = histogram.zero_count;
    for buckets in [&histogram.negative_buckets, &histogram.positive_buckets] {
        let mut before = 0i64;
        for (bucket, delta) in buckets.iter().enumerate() {
            before = before.checked_add(*delta).ok_or(HistogramError::CountOverflow)?;
            let count = u64::try_from(before).map_err(|_| HistogramError::NegativeBucket { bucket })?;
            in_buckets = in_buckets.checked_add(count).ok_or(HistogramError::CountOverflow)?;
        }
    }
    let count = histogram.count;
    if histogram.sum.is_nan() && in_buckets > count {
        return Err(HistogramError::CountTooSmall { count, in_buckets });
    }
    if !histogram.sum.is_nan() && in_buckets != count {
        return Err(HistogramError::CountMismatch { count, in_buckets });
    }
    Ok(())
}

/// No count is negative. They need not add up: floats come from arithmetic.
pub(super) fn check_float_counts(histogram: &FloatHistogram) -> Result<(), HistogramError> {
    if histogram.count < 0.0 || histogram.zero_count < 0.0 {
        return Err(HistogramError::NegativeCount);
    }
    for buckets in [&histogram.negative_buckets, &histogram.positive_buckets] {
        if let Some(bucket) = buckets.iter().position(|count| *count < 0.0) {
            return Err(HistogramError::NegativeBucket { bucket });
        }
    }
    Ok(())
}
