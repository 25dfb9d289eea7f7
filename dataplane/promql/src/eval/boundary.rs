//! `anchored` and `smoothed` selectors: what is taken for the values at the edges of a window.
//!
//! Anchored: the last sample before the window stands for its beginning. Smoothed: values at the edges are interpolated
//! between the samples around them. Both look up to the lookback beyond the window, and nothing is extrapolated.

use model::TimeRange;

use super::Evaluated;
use super::range::{RangeSeries, Window};
use super::rate::{Events, Slope};
use crate::QueryError;
use crate::ast::Boundary;

/// How far samples outside of the window are looked at.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Margins {
    pub before_ms: i64,
    pub after_ms: i64,
}

impl Margins {
    pub fn new(boundary: Boundary, lookback_ms: i64) -> Self {
        match boundary {
            Boundary::Plain => Self::default(),
            Boundary::Anchored => Self { before_ms: lookback_ms, after_ms: 0 },
            Boundary::Smoothed => Self { before_ms: lookback_ms, after_ms: lookback_ms },
        }
    }
}

/// Only functions that know of the samples outside may see them.
pub(super) fn check_function(boundary: Boundary, function: &str) -> Evaluated<()> {
    let (word, functions): (&str, &[&str]) = match boundary {
        Boundary::Plain => return Ok(()),
        Boundary::Anchored => ("anchored", &["changes", "delta", "increase", "rate", "resets"]),
        Boundary::Smoothed => ("smoothed", &["delta", "increase", "rate"]),
    };
    if functions.contains(&function) {
        return Ok(());
    }
    let functions = functions.join(", ");
    Err(QueryError::Execution(format!("{word} modifier can only be used with: {functions} - not with {function}")))
}

/// The samples that decide about a window, and the values at its edges.
struct Edges {
    /// Indices of the first and the last sample that matter.
    first: usize,
    last: usize,
    left: f64,
    right: f64,
}

fn edges(
    timestamps_ms: &[i64],
    values: &[f64],
    range: TimeRange,
    boundary: Boundary,
    interpolate: impl Fn(usize, i64) -> f64,
) -> Option<Edges> {
    let is_smoothed = boundary == Boundary::Smoothed;
    let mut last = timestamps_ms.len().checked_sub(1)?;
    let first = timestamps_ms[..last].partition_point(|time| *time <= range.min_ms).saturating_sub(1);
    if is_smoothed {
        last = timestamps_ms[..last].partition_point(|time| *time < range.max_ms);
    }
    if timestamps_ms[last] <= range.min_ms || is_smoothed && timestamps_ms[first] > range.max_ms {
        return None;
    }
    let is_left_between = is_smoothed && timestamps_ms[first] < range.min_ms;
    let is_right_between = is_smoothed && last > 0 && timestamps_ms[last] > range.max_ms;
    let left = if is_left_between { interpolate(first, range.min_ms) } else { values[first] };
    let right = if is_right_between { interpolate(last - 1, range.max_ms) } else { values[last] };
    Some(Edges { first, last, left, right })
}

/// The samples strictly inside the window.
fn inside<'a>(edges: &Edges, timestamps_ms: &[i64], values: &'a [f64], range: TimeRange) -> (usize, &'a [f64]) {
    let start = edges.first + usize::from(timestamps_ms[edges.first] <= range.min_ms);
    let end = edges.last + usize::from(timestamps_ms[edges.last] < range.max_ms);
    (start, values.get(start..end).unwrap_or_default())
}

/// The value at a time between two samples.
fn between(times: [i64; 2], values: [f64; 2], time_ms: i64) -> f64 {
    let [first, second] = values;
    first + (second - first) * (time_ms - times[0]) as f64 / (times[1] - times[0]) as f64
}

/// `rate`, `increase` and `delta` from edge to edge.
pub(super) fn extended(slope: Slope, boundary: Boundary, window: &Window<'_>) -> Option<f64> {
    let (times, values, range) = (window.timestamps_ms, window.values, window.range);
    let is_counter = slope != Slope::Delta;
    let interpolate = |index: usize, time_ms: i64| {
        let (mut first, second) = (values[index], values[index + 1]);
        // After a reset a counter has risen from zero.
        if is_counter && second < first {
            first = 0.0;
        }
        between([times[index], times[index + 1]], [first, second], time_ms)
    };
    let edges = edges(times, values, range, boundary, interpolate)?;
    let mut increase = edges.right - edges.left;
    if is_counter {
        let (_, samples) = inside(&edges, times, values, range);
        let mut previous = edges.left;
        let mut correction = 0.0;
        for value in samples.iter().chain([&edges.right]) {
            if *value < previous {
                correction += previous;
            }
            previous = *value;
        }
        increase += correction;
    }
    if slope == Slope::Rate {
        increase /= (range.max_ms - range.min_ms) as f64 / 1e3;
    }
    Some(increase)
}

/// Events (resets, changes) after the sample that anchors the window. `None`: no sample lies in the window itself.
pub(super) fn anchored_count(events: &mut Events, window: &Window<'_>) -> Option<f64> {
    let before = window.timestamps_ms.partition_point(|time| *time <= window.range.min_ms);
    if before == window.len() {
        return None;
    }
    let anchor = window.first + before.saturating_sub(1);
    Some(events.inside(window).iter().filter(|index| **index > anchor).count() as f64)
}

/// The samples of a window with one at each edge: what a range vector shows as a result.
pub(super) fn with_edges(series: &mut RangeSeries, range: TimeRange, boundary: Boundary) {
    let (times, values) = (&series.timestamps_ms, &series.values);
    let interpolate =
        |index: usize, time_ms| between([times[index], times[index + 1]], [values[index], values[index + 1]], time_ms);
    let Some(edges) = edges(times, values, range, boundary, interpolate) else {
        series.timestamps_ms.clear();
        series.values.clear();
        return;
    };
    let (start, samples) = inside(&edges, times, values, range);
    let inner_times = times[start..start + samples.len()].iter().copied();
    let timestamps_ms = std::iter::once(range.min_ms).chain(inner_times).chain([range.max_ms]).collect();
    let values = std::iter::once(edges.left).chain(samples.iter().copied()).chain([edges.right]).collect();
    series.timestamps_ms = timestamps_ms;
    series.values = values;
}

/// The value at a time, of samples around it: their own, between two, or the last one before.
pub(super) fn smoothed_value(timestamps_ms: &[i64], values: &[f64], time_ms: i64) -> Option<f64> {
    let next = timestamps_ms.partition_point(|time| *time < time_ms);
    if timestamps_ms.get(next) == Some(&time_ms) {
        return Some(values[next]);
    }
    let previous = next.checked_sub(1)?;
    if next == timestamps_ms.len() {
        return Some(values[previous]);
    }
    Some(between([timestamps_ms[previous], timestamps_ms[next]], [values[previous], values[next]], time_ms))
}
