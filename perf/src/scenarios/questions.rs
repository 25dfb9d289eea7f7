//! The queries that are measured: what a dashboard and an alert ask of a fleet, from one series to all of a name.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::Value;

use crate::accounts::Process;
use crate::failure::Failure;
use crate::fleet::{FleetOptions, NAMES, RUN_LABEL, STEP_MS, metric_name};
use crate::http::{Endpoints, Http, RangeSpan, scalar};
use crate::latency::Latency;

/// Of the windows below. They begin between samples: releases of Prometheus differ in whether a window holds its first moment.
const WINDOW_MS: i64 = 50_000;
const WINDOW_STEPS: i64 = 4;

const _: () = assert!(WINDOW_MS % STEP_MS != 0 && WINDOW_MS < WINDOW_STEPS * STEP_MS);

/// A query and how it is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Question {
    pub name: &'static str,
    query: String,
    /// At one moment where there is no span.
    span: Option<RangeSpan>,
    at_ms: i64,
}

/// How one question was answered, some times over.
#[derive(Clone, Debug)]
pub struct Asked {
    pub latency: Latency,
    /// The receiver's CPU time for each answer.
    pub cpu_ms_each: Option<f64>,
    /// The last one.
    pub answer: Value,
}

/// All questions for a fleet.
pub fn questions(fleet: &FleetOptions) -> Vec<Question> {
    let run = format!("{RUN_LABEL}=\"{}\"", fleet.run);
    let host = "instance=\"10.0.0.0:9100\"";
    let metric = metric_name(0);
    // Windows lie within the samples: releases of Prometheus differ in how they extrapolate before the first.
    let start_ms = (fleet.end_ms - fleet.span_ms() + WINDOW_STEPS * STEP_MS).min(fleet.end_ms);
    let span = RangeSpan { start_ms, end_ms: fleet.end_ms, step_ms: STEP_MS };
    let all = [
        ("one_series", format!("{metric}{{{run},{host},variant=\"variant-0\"}}"), None),
        ("sum_of_a_name", format!("sum({metric}{{{run}}})"), None),
        ("top_ten_of_a_name", format!("topk(10, {metric}{{{run}}})"), None),
        ("one_host", format!("sum by (__name__) ({{{run},{host}}})"), None),
        ("one_series_over_time", format!("{metric}{{{run},{host},variant=\"variant-0\"}}"), Some(span)),
        (
            "rate_by_instance_over_time",
            format!("sum by (instance) (rate({metric}{{{run}}}[{WINDOW_MS}ms]))"),
            Some(span),
        ),
        (
            "max_by_zone_over_time",
            format!("max by (zone) (max_over_time({metric}{{{run}}}[{WINDOW_MS}ms]))"),
            Some(span),
        ),
    ];
    all.into_iter().map(|(name, query, span)| Question { name, query, span, at_ms: fleet.end_ms }).collect()
}

impl Question {
    /// Asks once without looking at the clock, then `times` times.
    ///
    /// # Errors
    /// The receiver does not answer with a result.
    pub fn ask(
        &self,
        http: &Http,
        endpoints: &Endpoints,
        process: Option<Process>,
        times: u32,
    ) -> Result<Asked, Failure> {
        let mut answer = self.once(http, endpoints)?;
        let mut latency = Latency::default();
        let before = process.map(Process::account).transpose()?;
        for _ in 0..times {
            let begin = Instant::now();
            answer = self.once(http, endpoints)?;
            latency.record(begin.elapsed());
        }
        let after = process.map(Process::account).transpose()?;
        // By thread: the books of the whole are kept in ticks of 10 ms.
        let seconds =
            after.zip(before).map(|(after, before)| after.since(&before).thread_seconds.values().sum::<f64>());
        Ok(Asked { latency, cpu_ms_each: seconds.map(|seconds| seconds * 1e3 / f64::from(times)), answer })
    }

    fn once(&self, http: &Http, endpoints: &Endpoints) -> Result<Value, Failure> {
        match self.span {
            Some(span) => http.range(endpoints, &self.query, span),
            None => http.instant(endpoints, &self.query, self.at_ms),
        }
    }
}

impl Asked {
    /// A row of a report's latencies.
    pub fn row(&self, name: &str) -> Value {
        let mut row = self.latency.row(name);
        row["cpu_ms_each"] = self.cpu_ms_each.into();
        row
    }
}

/// Series of a fleet that have a sample at its end.
///
/// # Errors
/// The receiver does not answer.
pub fn count_series(http: &Http, endpoints: &Endpoints, fleet: &FleetOptions) -> Result<u64, Failure> {
    let mut total = 0;
    for name in 0..NAMES {
        let query = format!("count({}{{{RUN_LABEL}=\"{}\"}})", metric_name(name), fleet.run);
        total += scalar(&http.instant(endpoints, &query, fleet.end_ms)?).unwrap_or(0.0) as u64;
    }
    Ok(total)
}

/// Do two answers show the same series with the same values? Numbers may differ in their last digits: sums are added up in another
/// order elsewhere.
pub fn same_answer(one: &Value, other: &Value) -> bool {
    let (one, other) = (sorted(one), sorted(other));
    one.len() == other.len() && one.iter().zip(&other).all(|(a, b)| a.0 == b.0 && same_points(a.1, b.1))
}

fn sorted(answer: &Value) -> Vec<(BTreeMap<&str, &str>, &Value)> {
    let series = answer["result"].as_array().into_iter().flatten();
    let mut all: Vec<_> = series.map(|one| (labels_of(one), one)).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

fn labels_of(series: &Value) -> BTreeMap<&str, &str> {
    let labels = series["metric"].as_object().into_iter().flatten();
    labels.map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default())).collect()
}

fn same_points(one: &Value, other: &Value) -> bool {
    let (one, other) = (points(one), points(other));
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * a.abs().max(b.abs()) || (a.is_nan() && b.is_nan());
    one.len() == other.len() && one.iter().zip(&other).all(|(a, b)| near(a.0, b.0) && near(a.1, b.1))
}

fn points(series: &Value) -> Vec<(f64, f64)> {
    let many = series["values"].as_array().into_iter().flatten();
    let point = |pair: &Value| Some((pair[0].as_f64()?, pair[1].as_str()?.parse().ok()?));
    many.chain(series.get("value")).filter_map(point).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_are_compared_by_what_they_show() {
        let of = |name: &str, value: &str| json!({"metric": {"a": name, "b": "c"}, "value": [1.0, value]});
        let answer = |series: &[Value]| json!({"result": series});
        let base = answer(&[of("x", "1"), of("y", "2")]);
        let cases = [
            (answer(&[of("y", "2"), of("x", "1.0000000000001")]), true),
            (answer(&[of("x", "1"), of("y", "2.001")]), false),
            (answer(&[of("x", "1")]), false),
            (answer(&[of("x", "1"), of("z", "2")]), false),
        ];
        for (other, expected) in cases {
            assert_eq!(same_answer(&base, &other), expected, "{other}");
        }
    }
}
