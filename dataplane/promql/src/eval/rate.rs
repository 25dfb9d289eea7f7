//! `rate`, `increase`, `delta`, `irate`, `idelta`, `resets` and `changes`.
//!
//! Counter resets are found once per series; each window then looks at the resets inside it only.

use super::range::{RangeSeries, Window};

/// Indices of samples that are smaller than the one before.
pub(super) fn resets_of(series: &RangeSeries) -> Vec<usize> {
    let pairs = series.values.windows(2).enumerate();
    pairs.filter(|(_, pair)| pair[1] < pair[0]).map(|(index, _)| index + 1).collect()
}

/// Indices of samples that differ from the one before; NaN does not differ from NaN.
pub(super) fn changes_of(series: &RangeSeries) -> Vec<usize> {
    let differs = |pair: &[f64]| pair[0] != pair[1] && !(pair[0].is_nan() && pair[1].is_nan());
    series.values.windows(2).enumerate().filter(|(_, pair)| differs(pair)).map(|(index, _)| index + 1).collect()
}

/// A walk over sorted indices of events between two neighbouring samples, in step with the windows.
pub(super) struct Events {
    indices: Vec<usize>,
    low: usize,
    high: usize,
}

impl Events {
    pub fn new(indices: Vec<usize>) -> Self {
        Self { indices, low: 0, high: 0 }
    }

    /// The events whose both samples are in the window.
    pub fn inside(&mut self, window: &Window<'_>) -> &[usize] {
        let end = window.first + window.len();
        self.high += self.indices[self.high..].iter().take_while(|index| **index < end).count();
        self.low += self.indices[self.low..self.high].iter().take_while(|index| **index <= window.first).count();
        &self.indices[self.low..self.high]
    }
}

/// Which of the three extrapolating functions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Slope {
    Rate,
    Increase,
    Delta,
}

/// The increase over the window, stretched to its ends where the samples come close enough to them.
pub(super) fn extrapolated(slope: Slope, resets: &mut Events, window: &Window<'_>) -> Option<f64> {
    let (times, values) = (window.timestamps_ms, window.values);
    let gaps = values.len().checked_sub(1).filter(|gaps| *gaps > 0)?;
    let (first_ms, last_ms) = (times[0], times[gaps]);
    let mut increase = values[gaps] - values[0];
    if slope != Slope::Delta {
        for index in resets.inside(window) {
            increase += values[index - 1 - window.first];
        }
    }
    let seconds = |from_ms: i64, to_ms: i64| (to_ms - from_ms) as f64 / 1e3;
    let mut to_start = seconds(window.range.min_ms, first_ms);
    let mut to_end = seconds(last_ms, window.range.max_ms);
    let sampled = seconds(first_ms, last_ms);
    let average_gap = sampled / gaps as f64;
    // Samples nearer to an edge than a gap (and a tenth) are taken to go on to it; else half a gap is added, as a guess
    // of where the series begins or ends.
    let threshold = average_gap * 1.1;
    if to_start >= threshold {
        to_start = average_gap / 2.0;
    }
    if slope != Slope::Delta && increase > 0.0 && values[0] >= 0.0 {
        // A counter does not start below zero.
        let to_zero = sampled * (values[0] / increase);
        if to_zero < to_start {
            to_start = to_zero;
        }
    }
    if to_end >= threshold {
        to_end = average_gap / 2.0;
    }
    let mut factor = if sampled == 0.0 { 1.0 } else { (sampled + to_start + to_end) / sampled };
    if slope == Slope::Rate {
        factor /= seconds(window.range.min_ms, window.range.max_ms);
    }
    Some(increase * factor)
}

/// What the last two samples say.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Instant {
    Rate,
    Delta,
}

pub(super) fn instant(kind: Instant, window: &Window<'_>) -> Option<f64> {
    let [.., first, last] = window.values else { return None };
    let [.., first_ms, last_ms] = window.timestamps_ms else { return None };
    let difference = last - first;
    Some(match kind {
        Instant::Delta => difference,
        Instant::Rate => {
            let increase = if last < first { *last } else { difference };
            increase / ((last_ms - first_ms) as f64 / 1e3)
        }
    })
}

#[cfg(test)]
mod tests {
    use model::{Labels, TimeRange};

    use super::*;

    fn series(samples: &[(i64, f64)]) -> RangeSeries {
        let (timestamps_ms, values) = samples.iter().copied().unzip();
        RangeSeries { labels: Labels::default(), drop_name: false, timestamps_ms, values }
    }

    #[track_caller]
    fn check(samples: &[(i64, f64)], range: (i64, i64), slope: Slope, expected: Option<f64>) {
        let series = series(samples);
        let range = TimeRange { min_ms: range.0, max_ms: range.1 };
        let (timestamps_ms, values) = (&series.timestamps_ms[..], &series.values[..]);
        let window = Window { timestamps_ms, values, first: 0, range, step: 0, time_ms: range.max_ms };
        let found = extrapolated(slope, &mut Events::new(resets_of(&series)), &window);
        let is_close = match (found, expected) {
            (Some(found), Some(expected)) => (found - expected).abs() < 1e-9,
            (found, expected) => found == expected,
        };
        assert!(is_close, "{found:?} instead of {expected:?}");
    }

    #[test]
    fn extrapolation_reaches_the_edges() {
        let samples = [(10_000, 100.0), (20_000, 110.0), (30_000, 120.0)];
        check(&samples, (0, 40_000), Slope::Increase, Some(40.0));
        check(&samples, (0, 40_000), Slope::Rate, Some(1.0));
        // Too far away: half a gap on each side.
        check(&samples, (-20_000, 60_000), Slope::Delta, Some(30.0));
        check(&samples[..1], (0, 40_000), Slope::Rate, None);
    }

    #[test]
    fn counters_start_at_zero_and_reset() {
        check(&[(10_000, 2.0), (20_000, 12.0)], (0, 20_000), Slope::Increase, Some(12.0));
        check(&[(10_000, 50.0), (20_000, 10.0), (30_000, 20.0)], (9_999, 30_000), Slope::Increase, Some(20.001));
    }

    #[test]
    fn events_follow_the_windows() {
        let series = series(&[(0, 3.0), (1, 1.0), (2, 2.0), (3, 0.0)]);
        let mut events = Events::new(resets_of(&series));
        let mut count = |first: usize, end: usize| {
            let range = TimeRange { min_ms: 0, max_ms: 0 };
            let (timestamps_ms, values) = (&series.timestamps_ms[first..end], &series.values[first..end]);
            events.inside(&Window { timestamps_ms, values, first, range, step: 0, time_ms: 0 }).len()
        };
        assert_eq!([count(0, 1), count(0, 2), count(0, 4), count(1, 4), count(3, 4)], [0, 1, 2, 1, 0]);
    }
}
