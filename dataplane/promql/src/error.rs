//! How a query fails, with Prometheus' words where Prometheus has the failure.

use std::fmt;

/// Bytes `start..end` of the query text.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Position {
    pub start: usize,
    pub end: usize,
}

impl Position {
    #[must_use]
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// From the start of `first` to the end of `last`.
    #[must_use]
    pub fn spanning(first: Self, last: Self) -> Self {
        Self { start: first.start, end: last.end }
    }

    /// `line:column` of the start, both from 1, the column in bytes.
    #[must_use]
    pub fn locate(&self, query: &str) -> String {
        if query.is_empty() {
            return "unknown position".to_owned();
        }
        let Some(before) = query.as_bytes().get(..self.start) else { return "invalid position".to_owned() };
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        format!("{line}:{}", self.start - line_start + 1)
    }
}

/// The query text is no valid expression. Displays as `1:5: parse error: ...`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParseError {
    pub position: Position,
    pub message: String,
    /// `line:column`, worked out while the text was at hand.
    pub location: String,
}

impl ParseError {
    #[must_use]
    pub fn new(query: &str, position: Position, message: impl Into<String>) -> Self {
        Self { position, message: message.into(), location: position.locate(query) }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: parse error: {}", self.location, self.message)
    }
}

impl std::error::Error for ParseError {}

/// Why there is no answer. The API's error type follows from the variant (given in brackets).
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum QueryError {
    /// \[bad_data] Not an expression.
    #[error("{0}")]
    Parse(#[from] ParseError),
    /// \[bad_data] An expression or a time range that cannot be asked for.
    #[error("{0}")]
    Refused(String),
    /// \[execution] The evaluation met something undefined, such as a many-to-many match.
    #[error("{0}")]
    Execution(String),
    /// \[execution] Part of the language or of the data that is not evaluated yet.
    #[error("not supported yet: {0}")]
    Unsupported(String),
    /// \[execution] The query's bound on samples in memory.
    #[error("query processing would load too many samples into memory in query execution")]
    TooManySamples,
    /// \[timeout]
    #[error("query timed out in expression evaluation")]
    TimedOut,
    /// \[canceled]
    #[error("query was canceled in expression evaluation")]
    Canceled,
    /// \[internal] Samples could not be read.
    #[error("expanding series: {0}")]
    Storage(String),
}
