//! Calls: which family a function belongs to.

use model::Labels;

use super::column::{Row, Scalars, Steps, is_absent};
use super::date::date_function;
use super::mathematics::{round, unary_function};
use super::selector::Take;
use super::{Evaluated, Evaluator, Value};
use crate::QueryError;
use crate::ast::{Call, Expr};
use crate::function::ValueType;
use crate::number::{maximum, minimum};

impl Evaluator<'_> {
    pub(super) fn call(&mut self, call: &Call, steps: Steps) -> Evaluated<Value> {
        let range_index = call.args.iter().position(|arg| arg.value_type() == ValueType::Matrix);
        if let Some(range_index) = range_index {
            return self.over_time(call, range_index, steps).map(Value::Vector);
        }
        if call.function.returns == ValueType::Scalar {
            return self.scalar_call(call, steps).map(Value::Scalar);
        }
        self.vector_call(call, steps).map(Value::Vector)
    }

    fn scalar_call(&mut self, call: &Call, steps: Steps) -> Evaluated<Scalars> {
        Ok(match call.function.name {
            "pi" => Scalars::Constant(std::f64::consts::PI),
            "time" => Scalars::Steps((0..steps.count).map(|step| steps.time_ms(step) as f64 / 1e3).collect()),
            "scalar" => Scalars::Steps(only_values(&self.vector(&call.args[0], steps)?, steps)),
            name @ ("max_of" | "min_of") => {
                let (left, right) = (self.scalars(&call.args[0], steps)?, self.scalars(&call.args[1], steps)?);
                let choose = if name == "max_of" { maximum } else { minimum };
                let values = left.iter(steps.count).zip(right.iter(steps.count));
                Scalars::Steps(values.map(|(left, right)| choose(left, right)).collect())
            }
            name => panic!("the function table has the scalar {name}, which nothing computes"),
        })
    }

    fn vector_call(&mut self, call: &Call, steps: Steps) -> Evaluated<Vec<Row>> {
        let name = call.function.name;
        if let Some(function) = unary_function(name) {
            let rows = self.vector(&call.args[0], steps)?;
            return self.map_rows(rows, steps, function);
        }
        if let Some(function) = date_function(name) {
            return self.date(call, function, steps);
        }
        match name {
            "vector" => {
                let cells = self.scalars(&call.args[0], steps)?.iter(steps.count).collect();
                Ok(vec![Row { labels: Labels::default(), drop_name: false, cells }])
            }
            "absent" => self.absent(&call.args[0], steps),
            "timestamp" => self.timestamp(&call.args[0], steps),
            "clamp" | "clamp_min" | "clamp_max" => self.clamp(call, steps),
            "round" => self.round(call, steps),
            "sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc" => self.sort(call, steps),
            "label_replace" => self.label_replace(call, steps),
            "label_join" => self.label_join(call, steps),
            "histogram_quantile" => self.histogram_quantile(call, steps),
            "histogram_quantiles" => self.histogram_quantiles(call, steps),
            "histogram_fraction" => self.histogram_fraction(call, steps),
            // These look at native histograms only, of which there are none: a selection that has some is refused.
            "histogram_count" | "histogram_sum" | "histogram_avg" | "histogram_stddev" | "histogram_stdvar" => {
                self.vector(&call.args[0], steps).map(|_| Vec::new())
            }
            "info" | "start_timestamp" => Err(QueryError::Unsupported(format!("the function {name}()"))),
            _ => panic!("the function table has {name}, which nothing computes"),
        }
    }

    fn date(&mut self, call: &Call, function: fn(f64) -> f64, steps: Steps) -> Evaluated<Vec<Row>> {
        if let Some(arg) = call.args.first() {
            let rows = self.vector(arg, steps)?;
            return self.map_rows(rows, steps, function);
        }
        let seconds = |step| (steps.time_ms(step) / 1_000) as f64;
        let cells = (0..steps.count).map(|step| function(seconds(step))).collect();
        Ok(vec![Row { labels: Labels::default(), drop_name: false, cells }])
    }

    /// The samples' own times where a selector stands there, else the evaluation's.
    fn timestamp(&mut self, arg: &Expr, steps: Steps) -> Evaluated<Vec<Row>> {
        let mut rows = match arg.without_parens() {
            Expr::Vector(selector) => self.instant_samples(selector, steps, Take::Time)?,
            other => {
                let mut rows = self.vector(other, steps)?;
                for row in &mut rows {
                    let cells = row.cells.iter_mut().enumerate().filter(|(_, cell)| !is_absent(**cell));
                    cells.for_each(|(step, cell)| *cell = steps.time_ms(step) as f64 / 1e3);
                }
                rows
            }
        };
        rows.iter_mut().for_each(|row| self.drop_name(row));
        self.unique(rows, steps)
    }

    fn clamp(&mut self, call: &Call, steps: Steps) -> Evaluated<Vec<Row>> {
        let mut rows = self.vector(&call.args[0], steps)?;
        let (low, high) = match call.function.name {
            "clamp_min" => (self.scalars(&call.args[1], steps)?, Scalars::Constant(f64::INFINITY)),
            "clamp_max" => (Scalars::Constant(f64::NEG_INFINITY), self.scalars(&call.args[1], steps)?),
            _ => (self.scalars(&call.args[1], steps)?, self.scalars(&call.args[2], steps)?),
        };
        for row in &mut rows {
            for (step, cell) in row.cells.iter_mut().enumerate().filter(|(_, cell)| !is_absent(**cell)) {
                let (low, high) = (low.at(step), high.at(step));
                *cell = if high < low { super::column::absent() } else { maximum(low, minimum(high, *cell)) };
            }
            self.drop_name(row);
        }
        self.unique(rows, steps)
    }

    fn round(&mut self, call: &Call, steps: Steps) -> Evaluated<Vec<Row>> {
        let mut rows = self.vector(&call.args[0], steps)?;
        let nearest = match call.args.get(1) {
            Some(arg) => self.scalars(arg, steps)?,
            None => Scalars::Constant(1.0),
        };
        for row in &mut rows {
            for (step, cell) in row.cells.iter_mut().enumerate().filter(|(_, cell)| !is_absent(**cell)) {
                *cell = round(*cell, nearest.at(step));
            }
            self.drop_name(row);
        }
        self.unique(rows, steps)
    }
}

/// The value at steps that have exactly one, else NaN.
fn only_values(rows: &[Row], steps: Steps) -> Vec<f64> {
    let mut values = vec![f64::NAN; steps.count];
    let mut counts = vec![0u32; steps.count];
    for row in rows {
        for (step, cell) in row.cells.iter().enumerate().filter(|(_, cell)| !is_absent(**cell)) {
            counts[step] = counts[step].saturating_add(1);
            values[step] = if counts[step] == 1 { *cell } else { f64::NAN };
        }
    }
    values
}
