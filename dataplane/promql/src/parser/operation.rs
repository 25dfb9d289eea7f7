//! Unary and binary operators with their modifiers.

use super::token::{Keyword, TokenKind};
use super::{Parsed, Parser};
use crate::ast::UNARY_PRECEDENCE;
use crate::ast::{Binary, BinaryOp, Cardinality, Expr, Matching, Unary, UnaryOp};
use crate::error::Position;

/// What can stand between an operator and its right operand.
#[derive(Default)]
struct Modifier {
    return_bool: bool,
    matching: Matching,
}

impl Parser<'_> {
    /// An expression of operators that bind at least as tight as `precedence_min`.
    pub(super) fn expression(&mut self, precedence_min: u8) -> Parsed<Expr> {
        let outer_depth = self.depth;
        self.descend()?;
        let mut left = match self.unary_op() {
            Some((op, start)) => self.unary(op, start)?,
            None => self.primary()?,
        };
        while let TokenKind::Operator(op) = self.peek().kind {
            if op.precedence() < precedence_min {
                break;
            }
            self.take();
            // A chain makes a tree as deep as it is long.
            self.descend()?;
            left = self.binary(left, op)?;
        }
        self.depth = outer_depth;
        Ok(left)
    }

    /// Takes a sign.
    pub(super) fn unary_op(&mut self) -> Option<(UnaryOp, usize)> {
        let op = match self.peek().kind {
            TokenKind::Operator(BinaryOp::Add) => UnaryOp::Plus,
            TokenKind::Operator(BinaryOp::Subtract) => UnaryOp::Minus,
            _ => return None,
        };
        Some((op, self.take().start))
    }

    fn unary(&mut self, op: UnaryOp, start: usize) -> Parsed<Expr> {
        let operand = self.expression(UNARY_PRECEDENCE + 1)?;
        let position = Position::new(start, operand.position().end);
        Ok(match operand {
            Expr::Number(mut literal) => {
                literal.value = if op == UnaryOp::Minus { -literal.value } else { literal.value };
                literal.position = position;
                Expr::Number(literal)
            }
            expr => Expr::Unary(Box::new(Unary { op, expr, position })),
        })
    }

    fn binary(&mut self, left: Expr, op: BinaryOp) -> Parsed<Expr> {
        let modifier = self.modifier()?;
        let right = self.expression(op.precedence() + u8::from(!op.is_right_associative()))?;
        let (return_bool, matching) = (modifier.return_bool, Some(modifier.matching));
        Ok(Expr::Binary(Box::new(Binary { op, left, right, return_bool, matching })))
    }

    fn keyword(&mut self, keyword: Keyword) -> bool {
        self.take_if(TokenKind::Keyword(keyword)).is_some()
    }

    fn modifier(&mut self) -> Parsed<Modifier> {
        let mut modifier = Modifier { return_bool: self.keyword(Keyword::Bool), ..Modifier::default() };
        let matching = &mut modifier.matching;
        matching.is_on = self.keyword(Keyword::On);
        if matching.is_on || self.keyword(Keyword::Ignoring) {
            matching.labels = self.grouping_labels()?;
            let cardinality = match self.peek().kind {
                TokenKind::Keyword(Keyword::GroupLeft) => Some(Cardinality::ManyToOne),
                TokenKind::Keyword(Keyword::GroupRight) => Some(Cardinality::OneToMany),
                _ => None,
            };
            if let Some(cardinality) = cardinality {
                self.take();
                matching.cardinality = cardinality;
                if self.peek().kind == TokenKind::LeftParen {
                    matching.include = self.grouping_labels()?;
                }
            }
        }
        self.fill(&mut modifier.matching)?;
        Ok(modifier)
    }

    fn fill(&mut self, matching: &mut Matching) -> Parsed<()> {
        if self.keyword(Keyword::Fill) {
            let value = self.fill_value()?;
            (matching.fill_left, matching.fill_right) = (Some(value), Some(value));
        } else if self.keyword(Keyword::FillLeft) {
            matching.fill_left = Some(self.fill_value()?);
            if self.keyword(Keyword::FillRight) {
                matching.fill_right = Some(self.fill_value()?);
            }
        } else if self.keyword(Keyword::FillRight) {
            matching.fill_right = Some(self.fill_value()?);
            if self.keyword(Keyword::FillLeft) {
                matching.fill_left = Some(self.fill_value()?);
            }
        }
        Ok(())
    }

    fn fill_value(&mut self) -> Parsed<f64> {
        self.expect(TokenKind::LeftParen)?;
        let sign = self.unary_op();
        if !matches!(self.peek().kind, TokenKind::Number | TokenKind::Duration) {
            return Err(self.unexpected("", ""));
        }
        let value = self.number()?.value;
        self.expect(TokenKind::RightParen)?;
        Ok(if matches!(sign, Some((UnaryOp::Minus, _))) { -value } else { value })
    }
}
