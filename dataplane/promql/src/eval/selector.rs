//! Selectors: from samples to columns (lookback, staleness), and to range series.

use model::{Labels, TimeRange, is_stale_marker};

use super::boundary::smoothed_value;

use super::column::{Row, Steps, absent, is_absent};
use super::{Evaluated, Evaluator};
use crate::ast::{At, Boundary, Shift, VectorSelector};
use crate::{Interrupt, QueryError, SelectError, SelectHints, SelectRequest, Series, Values};

/// The times that a selector looks at: one per step, or one for all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lookups {
    pub first_ms: i64,
    /// 0 with an `@` modifier.
    pub step_ms: i64,
    pub count: usize,
}

impl Lookups {
    pub fn new(shift: &Shift, steps: Steps) -> Self {
        let offset_ms = shift.offset.milliseconds();
        let (first_ms, step_ms) = match shift.at {
            None => (steps.start_ms, if steps.is_single() { 0 } else { steps.step_ms }),
            Some(At::Timestamp(time_ms)) => (time_ms, 0),
            Some(At::Start | At::End) => panic!("an @ modifier was evaluated before it was resolved"),
        };
        Self { first_ms: first_ms - offset_ms, step_ms, count: steps.count }
    }

    pub fn time_ms(&self, step: usize) -> i64 {
        self.first_ms + self.step_ms * step as i64
    }

    /// How many different times there are.
    pub fn distinct(&self) -> usize {
        if self.step_ms == 0 { self.count.min(1) } else { self.count }
    }

    pub fn last_ms(&self) -> i64 {
        self.time_ms(self.count.saturating_sub(1))
    }
}

/// What of a sample becomes the cell.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Take {
    Value,
    /// The sample's own time in seconds.
    Time,
}

impl Evaluator<'_> {
    pub(super) fn instant_selector(&mut self, selector: &VectorSelector, steps: Steps) -> Evaluated<Vec<Row>> {
        self.instant_samples(selector, steps, Take::Value)
    }

    /// The newest sample of each series that is at most the lookback old and no stale marker.
    pub(super) fn instant_samples(
        &mut self,
        selector: &VectorSelector,
        steps: Steps,
        take: Take,
    ) -> Evaluated<Vec<Row>> {
        if steps.count == 0 {
            return Ok(Vec::new());
        }
        let lookups = Lookups::new(&selector.shift, steps);
        let lookback_ms = self.options.lookback_ms;
        let is_smoothed = selector.boundary == Boundary::Smoothed && take == Take::Value;
        let after_ms = if is_smoothed { lookback_ms } else { 0 };
        let range = TimeRange { min_ms: lookups.first_ms - lookback_ms + 1, max_ms: lookups.last_ms() + after_ms };
        let hints = SelectHints { step_ms: lookups.step_ms, window_ms: 0, function: None };
        let series = self.select(selector, range, hints)?;
        self.budget.charge((series.len() * steps.count) as u64)?;
        let mut rows = Vec::with_capacity(series.len());
        for one in series {
            self.check_interrupt()?;
            let (labels, mut cells) = if is_smoothed {
                let (labels, timestamps_ms, values) = floats_of(one);
                (labels, smoothed(&timestamps_ms, &values, &lookups, lookback_ms))
            } else {
                let Values::Floats(values) = &one.values;
                let cells = newest(&one.timestamps_ms, values, &lookups, lookback_ms, take);
                (one.labels, cells)
            };
            cells.resize(steps.count, *cells.last().expect("there is at least one step"));
            if cells.iter().any(|cell| !is_absent(*cell)) {
                rows.push(Row { labels, drop_name: false, cells });
            }
        }
        Ok(rows)
    }

    pub(super) fn select(
        &mut self,
        selector: &VectorSelector,
        range: TimeRange,
        hints: SelectHints,
    ) -> Evaluated<Vec<Series>> {
        let samples_max = self.budget.left();
        let request = SelectRequest { matchers: &selector.matchers, range, hints, samples_max };
        let series = self.context.select.select(&request).map_err(|error| self.select_error(error))?;
        let samples: u64 = series.iter().map(|one| one.timestamps_ms.len() as u64).sum();
        self.budget.stats.samples_selected += samples;
        self.budget.stats.series_selected += series.len() as u64;
        self.budget.charge(samples)?;
        Ok(series)
    }

    fn select_error(&self, error: SelectError) -> QueryError {
        match error {
            SelectError::TooManySamples => QueryError::TooManySamples,
            SelectError::Interrupted => match (self.context.interrupt)() {
                Some(Interrupt::TimedOut) => QueryError::TimedOut,
                _ => QueryError::Canceled,
            },
            SelectError::Unsupported { what } => QueryError::Unsupported(what.to_owned()),
            SelectError::Limit(message) => QueryError::Execution(message),
            SelectError::Storage(message) => QueryError::Storage(message),
        }
    }
}

/// Labels and columns of a series, without stale markers.
pub(super) fn floats_of(series: Series) -> (Labels, Vec<i64>, Vec<f64>) {
    let Values::Floats(mut values) = series.values;
    let mut timestamps_ms = series.timestamps_ms;
    if values.iter().any(|value| is_stale_marker(*value)) {
        let mut keep = values.iter().map(|value| !is_stale_marker(*value));
        timestamps_ms.retain(|_| keep.next().unwrap_or(false));
        values.retain(|value| !is_stale_marker(*value));
    }
    (series.labels, timestamps_ms, values)
}

/// As [`newest`], with values between samples: samples up to the lookback away on either side count.
fn smoothed(timestamps_ms: &[i64], values: &[f64], lookups: &Lookups, lookback_ms: i64) -> Vec<f64> {
    let (mut low, mut high) = (0, 0);
    let cells = (0..lookups.distinct()).map(|step| {
        let time_ms = lookups.time_ms(step);
        high += timestamps_ms[high..].iter().take_while(|timestamp| **timestamp <= time_ms + lookback_ms).count();
        low += timestamps_ms[low..high].iter().take_while(|timestamp| **timestamp <= time_ms - lookback_ms).count();
        smoothed_value(&timestamps_ms[low..high], &values[low..high], time_ms).unwrap_or_else(absent)
    });
    cells.collect()
}

/// One cell per distinct lookup time: a single one where all are the same.
fn newest(timestamps_ms: &[i64], values: &[f64], lookups: &Lookups, lookback_ms: i64, take: Take) -> Vec<f64> {
    let mut cells = Vec::with_capacity(lookups.count);
    // Samples before `next` are not newer than the lookup time, which only grows.
    let mut next = 0;
    for step in 0..lookups.distinct() {
        let time_ms = lookups.time_ms(step);
        next += timestamps_ms[next..].iter().take_while(|timestamp| **timestamp <= time_ms).count();
        let found = next.checked_sub(1).filter(|at| timestamps_ms[*at] > time_ms - lookback_ms);
        cells.push(match found {
            Some(at) if is_stale_marker(values[at]) => absent(),
            Some(at) if take == Take::Time => timestamps_ms[at] as f64 / 1e3,
            Some(at) => values[at],
            None => absent(),
        });
    }
    cells
}

#[cfg(test)]
mod tests {
    use model::stale_marker;

    use super::*;

    #[track_caller]
    fn check(samples: &[(i64, f64)], first_ms: i64, step_ms: i64, expected: &[Option<f64>]) {
        let (timestamps_ms, values): (Vec<i64>, Vec<f64>) = samples.iter().copied().unzip();
        let lookups = Lookups { first_ms, step_ms, count: expected.len() };
        let cells = newest(&timestamps_ms, &values, &lookups, 100, Take::Value);
        let found: Vec<Option<f64>> = cells.into_iter().map(|cell| (!is_absent(cell)).then_some(cell)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn lookback_is_open_on_the_left() {
        check(&[(0, 1.0)], -1, 1, &[None, Some(1.0)]);
        check(&[(0, 1.0)], 99, 1, &[Some(1.0), None, None]);
        check(&[(0, 1.0), (50, 2.0)], 49, 50, &[Some(1.0), Some(2.0), Some(2.0), None]);
    }

    #[test]
    fn a_stale_marker_ends_a_series_at_once() {
        check(&[(0, 1.0), (10, stale_marker()), (30, 3.0)], 0, 10, &[Some(1.0), None, None, Some(3.0)]);
    }
}
