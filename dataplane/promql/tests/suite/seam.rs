//! What the engine asks of storage, and what it makes of storage's errors.

use std::cell::RefCell;

use promql::{
    Engine, EngineOptions, Interrupt, QueryContext, QueryError, RangeTimes, Select, SelectError, SelectRequest, Series,
};

/// Writes down requests; answers with nothing, or with an error.
#[derive(Default)]
struct Recorder {
    requests: RefCell<Vec<String>>,
    error: Option<SelectError>,
}

impl Select for Recorder {
    fn select(&self, request: &SelectRequest<'_>) -> Result<Vec<Series>, SelectError> {
        let matchers: Vec<String> = request.matchers.iter().map(ToString::to_string).collect();
        let (range, hints) = (request.range, &request.hints);
        self.requests.borrow_mut().push(format!(
            "{} {}..{} step {} window {} {}",
            matchers.join(","),
            range.min_ms,
            range.max_ms,
            hints.step_ms,
            hints.window_ms,
            hints.function.unwrap_or("-")
        ));
        self.error.clone().map_or(Ok(Vec::new()), Err)
    }
}

#[track_caller]
fn check(query: &str, expected: &[&str]) {
    let recorder = Recorder::default();
    let engine = Engine::new(EngineOptions { lookback_ms: 300, ..EngineOptions::default() });
    let times = RangeTimes { start_ms: 10_000, end_ms: 19_999, step_ms: 5_000 };
    engine.range(query, times, QueryContext::uninterrupted(&recorder)).expect("a query that evaluates");
    assert_eq!(*recorder.requests.borrow(), expected, "{query}");
}

#[test]
fn requests_cover_what_windows_see_and_no_more() {
    let m = "__name__=\"m\"";
    let request = |rest: &str| format!("{m} {rest}");
    // The last evaluation is at 15 s: 20 s would be past the end.
    check("m", &[&request("9701..15000 step 5000 window 0 -")]);
    check("m offset 1s", &[&request("8701..14000 step 5000 window 0 -")]);
    check("m @ 7", &[&request("6701..7000 step 0 window 0 -")]);
    check("m @ end()", &[&request("19700..19999 step 0 window 0 -")]);
    check("rate(m[2s])", &[&request("8001..15000 step 5000 window 2000 rate")]);
    check("rate(m[2s] offset -1s)", &[&request("9001..16000 step 5000 window 2000 rate")]);
    check("rate(m[2s] smoothed)", &[&request("7701..15300 step 5000 window 2000 rate")]);
    check("rate(m[2s] anchored)", &[&request("7701..15000 step 5000 window 2000 rate")]);
    check("m smoothed", &[&request("9701..15300 step 5000 window 0 -")]);
    // Multiples of 3 s in (4 s, 15 s]: 6 s to 15 s.
    check("max_over_time(m[6s:3s])", &[&request("5701..15000 step 3000 window 0 -")]);
    check("max_over_time(m[6s:3s] @ 9)", &[&request("5701..9000 step 3000 window 0 -")]);
    check(
        "{a=\"b\",c=~\"d\"} or m",
        &["a=\"b\",c=~\"d\" 9701..15000 step 5000 window 0 -", &request("9701..15000 step 5000 window 0 -")],
    );
    check("vector(1)", &[]);
}

#[test]
fn errors_keep_their_meaning() {
    let cases = [
        (SelectError::TooManySamples, QueryError::TooManySamples),
        (SelectError::Interrupted, QueryError::TimedOut),
        (
            SelectError::Unsupported { what: "native histograms" },
            QueryError::Unsupported("native histograms".to_owned()),
        ),
        (SelectError::Limit("too many series".to_owned()), QueryError::Execution("too many series".to_owned())),
        (SelectError::Storage("disk gone".to_owned()), QueryError::Storage("disk gone".to_owned())),
    ];
    for (error, expected) in cases {
        let recorder = Recorder { error: Some(error), ..Recorder::default() };
        // The deadline passes while storage reads: nothing was interrupted before.
        let interrupt = || (!recorder.requests.borrow().is_empty()).then_some(Interrupt::TimedOut);
        let context = QueryContext { select: &recorder, interrupt: &interrupt };
        assert_eq!(Engine::default().instant("sum(m)", 0, context).unwrap_err(), expected);
    }
}
