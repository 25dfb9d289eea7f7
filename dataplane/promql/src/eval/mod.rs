//! Evaluation: each node of the tree gives whole columns, series by series, over all steps.
//!
//! Nothing here walks over steps first and series second but operators that must (`topk`, `quantile`); no node looks at
//! samples of a series more than once per selector.

mod absent;
mod aggregate;
mod binary;
mod boundary;
mod budget;
mod call;
mod column;
mod date;
mod histogram;
mod label;
mod mathematics;
mod over_time;
pub(crate) mod prepare;
mod quantile;
mod range;
mod rate;
mod regression;
mod selector;
mod sort;
mod sum;
mod top;

pub(crate) use column::Steps;
pub(crate) use histogram::is_almost_equal;

use self::budget::Budget;
use self::column::{Row, Scalars, combine, is_absent, without_metric};
use crate::ast::{Expr, UnaryOp};
use crate::engine::NameRemoval;
use crate::{Annotations, EngineOptions, Interrupt, QueryContext, QueryError, QueryStats, ResultSeries};

/// The value of a node at every step.
pub(crate) enum Value {
    Scalar(Scalars),
    String(String),
    Vector(Vec<Row>),
}

/// What a whole evaluation gives.
pub(crate) enum Outcome {
    /// One value per step.
    Scalar(Vec<f64>),
    String(String),
    /// One series per row; in evaluation order.
    Series(Vec<ResultSeries>),
}

/// One evaluation of one query.
pub(crate) struct Evaluator<'a> {
    options: &'a EngineOptions,
    context: QueryContext<'a>,
    pub annotations: Annotations,
    budget: Budget,
}

type Evaluated<T> = Result<T, QueryError>;

impl<'a> Evaluator<'a> {
    pub fn new(options: &'a EngineOptions, context: QueryContext<'a>) -> Self {
        Self { options, context, annotations: Annotations::default(), budget: Budget::new(options.samples_max) }
    }

    pub fn stats(&self) -> QueryStats {
        self.budget.stats
    }

    /// Evaluates a whole prepared expression.
    pub fn run(&mut self, expr: &Expr, steps: Steps) -> Evaluated<Outcome> {
        if let arg @ (Expr::Matrix(_) | Expr::Subquery(_)) = expr.without_parens() {
            return self.range_result(arg, steps).map(Outcome::Series);
        }
        Ok(match self.eval(expr, steps)? {
            Value::Scalar(values) => Outcome::Scalar(values.iter(steps.count).collect()),
            Value::String(text) => Outcome::String(text),
            Value::Vector(rows) => Outcome::Series(series_of(self.finish_names(rows)?, steps)),
        })
    }

    /// With delayed removal, names go at the very end.
    fn finish_names(&self, mut rows: Vec<Row>) -> Evaluated<Vec<Row>> {
        if self.options.name_removal == NameRemoval::Immediate {
            return Ok(rows);
        }
        for row in rows.iter_mut().filter(|row| row.drop_name) {
            row.labels = without_metric(&row.labels);
        }
        combine(rows)
    }

    fn eval(&mut self, expr: &Expr, steps: Steps) -> Evaluated<Value> {
        self.check_interrupt()?;
        let mark = self.budget.mark();
        let value = match expr {
            Expr::Number(literal) => Value::Scalar(Scalars::Constant(literal.value)),
            Expr::String(literal) => Value::String(literal.value.clone()),
            Expr::Vector(selector) => Value::Vector(self.instant_selector(selector, steps)?),
            Expr::Paren(paren) => self.eval(paren.expr.without_parens(), steps)?,
            Expr::Unary(unary) => self.unary(unary.op, &unary.expr, steps)?,
            Expr::Binary(binary) => self.binary(binary, steps)?,
            Expr::Aggregate(aggregate) => Value::Vector(self.aggregate(aggregate, steps)?),
            Expr::Call(call) => self.call(call, steps)?,
            Expr::StepInvariant(inner) => self.step_invariant(inner, steps)?,
            Expr::Matrix(_) | Expr::Subquery(_) => {
                panic!("a range vector outside of a function passed the type check")
            }
        };
        let cells = match &value {
            Value::Vector(rows) => rows.len() * steps.count,
            Value::Scalar(Scalars::Steps(values)) => values.len(),
            Value::Scalar(Scalars::Constant(_)) | Value::String(_) => 0,
        };
        self.budget.settle(mark, cells as u64)?;
        Ok(value)
    }

    fn vector(&mut self, expr: &Expr, steps: Steps) -> Evaluated<Vec<Row>> {
        match self.eval(expr, steps)? {
            Value::Vector(rows) => Ok(rows),
            _ => panic!("the type check let a value through that is no vector: {expr}"),
        }
    }

    fn scalars(&mut self, expr: &Expr, steps: Steps) -> Evaluated<Scalars> {
        match self.eval(expr, steps)? {
            Value::Scalar(values) => Ok(values),
            _ => panic!("the type check let a value through that is no scalar: {expr}"),
        }
    }

    fn step_invariant(&mut self, inner: &Expr, steps: Steps) -> Evaluated<Value> {
        let value = self.eval(inner, steps.first())?;
        if steps.is_single() {
            return Ok(value);
        }
        Ok(match value {
            Value::Scalar(values) => Value::Scalar(Scalars::Constant(values.at(0))),
            Value::String(text) => Value::String(text),
            Value::Vector(mut rows) => {
                self.budget.charge((rows.len() * steps.count) as u64)?;
                for row in &mut rows {
                    let value = row.cells[0];
                    row.cells.resize(steps.count, value);
                }
                Value::Vector(rows)
            }
        })
    }

    fn unary(&mut self, op: UnaryOp, expr: &Expr, steps: Steps) -> Evaluated<Value> {
        let value = self.eval(expr, steps)?;
        if op == UnaryOp::Plus {
            return Ok(value);
        }
        Ok(match value {
            Value::Scalar(Scalars::Constant(value)) => Value::Scalar(Scalars::Constant(-value)),
            Value::Scalar(Scalars::Steps(values)) => {
                Value::Scalar(Scalars::Steps(values.into_iter().map(|value| -value).collect()))
            }
            Value::Vector(rows) => Value::Vector(self.map_rows(rows, steps, |value| -value)?),
            Value::String(_) => panic!("the type check let a string be negated"),
        })
    }

    /// Applies a function to every value; the result is no longer the metric that it came from.
    fn map_rows(&self, mut rows: Vec<Row>, steps: Steps, function: impl Fn(f64) -> f64) -> Evaluated<Vec<Row>> {
        for row in &mut rows {
            row.map(&function);
            self.drop_name(row);
        }
        self.unique(rows, steps)
    }

    fn drop_name(&self, row: &mut Row) {
        if self.options.name_removal == NameRemoval::Immediate {
            row.labels = without_metric(&row.labels);
        }
        row.drop_name = true;
    }

    /// After labels changed: equal ones join or clash. With delayed removal an instant vector may hold equal labels until
    /// its end.
    fn unique(&self, mut rows: Vec<Row>, steps: Steps) -> Evaluated<Vec<Row>> {
        if steps.is_single() && self.options.name_removal == NameRemoval::Delayed {
            rows.retain(|row| !row.is_empty());
            return Ok(rows);
        }
        combine(rows)
    }

    fn check_interrupt(&self) -> Evaluated<()> {
        match (self.context.interrupt)() {
            None => Ok(()),
            Some(Interrupt::TimedOut) => Err(QueryError::TimedOut),
            Some(Interrupt::Canceled) => Err(QueryError::Canceled),
        }
    }
}

fn series_of(rows: Vec<Row>, steps: Steps) -> Vec<ResultSeries> {
    let mut series = Vec::with_capacity(rows.len());
    for row in rows {
        let present = row.cells.iter().enumerate().filter(|(_, cell)| !is_absent(**cell));
        let (timestamps_ms, values): (Vec<i64>, Vec<f64>) =
            present.map(|(step, cell)| (steps.time_ms(step), *cell)).unzip();
        if !values.is_empty() {
            series.push(ResultSeries { labels: row.labels, timestamps_ms, values });
        }
    }
    series
}
