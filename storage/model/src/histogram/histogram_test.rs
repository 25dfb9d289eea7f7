//! Which histograms pass, that compaction changes no count, and that spans merge and spread as they should.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::stale_marker;

fn span(offset: i32, length: u32) -> Span {
    Span { offset, length }
}

/// 2 in the zero bucket; buckets 0, 1 and 4 hold 3, 4 and 2; negative buckets -1 and 0 hold 5 and 3.
fn exponential() -> IntHistogram {
    NativeHistogram {
        layout: HistogramLayout {
            schema: 2,
            zero_threshold: 2f64.powi(-128),
            positive_spans: vec![span(0, 2), span(2, 1)],
            negative_spans: vec![span(-1, 2)],
            custom_bounds: Vec::new(),
        },
        counter_reset_hint: CounterResetHint::Unknown,
        count: 19,
        zero_count: 2,
        sum: 12.5,
        positive_buckets: vec![3, 1, -2],
        negative_buckets: vec![5, -2],
    }
}

fn custom() -> IntHistogram {
    NativeHistogram {
        layout: HistogramLayout {
            schema: SCHEMA_CUSTOM,
            positive_spans: vec![span(0, 2), span(1, 1)],
            custom_bounds: vec![0.1, 1.0, 2.5],
            ..HistogramLayout::default()
        },
        count: 6,
        sum: 4.0,
        positive_buckets: vec![1, 1, 1],
        ..NativeHistogram::default()
    }
}

#[track_caller]
fn check<C: HistogramCount>(
    mut histogram: NativeHistogram<C>,
    change: impl FnOnce(&mut NativeHistogram<C>),
    wanted: Result<(), HistogramError>,
) {
    assert_eq!(histogram.check(), Ok(()), "before the change");
    change(&mut histogram);
    assert_eq!(histogram.check(), wanted);
}

#[test]
fn layouts_are_judged() {
    use HistogramError as E;
    for schema in [SCHEMA_MIN, SCHEMA_MAX] {
        check(exponential(), |h| h.layout.schema = schema, Ok(()));
    }
    for schema in [SCHEMA_MIN - 1, SCHEMA_MAX + 1, -52, i32::MAX] {
        check(exponential(), |h| h.layout.schema = schema, Err(E::InvalidSchema { schema }));
    }
    check(exponential(), |h| h.layout.positive_spans[0].length = 1, Err(E::SpansBucketsMismatch { named: 2, held: 3 }));
    check(exponential(), |h| h.negative_buckets.truncate(1), Err(E::SpansBucketsMismatch { named: 2, held: 1 }));
    check(exponential(), |h| h.layout.positive_spans[1].offset = -1, Err(E::NegativeOffset { span: 1 }));
    check(exponential(), |h| h.layout.positive_spans[0].offset = -7, Ok(()));
    check(exponential(), |h| h.layout.positive_spans[0].offset = i32::MIN, Err(E::IndexOutOfRange { span: 0 }));
    check(exponential(), |h| h.layout.positive_spans[1].offset = i32::MAX, Err(E::IndexOutOfRange { span: 1 }));
    check(exponential(), |h| h.layout.positive_spans.push(span(3, 0)), Ok(()));
    check(exponential(), |h| h.layout.custom_bounds.push(1.0), Err(E::BoundsOfExponential));
    let buckets = BUCKETS_MAX as u64 + 2;
    let widen = |h: &mut IntHistogram| {
        h.layout.positive_spans = vec![span(0, BUCKETS_MAX as u32)];
        h.positive_buckets = vec![0; BUCKETS_MAX];
    };
    check(exponential(), widen, Err(E::TooManyBuckets { buckets }));
}

#[test]
fn counts_are_judged() {
    use HistogramError as E;
    check(exponential(), |h| h.count = 20, Err(E::CountMismatch { count: 20, in_buckets: 19 }));
    check(exponential(), |h| (h.count, h.sum) = (20, f64::NAN), Ok(()));
    check(exponential(), |h| (h.count, h.sum) = (18, f64::NAN), Err(E::CountTooSmall { count: 18, in_buckets: 19 }));
    check(exponential(), |h| h.positive_buckets[2] = -5, Err(E::NegativeBucket { bucket: 2 }));
    check(exponential(), |h| h.negative_buckets[0] = -1, Err(E::NegativeBucket { bucket: 0 }));
    check(exponential(), |h| h.positive_buckets[0] = i64::MAX, Err(E::CountOverflow));
    check(exponential(), |h| h.zero_count = u64::MAX, Err(E::CountOverflow));
    check(exponential(), IntHistogram::set_stale, Ok(()));

    let float = || exponential().to_float();
    check(float(), |h| h.count = 1e9, Ok(()));
    check(float(), |h| h.count = -0.5, Err(E::NegativeCount));
    check(float(), |h| h.zero_count = -0.5, Err(E::NegativeCount));
    check(float(), |h| h.positive_buckets[2] = -0.5, Err(E::NegativeBucket { bucket: 2 }));
    check(float(), |h| h.negative_buckets[1] = f64::NAN, Ok(()));
    check(float(), FloatHistogram::set_stale, Ok(()));
}

#[test]
fn custom_buckets_are_judged() {
    use HistogramError as E;
    check(custom(), |h| h.layout.custom_bounds[1] = f64::NAN, Err(E::BoundNotANumber { bound: 1 }));
    check(custom(), |h| h.layout.custom_bounds[2] = 1.0, Err(E::BoundsNotAscending { bound: 2 }));
    check(custom(), |h| h.layout.custom_bounds[2] = f64::INFINITY, Err(E::BoundInfinite));
    check(custom(), |h| h.layout.custom_bounds[0] = f64::NEG_INFINITY, Ok(()));
    check(custom(), |h| h.layout.custom_bounds.truncate(2), Err(E::TooFewBounds { bounds: 2, reach: 4 }));
    check(custom(), |h| h.layout.positive_spans[0].offset = 1, Err(E::TooFewBounds { bounds: 3, reach: 5 }));
    check(custom(), |h| h.layout.positive_spans[0].offset = -1, Err(E::NegativeOffset { span: 0 }));
    check(custom(), |h| h.layout.zero_threshold = 0.1, Err(E::CustomWithZeroBucket));
    check(custom(), |h| h.zero_count = 1, Err(E::CustomWithZeroBucket));
    check(custom(), |h| h.layout.negative_spans.push(span(0, 0)), Err(E::CustomWithNegative));
    check(custom(), |h| h.negative_buckets.push(0), Err(E::CustomWithNegative));
    check(custom(), |h| h.count = 7, Err(E::CountMismatch { count: 7, in_buckets: 6 }));
}

#[test]
fn floats_hold_the_counts_of_integers() {
    let float = exponential().to_float();
    assert_eq!(float.layout, exponential().layout);
    assert_eq!((float.count, float.zero_count, float.sum), (19.0, 2.0, 12.5));
    assert_eq!((float.positive_buckets, float.negative_buckets), (vec![3.0, 4.0, 2.0], vec![5.0, 3.0]));
}

#[track_caller]
fn check_equal(change: impl FnOnce(&mut FloatHistogram), is_equal: bool, is_same_value: bool) {
    let (original, mut changed) = (exponential().to_float(), exponential().to_float());
    change(&mut changed);
    assert_eq!(original == changed, is_equal);
    assert_eq!(original.is_same_value(&changed), is_same_value);
}

#[test]
fn equality_is_to_the_bit() {
    check_equal(|_| {}, true, true);
    check_equal(|h| h.counter_reset_hint = CounterResetHint::Gauge, false, true);
    check_equal(|h| h.layout.positive_spans = vec![span(0, 1), span(0, 1), span(1, 0), span(1, 1)], false, true);
    check_equal(|h| h.layout.positive_spans[1].offset = 3, false, false);
    check_equal(|h| h.layout.schema = 1, false, false);
    check_equal(|h| h.layout.zero_threshold = 0.0, false, false);
    check_equal(|h| h.layout.custom_bounds = vec![1.0], false, false);
    check_equal(|h| h.count += 1.0, false, false);
    check_equal(|h| h.zero_count = -0.0, false, false);
    check_equal(|h| h.sum = f64::NAN, false, false);
    check_equal(|h| h.positive_buckets[1] = 0.0, false, false);
    check_equal(FloatHistogram::set_stale, false, false);

    let mut nan = exponential();
    nan.sum = f64::NAN;
    assert_eq!(nan, nan.clone());
    let mut stale = exponential();
    stale.sum = stale_marker();
    let empty = IntHistogram { sum: stale_marker(), ..IntHistogram::default() };
    assert!(stale.is_same_value(&empty) && stale != empty, "only its sum means anything");
}

#[track_caller]
fn check_compact(
    (spans, buckets): (&[Span], &[i64]),
    empty_run_max: u32,
    (wanted_spans, wanted_buckets): (&[Span], &[i64]),
) {
    let mut histogram = IntHistogram::default();
    (histogram.layout.positive_spans, histogram.positive_buckets) = (spans.to_vec(), buckets.to_vec());
    histogram.compact(empty_run_max);
    assert_eq!(histogram.layout.positive_spans, wanted_spans);
    assert_eq!(histogram.positive_buckets, wanted_buckets);
}

#[test]
fn empty_buckets_go() {
    let wide = (&[span(-2, 6)][..], &[0, 3, -3, 0, 2, -2][..]);
    check_compact(wide, 0, (&[span(-1, 1), span(2, 1)], &[3, -1]));
    check_compact(wide, 1, (&[span(-1, 1), span(2, 1)], &[3, -1]));
    check_compact(wide, 2, (&[span(-1, 4)], &[3, -3, 0, 2]));
    check_compact((&[span(1, 1), span(2, 1)], &[1, 0]), 2, (&[span(1, 4)], &[1, -1, 0, 1]));
    check_compact((&[span(1, 1), span(0, 0), span(0, 1), span(9, 0)], &[1, 0]), 0, (&[span(1, 2)], &[1, 0]));
    check_compact((&[span(5, 2), span(1, 1)], &[0, 0, 0]), 3, (&[], &[]));
}

#[track_caller]
fn check_reduced(
    (schema, spans, buckets): (i32, &[Span], &[i64]),
    (wanted_schema, wanted_spans, wanted_buckets): (i32, &[Span], &[i64]),
) {
    let mut histogram = IntHistogram::default();
    histogram.layout.schema = schema;
    (histogram.layout.positive_spans, histogram.positive_buckets) = (spans.to_vec(), buckets.to_vec());
    (histogram.layout.negative_spans, histogram.negative_buckets) = (spans.to_vec(), buckets.to_vec());
    let mut float = histogram.to_float();
    histogram.reduce_resolution(wanted_schema);
    float.reduce_resolution(wanted_schema);
    assert_eq!(histogram.layout.schema, wanted_schema);
    assert_eq!((&histogram.layout.positive_spans[..], &histogram.positive_buckets[..]), (wanted_spans, wanted_buckets));
    assert_eq!((&histogram.layout.negative_spans[..], &histogram.negative_buckets[..]), (wanted_spans, wanted_buckets));
    assert_eq!(float, histogram.to_float());
}

/// Worked by hand from the bounds: at schema 0 bucket i is (2^(i-1), 2^i], at schema -1 it is (4^(i-1), 4^i].
#[test]
fn coarser_buckets_hold_the_same() {
    // Counts 1, 3, 1, 2 in buckets 0 to 3 and 1, 1 in 7 and 8: 0 alone, 1 and 2 together, 3 with the missing 4, 7 and 8.
    let fine = (0, &[span(0, 4), span(0, 0), span(3, 2)][..], &[1, 2, -2, 1, -1, 0][..]);
    check_reduced(fine, (-1, &[span(0, 3), span(1, 1)], &[1, 3, -2, 0]));
    check_reduced(fine, (0, &[span(0, 4), span(3, 2)], &[1, 2, -2, 1, -1, 0]));
    check_reduced(fine, (-4, &[span(0, 2)], &[1, 7]));
    check_reduced((52, &[span(-9, 20)], &[1; 20]), (-4, &[span(0, 2)], &[55, 100]));
    check_reduced((3, &[span(-3, 2)], &[0, 0]), (2, &[span(-1, 1)], &[0]));
}

/// Counts by bucket index, empty buckets left out.
fn by_index(spans: &[Span], buckets: &[i64]) -> BTreeMap<i64, i64> {
    bucket_indexes(spans).zip(IntHistogram::absolutes(buckets)).filter(|(_, count)| *count != 0).collect()
}

fn any_side() -> impl Strategy<Value = (Vec<Span>, Vec<i64>)> {
    let spans = proptest::collection::vec((0i32..4, 0u32..4), 0..6);
    (spans, -9i32..9, proptest::collection::vec(prop_oneof![Just(0i64), 0i64..5], 24)).prop_map(
        |(spans, first, counts)| {
            let mut spans: Vec<Span> = spans.into_iter().map(|(offset, length)| span(offset, length)).collect();
            if let Some(span) = spans.first_mut() {
                span.offset = first;
            }
            let named = bucket_total(&spans) as usize;
            let mut before = 0;
            let buckets = counts[..named].iter().map(|count| count - std::mem::replace(&mut before, *count)).collect();
            (spans, buckets)
        },
    )
}

fn is_shortest(spans: &[Span]) -> bool {
    spans.iter().all(|span| span.length > 0) && spans.iter().skip(1).all(|span| span.offset > 0)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn compaction_changes_no_count((spans, buckets) in any_side(), empty_run_max in 0u32..4) {
        let mut histogram = IntHistogram::default();
        (histogram.layout.positive_spans, histogram.positive_buckets) = (spans.clone(), buckets.clone());
        histogram.compact(empty_run_max);
        let layout = &histogram.layout;
        prop_assert_eq!(by_index(&spans, &buckets), by_index(&layout.positive_spans, &histogram.positive_buckets));
        prop_assert!(is_shortest(&layout.positive_spans));
        prop_assert_eq!(check_spans(&layout.positive_spans), Ok(histogram.positive_buckets.len() as u64));
        let once = histogram.clone();
        histogram.compact(empty_run_max);
        prop_assert_eq!(once, histogram);
    }

    #[test]
    fn merged_spans_hold_both((left, left_buckets) in any_side(), (right, right_buckets) in any_side()) {
        let merged = merge_spans(&left, &right);
        prop_assert!(is_shortest(&merged));
        let mut both: Vec<i64> = bucket_indexes(&left).chain(bucket_indexes(&right)).collect();
        both.sort_unstable();
        both.dedup();
        prop_assert_eq!(bucket_indexes(&merged).collect::<Vec<_>>(), both);
        for (spans, buckets) in [(left, left_buckets), (right, right_buckets)] {
            let mut spread = vec![7];
            spread_buckets::<u64>(&spans, &buckets, &merged, &mut spread);
            prop_assert_eq!(spread[0], 7);
            prop_assert_eq!(by_index(&merged, &spread[1..]), by_index(&spans, &buckets));
        }
    }
}
