//! Duration expressions of ranges, steps and offsets.

use super::number::{is_out_of_range, seconds_to_ms};
use super::token::{Keyword, TokenKind};
use super::{Parsed, Parser};
use crate::ast::{BinaryOp, DurationExpr, DurationOp, DurationPair, Extent, UNARY_PRECEDENCE, UnaryOp};
use crate::error::Position;

impl Parser<'_> {
    /// The duration of a range or step.
    pub(super) fn positive_duration(&mut self) -> Parsed<Extent> {
        match self.duration(0)? {
            DurationExpr::Number(literal) => {
                let milliseconds = seconds_to_ms(literal.value);
                // Below a millisecond there is nothing to tell apart.
                if milliseconds <= 0 {
                    return Err(self.error(literal.position, "duration must be greater than 0"));
                }
                Ok(Extent::Milliseconds(milliseconds))
            }
            other => Ok(Extent::Expression(Box::new(other))),
        }
    }

    /// Behind `offset` a sign and operators belong to the surrounding expression, unless parentheses tell otherwise:
    /// `foo offset -2^2` is `(foo offset -2)^2`.
    pub(super) fn offset_duration(&mut self) -> Parsed<DurationExpr> {
        let sign = self.unary_op();
        if sign.is_none() && self.peek().kind == TokenKind::LeftParen {
            return self.duration(0);
        }
        let operand = self.duration_primary()?;
        Ok(match sign {
            Some((op, start)) => self.signed(op, start, operand)?,
            None => operand,
        })
    }

    fn duration(&mut self, precedence_min: u8) -> Parsed<DurationExpr> {
        let outer_depth = self.depth;
        self.descend()?;
        let mut left = match self.unary_op() {
            Some((op, start)) => {
                let operand = self.duration(UNARY_PRECEDENCE + 1)?;
                self.signed(op, start, operand)?
            }
            None => self.duration_primary()?,
        };
        while let TokenKind::Operator(op) = self.peek().kind {
            let Some(duration_op) = duration_op(op) else { break };
            if op.precedence() < precedence_min {
                break;
            }
            let place = self.take().position();
            self.descend()?;
            let right = self.duration(op.precedence() + u8::from(!op.is_right_associative()))?;
            left = self.operation(duration_op, left, right, place)?;
        }
        self.depth = outer_depth;
        Ok(left)
    }

    fn operation(
        &self,
        op: DurationOp,
        left: DurationExpr,
        right: DurationExpr,
        place: Position,
    ) -> Parsed<DurationExpr> {
        if matches!(&right, DurationExpr::Number(literal) if literal.value == 0.0) {
            match op {
                DurationOp::Divide => return Err(self.error(place, "division by zero")),
                DurationOp::Modulo => return Err(self.error(place, "modulo by zero")),
                _ => {}
            }
        }
        let position = Position::spanning(left.position(), right.position());
        Ok(DurationExpr::Binary(op, Box::new(DurationPair { left, right, position })))
    }

    fn signed(&self, op: UnaryOp, start: usize, operand: DurationExpr) -> Parsed<DurationExpr> {
        let position = Position::new(start, operand.position().end);
        Ok(match (op, operand) {
            (_, DurationExpr::Number(mut literal)) => {
                literal.value = if op == UnaryOp::Minus { -literal.value } else { literal.value };
                literal.position = position;
                DurationExpr::Number(literal)
            }
            (UnaryOp::Plus, operand) => operand,
            (UnaryOp::Minus, operand) => DurationExpr::Negative(Box::new(operand), position),
        })
    }

    fn duration_primary(&mut self) -> Parsed<DurationExpr> {
        match self.peek().kind {
            TokenKind::Number | TokenKind::Duration => {
                let literal = self.number()?;
                if !literal.value.is_finite() || is_out_of_range(literal.value) {
                    return Err(self.error(literal.position, "duration out of range"));
                }
                Ok(DurationExpr::Number(literal))
            }
            TokenKind::LeftParen => {
                let opening = self.take();
                let inner = self.duration(0)?;
                let closing = self.expect(TokenKind::RightParen)?;
                let position = Position::spanning(opening.position(), closing.position());
                Ok(DurationExpr::Paren(Box::new(inner), position))
            }
            TokenKind::Keyword(keyword @ (Keyword::Step | Keyword::Range | Keyword::MaxOf | Keyword::MinOf)) => {
                self.duration_function(keyword)
            }
            _ => Err(self.unexpected("", "")),
        }
    }

    fn duration_function(&mut self, keyword: Keyword) -> Parsed<DurationExpr> {
        let start = self.take().start;
        self.expect(TokenKind::LeftParen)?;
        if matches!(keyword, Keyword::Step | Keyword::Range) {
            let position = Position::new(start, self.expect(TokenKind::RightParen)?.end());
            let is_step = keyword == Keyword::Step;
            return Ok(if is_step { DurationExpr::Step(position) } else { DurationExpr::Range(position) });
        }
        let left = self.duration(0)?;
        self.expect(TokenKind::Comma)?;
        let right = self.duration(0)?;
        let position = Position::new(start, self.expect(TokenKind::RightParen)?.end());
        let pair = Box::new(DurationPair { left, right, position });
        Ok(if keyword == Keyword::MaxOf { DurationExpr::Max(pair) } else { DurationExpr::Min(pair) })
    }
}

fn duration_op(op: BinaryOp) -> Option<DurationOp> {
    Some(match op {
        BinaryOp::Add => DurationOp::Add,
        BinaryOp::Subtract => DurationOp::Subtract,
        BinaryOp::Multiply => DurationOp::Multiply,
        BinaryOp::Divide => DurationOp::Divide,
        BinaryOp::Modulo => DurationOp::Modulo,
        BinaryOp::Power => DurationOp::Power,
        _ => return None,
    })
}
