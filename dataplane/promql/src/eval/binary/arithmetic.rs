//! Operators on two floats.

use crate::ast::BinaryOp;

/// What an operator makes of two values.
pub(super) enum Cell {
    Value(f64),
    /// A comparison holds.
    Kept,
    Filtered,
}

/// The function of an operator between vector elements; trims have none.
pub(super) fn vector_function(op: BinaryOp) -> Option<fn(f64, f64) -> Cell> {
    fn compared(holds: bool) -> Cell {
        if holds { Cell::Kept } else { Cell::Filtered }
    }
    Some(match op {
        BinaryOp::Equal => |left, right| compared(left == right),
        BinaryOp::NotEqual => |left, right| compared(left != right),
        BinaryOp::Less => |left, right| compared(left < right),
        BinaryOp::LessEqual => |left, right| compared(left <= right),
        BinaryOp::Greater => |left, right| compared(left > right),
        BinaryOp::GreaterEqual => |left, right| compared(left >= right),
        BinaryOp::Add => |left, right| Cell::Value(left + right),
        BinaryOp::Subtract => |left, right| Cell::Value(left - right),
        BinaryOp::Multiply => |left, right| Cell::Value(left * right),
        BinaryOp::Divide => |left, right| Cell::Value(left / right),
        BinaryOp::Modulo => |left, right| Cell::Value(left % right),
        BinaryOp::Atan2 => |left, right| Cell::Value(left.atan2(right)),
        BinaryOp::Power => |left, right| Cell::Value(left.powf(right)),
        BinaryOp::TrimUpper | BinaryOp::TrimLower | BinaryOp::And | BinaryOp::Or | BinaryOp::Unless => return None,
    })
}

/// The function of an operator between scalars: comparisons give 0 and 1.
pub(super) fn scalar_function(op: BinaryOp) -> Option<impl Fn(f64, f64) -> f64> {
    let function = vector_function(op)?;
    Some(move |left, right| match function(left, right) {
        Cell::Value(value) => value,
        Cell::Kept => 1.0,
        Cell::Filtered => 0.0,
    })
}
