//! What follows an operand: ranges, subqueries, `offset`, `@`, `anchored` and `smoothed`.

use super::number::seconds_to_ms;
use super::token::{Keyword, TokenKind};
use super::{Context, Parsed, Parser};
use crate::ast::{At, Boundary, DurationExpr, Expr, Extent, MatrixSelector, Shift, Subquery, UnaryOp};
use crate::error::Position;
use crate::number::fixed;

impl Parser<'_> {
    /// Modifiers bind tighter than any operator.
    pub(super) fn postfix(&mut self, mut expr: Expr) -> Parsed<Expr> {
        let outer_depth = self.depth;
        loop {
            expr = match self.peek().kind {
                TokenKind::LeftBracket => self.range(expr)?,
                TokenKind::Keyword(Keyword::Offset) => self.offset(expr)?,
                TokenKind::At => self.at(expr)?,
                TokenKind::Keyword(Keyword::Anchored) => self.boundary(expr, Boundary::Anchored)?,
                TokenKind::Keyword(Keyword::Smoothed) => self.boundary(expr, Boundary::Smoothed)?,
                _ => break,
            };
            self.descend()?;
        }
        self.depth = outer_depth;
        Ok(expr)
    }

    /// `[5m]` or `[1h:5m]`
    fn range(&mut self, expr: Expr) -> Parsed<Expr> {
        const RANGE: Context =
            Context { name: "subquery or range selector", expected: "number, duration, step(), or range()" };
        const STEP: Context =
            Context { name: "subquery selector", expected: "number, duration, step(), range(), or \"]\"" };
        let opening = self.take();
        let range = self.within(RANGE, Self::positive_duration)?;
        if let Some(closing) = self.take_if(TokenKind::RightBracket) {
            return self.matrix(expr, range, Position::spanning(opening.position(), closing.position()));
        }
        if self.take_if(TokenKind::Colon).is_none() {
            return Err(self.unexpected("subquery or range", "\":\" or \"]\""));
        }
        let mut step = None;
        if self.peek().kind != TokenKind::RightBracket {
            step = Some(self.within(STEP, Self::positive_duration)?);
        }
        let Some(closing) = self.take_if(TokenKind::RightBracket) else {
            return Err(self.unexpected(STEP.name, "\"]\""));
        };
        let position = Position::new(expr.position().start, closing.end());
        Ok(Expr::Subquery(Box::new(Subquery { expr, range, step, shift: Shift::default(), position })))
    }

    fn matrix(&self, expr: Expr, range: Extent, brackets: Position) -> Parsed<Expr> {
        let Expr::Vector(selector) = expr else {
            return Err(self.error(brackets, "ranges only allowed for vector selectors"));
        };
        if !selector.shift.offset.is_zero() {
            return Err(self.error(brackets, "no offset modifiers allowed before range"));
        }
        if selector.shift.at.is_some() {
            return Err(self.error(brackets, "no @ modifiers allowed before range"));
        }
        let position = Position::new(selector.position.start, brackets.end);
        Ok(Expr::Matrix(MatrixSelector { selector, range, position }))
    }

    fn offset(&mut self, mut expr: Expr) -> Parsed<Expr> {
        const OFFSET: Context = Context { name: "offset", expected: "number, duration, step(), or range()" };
        self.take();
        let offset = match self.within(OFFSET, Self::offset_duration)? {
            DurationExpr::Number(literal) => Extent::Milliseconds(seconds_to_ms(literal.value)),
            other => Extent::Expression(Box::new(other)),
        };
        let end = self.tokens.list[self.next - 1].end();
        let place = expr.position();
        let Some((shift, position)) = shift_of(&mut expr) else {
            let message = "offset modifier must be preceded by an instant vector selector or range vector selector or a \
                           subquery";
            return Err(self.error(place, message));
        };
        if !shift.offset.is_zero() {
            return Err(self.error(place, "offset may not be set multiple times"));
        }
        shift.offset = offset;
        position.end = end;
        Ok(expr)
    }

    fn at(&mut self, mut expr: Expr) -> Parsed<Expr> {
        self.take();
        let place = expr.position();
        let at = match self.peek().kind {
            TokenKind::Keyword(keyword @ (Keyword::Start | Keyword::End)) => {
                self.take();
                self.expect(TokenKind::LeftParen)?;
                self.expect(TokenKind::RightParen)?;
                if keyword == Keyword::Start { At::Start } else { At::End }
            }
            _ => At::Timestamp(self.at_timestamp(place)?),
        };
        let end = self.tokens.list[self.next - 1].end();
        let Some((shift, position)) = shift_of(&mut expr) else {
            let message =
                "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery";
            return Err(self.error(place, message));
        };
        if shift.at.is_some() {
            return Err(self.error(place, "@ <timestamp> may not be set multiple times"));
        }
        shift.at = Some(at);
        position.end = end;
        Ok(expr)
    }

    /// Seconds in the text, milliseconds in the tree.
    fn at_timestamp(&mut self, place: Position) -> Parsed<i64> {
        let sign = self.unary_op();
        if !matches!(self.peek().kind, TokenKind::Number | TokenKind::Duration) {
            return Err(self.unexpected("@", "timestamp"));
        }
        let magnitude = self.number()?.value;
        let seconds = if matches!(sign, Some((UnaryOp::Minus, _))) { -magnitude } else { magnitude };
        let milliseconds = (seconds * 1e3).round();
        // The bound keeps sums with offsets and ranges within 64 bits.
        if !milliseconds.is_finite() || milliseconds.abs() >= i64::MAX as f64 / 4.0 {
            return Err(self.error(place, format!("timestamp out of bounds for @ modifier: {}", fixed(seconds))));
        }
        Ok(milliseconds as i64)
    }

    fn boundary(&mut self, mut expr: Expr, boundary: Boundary) -> Parsed<Expr> {
        self.take();
        let word = if boundary == Boundary::Anchored { "anchored" } else { "smoothed" };
        let place = expr.position();
        let selector = match &mut expr {
            Expr::Vector(selector) => selector,
            Expr::Matrix(matrix) => &mut matrix.selector,
            Expr::Subquery(_) => {
                return Err(self.error(place, format!("{word} modifier is not supported for subqueries")));
            }
            _ => return Err(self.error(place, format!("{word} modifier not implemented"))),
        };
        if selector.boundary != Boundary::Plain && selector.boundary != boundary {
            return Err(self.error(place, "anchored and smoothed modifiers cannot be used together"));
        }
        selector.boundary = boundary;
        Ok(expr)
    }
}

/// The time shift of a selector or subquery and the place that grows with it.
fn shift_of(expr: &mut Expr) -> Option<(&mut Shift, &mut Position)> {
    match expr {
        Expr::Vector(selector) => Some((&mut selector.shift, &mut selector.position)),
        Expr::Matrix(matrix) => Some((&mut matrix.selector.shift, &mut matrix.position)),
        Expr::Subquery(subquery) => Some((&mut subquery.shift, &mut subquery.position)),
        _ => None,
    }
}
