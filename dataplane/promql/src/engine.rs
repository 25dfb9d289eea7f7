//! The entry point: checks what was asked, prepares the expression, evaluates it, shapes the answer. Owns the limits.
//!
//! Holds no state between queries and starts no thread: parallel queries share one engine by reference.

use model::Labels;

use crate::eval::prepare::{QueryTimes, prepare};
use crate::eval::{Evaluator, Outcome, Steps};
use crate::function::ValueType;
use crate::parser::parse;
use crate::text::quote;
use crate::{Answer, InstantSample, QueryError, QueryResult, ResultSeries, Select};

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

    /// Evaluates at one time. Gives a scalar, a string, a vector or (for a range vector) a matrix.
    ///
    /// # Errors
    /// The text does not parse, the evaluation failed or was interrupted, or samples could not be read.
    pub fn instant(&self, query: &str, time_ms: i64, context: QueryContext<'_>) -> Result<Answer, QueryError> {
        let expr = parse(query)?;
        check_time(time_ms)?;
        let value_type = expr.value_type();
        let times = QueryTimes { start_ms: time_ms, end_ms: time_ms, step_ms: 0 };
        let expr = prepare(expr, times)?;
        let mut evaluator = Evaluator::new(&self.options, context);
        let outcome = evaluator.run(&expr, Steps::single(time_ms))?;
        let result = match outcome {
            Outcome::Scalar(values) => QueryResult::Scalar { timestamp_ms: time_ms, value: values[0] },
            Outcome::String(value) => QueryResult::String { timestamp_ms: time_ms, value },
            Outcome::Series(series) if value_type == ValueType::Matrix => QueryResult::Matrix(sorted(series)),
            Outcome::Series(series) => {
                let samples = series.into_iter().map(|one| InstantSample {
                    labels: one.labels,
                    timestamp_ms: time_ms,
                    value: one.values[0],
                });
                QueryResult::Vector(samples.collect())
            }
        };
        Ok(Answer { result, stats: evaluator.stats(), annotations: evaluator.annotations })
    }

    /// Evaluates at every step. Gives a matrix.
    ///
    /// # Errors
    /// As [`Self::instant`]; and the times make no range, the range has too many steps, or the expression is a range
    /// vector or string.
    pub fn range(&self, query: &str, times: RangeTimes, context: QueryContext<'_>) -> Result<Answer, QueryError> {
        let expr = parse(query)?;
        let steps = self.steps(times)?;
        if !matches!(expr.value_type(), ValueType::Scalar | ValueType::Vector) {
            let found = quote(expr.value_type().documented());
            return Err(QueryError::Refused(format!(
                "invalid expression type {found} for range query, must be Scalar or instant Vector"
            )));
        }
        let RangeTimes { start_ms, end_ms, step_ms } = times;
        let expr = prepare(expr, QueryTimes { start_ms, end_ms, step_ms })?;
        let mut evaluator = Evaluator::new(&self.options, context);
        let series = match evaluator.run(&expr, steps)? {
            Outcome::Scalar(values) => {
                let timestamps_ms = (0..steps.count).map(|step| steps.time_ms(step)).collect();
                vec![ResultSeries { labels: Labels::default(), timestamps_ms, values }]
            }
            Outcome::Series(series) => sorted(series),
            Outcome::String(_) => panic!("a string passed the check of types"),
        };
        let result = QueryResult::Matrix(series);
        Ok(Answer { result, stats: evaluator.stats(), annotations: evaluator.annotations })
    }

    fn steps(&self, times: RangeTimes) -> Result<Steps, QueryError> {
        let refuse = |message: &str| Err(QueryError::Refused(message.to_owned()));
        check_time(times.start_ms)?;
        check_time(times.end_ms)?;
        if times.end_ms < times.start_ms {
            return refuse("end timestamp must not be before start timestamp");
        }
        if times.step_ms <= 0 {
            return refuse("zero or negative query resolution step widths are not accepted. Try a positive integer");
        }
        // Prometheus divides before it compares, so one point more than the limit passes.
        if (times.end_ms - times.start_ms) / times.step_ms > self.options.steps_max as i64 {
            return Err(QueryError::Refused(format!(
                "exceeded maximum resolution of {} points per timeseries. Try decreasing the query resolution \
                 (?step=XX)",
                grouped(self.options.steps_max)
            )));
        }
        Ok(Steps::between(times.start_ms, times.end_ms, times.step_ms))
    }
}

/// Times beyond this could overflow when offsets and ranges are added.
const TIME_MS_MAX: i64 = i64::MAX / 4;

fn check_time(time_ms: i64) -> Result<(), QueryError> {
    if (-TIME_MS_MAX..=TIME_MS_MAX).contains(&time_ms) {
        Ok(())
    } else {
        Err(QueryError::Refused(format!("the time {time_ms} ms is out of bounds")))
    }
}

fn sorted(mut series: Vec<ResultSeries>) -> Vec<ResultSeries> {
    series.sort_by(|left, right| left.labels.cmp(&right.labels));
    series
}

/// `11,000`
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
