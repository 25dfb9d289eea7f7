//! Words of the language, and how messages name them.

use crate::Position;
use crate::ast::{AggregateOp, BinaryOp};
use crate::text::quote;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Token<'a> {
    pub kind: TokenKind,
    pub start: usize,
    pub text: &'a str,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TokenKind {
    End,
    /// The lexer gave up here; its message is kept beside the tokens.
    Error,
    Identifier,
    /// An identifier with a colon.
    MetricIdentifier,
    Number,
    Duration,
    String,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    Comma,
    Colon,
    /// `=`
    Assign,
    /// `=~`
    EqualRegex,
    /// `!~`
    NotRegex,
    /// `@`
    At,
    Operator(BinaryOp),
    Aggregator(AggregateOp),
    Keyword(Keyword),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Keyword {
    Offset,
    Smoothed,
    Anchored,
    By,
    Without,
    On,
    Ignoring,
    GroupLeft,
    GroupRight,
    Fill,
    FillLeft,
    FillRight,
    Bool,
    Start,
    End,
    Step,
    Range,
    MaxOf,
    MinOf,
}

impl Keyword {
    /// Words that are functions, or stand for a time, where a parenthesis follows.
    pub fn is_function(self) -> bool {
        matches!(self, Self::Start | Self::End | Self::Step | Self::Range | Self::MaxOf | Self::MinOf)
    }

    /// Words that can be a metric's name where nothing else makes sense.
    pub fn can_be_metric(self) -> bool {
        !matches!(self, Self::Bool | Self::On | Self::Ignoring | Self::GroupLeft | Self::GroupRight)
    }
}

/// The kind of a word, which is compared without regard to case.
pub(super) fn word_kind(word: &str) -> Option<TokenKind> {
    let lower = word.to_ascii_lowercase();
    if let Some(op) = AggregateOp::ALL.into_iter().find(|op| op.as_str() == lower) {
        return Some(TokenKind::Aggregator(op));
    }
    let keyword = match lower.as_str() {
        "and" => return Some(TokenKind::Operator(BinaryOp::And)),
        "or" => return Some(TokenKind::Operator(BinaryOp::Or)),
        "unless" => return Some(TokenKind::Operator(BinaryOp::Unless)),
        "atan2" => return Some(TokenKind::Operator(BinaryOp::Atan2)),
        "inf" | "nan" => return Some(TokenKind::Number),
        "offset" => Keyword::Offset,
        "smoothed" => Keyword::Smoothed,
        "anchored" => Keyword::Anchored,
        "by" => Keyword::By,
        "without" => Keyword::Without,
        "on" => Keyword::On,
        "ignoring" => Keyword::Ignoring,
        "group_left" => Keyword::GroupLeft,
        "group_right" => Keyword::GroupRight,
        "fill" => Keyword::Fill,
        "fill_left" => Keyword::FillLeft,
        "fill_right" => Keyword::FillRight,
        "bool" => Keyword::Bool,
        _ => {
            return duration_keyword(&lower).map(TokenKind::Keyword).or(match lower.as_str() {
                "start" => Some(TokenKind::Keyword(Keyword::Start)),
                "end" => Some(TokenKind::Keyword(Keyword::End)),
                _ => None,
            });
        }
    };
    Some(TokenKind::Keyword(keyword))
}

/// Words that can stand inside brackets.
pub(super) fn duration_keyword(lower: &str) -> Option<Keyword> {
    match lower {
        "step" => Some(Keyword::Step),
        "range" => Some(Keyword::Range),
        "max_of" => Some(Keyword::MaxOf),
        "min_of" => Some(Keyword::MinOf),
        _ => None,
    }
}

impl Token<'_> {
    pub fn end(&self) -> usize {
        self.start + self.text.len()
    }

    pub fn position(&self) -> Position {
        Position::new(self.start, self.end())
    }

    /// The token in a message: `identifier "foo"`, `<op:+>`, `end of input`.
    pub fn describe(&self) -> String {
        match self.kind {
            TokenKind::End => "end of input".to_owned(),
            TokenKind::Error => "error".to_owned(),
            TokenKind::Identifier => format!("identifier {}", quote(self.text)),
            TokenKind::MetricIdentifier => format!("metric identifier {}", quote(self.text)),
            TokenKind::String => format!("string {}", self.shortened()),
            TokenKind::Number => format!("number {}", self.shortened()),
            TokenKind::Duration => format!("duration {}", self.shortened()),
            TokenKind::Operator(_) | TokenKind::EqualRegex | TokenKind::NotRegex | TokenKind::At => {
                format!("<op:{}>", self.text)
            }
            TokenKind::Aggregator(_) => format!("<aggr:{}>", self.text),
            TokenKind::Keyword(keyword) if !keyword.is_function() => format!("<{}>", self.text),
            _ => self.shortened(),
        }
    }

    fn shortened(&self) -> String {
        if self.text.len() <= 10 {
            return quote(self.text);
        }
        let head: String = self.text.chars().take(10).collect();
        format!("{}...", quote(&head))
    }
}
