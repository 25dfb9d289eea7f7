//! The entry point: checks what was asked, prepares the expression, evaluates it, shapes the answer. Owns the limits.
//!
//! Holds no state between queries and starts no thread: parallel queries share one engine by reference.

use crate::{Answer, QueryError, Select};

/// Limits and switches of one engine.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// How far an instant selector looks back for a sample; the far end is excluded. Milliseconds.
    pub lookback_ms: i64,
    /// Step of subqueries that name none. Milliseconds.
    pub subquery_step_ms: i64,
    /// Samples (selected ones and cells of intermediate columns) that one query may hold.
    pub samples_max: u64,
    /// Points per series of a range query.
    pub steps_max: u64,
    /// When names go that an operation makes meaningless: at once (Prometheus' default) or only from the result.
    pub name_removal: NameRemoval,
}

/// When `__name__` (and `__type__`, `__unit__`) is taken from series that an operation changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NameRemoval {
    /// At the operation, as Prometheus does by default.
    Immediate,
    /// From the final result, so that `label_replace` can still use it (feature `promql-delayed-name-removal`).
    Delayed,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            lookback_ms: 5 * 60 * 1_000,
            subquery_step_ms: 60 * 1_000,
            samples_max: 50_000_000,
            steps_max: 11_000,
            name_removal: NameRemoval::Immediate,
        }
    }
}

/// Why an evaluation should stop now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interrupt {
    /// The deadline passed.
    TimedOut,
    /// Nobody waits for the answer.
    Canceled,
}

/// What one query brings along: where samples are, and when to give up.
#[derive(Clone, Copy)]
pub struct QueryContext<'a> {
    pub select: &'a dyn Select,
    /// Asked between series and every few thousand cells: must be cheap.
    pub interrupt: &'a dyn Fn() -> Option<Interrupt>,
}

impl<'a> QueryContext<'a> {
    /// A query that nothing interrupts.
    #[must_use]
    pub fn uninterrupted(select: &'a dyn Select) -> Self {
        Self { select, interrupt: &|| None }
    }
}

/// Evaluation times of a range query: `start_ms`, `start_ms + step_ms`, ... not beyond `end_ms`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RangeTimes {
    pub start_ms: i64,
    pub end_ms: i64,
    pub step_ms: i64,
}

/// Evaluates PromQL.
#[derive(Clone, Debug, Default)]
pub struct Engine {
    options: EngineOptions,
}

impl Engine {
    #[must_use]
    pub fn new(options: EngineOptions) -> Self {
        Self { options }
    }

    #[must_use]
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// Evaluates at one time. Gives a scalar, a string, a vector or (for a range selector) a matrix.
    ///
    /// # Errors
    /// The text does not parse, the evaluation failed or was interrupted, or samples could not be read.
    pub fn instant(&self, query: &str, time_ms: i64, context: QueryContext<'_>) -> Result<Answer, QueryError> {
        let _ = (query, time_ms, context.select);
        Err(QueryError::Unsupported("evaluation".to_owned()))
    }

    /// Evaluates at every step. Gives a matrix.
    ///
    /// # Errors
    /// As [`Self::instant`]; and the times make no range, the range has too many steps, or the expression is a range
    /// vector or string.
    pub fn range(&self, query: &str, times: RangeTimes, context: QueryContext<'_>) -> Result<Answer, QueryError> {
        let _ = (query, times, context.select);
        Err(QueryError::Unsupported("evaluation".to_owned()))
    }
}
