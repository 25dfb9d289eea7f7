//! Runs one `eval`. An instant query is run again with every selector fixed in time, evaluated at other times, and as the
//! middle of a range query: all must give the same.

use super::compare::{compare_annotations, compare_result, compare_scalar, compare_vector};
use super::{Evaluation, Expected, MemoryStorage, Times};
use crate::ast::{At, Expr};
use crate::eval::prepare::depends_on_time;
use crate::parser::parse;
use crate::{Engine, InstantSample, QueryContext, QueryError, QueryResult, RangeTimes};

type Checked = Result<(), String>;

pub(super) fn evaluate(evaluation: &Evaluation, engine: &Engine, storage: &MemoryStorage) -> Checked {
    let expected = &evaluation.expected;
    let context = QueryContext::uninterrupted(storage);
    match evaluation.times {
        Times::Range(times) => {
            let answer = match engine.range(&evaluation.query, times, context) {
                Ok(_) if expected.failure.is_some() => return Err("expected a failure".to_owned()),
                Ok(answer) => answer,
                Err(error) => return check_failure(expected, &error),
            };
            compare_annotations(expected, &answer.annotations, &evaluation.query)?;
            compare_result(expected, times, &answer.result)
        }
        Times::Instant(time_ms) => {
            // A range vector's points end where the directive says; the query is evaluated there.
            let time_ms = expected.range_vector.map_or(time_ms, |times| times.end_ms);
            check_instant(expected, &evaluation.query, time_ms, engine, storage)?;
            for (query, time_ms) in fixed_in_time(&evaluation.query, time_ms) {
                check_instant(expected, &query, time_ms, engine, storage)
                    .map_err(|error| format!("as {query} at {time_ms}: {error}"))?;
            }
            Ok(())
        }
    }
}

/// What is not supported is no failure that anyone meant.
fn check_failure(expected: &Expected, error: &QueryError) -> Checked {
    let message = error.to_string();
    match &expected.failure {
        Some(expectation) if !matches!(error, QueryError::Unsupported(_)) && expectation.accepts(&message) => Ok(()),
        Some(_) => Err(format!("expected another failure than: {message}")),
        None => Err(message),
    }
}

fn check_instant(expected: &Expected, query: &str, time_ms: i64, engine: &Engine, storage: &MemoryStorage) -> Checked {
    let context = QueryContext::uninterrupted(storage);
    let answer = match engine.instant(query, time_ms, context) {
        Ok(_) if expected.failure.is_some() => return Err("expected a failure".to_owned()),
        Ok(answer) => answer,
        Err(error) => return check_failure(expected, &error),
    };
    compare_annotations(expected, &answer.annotations, query)?;
    let single = RangeTimes { start_ms: time_ms, end_ms: time_ms, step_ms: 1 };
    compare_result(expected, expected.range_vector.unwrap_or(single), &answer.result)?;
    let depends_on_range = ["start()", "end()", "range()", "step()"].iter().any(|call| query.contains(call));
    if expected.range_vector.is_some() || expected.string.is_some() || depends_on_range {
        return Ok(());
    }
    let times = RangeTimes { start_ms: time_ms - 60_000, end_ms: time_ms + 60_000, step_ms: 60_000 };
    let ranged = engine.range(query, times, context).map_err(|error| format!("as a range: {error}"))?;
    if expected.is_ordered {
        return Ok(());
    }
    let QueryResult::Matrix(series) = ranged.result else { return Err("a range gave no matrix".to_owned()) };
    let samples: Vec<InstantSample> = series.into_iter().filter_map(|one| sample_at(one, time_ms)).collect();
    let compared = match (&answer.result, samples.first()) {
        (QueryResult::Scalar { .. }, Some(sample)) => compare_scalar(expected, sample.value),
        _ => compare_vector(expected, &samples),
    };
    compared.map_err(|error| format!("as a range: {error}"))
}

fn sample_at(series: crate::ResultSeries, time_ms: i64) -> Option<InstantSample> {
    let index = series.timestamps_ms.iter().position(|time| *time == time_ms)?;
    Some(InstantSample { labels: series.labels, timestamp_ms: time_ms, value: series.values[index] })
}

/// The query with `@ time` at every selector, and other times at which it must give the same. None where the time of
/// evaluation matters, or where the query does not parse.
fn fixed_in_time(query: &str, time_ms: i64) -> Vec<(String, i64)> {
    let Ok(mut expr) = parse(query) else { return Vec::new() };
    if !fix_selectors(&mut expr, At::Timestamp(time_ms)) {
        return Vec::new();
    }
    let fixed = expr.to_string();
    let times: &[i64] =
        if time_ms == 0 { &[-1_000, 0, 1_000] } else { &[-10 * time_ms, 0, time_ms / 5, time_ms, 10 * time_ms] };
    times.iter().map(|time_ms| (fixed.clone(), *time_ms)).collect()
}

/// Leaves alone what is inside a subquery, which is fixed itself. False: some function looks at the time.
fn fix_selectors(expr: &mut Expr, at: At) -> bool {
    let shift = match expr {
        Expr::Vector(selector) => &mut selector.shift,
        Expr::Matrix(matrix) => &mut matrix.selector.shift,
        Expr::Subquery(subquery) => &mut subquery.shift,
        Expr::Call(call) if depends_on_time(call.function.name) => return false,
        _ => return expr.children_mut().into_iter().all(|child| fix_selectors(child, at)),
    };
    if !matches!(shift.at, Some(At::Timestamp(_))) {
        shift.at = Some(at);
    }
    true
}
