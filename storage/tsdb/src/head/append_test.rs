//! The table of acceptance, cell by cell, and a head of few series against a model that keeps every sample in a map.

use std::collections::BTreeMap;

use model::{FingerprintKey, RejectReason, Sample, SeriesRef, TimeRange, stale_marker};
use proptest::prelude::*;

use super::fixture::{EVER, Tenant, decoded, sample};
use super::{Appended, CHUNK_RANGE_MS, Horizon, Reading, SAMPLES_PER_CHUNK};

type Outcome = Result<Appended, RejectReason>;

const IN_ORDER: Outcome = Ok(Appended::InOrder);
const EQUAL: Outcome = Ok(Appended::Equal);
const DUPLICATE: Outcome = Err(RejectReason::DuplicateTimestamp);
const LATE: Outcome = Ok(Appended::Late);
const TOO_OLD: Outcome = Err(RejectReason::SampleTooOld);
const OUT_OF_ORDER: Outcome = Err(RejectReason::SampleOutOfOrder);
const FUTURE: Outcome = Err(RejectReason::TooFarInFuture);

/// What the series holds before the sample comes.
#[derive(Clone, Copy, Debug)]
enum State {
    Empty,
    /// 1000, 2000, .. 10000, value = time.
    Open,
    /// As `Open`, then a stale marker at 11000.
    EndedStale,
    /// 1000, 2000, .. 300000: chunks of 1..=120, 121..=240 sealed, 241..=300 open.
    Sealed,
    /// As `Open`, and late samples between: 500, 1500, .. 8500, eight of which are a chunk.
    Late,
    /// 1000 .. 5000 sealed by the end of the aligned range, then one sample a minute into the second range after it.
    Gap,
}

const GAP_END_MS: i64 = 2 * CHUNK_RANGE_MS + 60_000;

fn samples_of(state: State) -> Vec<Sample> {
    let steps = |count: i64| (1..=count).map(|i| sample(1000 * i, (1000 * i) as f64));
    match state {
        State::Empty => Vec::new(),
        State::Open => steps(10).collect(),
        State::EndedStale => steps(10).chain([sample(11_000, stale_marker())]).collect(),
        State::Sealed => steps(300).collect(),
        State::Late => steps(10).chain((0..9).map(|i| sample(1000 * i + 500, 0.25))).collect(),
        State::Gap => steps(5).chain([sample(GAP_END_MS, 1.0)]).collect(),
    }
}

/// Appends to a head that has the samples of the state; the window is 0.
#[track_caller]
fn check(state: State, sample: (i64, f64), latest_ms: i64, expected: Outcome) {
    check_within(state, sample, Horizon { latest_ms, window_ms: 0 }, expected);
}

#[track_caller]
fn check_within(state: State, (timestamp_ms, value): (i64, f64), horizon: Horizon, expected: Outcome) {
    let mut tenant = Tenant::new();
    let series = tenant.define(&[("__name__", "m")]);
    for sample in samples_of(state) {
        assert!(matches!(tenant.head.append(series, sample, Horizon::NONE), IN_ORDER | LATE));
    }
    let mut samples = decoded(&tenant, series);
    let outcome = tenant.head.append(series, sample(timestamp_ms, value), horizon);
    assert_eq!(outcome, expected, "{state:?}: {value} at {timestamp_ms}, {horizon:?}");
    samples.extend(matches!(expected, IN_ORDER | LATE).then_some((timestamp_ms, value.to_bits())));
    samples.sort_by_key(|sample| sample.0);
    assert_eq!(decoded(&tenant, series), samples, "only what is new changes the chunks");
}

const FAR: i64 = i64::MAX;

#[test]
fn an_empty_series_takes_any_time_up_to_the_horizon() {
    for timestamp_ms in [i64::MIN, -1, 0, 1, 1_700_000_000_000, i64::MAX] {
        check(State::Empty, (timestamp_ms, 1.0), FAR, IN_ORDER);
    }
    check(State::Empty, (500, 1.0), 500, IN_ORDER);
    check(State::Empty, (501, 1.0), 500, FUTURE);
}

#[test]
fn later_samples_are_in_order_up_to_the_horizon() {
    for (state, end_ms) in
        [(State::Open, 10_000), (State::EndedStale, 11_000), (State::Sealed, 300_000), (State::Gap, GAP_END_MS)]
    {
        check(state, (end_ms + 1, 7.0), FAR, IN_ORDER);
        check(state, (end_ms + 1, 7.0), end_ms + 1, IN_ORDER);
        check(state, (end_ms + 1, 7.0), end_ms, FUTURE);
        check(state, (end_ms + 3 * CHUNK_RANGE_MS, f64::NAN), FAR, IN_ORDER);
        check(state, (FAR, 7.0), FAR, IN_ORDER);
    }
}

#[test]
fn at_the_time_of_the_last_sample_bits_decide() {
    for (state, end_ms) in [(State::Open, 10_000), (State::Sealed, 300_000)] {
        check(state, (end_ms, end_ms as f64), FAR, EQUAL);
        check(state, (end_ms, end_ms as f64 + 1.0), FAR, DUPLICATE);
        check(state, (end_ms, stale_marker()), FAR, DUPLICATE);
        check(state, (end_ms, end_ms as f64), end_ms - 1, FUTURE);
    }
    check(State::EndedStale, (11_000, stale_marker()), FAR, EQUAL);
    check(State::EndedStale, (11_000, f64::NAN), FAR, DUPLICATE);
    check(State::EndedStale, (11_000, 11_000.0), FAR, DUPLICATE);
}

#[test]
fn earlier_samples_are_equal_or_out_of_order() {
    for (state, there_ms) in [
        (State::Open, 1000),
        (State::Open, 9000),
        (State::EndedStale, 10_000),
        // First and last of each chunk, and one within.
        (State::Sealed, 1000),
        (State::Sealed, 60_000),
        (State::Sealed, 120_000),
        (State::Sealed, 121_000),
        (State::Sealed, 240_000),
        (State::Sealed, 241_000),
        (State::Sealed, 299_000),
        (State::Gap, 1000),
        (State::Gap, 5000),
    ] {
        check(state, (there_ms, there_ms as f64), FAR, EQUAL);
        check(state, (there_ms, 0.5), FAR, OUT_OF_ORDER);
        check(state, (there_ms - 1, there_ms as f64), FAR, OUT_OF_ORDER);
        check(state, (there_ms, there_ms as f64), there_ms - 1, FUTURE);
    }
    check(State::Open, (i64::MIN, 1000.0), FAR, OUT_OF_ORDER);
    check(State::Gap, (5001, 5000.0), FAR, OUT_OF_ORDER);
    check(State::Gap, (GAP_END_MS - 1, 1.0), FAR, OUT_OF_ORDER);
}

/// Each cell of the window's rows, against the open chunk, sealed ones, gaps, late samples and chunks of these.
#[test]
fn late_samples_are_taken_within_the_window() {
    let within = |window_ms: i64| Horizon { latest_ms: FAR, window_ms };
    for (state, end_ms, there_ms, free_ms) in [
        (State::Open, 10_000, 9000, 8999),
        (State::Open, 10_000, 1000, 1),
        (State::EndedStale, 11_000, 10_000, 10_500),
        (State::Sealed, 300_000, 60_000, 60_001),
        (State::Sealed, 300_000, 241_000, 240_999),
        (State::Gap, GAP_END_MS, 5000, 5001),
        // In the chunk of late samples, and in memory.
        (State::Late, 10_000, 6500, 6501),
        (State::Late, 10_000, 8500, 8501),
    ] {
        let there = if matches!(state, State::Late) { 0.25 } else { there_ms as f64 };
        check_within(state, (free_ms, 0.5), within(end_ms - free_ms), LATE);
        check_within(state, (free_ms, 0.5), within(end_ms - free_ms - 1), TOO_OLD);
        check_within(state, (free_ms, 0.5), within(0), OUT_OF_ORDER);
        check_within(state, (free_ms, 0.5), Horizon { latest_ms: free_ms - 1, window_ms: i64::MAX }, FUTURE);
        check_within(state, (there_ms, there), within(end_ms), EQUAL);
        check_within(state, (there_ms, there), within(1), EQUAL);
        check_within(state, (there_ms, 0.5), within(end_ms - there_ms), DUPLICATE);
        check_within(state, (there_ms, 0.5), within(1), if end_ms - there_ms <= 1 { DUPLICATE } else { TOO_OLD });
        check_within(state, (end_ms + 1, 0.5), within(1), IN_ORDER);
    }
    check_within(State::Open, (i64::MIN, 0.5), Horizon::NONE, LATE);
    check_within(State::Gap, (GAP_END_MS - 1, stale_marker()), within(1), LATE);
}

/// What is read again fills holes anywhere, and what was refused the first time is refused again.
#[test]
fn reading_again_takes_what_is_missing() {
    let mut tenant = Tenant::new();
    let series = tenant.define(&[("__name__", "m")]);
    let mut read = |samples: &[(i64, f64)], reading: Reading| {
        let items: Vec<_> = samples.iter().map(|(at_ms, value)| (series, sample(*at_ms, *value))).collect();
        let mut outcomes = Vec::new();
        let horizon = Horizon { latest_ms: 100, window_ms: 5 };
        tenant.head.append_batch(&items, horizon, reading, &mut outcomes);
        outcomes
    };
    let records = [(10, 1.0), (20, 2.0), (14, 3.0), (16, 4.0), (16, 5.0), (101, 6.0), (30, 7.0)];
    assert_eq!(read(&records[6..], Reading::First), [IN_ORDER], "the others were lost");
    assert_eq!(read(&[(20, 2.0)], Reading::First), [TOO_OLD]);
    assert_eq!(read(&records[..3], Reading::Again), [LATE, LATE, TOO_OLD]);
    assert_eq!(read(&records[3..], Reading::Again), [LATE, DUPLICATE, FUTURE, EQUAL]);
    assert_eq!(read(&[(17, 1.0), (35, 1.0), (36, 1.0)], Reading::Again), [TOO_OLD, IN_ORDER, IN_ORDER]);
    assert_eq!(read(&[(25, 1.0)], Reading::First), [TOO_OLD], "and then it is as before");
    assert_eq!(read(&records[..3], Reading::Again), [EQUAL, EQUAL, TOO_OLD]);
    let times: Vec<i64> = decoded(&tenant, series).iter().map(|sample| sample.0).collect();
    assert_eq!(times, [10, 16, 20, 30, 35, 36]);
}

#[test]
fn the_horizon_is_the_record_time_plus_grace() {
    let mut tenant = Tenant::new();
    let options = tenant.head.options();
    assert_eq!((options.future_grace_ms, options.out_of_order_window_ms), (600_000, 0));
    tenant.head.set_options(super::HeadOptions { out_of_order_window_ms: 5, ..options });
    assert_eq!(tenant.head.horizon(1000), Horizon { latest_ms: 601_000, window_ms: 5 });
    assert_eq!(tenant.head.horizon(i64::MAX), Horizon { latest_ms: i64::MAX, window_ms: 5 });
}

/// Chunks end when they are full and at multiples of two hours, before the epoch as well.
#[test]
fn chunks_end_at_their_bounds() {
    let mut tenant = Tenant::new();
    let series = tenant.define(&[("__name__", "m")]);
    let start_ms = -CHUNK_RANGE_MS - 30_000;
    for index in 0..1200 {
        let _ = tenant.head.append(series, sample(start_ms + 15_000 * index, index as f64), Horizon::NONE);
    }
    let lens: Vec<usize> = tenant.chunks(series, EVER).iter().map(|chunk| chunk.1.len()).collect();
    // Two samples before the first bound; 480 in each range after it; the rest.
    assert_eq!(lens, [2, 120, 120, 120, 120, 120, 120, 120, 120, 120, 118]);
    assert_eq!(tenant.head.counters().chunks_sealed, 10);
    check_chunks(&tenant, series);
}

/// What holds for every chunk of a series.
fn check_chunks(tenant: &Tenant, series: SeriesRef) {
    let mut previous_ms = None;
    for (range, samples) in tenant.chunks(series, EVER) {
        let (first, last) = (samples[0].0, samples[samples.len() - 1].0);
        assert_eq!(range, TimeRange { min_ms: first, max_ms: last });
        assert!(samples.len() <= usize::from(SAMPLES_PER_CHUNK));
        assert_eq!(first.div_euclid(CHUNK_RANGE_MS), last.div_euclid(CHUNK_RANGE_MS), "no chunk crosses a bound");
        assert!(samples.is_sorted_by(|a, b| a.0 < b.0) && previous_ms < Some(first));
        previous_ms = Some(last);
    }
}

/// The rules, on a map of all samples and the time of the last one.
fn expected(held: &BTreeMap<i64, u64>, sample: Sample, horizon: Horizon) -> Outcome {
    let bits = sample.value.to_bits();
    let last = held.last_key_value().map(|(at, _)| *at);
    match held.get(&sample.timestamp_ms) {
        _ if sample.timestamp_ms > horizon.latest_ms => FUTURE,
        Some(there) if *there == bits => EQUAL,
        None if last.is_none_or(|last| sample.timestamp_ms > last) => IN_ORDER,
        _ if last.is_some_and(|last| last - sample.timestamp_ms > horizon.window_ms) => {
            if horizon.window_ms == 0 {
                OUT_OF_ORDER
            } else {
                TOO_OLD
            }
        }
        Some(_) => DUPLICATE,
        None => LATE,
    }
}

/// Mostly forward in scrape steps, sometimes back to where samples are, sometimes far ahead.
fn any_step() -> impl Strategy<Value = (u32, i64, u8)> {
    let step = prop_oneof![12 => Just(15_000i64), 3 => 1i64..40_000, 2 => -20i64..=0, 3 => -3_000_007i64..-1, 1 => Just(CHUNK_RANGE_MS + 5)];
    (0u32..3, step, 0u8..3)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(3), ..ProptestConfig::default() })]

    #[test]
    fn a_head_holds_what_the_rules_say(steps in proptest::collection::vec(any_step(), 0..1500), batch_len in 1usize..200, window_steps in 0i64..100) {
        let mut tenant = Tenant::new();
        let series: Vec<SeriesRef> = ["a", "b", "c"].map(|name| tenant.define(&[("__name__", name)])).into();
        let mut held: Vec<BTreeMap<i64, u64>> = vec![BTreeMap::new(); 3];
        let mut newest = [0i64; 3];
        let horizon = Horizon { latest_ms: 200 * 15_000, window_ms: window_steps / 2 * 15_000 };
        let mut items = Vec::new();
        for (index, step, value) in steps {
            let index = index as usize;
            // Small steps back go to multiples of the scrape step, where samples may be.
            let at_ms = if (-20..=0).contains(&step) { newest[index] + step * 15_000 } else { newest[index] + step };
            newest[index] = newest[index].max(at_ms.min(horizon.latest_ms));
            items.push((series[index], sample(at_ms, f64::from(value / 2))));
        }
        let mut outcomes = Vec::new();
        for batch in items.chunks(batch_len) {
            tenant.head.append_batch(batch, horizon, Reading::First, &mut outcomes);
            prop_assert_eq!(outcomes.len(), batch.len());
            for ((series, sample), outcome) in batch.iter().zip(&outcomes) {
                let held = &mut held[series.0 as usize];
                prop_assert_eq!(*outcome, expected(held, *sample, horizon), "{:?}", sample);
                if matches!(*outcome, IN_ORDER | LATE) {
                    held.insert(sample.timestamp_ms, sample.value.to_bits());
                }
            }
        }
        for (series, held) in series.iter().zip(held) {
            prop_assert_eq!(decoded(&tenant, *series), held.into_iter().collect::<Vec<_>>());
            if horizon.window_ms == 0 {
                check_chunks(&tenant, *series);
            }
        }
    }
}

/// A key of the fingerprint function says nothing about what is accepted.
#[test]
fn fingerprints_only_name_series() {
    let mut tenant = Tenant::new();
    let other = FingerprintKey::new(99).fingerprint(b"anything");
    let labels = [("__name__", "m")];
    let first = tenant.define(&labels);
    let second = tenant.define_as(other, &labels).unwrap();
    assert_ne!(first, second);
    assert_eq!(tenant.head.append(second, sample(1, 1.0), Horizon::NONE), IN_ORDER);
    assert_eq!((decoded(&tenant, first).len(), decoded(&tenant, second).len()), (0, 1));
}
