//! Aggregations and lists of label names.

use super::token::{Keyword, Token, TokenKind};
use super::{Context, Parsed, Parser};
use crate::ast::{Aggregate, AggregateOp, BinaryOp, Expr, Grouping};
use crate::error::Position;
use crate::text::quote;

impl<'a> Parser<'a> {
    /// `sum by (x) (expr)`, `sum (expr) by (x)` or `sum (expr)`.
    pub(super) fn aggregation(&mut self, op: AggregateOp) -> Parsed<Expr> {
        let start = self.take().start;
        let before = if self.is_grouping(0) { Some(self.grouping()?.0) } else { None };
        if self.peek().kind != TokenKind::LeftParen {
            return Err(self.unexpected("aggregation", ""));
        }
        let context = Context { name: "aggregation", expected: "" };
        let (mut args, mut end) = self.within(context, Self::arguments)?;
        let grouping = match before {
            Some(grouping) => grouping,
            None if self.is_grouping(0) => {
                let (grouping, grouping_end) = self.grouping()?;
                end = grouping_end;
                grouping
            }
            None => Grouping::By(Vec::new()),
        };
        let position = Position::new(start, end);
        let expected = 1 + usize::from(op.has_param());
        if args.is_empty() {
            return Err(self.error(position, "no arguments for aggregate expression provided"));
        }
        if args.len() != expected {
            let message = format!(
                "wrong number of arguments for aggregate expression provided, expected {expected}, got {}",
                args.len()
            );
            return Err(self.error(position, message));
        }
        let expr = args.pop().expect("the count was checked");
        Ok(Expr::Aggregate(Box::new(Aggregate { op, expr, param: args.pop(), grouping, position })))
    }

    fn grouping(&mut self) -> Parsed<(Grouping, usize)> {
        let is_by = self.take().kind == TokenKind::Keyword(Keyword::By);
        let labels = self.grouping_labels()?;
        let end = self.tokens.list[self.next - 1].end();
        Ok((if is_by { Grouping::By(labels) } else { Grouping::Without(labels) }, end))
    }

    /// `(a, "b.c",)`
    pub(super) fn grouping_labels(&mut self) -> Parsed<Vec<String>> {
        if self.take_if(TokenKind::LeftParen).is_none() {
            return Err(self.unexpected("grouping opts", "\"(\""));
        }
        let mut labels = Vec::new();
        while self.take_if(TokenKind::RightParen).is_none() {
            labels.push(self.grouping_label()?);
            match self.peek().kind {
                TokenKind::Comma => {
                    self.take();
                }
                TokenKind::RightParen => {}
                _ => return Err(self.unexpected("grouping opts", "\",\" or \")\"")),
            }
        }
        Ok(labels)
    }

    fn grouping_label(&mut self) -> Parsed<String> {
        let token = self.peek();
        let label = match token.kind {
            TokenKind::String => self.unquoted(token)?,
            _ if is_label_word(token) => token.text.to_owned(),
            _ => return Err(self.unexpected("grouping opts", "label")),
        };
        self.take();
        if label.is_empty() {
            return Err(self.error(token.position(), format!("invalid label name for grouping: {}", quote(&label))));
        }
        Ok(label)
    }
}

/// Keywords are label names where only those can stand.
fn is_label_word(token: Token<'_>) -> bool {
    matches!(
        token.kind,
        TokenKind::Identifier
            | TokenKind::MetricIdentifier
            | TokenKind::Keyword(_)
            | TokenKind::Aggregator(_)
            | TokenKind::Operator(BinaryOp::And | BinaryOp::Or | BinaryOp::Unless | BinaryOp::Atan2)
    )
}
