//! Test scripts in Prometheus' language (`load`, `clear`, `eval`): parsed, run against an engine, reported one by one.
//!
//! Samples live in memory. Native histograms and start timestamps are read as far as their place in a series; a query that
//! selects them fails as unsupported, and an unsupported query never counts as an expected failure.
//!
//! The language is described in `promql/promqltest/README.md` of the Prometheus sources, the points of a series in its
//! documentation of unit testing rules.

mod compare;
mod evaluation;
mod line;
mod points;
mod storage;

#[cfg(test)]
mod script_test;

use std::fmt;

use model::Labels;
use regex_automata::meta::Regex;

pub use storage::MemoryStorage;

use self::evaluation::evaluate;
use crate::engine::NameRemoval;
use crate::{Engine, EngineOptions, RangeTimes};

/// The commands of one file.
#[derive(Clone, Debug)]
pub struct Script {
    commands: Vec<Command>,
}

#[derive(Clone, Debug)]
enum Command {
    Clear,
    Load(Load),
    Evaluate(Box<Evaluation>),
}

#[derive(Clone, Debug)]
struct Load {
    step_ms: i64,
    series: Vec<LoadedSeries>,
    /// Classic histograms are loaded a second time, as native ones with custom buckets.
    with_custom_buckets: bool,
}

#[derive(Clone, Debug)]
struct LoadedSeries {
    labels: Labels,
    points: Vec<Point>,
    has_start_timestamps: bool,
}

/// One place in a sequence of values.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Point {
    /// `_`
    Omitted,
    Float(f64),
    /// `{{...}}`, whatever is in it.
    Histogram,
}

/// One `eval` with everything that is expected of it.
#[derive(Clone, Debug)]
struct Evaluation {
    line: usize,
    query: String,
    times: Times,
    expected: Expected,
}

#[derive(Clone, Copy, Debug)]
enum Times {
    Instant(i64),
    Range(RangeTimes),
}

#[derive(Clone, Default, Debug)]
struct Expected {
    failure: Option<Expectation>,
    warnings: Vec<Expectation>,
    infos: Vec<Expectation>,
    no_warnings: bool,
    no_infos: bool,
    is_ordered: bool,
    string: Option<String>,
    scalar: Option<Point>,
    series: Vec<(Labels, Vec<Point>)>,
    /// Times of the points, where an instant query gives a range vector.
    range_vector: Option<RangeTimes>,
}

/// What a message has to be.
#[derive(Clone, Debug)]
enum Expectation {
    Anything,
    Message(String),
    Pattern(Pattern),
}

/// A compiled expression that shows as its text.
#[derive(Clone)]
struct Pattern {
    text: String,
    regex: Regex,
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Expectation {
    fn accepts(&self, message: &str) -> bool {
        match self {
            Self::Anything => true,
            Self::Message(expected) => expected == message,
            Self::Pattern(pattern) => pattern.regex.is_match(message),
        }
    }
}

/// A line that is no command, or no part of one.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ScriptError {
    /// From 1.
    pub line: usize,
    pub message: String,
}

/// How a script went.
#[derive(Clone, Default, Debug)]
pub struct ScriptReport {
    pub passed: usize,
    pub failures: Vec<ScriptFailure>,
}

/// An evaluation that did not give what was expected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScriptFailure {
    pub line: usize,
    pub query: String,
    pub message: String,
}

impl fmt::Display for ScriptFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}: {}", self.line, self.query, self.message)
    }
}

impl Script {
    /// Reads a script. Queries are not parsed yet: one that does not parse is a failed evaluation.
    ///
    /// # Errors
    /// The first line that makes no sense.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        line::parse(text).map(|commands| Self { commands })
    }

    /// How many evaluations there are.
    #[must_use]
    pub fn evaluations(&self) -> usize {
        self.commands.iter().filter(|command| matches!(command, Command::Evaluate(_))).count()
    }

    /// Runs all commands on storage of its own. A failed evaluation does not stop the script.
    #[must_use]
    pub fn run(&self, engine: &Engine) -> ScriptReport {
        let mut storage = MemoryStorage::default();
        let mut report = ScriptReport::default();
        for command in &self.commands {
            match command {
                Command::Clear => storage = MemoryStorage::default(),
                Command::Load(load) => storage.load(load),
                Command::Evaluate(evaluation) => match evaluate(evaluation, engine, &storage) {
                    Ok(()) => report.passed += 1,
                    Err(message) => {
                        let (line, query) = (evaluation.line, evaluation.query.clone());
                        report.failures.push(ScriptFailure { line, query, message });
                    }
                },
            }
        }
        report
    }
}

/// The engine that Prometheus runs its own scripts with.
#[must_use]
pub fn script_engine() -> Engine {
    Engine::new(EngineOptions { name_removal: NameRemoval::Delayed, ..EngineOptions::default() })
}
