//! The querier over real heads: merging, clipping, limits.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use model::{MatchOp, Matcher, TimeRange, stale_marker};
use promql::{Select, SelectError, SelectHints, Series, Values};
use proptest::prelude::*;

use super::heads::{EVER, HeadStorage};
use super::{Querier, ReadLimits, ReadScope};
use crate::Watch;

const SAMPLES_MAX: u64 = 1_000_000;

fn watch() -> Watch {
    Watch::until(Instant::now() + Duration::from_secs(3600))
}

/// What is asked of a storage, with limits that no test meets by accident.
struct Question {
    range: TimeRange,
    samples_max: u64,
    limits: ReadLimits,
    watch: Watch,
}

impl Question {
    fn new(range: TimeRange) -> Self {
        Self { range, samples_max: SAMPLES_MAX, limits: ReadLimits::default(), watch: watch() }
    }

    fn ask(&self, storage: &HeadStorage) -> Result<Vec<Series>, SelectError> {
        let scope = ReadScope::new(self.watch.clone(), self.limits);
        let querier = Querier { storage, tenant: &storage.tenant, scope: &scope };
        let matchers = [Matcher::new("__name__", MatchOp::Equal, "m").unwrap()];
        querier.select(&promql::SelectRequest {
            matchers: &matchers,
            range: self.range,
            hints: SelectHints::default(),
            samples_max: self.samples_max,
        })
    }
}

/// Label `i` and the samples as time and bits.
fn shape(series: &[Series]) -> Vec<(String, Vec<(i64, u64)>)> {
    let bits = |one: &Series| match &one.values {
        Values::Floats(values) => one.timestamps_ms.iter().copied().zip(values.iter().map(|v| v.to_bits())).collect(),
        _ => panic!("another kind of values"),
    };
    series.iter().map(|one| (one.labels.get("i").to_owned(), bits(one))).collect()
}

fn seconds(range: std::ops::Range<i64>) -> impl Iterator<Item = (i64, f64)> {
    range.map(|second| (second * 1000, second as f64))
}

#[track_caller]
fn check(storage: &HeadStorage, range: TimeRange, expected: &[(&str, &[(i64, f64)])]) {
    let found = Question::new(range).ask(storage).unwrap();
    let bits = |samples: &[(i64, f64)]| samples.iter().map(|(time, value)| (*time, value.to_bits())).collect();
    let expected: Vec<_> = expected.iter().map(|(i, samples)| ((*i).to_owned(), bits(samples))).collect();
    assert_eq!(shape(&found), expected);
}

#[test]
fn series_of_several_heads_become_one() {
    let mut storage = HeadStorage::new(3);
    storage.append(0, &[("__name__", "m"), ("i", "b")], [(10, 1.0), (30, 3.0)]);
    storage.append(1, &[("__name__", "m"), ("i", "a")], [(5, 0.5)]);
    storage.append(1, &[("__name__", "other"), ("i", "b")], [(10, 9.0)]);
    storage.append(2, &[("__name__", "m"), ("i", "b")], [(10, 1.0), (20, 2.0), (40, 4.0)]);
    let all: &[(i64, f64)] = &[(10, 1.0), (20, 2.0), (30, 3.0), (40, 4.0)];
    check(&storage, EVER, &[("a", &[(5, 0.5)]), ("b", all)]);
    check(&storage, TimeRange { min_ms: 11, max_ms: 30 }, &[("b", &all[1..3])]);
    check(&storage, TimeRange { min_ms: 30, max_ms: 30 }, &[("b", &all[2..3])]);
    check(&storage, TimeRange { min_ms: 41, max_ms: 99 }, &[]);
    check(&storage, TimeRange { min_ms: 6, max_ms: 9 }, &[]);
    check(&storage, TimeRange { min_ms: 9, max_ms: 6 }, &[]);
}

#[test]
fn of_two_values_at_one_time_the_same_is_shown_whatever_the_order() {
    for (first, second) in [(0, 1), (1, 0)] {
        let mut storage = HeadStorage::new(2);
        storage.append(
            first,
            &[("__name__", "m")],
            [(1, stale_marker()), (2, 1.0), (3, f64::NAN), (4, stale_marker())],
        );
        storage.append(second, &[("__name__", "m")], [(1, 7.0), (2, 2.0), (3, 3.0), (4, stale_marker())]);
        check(&storage, EVER, &[("", &[(1, 7.0), (2, 2.0), (3, f64::NAN), (4, stale_marker())])]);
    }
}

#[test]
fn long_series_are_clipped_at_both_ends() {
    let mut storage = HeadStorage::new(1);
    storage.append(0, &[("__name__", "m")], seconds(0..1000));
    let found = Question::new(TimeRange { min_ms: 100_500, max_ms: 899_999 }).ask(&storage).unwrap();
    let expected: Vec<(i64, u64)> = seconds(101..900).map(|(time, value)| (time, value.to_bits())).collect();
    assert_eq!(shape(&found), [(String::new(), expected)]);
}

#[test]
fn limits_end_a_selection() {
    let mut storage = HeadStorage::new(2);
    for index in 0..10 {
        storage.append(index % 2, &[("__name__", "m"), ("i", &index.to_string())], seconds(0..100));
    }
    let half = TimeRange { min_ms: 0, max_ms: 49_999 };
    let ask = |samples_max, series_max, chunk_bytes_max, range| {
        let limits = ReadLimits { series_max, chunk_bytes_max };
        Question { samples_max, limits, ..Question::new(range) }.ask(&storage).map(|series| series.len())
    };
    let limit = |what: &str| Err(SelectError::Limit(format!("the query exceeded the maximum number of {what}")));
    assert_eq!(ask(1000, 10, 1 << 20, EVER), Ok(10));
    assert_eq!(ask(999, 10, 1 << 20, EVER), Err(SelectError::TooManySamples));
    assert_eq!(ask(500, 10, 1 << 20, half), Ok(10));
    assert_eq!(ask(499, 10, 1 << 20, half), Err(SelectError::TooManySamples));
    assert_eq!(ask(1000, 9, 1 << 20, EVER), limit("series (limit: 9 series)"));
    assert_eq!(ask(1000, 10, 1000, EVER), limit("chunk bytes (limit: 1000 bytes)"));
}

#[test]
fn nobody_reads_on_for_a_client_that_left() {
    let mut storage = HeadStorage::new(1);
    storage.append(0, &[("__name__", "m")], seconds(0..10));
    let question = Question::new(EVER);
    question.watch.cancel();
    assert_eq!(question.ask(&storage).unwrap_err(), SelectError::Interrupted);
}

proptest! {
    /// Samples are spread over heads, some to both; what comes back is a map of them.
    #[test]
    fn every_sample_comes_back_once(
        samples in proptest::collection::btree_map(0i64..2_000, (any::<f64>(), 1usize..4), 0..400),
        min_ms in -10i64..2_010,
        width in 0i64..2_010,
    ) {
        let mut storage = HeadStorage::new(2);
        for head in 0..2 {
            let own = samples.iter().filter(|(_, (_, mask))| mask & (1 << head) != 0);
            storage.append(head, &[("__name__", "m")], own.map(|(time, (value, _))| (*time, *value)));
        }
        let range = TimeRange { min_ms, max_ms: min_ms + width };
        let found = shape(&Question::new(range).ask(&storage).unwrap());
        let expected: BTreeMap<i64, u64> =
            samples.range(min_ms..=range.max_ms).map(|(time, (value, _))| (*time, value.to_bits())).collect();
        let found: Vec<(i64, u64)> = found.into_iter().flat_map(|(_, samples)| samples).collect();
        prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
    }
}
