//! What a query may cost: depth, samples, steps, time.

use std::cell::Cell;

use model::Labels;
use promql::parser::QUERY_DEPTH_MAX;
use promql::script::MemoryStorage;
use promql::{Engine, EngineOptions, Interrupt, QueryContext, QueryError, QueryResult, RangeTimes};

fn storage(series: usize) -> MemoryStorage {
    let mut storage = MemoryStorage::default();
    for index in 0..series {
        let labels = Labels::from_pairs(&[("__name__", "m"), ("n", &index.to_string())]);
        for sample in 0..10 {
            storage.add(labels.clone(), sample * 1_000, sample as f64);
        }
    }
    storage
}

const TIMES: RangeTimes = RangeTimes { start_ms: 0, end_ms: 9_000, step_ms: 1_000 };

/// The deepest queries that parse are evaluated on a stack of the usual size of a thread.
#[test]
fn the_deepest_queries_fit_on_the_stack() {
    let storage = storage(1);
    let engine = Engine::new(EngineOptions { samples_max: u64::MAX, ..EngineOptions::default() });
    let count = QUERY_DEPTH_MAX - 3;
    let shapes = [
        ("(", "m", ")", count),
        ("-", "m", "", count),
        ("abs(", "m", ")", count),
        ("sum(", "m", ")", count),
        ("scalar(vector(", "1", "))", count / 2),
        ("", "m", " + m", count),
        ("m or (", "m", ")", count / 3),
        ("label_replace(", "m", ", \"a\", \"b\", \"c\", \"\")", count),
        ("topk(1, ", "m", ")", count),
        ("max_over_time(", "m", "[2s:1s])", count / 2),
        ("histogram_quantile(0.5, ", "m", ")", count),
    ];
    for (opening, core, closing, count) in shapes {
        let query = format!("{}{core}{}", opening.repeat(count), closing.repeat(count));
        let answer = engine.range(&query, TIMES, QueryContext::uninterrupted(&storage));
        assert!(answer.is_ok(), "{opening}...{closing}: {answer:?}");
    }
}

#[test]
fn samples_are_limited() {
    let storage = storage(100);
    let context = QueryContext::uninterrupted(&storage);
    let engine = |samples_max| Engine::new(EngineOptions { samples_max, ..EngineOptions::default() });
    let answer = engine(2_000).range("sum(m)", TIMES, context).unwrap();
    // 100 series with 10 samples each, and as many cells.
    assert_eq!((answer.stats.samples_selected, answer.stats.series_selected), (1_000, 100));
    assert_eq!(answer.stats.samples_peak, 2_000);
    for (query, samples_max) in [("sum(m)", 1_999), ("m", 999), ("m + on (n) m", 2_999), ("rate(m[2s])", 1_500)] {
        let error = engine(samples_max).range(query, TIMES, context).unwrap_err();
        assert_eq!(error, QueryError::TooManySamples, "{query}");
    }
    // A subquery of very many steps is refused before anything is allocated.
    let error = engine(1_000_000).instant("max_over_time(m[10000d:1ms])", 0, context).unwrap_err();
    assert_eq!(error, QueryError::TooManySamples);
}

#[test]
fn times_are_limited() {
    let storage = storage(1);
    let context = QueryContext::uninterrupted(&storage);
    let engine = Engine::default();
    let cases = [
        ((0, 11_000_000, 1_000), None),
        (
            (0, 11_001_000, 1_000),
            Some(
                "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
            ),
        ),
        ((0, -1, 1_000), Some("end timestamp must not be before start timestamp")),
        ((0, 1, 0), Some("zero or negative query resolution step widths are not accepted. Try a positive integer")),
        ((i64::MIN, 0, 1), Some("the time -9223372036854775808 ms is out of bounds")),
    ];
    for ((start_ms, end_ms, step_ms), message) in cases {
        let result = engine.range("vector(1)", RangeTimes { start_ms, end_ms, step_ms }, context);
        assert_eq!(result.err().map(|error| error.to_string()).as_deref(), message, "{start_ms} {end_ms} {step_ms}");
    }
    // The farthest times with the farthest shifts do not overflow.
    for time_ms in [i64::MAX / 4, -(i64::MAX / 4)] {
        let answer = engine.instant("rate(m[290y] offset -290y) or m offset 290y", time_ms, context).unwrap();
        assert_eq!(answer.result, QueryResult::Vector(Vec::new()));
    }
}

#[test]
fn an_interrupt_stops_a_query() {
    let storage = storage(100);
    for (interrupt, expected) in
        [(Interrupt::TimedOut, QueryError::TimedOut), (Interrupt::Canceled, QueryError::Canceled)]
    {
        let asked = Cell::new(0);
        let after_ten = || {
            asked.set(asked.get() + 1);
            (asked.get() > 10).then_some(interrupt)
        };
        let context = QueryContext { select: &storage, interrupt: &after_ten };
        assert_eq!(Engine::default().range("rate(m[5s])", TIMES, context).unwrap_err(), expected);
    }
}
