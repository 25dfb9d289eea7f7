//! Answers that are errors: Prometheus' error types with their HTTP status.

use promql::{Interrupt, QueryError};

use super::answer::{ApiAnswer, JSON};
use super::json::push_text_html;
use crate::{PoolFull, ReadError, Watch};

/// Prometheus' error types, and one of Mimir's for the full queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FailureKind {
    Timeout,
    Canceled,
    Execution,
    BadData,
    Internal,
    NotFound,
    TooManyRequests,
    Unavailable,
}

impl FailureKind {
    fn status(self) -> u16 {
        match self {
            Self::Timeout | Self::Unavailable => 503,
            // Nobody reads it; the number is nginx' for "client closed the connection".
            Self::Canceled => 499,
            Self::Execution => 422,
            Self::BadData => 400,
            Self::Internal => 500,
            Self::NotFound => 404,
            Self::TooManyRequests => 429,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Canceled => "canceled",
            Self::Execution => "execution",
            Self::BadData => "bad_data",
            Self::Internal => "internal",
            Self::NotFound => "not_found",
            Self::TooManyRequests => "too_many_requests",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Why a request has no data.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    pub kind: FailureKind,
    pub message: String,
}

impl Failure {
    #[must_use]
    pub fn bad_data(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::BadData, message: message.into() }
    }

    #[must_use]
    pub fn execution(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Execution, message: message.into() }
    }

    #[must_use]
    pub fn not_found(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::NotFound, message: message.into() }
    }

    /// The node cannot answer for everything that it should hold.
    #[must_use]
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Unavailable, message: message.into() }
    }

    /// A parameter is wrong.
    pub(super) fn param(name: &str, reason: &str) -> Self {
        Self::bad_data(format!("invalid parameter \"{name}\": {reason}"))
    }

    /// What the engine says about a query.
    pub(super) fn query(error: &QueryError) -> Self {
        let kind = match error {
            QueryError::Parse(_) | QueryError::Refused(_) => return Self::param("query", &error.to_string()),
            QueryError::Execution(_) | QueryError::Unsupported(_) | QueryError::TooManySamples => {
                FailureKind::Execution
            }
            QueryError::TimedOut => FailureKind::Timeout,
            QueryError::Canceled => FailureKind::Canceled,
            QueryError::Storage(_) => FailureKind::Internal,
        };
        Self { kind, message: error.to_string() }
    }

    /// The query never began: all of its time was spent in the queue, or the client left it there.
    pub(super) fn queued(interrupt: Interrupt) -> Self {
        let (kind, what) = match interrupt {
            Interrupt::TimedOut => (FailureKind::Timeout, "timed out"),
            Interrupt::Canceled => (FailureKind::Canceled, "was canceled"),
        };
        Self { kind, message: format!("query {what} in query queue") }
    }

    /// What the storage says about a look-up.
    pub(super) fn read(error: ReadError, watch: &Watch) -> Self {
        match error {
            ReadError::Limit(message) => Self::execution(message),
            ReadError::Failed(message) => Self { kind: FailureKind::Internal, message },
            ReadError::Interrupted if watch.is_canceled() => Self::query(&QueryError::Canceled),
            ReadError::Interrupted => Self::query(&QueryError::TimedOut),
        }
    }

    /// `{"status":"error","errorType":...,"error":...}`
    #[must_use]
    pub fn into_answer(self) -> ApiAnswer {
        let mut body = Vec::with_capacity(64 + self.message.len());
        body.extend_from_slice(b"{\"status\":\"error\",\"errorType\":\"");
        body.extend_from_slice(self.kind.as_str().as_bytes());
        body.extend_from_slice(b"\",\"error\":");
        push_text_html(&mut body, &self.message);
        body.push(b'}');
        ApiAnswer { status: self.kind.status(), content_type: JSON, body }
    }
}

impl From<PoolFull> for Failure {
    fn from(full: PoolFull) -> Self {
        Self { kind: FailureKind::TooManyRequests, message: full.to_string() }
    }
}

impl From<super::ParamsError> for Failure {
    fn from(error: super::ParamsError) -> Self {
        Self::bad_data(format!("error parsing form values: {error}"))
    }
}
