//! How a command ends that did not do what it was asked: one sentence and a documented exit code.

use std::process::ExitCode;

use kafka::{FetchError, KafkaError, KafkaErrorKind};
use serde_json::json;

use crate::output::Format;

/// The exit codes; 0 is "done".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Failed = 1,
    Usage = 2,
    NotFound = 3,
    Refused = 4,
    Unreachable = 5,
    CheckSaysNo = 6,
    /// Who read our output has closed it: an end like any other, nothing is said.
    ClosedPipe = 0,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    pub kind: Kind,
    /// One sentence without a full stop; empty where all was said already.
    pub message: String,
}

impl Failure {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, message)
    }

    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, message)
    }

    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(Kind::Refused, message)
    }

    pub fn unreachable(message: impl Into<String>) -> Self {
        Self::new(Kind::Unreachable, message)
    }

    /// Says it on stderr, as JSON for those who read JSON, and gives the exit code.
    pub fn tell(&self, format: Format) -> ExitCode {
        use std::io::Write;
        let code = self.kind as u8;
        if !self.message.is_empty() {
            let said = match format {
                Format::Json => json!({"error": self.message, "exit_code": code}).to_string(),
                Format::Table | Format::Yaml => format!("wellctl: {}", self.message),
            };
            // Nobody is left to tell where stderr is closed.
            let _ = writeln!(std::io::stderr(), "{said}");
        }
        ExitCode::from(code)
    }
}

impl From<KafkaError> for Failure {
    fn from(error: KafkaError) -> Self {
        let kind = match error.kind() {
            KafkaErrorKind::Unreachable => Kind::Unreachable,
            KafkaErrorKind::NotFound => Kind::NotFound,
            KafkaErrorKind::Conflict => Kind::Refused,
            KafkaErrorKind::Passing | KafkaErrorKind::Final => Kind::Failed,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Kafka(error) => error.into(),
            FetchError::UnknownTopic => Self::not_found(error.to_string()),
            FetchError::OffsetOutOfRange { .. } => Self::refused(error.to_string()),
            FetchError::LeaderChanged { .. } => Self::failed(error.to_string()),
        }
    }
}
