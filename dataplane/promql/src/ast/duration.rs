//! Durations inside selectors: fixed, or an expression over the query's step and range.

use super::NumberLiteral;
use crate::Position;

/// A duration of a selector or subquery.
#[derive(Clone, PartialEq, Debug)]
pub enum Extent {
    Milliseconds(i64),
    /// Known once the query's times are.
    Expression(Box<DurationExpr>),
}

impl Default for Extent {
    fn default() -> Self {
        Self::Milliseconds(0)
    }
}

impl Extent {
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::Milliseconds(0)
    }

    /// The fixed value.
    ///
    /// # Panics
    /// It is an expression: the engine resolves those before it evaluates anything.
    #[must_use]
    pub fn milliseconds(&self) -> i64 {
        match self {
            Self::Milliseconds(milliseconds) => *milliseconds,
            Self::Expression(_) => panic!("a duration expression was evaluated before it was resolved"),
        }
    }
}

/// `step() * 2`, `max_of(5m, range())`, ...; numbers are seconds.
#[derive(Clone, PartialEq, Debug)]
pub enum DurationExpr {
    Number(NumberLiteral),
    /// `step()`: distance between evaluation times.
    Step(Position),
    /// `range()`: end minus start of the query.
    Range(Position),
    Min(Box<DurationPair>),
    Max(Box<DurationPair>),
    Negative(Box<Self>, Position),
    Binary(DurationOp, Box<DurationPair>),
    Paren(Box<Self>, Position),
}

/// Two operands and the place of the whole.
#[derive(Clone, PartialEq, Debug)]
pub struct DurationPair {
    pub left: DurationExpr,
    pub right: DurationExpr,
    pub position: Position,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DurationOp {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
}

impl DurationOp {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
            Self::Power => "^",
        }
    }
}

impl DurationExpr {
    #[must_use]
    pub fn position(&self) -> Position {
        match self {
            Self::Number(literal) => literal.position,
            Self::Step(position) | Self::Range(position) | Self::Negative(_, position) | Self::Paren(_, position) => {
                *position
            }
            Self::Min(pair) | Self::Max(pair) | Self::Binary(_, pair) => pair.position,
        }
    }

    /// Seconds, for a query with this step and range (both in seconds).
    ///
    /// # Errors
    /// Division or remainder by zero.
    pub fn seconds(&self, step: f64, range: f64) -> Result<f64, String> {
        let both = |pair: &DurationPair| -> Result<(f64, f64), String> {
            Ok((pair.left.seconds(step, range)?, pair.right.seconds(step, range)?))
        };
        Ok(match self {
            Self::Number(literal) => literal.value,
            Self::Step(_) => step,
            Self::Range(_) => range,
            Self::Min(pair) => both(pair).map(|(left, right)| crate::number::minimum(left, right))?,
            Self::Max(pair) => both(pair).map(|(left, right)| crate::number::maximum(left, right))?,
            Self::Negative(inner, _) => -inner.seconds(step, range)?,
            Self::Paren(inner, _) => inner.seconds(step, range)?,
            Self::Binary(op, pair) => {
                let (left, right) = both(pair)?;
                let place = || format!("{}:{}", pair.position.start, pair.position.end);
                match op {
                    DurationOp::Add => left + right,
                    DurationOp::Subtract => left - right,
                    DurationOp::Multiply => left * right,
                    DurationOp::Divide if right == 0.0 => return Err(format!("{}: division by zero", place())),
                    DurationOp::Modulo if right == 0.0 => return Err(format!("{}: modulo by zero", place())),
                    DurationOp::Divide => left / right,
                    DurationOp::Modulo => left % right,
                    DurationOp::Power => left.powf(right),
                }
            }
        })
    }
}
