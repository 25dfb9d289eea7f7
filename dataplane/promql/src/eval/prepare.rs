//! Makes a parsed tree ready for one query: times and durations become numbers, and parts that give the same at every step
//! are marked, so that they are evaluated once.

use std::mem;

use crate::ast::{At, DurationExpr, Expr, Extent, NumberLiteral, Shift};
use crate::parser::number::is_out_of_range;
use crate::{Position, QueryError};

/// The query's own times; they stay the same inside subqueries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueryTimes {
    pub start_ms: i64,
    pub end_ms: i64,
    /// 0 for an instant query.
    pub step_ms: i64,
}

/// Resolves and marks.
///
/// # Errors
/// A duration expression that gives no usable duration.
pub(crate) fn prepare(mut expr: Expr, times: QueryTimes) -> Result<Expr, QueryError> {
    resolve(&mut expr, &times)?;
    if mark(&mut expr).is_worth_wrapping {
        wrap(&mut expr);
    }
    Ok(expr)
}

fn resolve(expr: &mut Expr, times: &QueryTimes) -> Result<(), QueryError> {
    if let Expr::Call(call) = expr
        && let Some(value) = times.constant(call.function.name)
    {
        *expr = Expr::Number(NumberLiteral { value, is_duration: false, position: call.position });
    }
    match expr {
        Expr::Vector(selector) => times.shift(&mut selector.shift)?,
        Expr::Matrix(matrix) => {
            times.shift(&mut matrix.selector.shift)?;
            times.extent(&mut matrix.range, Sign::Positive)?;
        }
        Expr::Subquery(subquery) => {
            times.shift(&mut subquery.shift)?;
            if let Some(step) = &mut subquery.step {
                times.extent(step, Sign::Positive)?;
            }
            times.extent(&mut subquery.range, Sign::Positive)?;
        }
        _ => {}
    }
    expr.children_mut().into_iter().try_for_each(|child| resolve(child, times))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    Any,
    Positive,
}

impl QueryTimes {
    fn constant(&self, function: &str) -> Option<f64> {
        Some(match function {
            "start" => self.start_ms as f64 / 1e3,
            "end" => self.end_ms as f64 / 1e3,
            "range" => (self.end_ms - self.start_ms) as f64 / 1e3,
            "step" if self.start_ms == self.end_ms => 0.0,
            "step" => self.step_ms as f64 / 1e3,
            _ => return None,
        })
    }

    fn shift(&self, shift: &mut Shift) -> Result<(), QueryError> {
        shift.at = match shift.at {
            Some(At::Start) => Some(At::Timestamp(self.start_ms)),
            Some(At::End) => Some(At::Timestamp(self.end_ms)),
            other => other,
        };
        self.extent(&mut shift.offset, Sign::Any)
    }

    fn extent(&self, extent: &mut Extent, sign: Sign) -> Result<(), QueryError> {
        if let Extent::Expression(expr) = extent {
            *extent = Extent::Milliseconds(self.milliseconds(expr, sign)?);
        }
        Ok(())
    }

    fn milliseconds(&self, expr: &DurationExpr, sign: Sign) -> Result<i64, QueryError> {
        let range = (self.end_ms - self.start_ms) as f64 / 1e3;
        let seconds = expr.seconds(self.step_ms as f64 / 1e3, range).map_err(QueryError::Execution)?;
        let Position { start, end } = expr.position();
        let refuse = |what: &str| Err(QueryError::Execution(format!("{start}:{end}: duration {what}")));
        if !seconds.is_finite() {
            return refuse("is NaN or infinite");
        }
        if seconds <= 0.0 && sign == Sign::Positive {
            return refuse("must be greater than 0");
        }
        if is_out_of_range(seconds) {
            return refuse("is out of range");
        }
        let milliseconds = (seconds * 1e3) as i64;
        // A positive part of a millisecond would be no window, and no step, at all.
        if milliseconds == 0 && sign == Sign::Positive {
            return refuse("must be greater than 0");
        }
        Ok(milliseconds)
    }
}

/// What is known of a subtree.
#[derive(Clone, Copy)]
struct Mark {
    is_invariant: bool,
    /// Literals are no work; range vectors are read by the function around them.
    is_worth_wrapping: bool,
}

impl Mark {
    const LITERAL: Self = Self { is_invariant: true, is_worth_wrapping: false };
    const VARYING: Self = Self { is_invariant: false, is_worth_wrapping: false };

    fn invariant(is_invariant: bool) -> Self {
        Self { is_invariant, is_worth_wrapping: is_invariant }
    }

    fn range(is_invariant: bool) -> Self {
        Self { is_invariant, is_worth_wrapping: false }
    }
}

/// Finds what is step-invariant and wraps the largest such parts below `expr`.
fn mark(expr: &mut Expr) -> Mark {
    match expr {
        Expr::Number(_) | Expr::String(_) => Mark::LITERAL,
        Expr::Vector(selector) => Mark::invariant(selector.shift.at.is_some()),
        Expr::Matrix(matrix) => Mark::range(matrix.selector.shift.at.is_some()),
        Expr::Subquery(subquery) => {
            if mark(&mut subquery.expr).is_invariant {
                wrap(&mut subquery.expr);
            }
            Mark::range(subquery.shift.at.is_some())
        }
        Expr::Paren(paren) => mark(&mut paren.expr),
        Expr::Unary(unary) => mark(&mut unary.expr),
        Expr::Call(call) => {
            let is_timestamp = call.function.name == "timestamp"
                && call.args.iter().all(|arg| matches!(arg.without_parens(), Expr::Vector(_)));
            let is_safe = is_timestamp || !depends_on_time(call.function.name);
            mark_all(call.args.iter_mut().collect(), is_safe)
        }
        Expr::Aggregate(_) | Expr::Binary(_) => mark_all(expr.children_mut(), true),
        Expr::StepInvariant(_) => Mark::LITERAL,
    }
}

fn mark_all(children: Vec<&mut Expr>, is_safe: bool) -> Mark {
    let marked: Vec<(&mut Expr, Mark)> = children
        .into_iter()
        .map(|child| {
            let found = mark(child);
            (child, found)
        })
        .collect();
    if is_safe && marked.iter().all(|(_, found)| found.is_invariant) {
        return Mark::invariant(true);
    }
    for (child, found) in marked {
        if found.is_worth_wrapping {
            wrap(child);
        }
    }
    Mark::VARYING
}

fn wrap(expr: &mut Expr) {
    let placeholder = Expr::Number(NumberLiteral { value: 0.0, is_duration: false, position: Position::default() });
    let inner = mem::replace(expr, placeholder);
    *expr = Expr::StepInvariant(Box::new(inner));
}

/// Functions whose result changes with the time of evaluation although their arguments do not.
pub(crate) fn depends_on_time(function: &str) -> bool {
    matches!(
        function,
        "days_in_month"
            | "day_of_month"
            | "day_of_week"
            | "day_of_year"
            | "end"
            | "hour"
            | "minute"
            | "month"
            | "year"
            | "predict_linear"
            | "range"
            | "start"
            | "step"
            | "time"
            | "timestamp"
    )
}
