//! Functions over range vectors: what each makes of one window.

use std::collections::VecDeque;

use super::boundary::{anchored_count, check_function, extended};
use super::column::{Row, Scalars, Steps, absent, is_absent};
use super::quantile::{is_quantile, quantile};
use super::range::{RangeSeries, RangeVector, Window};
use super::rate::{Events, Instant, Slope, changes_of, extrapolated, instant, resets_of};
use super::sum::{Mean, Sum};
use super::{Evaluated, Evaluator, regression};
use crate::ast::{Boundary, Call, Expr};
use crate::number::general;
use crate::{Position, QueryError};

type WindowFunction<'a> = Box<dyn FnMut(&Window<'_>) -> Option<f64> + 'a>;

impl Evaluator<'_> {
    /// A call whose argument at `range_index` is a range vector.
    pub(super) fn over_time(&mut self, call: &Call, range_index: usize, steps: Steps) -> Evaluated<Vec<Row>> {
        let name = call.function.name;
        let mut others = Vec::new();
        for (index, arg) in call.args.iter().enumerate() {
            if index != range_index {
                others.push(self.scalars(arg, steps)?);
            }
        }
        let arg = call.args[range_index].without_parens();
        if let Expr::Matrix(matrix) = arg {
            check_function(matrix.selector.boundary, name)?;
        }
        let vector = self.range_vector(arg, steps, Some(name))?;
        if name == "absent_over_time" {
            return self.absent_over_time(arg, &vector, steps);
        }
        check_factors(name, &others, &vector, steps)?;
        let keeps_name = matches!(name, "last_over_time" | "first_over_time");
        let rows = self.map_windows(&vector, steps, keeps_name, |series| {
            let marginal = marginal_function(name, vector.boundary, series);
            marginal.unwrap_or_else(|| window_function(name, series, &others))
        })?;
        self.note(call, &vector, &rows, &others, steps);
        Ok(rows)
    }

    fn note(&mut self, call: &Call, vector: &RangeVector, rows: &[Row], others: &[Scalars], steps: Steps) {
        match call.function.name {
            "rate" | "increase" => self.note_gauges(vector, steps),
            "quantile_over_time" => {
                let place = call.args[0].position();
                for (step, q) in others[0].iter(steps.count).enumerate().filter(|(_, q)| !is_quantile(*q)) {
                    if rows.iter().any(|row| !is_absent(row.cells[step])) {
                        self.warn_quantile(place, q);
                    }
                }
            }
            _ => {}
        }
    }

    pub(super) fn warn_quantile(&mut self, place: Position, q: f64) {
        let text = format!("quantile value should be between 0 and 1, got {}", general(q));
        self.annotations.warn(place, text);
    }

    /// The rate of something that is no counter is probably a slip.
    fn note_gauges(&mut self, vector: &RangeVector, steps: Steps) {
        let mut last_noted = String::new();
        for series in &vector.series {
            let metric = series.labels.get(model::METRIC_NAME);
            let is_counter = ["_total", "_sum", "_count", "_bucket"].iter().any(|suffix| metric.ends_with(suffix));
            if metric.is_empty() || is_counter || metric == last_noted {
                continue;
            }
            let samples_min = if vector.boundary == Boundary::Plain { 2 } else { 1 };
            let cells = series.slide(vector, steps, |window| (window.len() >= samples_min).then_some(0.0));
            if cells.iter().any(|cell| !is_absent(*cell)) {
                metric.clone_into(&mut last_noted);
                let text = format!(
                    "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {}",
                    crate::text::quote(metric)
                );
                self.annotations.info(vector.position, text);
            }
        }
    }

    /// 1 where no series has a sample.
    fn absent_over_time(&mut self, arg: &Expr, vector: &RangeVector, steps: Steps) -> Evaluated<Vec<Row>> {
        let mut cells = vec![1.0; steps.count];
        for series in &vector.series {
            self.check_interrupt()?;
            for (cell, present) in cells.iter_mut().zip(series.slide(vector, steps, |_| Some(1.0))) {
                if !is_absent(present) {
                    *cell = absent();
                }
            }
        }
        let row = Row { labels: super::absent::absent_labels(arg), drop_name: true, cells };
        Ok(if row.is_empty() { Vec::new() } else { vec![row] })
    }
}

fn check_factors(name: &str, factors: &[Scalars], vector: &RangeVector, steps: Steps) -> Evaluated<()> {
    if name != "double_exponential_smoothing" || vector.series.is_empty() {
        return Ok(());
    }
    for (index, (word, symbol)) in [("smoothing", "sf"), ("trend", "tf")].into_iter().enumerate() {
        if let Some(value) = factors[index].iter(steps.count).find(|value| *value <= 0.0 || *value >= 1.0) {
            let message = format!("invalid {word} factor. Expected: 0 < {symbol} < 1, got: {value:.6}");
            return Err(QueryError::Execution(message));
        }
    }
    Ok(())
}

/// The function where the selector is anchored or smoothed.
fn marginal_function<'a>(name: &str, boundary: Boundary, series: &'a RangeSeries) -> Option<WindowFunction<'a>> {
    let slope = match (boundary, name) {
        (Boundary::Plain, _) => return None,
        (_, "rate") => Slope::Rate,
        (_, "increase") => Slope::Increase,
        (_, "delta") => Slope::Delta,
        _ => {
            let indices = if name == "resets" { resets_of(series) } else { changes_of(series) };
            let mut events = Events::new(indices);
            return Some(Box::new(move |window| anchored_count(&mut events, window)));
        }
    };
    Some(Box::new(move |window| extended(slope, boundary, window)))
}

fn window_function<'a>(name: &str, series: &'a RangeSeries, others: &'a [Scalars]) -> WindowFunction<'a> {
    let slope = |slope: Slope| -> WindowFunction<'a> {
        let mut resets = Events::new(resets_of(series));
        Box::new(move |window| extrapolated(slope, &mut resets, window))
    };
    let count =
        |mut events: Events| -> WindowFunction<'a> { Box::new(move |window| Some(events.inside(window).len() as f64)) };
    match name {
        "rate" => slope(Slope::Rate),
        "increase" => slope(Slope::Increase),
        "delta" => slope(Slope::Delta),
        "resets" => count(Events::new(resets_of(series))),
        "changes" => count(Events::new(changes_of(series))),
        "min_over_time" => extreme_value(Extremes::new(series, |value, kept| value < kept)),
        "max_over_time" => extreme_value(Extremes::new(series, |value, kept| value > kept)),
        // Of equal values the latest counts.
        "ts_of_min_over_time" => extreme_time(Extremes::new(series, |value, kept| value <= kept)),
        "ts_of_max_over_time" => extreme_time(Extremes::new(series, |value, kept| value >= kept)),
        "predict_linear" => Box::new(move |window| {
            let (slope, intercept) = regression::line(window, window.time_ms)?;
            Some(slope * others[0].at(window.step) + intercept)
        }),
        "quantile_over_time" => {
            Box::new(move |window| Some(quantile(others[0].at(window.step), &mut window.values.to_vec())))
        }
        "double_exponential_smoothing" => Box::new(move |window| {
            regression::double_exponential(window, others[0].at(window.step), others[1].at(window.step))
        }),
        _ => Box::new(plain(name)),
    }
}

fn extreme_value(mut extremes: Extremes<'_>) -> WindowFunction<'_> {
    Box::new(move |window| extremes.best(window).map(|index| extremes.series.values[index]))
}

fn extreme_time(mut extremes: Extremes<'_>) -> WindowFunction<'_> {
    Box::new(move |window| extremes.best(window).map(|index| extremes.series.timestamps_ms[index] as f64 / 1e3))
}

/// Functions of nothing but the window.
fn plain(name: &str) -> fn(&Window<'_>) -> Option<f64> {
    match name {
        "irate" => |window| instant(Instant::Rate, window),
        "idelta" => |window| instant(Instant::Delta, window),
        "deriv" => |window| regression::line(window, window.timestamps_ms[0]).map(|(slope, _)| slope),
        "sum_over_time" => |window| {
            let mut sum = Sum::default();
            window.values.iter().for_each(|value| sum.add(*value));
            Some(if sum.value.is_infinite() { sum.value } else { sum.total() })
        },
        "avg_over_time" => |window| {
            let mut mean = Mean::new(window.values[0]);
            window.values[1..].iter().for_each(|value| mean.add(*value));
            Some(mean.total())
        },
        "count_over_time" => |window| Some(window.len() as f64),
        "present_over_time" => |_| Some(1.0),
        "first_over_time" => |window| window.values.first().copied(),
        "last_over_time" => |window| window.values.last().copied(),
        "ts_of_first_over_time" => |window| window.timestamps_ms.first().map(|time| *time as f64 / 1e3),
        "ts_of_last_over_time" => |window| window.timestamps_ms.last().map(|time| *time as f64 / 1e3),
        "stdvar_over_time" => |window| Some(variance(window)),
        "stddev_over_time" => |window| Some(variance(window).sqrt()),
        "mad_over_time" => |window| Some(median_deviation(window)),
        _ => panic!("the function table has {name}, which nothing computes"),
    }
}

/// The best sample of each window in amortised constant time: indices of samples that no later one replaces yet, best first.
/// NaN loses against everything.
struct Extremes<'a> {
    series: &'a RangeSeries,
    replaces: fn(f64, f64) -> bool,
    candidates: VecDeque<usize>,
    /// First sample that was not looked at.
    next: usize,
}

impl<'a> Extremes<'a> {
    fn new(series: &'a RangeSeries, replaces: fn(f64, f64) -> bool) -> Self {
        Self { series, replaces, candidates: VecDeque::new(), next: 0 }
    }

    /// Index of the best sample in the series.
    fn best(&mut self, window: &Window<'_>) -> Option<usize> {
        while self.next < window.first + window.len() {
            let value = self.series.values[self.next];
            let is_replaced = |kept: f64| kept.is_nan() || (self.replaces)(value, kept);
            while self.candidates.back().is_some_and(|last| is_replaced(self.series.values[*last])) {
                self.candidates.pop_back();
            }
            self.candidates.push_back(self.next);
            self.next += 1;
        }
        while self.candidates.front().is_some_and(|first| *first < window.first) {
            self.candidates.pop_front();
        }
        self.candidates.front().copied()
    }
}

/// Population variance, in one pass (Welford).
fn variance(window: &Window<'_>) -> f64 {
    let (mut mean, mut squares) = (Sum::default(), Sum::default());
    for (index, value) in window.values.iter().enumerate() {
        let delta = value - mean.total();
        mean.add(delta / (index + 1) as f64);
        squares.add(delta * (value - mean.total()));
    }
    squares.total() / window.len() as f64
}

/// Median of the distances from the median.
fn median_deviation(window: &Window<'_>) -> f64 {
    let mut values = window.values.to_vec();
    if values.iter().any(|value| value.is_nan()) {
        return f64::NAN;
    }
    let median = quantile(0.5, &mut values);
    values.iter_mut().for_each(|value| *value = (*value - median).abs());
    quantile(0.5, &mut values)
}
