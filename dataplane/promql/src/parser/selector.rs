//! Vector selectors: name and matchers.

use model::{METRIC_NAME, MatchOp, Matcher};

use super::token::{Token, TokenKind};
use super::{Parsed, Parser};
use crate::ast::{BinaryOp, Boundary, Shift, VectorSelector};
use crate::error::Position;

impl<'a> Parser<'a> {
    pub(super) fn vector_selector(&mut self) -> Parsed<VectorSelector> {
        let token = self.peek();
        let mut position = token.position();
        let mut name = String::new();
        if is_metric_word(token) {
            token.text.clone_into(&mut name);
            self.take();
        } else if token.kind != TokenKind::LeftBrace {
            return Err(self.unexpected("", ""));
        }
        let mut matchers = Vec::new();
        if self.peek().kind == TokenKind::LeftBrace {
            position.end = self.matchers(&mut matchers)?;
        }
        if !name.is_empty() {
            matchers.push(self.matcher(METRIC_NAME, MatchOp::Equal, &name, position)?);
        }
        Ok(VectorSelector { name, matchers, shift: Shift::default(), boundary: Boundary::Plain, position })
    }

    /// `{a="b", "metric.name",}`; gives the end.
    fn matchers(&mut self, matchers: &mut Vec<Matcher>) -> Parsed<usize> {
        self.take();
        loop {
            if let Some(closing) = self.take_if(TokenKind::RightBrace) {
                return Ok(closing.end());
            }
            matchers.push(self.label_matcher()?);
            match self.peek().kind {
                TokenKind::Comma => {
                    self.take();
                }
                TokenKind::RightBrace => {}
                _ => return Err(self.unexpected("label matching", "\",\" or \"}\"")),
            }
        }
    }

    fn label_matcher(&mut self) -> Parsed<Matcher> {
        const CONTEXT: &str = "label matching";
        let name = self.peek();
        let label = match name.kind {
            TokenKind::Identifier => name.text.to_owned(),
            TokenKind::String => self.unquoted(name)?,
            _ => return Err(self.unexpected(CONTEXT, "identifier or \"}\"")),
        };
        self.take();
        let op = match self.peek().kind {
            TokenKind::Assign => MatchOp::Equal,
            TokenKind::Operator(BinaryOp::NotEqual) => MatchOp::NotEqual,
            TokenKind::EqualRegex => MatchOp::Regex,
            TokenKind::NotRegex => MatchOp::NotRegex,
            // A quoted name alone is the metric's.
            _ if name.kind == TokenKind::String => {
                return self.matcher(METRIC_NAME, MatchOp::Equal, &label, name.position());
            }
            _ => return Err(self.unexpected(CONTEXT, "label matching operator")),
        };
        self.take();
        if self.peek().kind != TokenKind::String {
            return Err(self.unexpected(CONTEXT, "string"));
        }
        let literal = self.take();
        let value = self.unquoted(literal)?;
        self.matcher(&label, op, &value, Position::spanning(name.position(), literal.position()))
    }

    fn matcher(&self, name: &str, op: MatchOp, value: &str, position: Position) -> Parsed<Matcher> {
        Matcher::new(name, op, value)
            .map_err(|error| self.error(position, format!("error parsing regexp: {}", error.reason)))
    }
}

/// Keywords are names of metrics where nothing else makes sense.
fn is_metric_word(token: Token<'_>) -> bool {
    match token.kind {
        TokenKind::Identifier
        | TokenKind::MetricIdentifier
        | TokenKind::Aggregator(_)
        | TokenKind::Operator(BinaryOp::And | BinaryOp::Or | BinaryOp::Unless) => true,
        TokenKind::Keyword(keyword) => keyword.can_be_metric(),
        _ => false,
    }
}
