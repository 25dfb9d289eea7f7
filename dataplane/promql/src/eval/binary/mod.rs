//! Binary operators, by the types of their operands.

mod arithmetic;
mod matching;
mod set;

use self::arithmetic::{Cell, scalar_function, vector_function};
use super::column::{Scalars, Steps, absent, is_absent};
use super::{Evaluated, Evaluator, Value};
use crate::ast::{Binary, Expr};
use crate::function::ValueType;
use crate::{Position, QueryError};

impl Evaluator<'_> {
    pub(super) fn binary(&mut self, binary: &Binary, steps: Steps) -> Evaluated<Value> {
        match (binary.left.value_type(), binary.right.value_type()) {
            (ValueType::Scalar, ValueType::Scalar) => self.scalar_scalar(binary, steps),
            (ValueType::Vector, ValueType::Scalar) => {
                self.vector_scalar(binary, &binary.left, &binary.right, Side::VectorLeft, steps)
            }
            (ValueType::Scalar, ValueType::Vector) => {
                self.vector_scalar(binary, &binary.right, &binary.left, Side::VectorRight, steps)
            }
            _ if binary.op.is_set() => self.set_operation(binary, steps).map(Value::Vector),
            _ => self.matched(binary, steps).map(Value::Vector),
        }
    }

    fn scalar_scalar(&mut self, binary: &Binary, steps: Steps) -> Evaluated<Value> {
        let left = self.scalars(&binary.left, steps)?;
        let right = self.scalars(&binary.right, steps)?;
        let Some(function) = scalar_function(binary.op) else {
            let message = format!("operator {} not allowed for Scalar operations", binary.op.as_str());
            return Err(QueryError::Execution(message));
        };
        Ok(Value::Scalar(match (left, right) {
            (Scalars::Constant(left), Scalars::Constant(right)) => Scalars::Constant(function(left, right)),
            (left, right) => {
                let pairs = left.iter(steps.count).zip(right.iter(steps.count));
                Scalars::Steps(pairs.map(|(left, right)| function(left, right)).collect())
            }
        }))
    }

    fn vector_scalar(
        &mut self,
        binary: &Binary,
        vector: &Expr,
        scalar: &Expr,
        side: Side,
        steps: Steps,
    ) -> Evaluated<Value> {
        let op = binary.op;
        let mut rows = self.vector(vector, steps)?;
        let scalars = self.scalars(scalar, steps)?;
        let Some(function) = vector_function(op) else {
            self.note_trim(binary, rows.is_empty());
            return Ok(Value::Vector(Vec::new()));
        };
        let changes_name = op.is_arithmetic() || binary.return_bool;
        for row in &mut rows {
            for (step, cell) in row.cells.iter_mut().enumerate().filter(|(_, cell)| !is_absent(**cell)) {
                let (value, scalar) = (*cell, scalars.at(step));
                let (left, right) = if side == Side::VectorLeft { (value, scalar) } else { (scalar, value) };
                *cell = match function(left, right) {
                    Cell::Value(result) => result,
                    Cell::Kept if binary.return_bool => 1.0,
                    Cell::Filtered if binary.return_bool => 0.0,
                    // A filter keeps the vector's value, on whichever side it stands.
                    Cell::Kept => value,
                    Cell::Filtered => absent(),
                };
            }
            if changes_name {
                self.drop_name(row);
            }
        }
        if changes_name {
            rows = self.unique(rows, steps)?;
        } else {
            rows.retain(|row| !row.is_empty());
        }
        Ok(Value::Vector(rows))
    }

    /// Histograms can be trimmed, floats cannot.
    fn note_trim(&mut self, binary: &Binary, is_empty: bool) {
        if is_empty {
            return;
        }
        let name = binary.op.as_str();
        let quoted = crate::text::quote(name);
        let text = format!("incompatible sample types encountered for binary operator {quoted}: float {name} float");
        let place = Position::spanning(binary.left.position(), binary.right.position());
        self.annotations.info(place, text);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    VectorLeft,
    VectorRight,
}
