//! Results and annotations against what a script expects.

use std::collections::HashMap;

use model::Labels;

use super::{Expectation, Expected, Point};
use crate::eval::is_almost_equal;
use crate::{Annotations, InstantSample, QueryResult, RangeTimes, ResultSeries, Severity};

/// Relative difference that values may have.
const TOLERANCE: f64 = 1e-6;

type Compared = Result<(), String>;

pub(super) fn compare_result(expected: &Expected, times: RangeTimes, result: &QueryResult) -> Compared {
    match result {
        QueryResult::Matrix(series) => compare_matrix(expected, times, series),
        QueryResult::Vector(samples) => compare_vector(expected, samples),
        QueryResult::Scalar { value, .. } => compare_scalar(expected, *value),
        QueryResult::String { value, .. } if expected.string.as_ref() == Some(value) => Ok(()),
        QueryResult::String { value, .. } => Err(format!("expected {:?}, got the string {value:?}", expected.string)),
    }
}

pub(super) fn compare_scalar(expected: &Expected, value: f64) -> Compared {
    match expected.scalar {
        Some(Point::Float(scalar)) if is_almost_equal(scalar, value, TOLERANCE) => Ok(()),
        Some(point) => Err(format!("expected the scalar {point:?}, got {value}")),
        None => Err(format!("expected no scalar, got {value}")),
    }
}

/// The last of lines with equal labels counts.
fn expected_by_labels(expected: &Expected) -> HashMap<&Labels, (usize, &[Point])> {
    let lines = expected.series.iter().enumerate();
    lines.map(|(index, (labels, points))| (labels, (index, points.as_slice()))).collect()
}

pub(super) fn compare_vector(expected: &Expected, samples: &[InstantSample]) -> Compared {
    if expected.scalar.is_some() {
        return Err(format!("expected a scalar, got a vector of {}", samples.len()));
    }
    let mut wanted = expected_by_labels(expected);
    for (position, sample) in samples.iter().enumerate() {
        let labels = &sample.labels;
        let Some((index, points)) = wanted.remove(labels) else {
            return Err(format!("unexpected series {labels} with {}", sample.value));
        };
        if expected.is_ordered && index != position {
            return Err(format!("expected {labels} at place {index}, it is at {position}"));
        }
        let point = points.first().copied().unwrap_or(Point::Omitted);
        if !is_expected(point, sample.value) {
            return Err(format!("expected {point:?} for {labels}, got {}", sample.value));
        }
    }
    none_missing(&wanted)
}

fn is_expected(point: Point, value: f64) -> bool {
    matches!(point, Point::Float(expected) if is_almost_equal(expected, value, TOLERANCE))
}

fn none_missing(wanted: &HashMap<&Labels, (usize, &[Point])>) -> Compared {
    match wanted.keys().min() {
        Some(labels) => Err(format!("expected series {labels} is missing")),
        None => Ok(()),
    }
}

fn compare_matrix(expected: &Expected, times: RangeTimes, series: &[ResultSeries]) -> Compared {
    if expected.is_ordered || expected.scalar.is_some() {
        return Err("expected something else than a matrix".to_owned());
    }
    if let Some(pair) = series.windows(2).find(|pair| pair[0].labels > pair[1].labels) {
        return Err(format!("{} stands before {}", pair[0].labels, pair[1].labels));
    }
    let mut wanted = expected_by_labels(expected);
    for one in series {
        let Some((_, points)) = wanted.remove(&one.labels) else {
            return Err(format!("unexpected series {} with {:?}", one.labels, one.values));
        };
        compare_points(times, points, one).map_err(|error| format!("{}: {error}, got {:?}", one.labels, one.values))?;
    }
    none_missing(&wanted)
}

fn compare_points(times: RangeTimes, points: &[Point], series: &ResultSeries) -> Compared {
    let mut found = series.timestamps_ms.iter().zip(&series.values);
    for (index, point) in points.iter().enumerate() {
        let time_ms = times.start_ms + index as i64 * times.step_ms;
        if time_ms > times.end_ms {
            return Err(format!("{} points are expected, more than there are steps", points.len()));
        }
        if *point == Point::Omitted {
            continue;
        }
        match found.next() {
            Some((found_ms, value)) if *found_ms == time_ms && is_expected(*point, *value) => {}
            other => return Err(format!("expected {point:?} at {time_ms}, found {other:?}")),
        }
    }
    match found.next() {
        Some((found_ms, value)) => Err(format!("unexpected {value} at {found_ms}")),
        None => Ok(()),
    }
}

pub(super) fn compare_annotations(expected: &Expected, annotations: &Annotations, query: &str) -> Compared {
    let warnings = annotations.sentences(Severity::Warning, query);
    let infos = annotations.sentences(Severity::Info, query);
    compare_notes("warning", &expected.warnings, &warnings)?;
    compare_notes("info", &expected.infos, &infos)?;
    for (is_refused, notes) in [(expected.no_warnings, &warnings), (expected.no_infos, &infos)] {
        if is_refused && !notes.is_empty() {
            return Err(format!("unexpected annotations {notes:?}"));
        }
    }
    Ok(())
}

/// Each expectation is met by a note, and each note meets one; without expectations anything goes.
fn compare_notes(kind: &str, expected: &[Expectation], found: &[String]) -> Compared {
    if let Some(missing) = expected.iter().find(|expected| !found.iter().any(|note| expected.accepts(note))) {
        return Err(format!("expected {kind} {missing:?}, got {found:?}"));
    }
    let is_foreseen = |note: &&String| expected.iter().any(|expected| expected.accepts(note));
    match found.iter().find(|note| !expected.is_empty() && !is_foreseen(note)) {
        Some(note) => Err(format!("unexpected {kind} {note:?}")),
        None => Ok(()),
    }
}
