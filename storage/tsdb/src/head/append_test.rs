//! The table of acceptance, cell by cell, and a head of few series against a model that keeps every sample in a map.

use std::collections::BTreeMap;

use model::{FingerprintKey, RejectReason, Sample, SeriesRef, TimeRange, stale_marker};
use proptest::prelude::*;

use super::fixture::{EVER, Tenant, decoded, sample};
use super::{Appended, CHUNK_RANGE_MS, Horizon, SAMPLES_PER_CHUNK};

type Outcome = Result<Appended, RejectReason>;

const IN_ORDER: Outcome = Ok(Appended::InOrder);
const EQUAL: Outcome = Ok(Appended::Equal);
const DUPLICATE: Outcome = Err(RejectReason::DuplicateTimestamp);
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
        State::Gap => steps(5).chain([sample(GAP_END_MS, 1.0)]).collect(),
    }
}

#[track_caller]
fn check(state: State, (timestamp_ms, value): (i64, f64), horizon_ms: i64, expected: Outcome) {
    let mut tenant = Tenant::new();
    let series = tenant.define(&[("__name__", "m")]);
    for sample in samples_of(state) {
        assert_eq!(tenant.head.append(series, sample, Horizon::NONE), IN_ORDER);
    }
    let mut samples = decoded(&tenant, series);
    let outcome = tenant.head.append(series, sample(timestamp_ms, value), Horizon(horizon_ms));
    assert_eq!(outcome, expected, "{state:?}: {value} at {timestamp_ms}, horizon {horizon_ms}");
    samples.extend((expected == IN_ORDER).then_some((timestamp_ms, value.to_bits())));
    assert_eq!(decoded(&tenant, series), samples, "only what is new and in order changes the chunks");
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

#[test]
fn the_horizon_is_the_record_time_plus_grace() {
    let tenant = Tenant::new();
    assert_eq!(tenant.head.options().future_grace_ms, 600_000);
    assert_eq!(tenant.head.horizon(1000), Horizon(601_000));
    assert_eq!(tenant.head.horizon(i64::MAX), Horizon::NONE);
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

/// The rules, on a map of all samples.
fn expected(held: &BTreeMap<i64, u64>, sample: Sample, horizon: Horizon) -> Outcome {
    let bits = sample.value.to_bits();
    let last = held.last_key_value().map(|(at, _)| *at);
    match held.get(&sample.timestamp_ms) {
        _ if sample.timestamp_ms > horizon.0 => FUTURE,
        Some(there) if *there == bits => EQUAL,
        Some(_) if Some(sample.timestamp_ms) == last => DUPLICATE,
        None if last.is_none_or(|last| sample.timestamp_ms > last) => IN_ORDER,
        _ => OUT_OF_ORDER,
    }
}

/// Mostly forward in scrape steps, sometimes back to where samples are, sometimes far ahead.
fn any_step() -> impl Strategy<Value = (u32, i64, u8)> {
    let step = prop_oneof![12 => Just(15_000i64), 3 => 1i64..40_000, 2 => -20i64..=0, 1 => Just(CHUNK_RANGE_MS + 5)];
    (0u32..3, step, 0u8..3)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(3), ..ProptestConfig::default() })]

    #[test]
    fn a_head_holds_what_the_rules_say(steps in proptest::collection::vec(any_step(), 0..1500), batch_len in 1usize..200) {
        let mut tenant = Tenant::new();
        let series: Vec<SeriesRef> = ["a", "b", "c"].map(|name| tenant.define(&[("__name__", name)])).into();
        let mut held: Vec<BTreeMap<i64, u64>> = vec![BTreeMap::new(); 3];
        let mut newest = [0i64; 3];
        let horizon = Horizon(200 * 15_000);
        let mut items = Vec::new();
        for (index, step, value) in steps {
            let index = index as usize;
            // Steps back go to multiples of the scrape step, where samples may be.
            let at_ms = if step <= 0 { newest[index] + step * 15_000 } else { newest[index] + step };
            newest[index] = newest[index].max(at_ms.min(horizon.0));
            items.push((series[index], sample(at_ms, f64::from(value / 2))));
        }
        let mut outcomes = Vec::new();
        for batch in items.chunks(batch_len) {
            tenant.head.append_batch(batch, horizon, &mut outcomes);
            prop_assert_eq!(outcomes.len(), batch.len());
            for ((series, sample), outcome) in batch.iter().zip(&outcomes) {
                let held = &mut held[series.0 as usize];
                prop_assert_eq!(*outcome, expected(held, *sample, horizon), "{:?}", sample);
                if *outcome == IN_ORDER {
                    held.insert(sample.timestamp_ms, sample.value.to_bits());
                }
            }
        }
        for (series, held) in series.iter().zip(held) {
            prop_assert_eq!(decoded(&tenant, *series), held.into_iter().collect::<Vec<_>>());
            check_chunks(&tenant, *series);
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
