//! How a run ends that did not do what it was asked: one sentence and an exit code, the same codes as those of `wellctl`.

use std::process::ExitCode;

use serde_json::json;

/// The exit codes; 0 is "done".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Failed = 1,
    Usage = 2,
    NotFound = 3,
    Refused = 4,
    Unreachable = 5,
    CheckSaysNo = 6,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    pub kind: Kind,
    /// One sentence without a full stop.
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

    pub fn check_says_no(message: impl Into<String>) -> Self {
        Self::new(Kind::CheckSaysNo, message)
    }

    /// Says it on stderr, as JSON for those who read JSON, and gives the exit code.
    pub fn tell(&self, as_json: bool) -> ExitCode {
        use std::io::Write;
        let code = self.kind as u8;
        let said = if as_json {
            json!({"error": self.message, "exit_code": code}).to_string()
        } else {
            format!("wellperf: {}", self.message)
        };
        // Nobody is left to tell where stderr is closed.
        let _ = writeln!(std::io::stderr(), "{said}");
        ExitCode::from(code)
    }
}
