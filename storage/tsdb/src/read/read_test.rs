//! Cursors: steps, ranges, costs, and a head that grows between two steps.

use model::{MatchOp, Matcher, SeriesRef, TimeRange};

use super::{NamesQuestion, SeriesSnapshot, StepCost};
use crate::head::fixture::{Decoded, EVER, Tenant, decode, sample};
use crate::head::{CHUNK_RANGE_MS, Horizon};

fn all_named(name: &str) -> [Matcher; 1] {
    [Matcher::new("__name__", MatchOp::Equal, name).unwrap()]
}

/// Ten series `m{i="0"}` ..; series i has samples at 1000, 2000, .. up to (i + 1) * 100 of them.
fn ten_series() -> Tenant {
    let mut tenant = Tenant::new();
    for index in 0..10 {
        let series = tenant.define(&[("__name__", "m"), ("i", &index.to_string())]);
        append(&mut tenant, series, 1..=(index + 1) * 100);
    }
    tenant
}

fn append(tenant: &mut Tenant, series: SeriesRef, steps: std::ops::RangeInclusive<i64>) {
    for step in steps {
        tenant.head.append(series, sample(step * 1000, step as f64), Horizon::NONE).unwrap();
    }
}

fn samples(snapshot: &SeriesSnapshot) -> Decoded {
    snapshot.chunks.iter().flat_map(|chunk| decode(&chunk.bytes)).collect()
}

#[test]
fn steps_are_bounded_and_the_cursor_outlives_growth() {
    let mut tenant = ten_series();
    let mut cursor = tenant.select(&all_named("m"), EVER);
    let mut found = Vec::new();
    let mut steps = Vec::new();
    while !cursor.is_done() {
        let before = found.len();
        cursor.next(&tenant.head, &tenant.symbols, 4, &mut found);
        steps.push(found.len() - before);
        // Between the steps a series grows over the end of its chunk, and another one is born.
        append(&mut tenant, SeriesRef(9), 1001 + 150 * (steps.len() as i64 - 1)..=1000 + 150 * steps.len() as i64);
        tenant.define(&[("__name__", "m"), ("i", &format!("new{}", steps.len()))]);
    }
    assert_eq!(steps, [4, 4, 2]);
    for (index, snapshot) in found.iter().enumerate() {
        assert_eq!(snapshot.labels.get("i"), index.to_string());
        let count = if index == 9 { 1300 } else { (index + 1) * 100 };
        let expected: Decoded = (1..=count as i64).map(|step| (step * 1000, (step as f64).to_bits())).collect();
        assert_eq!(samples(snapshot), expected, "series {index} as of its own step");
    }
}

/// What was handed out does not change: the open chunk is a copy.
#[test]
fn snapshots_are_immutable() {
    let mut tenant = ten_series();
    let mut found = Vec::new();
    tenant.select(&all_named("m"), EVER).next(&tenant.head, &tenant.symbols, 1, &mut found);
    append(&mut tenant, SeriesRef(0), 101..=300);
    assert_eq!(samples(&found[0]).len(), 100);
}

#[track_caller]
fn check_range(tenant: &Tenant, (min_ms, max_ms): (i64, i64), expected: &[(usize, usize)]) {
    let range = TimeRange { min_ms, max_ms };
    let mut cursor = tenant.select(&all_named("m"), range);
    let cost = cursor.cost(&tenant.head, 1000);
    let (mut found, mut labels) = (Vec::new(), Vec::new());
    tenant.select(&all_named("m"), range).next_labels(&tenant.head, &tenant.symbols, 1000, &mut labels);
    cursor.next(&tenant.head, &tenant.symbols, 1000, &mut found);
    assert!(cursor.is_done());
    let shape = |s: &SeriesSnapshot| (s.labels.get("i").parse::<usize>().unwrap(), s.chunks.len());
    assert_eq!(found.iter().map(shape).collect::<Vec<_>>(), expected, "{range:?}");
    assert_eq!(labels, found.iter().map(|s| s.labels.clone()).collect::<Vec<_>>());
    for chunk in found.iter().flat_map(|s| &s.chunks) {
        let samples = decode(&chunk.bytes);
        assert_eq!((chunk.range.min_ms, chunk.range.max_ms), (samples[0].0, samples[samples.len() - 1].0));
        assert!(chunk.range.overlaps(&range));
    }
    let bytes: usize = found.iter().flat_map(|s| &s.chunks).map(|chunk| chunk.bytes.len()).sum();
    assert_eq!(cost.copied_bytes + cost.referenced_bytes, bytes as u64, "told before as handed out after");
}

#[test]
fn only_chunks_that_overlap_the_range_are_handed_out() {
    let tenant = ten_series();
    let all: Vec<(usize, usize)> = (0..10).map(|i: usize| (i, ((i + 1) * 100).div_ceil(120))).collect();
    check_range(&tenant, (i64::MIN, i64::MAX), &all);
    check_range(&tenant, (0, 999), &[]);
    check_range(&tenant, (1_000_001, i64::MAX), &[]);
    check_range(&tenant, (1_000_000, i64::MAX), &[(9, 1)]);
    check_range(&tenant, (900_000, 900_000), &[(8, 1), (9, 1)]);
    // 120 is the last of the first chunk, 121 the first of the second.
    check_range(&tenant, (120_000, 120_000), &(1..10).map(|i| (i, 1)).collect::<Vec<_>>());
    check_range(&tenant, (120_000, 121_000), &(1..10).map(|i| (i, 2)).collect::<Vec<_>>());
    check_range(&tenant, (120_001, 120_999), &[]);
    check_range(&tenant, (240_500, 481_500), &[(2, 1), (3, 2), (4, 3), (5, 3), (6, 3), (7, 3), (8, 3), (9, 3)]);
    check_range(&tenant, (10, 5), &[]);
}

#[test]
fn costs_tell_copies_from_references() {
    let tenant = ten_series();
    let mut cursor = tenant.select(&all_named("m"), EVER);
    let first = cursor.cost(&tenant.head, 1);
    assert!(first.copied_bytes > 100 && first.referenced_bytes == 0, "{first:?}");
    cursor.next(&tenant.head, &tenant.symbols, 9, &mut Vec::new());
    let last = cursor.cost(&tenant.head, 5);
    assert!(last.copied_bytes > 10 && last.referenced_bytes > 8 * last.copied_bytes / 2, "{last:?}");
    cursor.next(&tenant.head, &tenant.symbols, 9, &mut Vec::new());
    assert_eq!((cursor.is_done(), cursor.cost(&tenant.head, 5)), (true, StepCost::default()));
}

#[test]
fn names_and_values_know_the_range_of_the_head_only() {
    let mut tenant = ten_series();
    tenant.define(&[("__name__", "other"), ("zone", "a")]);
    let names = |matchers: &[Matcher], range| tenant.names(&NamesQuestion::Names, matchers, range);
    let values = |name: &str, matchers: &[Matcher]| tenant.names(&NamesQuestion::ValuesOf(name.into()), matchers, EVER);
    assert_eq!(names(&[], EVER), ["__name__", "i", "zone"]);
    assert_eq!(names(&all_named("m"), EVER), ["__name__", "i"]);
    assert_eq!(values("__name__", &[]), ["m", "other"]);
    assert_eq!(values("__name__", &all_named("m")), ["m"]);
    assert_eq!(values("i", &[]).len(), 10);
    assert_eq!(values("missing", &[]), [""; 0]);
    let later = TimeRange { min_ms: CHUNK_RANGE_MS, max_ms: i64::MAX };
    assert_eq!(names(&[], later), [""; 0]);
    assert!(Tenant::new().names(&NamesQuestion::Names, &[], EVER).is_empty(), "a head without samples covers nothing");
}
