//! Range vectors and the windows that slide over them. A window's left end is open, its right end closed.

use model::{Labels, TimeRange};

use super::boundary::{Margins, with_edges};
use super::column::{Row, Steps, absent, is_absent, without_metric};
use super::selector::{Lookups, floats_of};
use super::{Evaluated, Evaluator};
use crate::ast::{Boundary, Expr, MatrixSelector, Subquery};
use crate::engine::NameRemoval;
use crate::{Position, QueryError, ResultSeries, SelectHints};

/// Samples of one series without stale markers.
pub(super) struct RangeSeries {
    pub labels: Labels,
    pub drop_name: bool,
    pub timestamps_ms: Vec<i64>,
    pub values: Vec<f64>,
}

/// Series with the windows that are to be looked at.
pub(super) struct RangeVector {
    pub series: Vec<RangeSeries>,
    pub ends: Lookups,
    pub range_ms: i64,
    pub boundary: Boundary,
    /// How far beyond the windows samples are shown to the function.
    pub margins: Margins,
    /// Where messages point to. Prometheus has no place for subqueries.
    pub position: Position,
}

/// The part of a series that one step sees, margins included. Not empty.
pub(super) struct Window<'a> {
    pub timestamps_ms: &'a [i64],
    pub values: &'a [f64],
    /// Index of the window's first sample in the series, for what is worked out once per series.
    pub first: usize,
    /// Without margins.
    pub range: TimeRange,
    pub step: usize,
    /// Time of evaluation; with `offset` or `@` not the window's end.
    pub time_ms: i64,
}

impl Window<'_> {
    pub fn len(&self) -> usize {
        self.values.len()
    }
}

impl RangeSeries {
    /// The value of `function` in each window that is not empty.
    pub fn slide(
        &self,
        vector: &RangeVector,
        steps: Steps,
        mut function: impl FnMut(&Window<'_>) -> Option<f64>,
    ) -> Vec<f64> {
        let (mut low, mut high) = (0, 0);
        let mut cells = Vec::with_capacity(steps.count);
        for step in 0..steps.count {
            let max_ms = vector.ends.time_ms(step);
            let range = TimeRange { min_ms: max_ms - vector.range_ms, max_ms };
            let (open_ms, end_ms) = (range.min_ms - vector.margins.before_ms, max_ms + vector.margins.after_ms);
            high += self.timestamps_ms[high..].iter().take_while(|timestamp| **timestamp <= end_ms).count();
            low += self.timestamps_ms[low..high].iter().take_while(|timestamp| **timestamp <= open_ms).count();
            let window = Window {
                timestamps_ms: &self.timestamps_ms[low..high],
                values: &self.values[low..high],
                first: low,
                range,
                step,
                time_ms: steps.time_ms(step),
            };
            let value = if low == high { None } else { function(&window) };
            cells.push(value.unwrap_or_else(absent));
        }
        cells
    }
}

impl Evaluator<'_> {
    /// The range vector of an argument.
    pub(super) fn range_vector(
        &mut self,
        arg: &Expr,
        steps: Steps,
        function: Option<&'static str>,
    ) -> Evaluated<RangeVector> {
        match arg {
            Expr::Matrix(matrix) => self.matrix(matrix, steps, function),
            Expr::Subquery(subquery) => self.subquery(subquery, steps),
            _ => panic!("the type check let something through that is no range vector: {arg}"),
        }
    }

    fn matrix(
        &mut self,
        matrix: &MatrixSelector,
        steps: Steps,
        function: Option<&'static str>,
    ) -> Evaluated<RangeVector> {
        let ends = Lookups::new(&matrix.selector.shift, steps);
        let range_ms = matrix.range.milliseconds();
        let boundary = matrix.selector.boundary;
        let margins = Margins::new(boundary, self.options.lookback_ms);
        let position = matrix.position;
        let mut vector = RangeVector { series: Vec::new(), ends, range_ms, boundary, margins, position };
        if steps.count == 0 {
            return Ok(vector);
        }
        let min_ms = ends.first_ms - range_ms - margins.before_ms + 1;
        let range = TimeRange { min_ms, max_ms: ends.last_ms() + margins.after_ms };
        let hints = SelectHints { step_ms: ends.step_ms, window_ms: range_ms, function };
        for one in self.select(&matrix.selector, range, hints)? {
            let (labels, timestamps_ms, values) = floats_of(one);
            if !values.is_empty() {
                vector.series.push(RangeSeries { labels, drop_name: false, timestamps_ms, values });
            }
        }
        Ok(vector)
    }

    /// Evaluates the inner expression at multiples of the subquery's step.
    fn subquery(&mut self, subquery: &Subquery, steps: Steps) -> Evaluated<RangeVector> {
        let ends = Lookups::new(&subquery.shift, steps);
        let range_ms = subquery.range.milliseconds();
        let (boundary, margins, position) = (Boundary::Plain, Margins::default(), Position::default());
        let mut vector = RangeVector { series: Vec::new(), ends, range_ms, boundary, margins, position };
        let inner_steps = self.subquery_steps(subquery, &ends, range_ms)?;
        if steps.count == 0 || inner_steps.count == 0 {
            return Ok(vector);
        }
        for row in self.vector(&subquery.expr, inner_steps)? {
            let present = row.cells.iter().enumerate().filter(|(_, cell)| !is_absent(**cell));
            let (timestamps_ms, values) = present.map(|(step, cell)| (inner_steps.time_ms(step), *cell)).unzip();
            let (labels, drop_name) = (row.labels, row.drop_name);
            vector.series.push(RangeSeries { labels, drop_name, timestamps_ms, values });
        }
        Ok(vector)
    }

    fn subquery_steps(&self, subquery: &Subquery, ends: &Lookups, range_ms: i64) -> Evaluated<Steps> {
        let step_ms = subquery.step.as_ref().map_or(self.options.subquery_step_ms, |step| step.milliseconds());
        let open_ms = ends.first_ms - range_ms;
        // The first multiple of the step inside the window.
        let start_ms = open_ms.div_euclid(step_ms) * step_ms + step_ms;
        let steps = Steps::between(start_ms, ends.last_ms(), step_ms);
        // No answer needs so many; the bound keeps a tiny step from eating the memory before samples are counted.
        if steps.count as u64 > self.budget.left() {
            return Err(QueryError::TooManySamples);
        }
        Ok(steps)
    }

    /// A range vector as the result of an instant query.
    pub(super) fn range_result(&mut self, arg: &Expr, steps: Steps) -> Evaluated<Vec<ResultSeries>> {
        if let Expr::Subquery(subquery) = arg {
            return self.subquery_result(subquery, steps);
        }
        let mut vector = self.range_vector(arg, steps, None)?;
        if vector.boundary != Boundary::Plain {
            let max_ms = vector.ends.time_ms(0);
            let range = TimeRange { min_ms: max_ms - vector.range_ms, max_ms };
            vector.series.iter_mut().for_each(|series| with_edges(series, range, vector.boundary));
            vector.series.retain(|series| !series.values.is_empty());
        }
        let series = vector.series.into_iter().map(|one| ResultSeries {
            labels: one.labels,
            timestamps_ms: one.timestamps_ms,
            values: one.values,
        });
        Ok(series.collect())
    }

    fn subquery_result(&mut self, subquery: &Subquery, steps: Steps) -> Evaluated<Vec<ResultSeries>> {
        let ends = Lookups::new(&subquery.shift, steps);
        let inner_steps = self.subquery_steps(subquery, &ends, subquery.range.milliseconds())?;
        if inner_steps.count == 0 {
            return Ok(Vec::new());
        }
        let rows = self.vector(&subquery.expr, inner_steps)?;
        Ok(super::series_of(self.finish_names(rows)?, inner_steps))
    }

    /// Makes a row of each series' windows. `window_function` gets a series and gives what works on its windows.
    pub(super) fn map_windows<'s>(
        &mut self,
        vector: &'s RangeVector,
        steps: Steps,
        keeps_name: bool,
        mut window_function: impl FnMut(&'s RangeSeries) -> Box<dyn FnMut(&Window<'_>) -> Option<f64> + 's>,
    ) -> Evaluated<Vec<Row>> {
        self.budget.charge((vector.series.len() * steps.count) as u64)?;
        let mut rows = Vec::with_capacity(vector.series.len());
        for series in &vector.series {
            self.check_interrupt()?;
            let cells = series.slide(vector, steps, window_function(series));
            if cells.iter().all(|cell| is_absent(*cell)) {
                continue;
            }
            let drop_name = !keeps_name || series.drop_name;
            let is_dropped_now = drop_name && self.options.name_removal == NameRemoval::Immediate;
            let labels = if is_dropped_now { without_metric(&series.labels) } else { series.labels.clone() };
            rows.push(Row { labels, drop_name, cells });
        }
        if self.options.name_removal == NameRemoval::Immediate && has_equal_labels(&rows) {
            return Err(QueryError::Execution(super::column::DUPLICATE_LABELS.to_owned()));
        }
        Ok(rows)
    }
}

/// Functions over windows refuse equal labels even where the rows never meet.
fn has_equal_labels(rows: &[Row]) -> bool {
    let mut seen = std::collections::HashSet::with_capacity(rows.len());
    !rows.iter().all(|row| seen.insert(&row.labels))
}
