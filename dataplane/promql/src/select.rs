//! The seam to whatever holds samples: the engine asks for series by matchers and range, and gets whole columns.
//!
//! Merging of partitions, heads and blocks, decoding and limits on bytes read are the implementor's; the engine never asks
//! for part of a series' range twice within one selector.

use model::{Labels, Matcher, TimeRange};

/// Gives series to one query. Called from the thread that evaluates; may block.
pub trait Select {
    /// All series that match, each once, with every sample whose time lies in the closed `range`, stale markers
    /// included. The order of series is free, but it is the order in which ties are broken (`topk`, `limitk`) and in which
    /// an instant query lists its result: a stable order makes answers repeatable.
    ///
    /// # Errors
    /// What could not be read, or that the request exceeds a limit.
    fn select(&self, request: &SelectRequest<'_>) -> Result<Vec<Series>, SelectError>;
}

/// What one selector of the query needs.
#[derive(Clone, Debug)]
pub struct SelectRequest<'a> {
    /// All must match. At least one does not match the empty value (the parser saw to it).
    pub matchers: &'a [Matcher],
    /// Closed on both sides; the open left end of PromQL windows is already accounted for.
    pub range: TimeRange,
    pub hints: SelectHints,
    /// How many more samples the query may hold: a selection that exceeds it can stop with
    /// [`SelectError::TooManySamples`] instead of decoding on.
    pub samples_max: u64,
}

/// What the samples will be used for. An implementation may ignore it; it must never change the result.
#[derive(Clone, Debug, Default)]
pub struct SelectHints {
    /// Distance between evaluation times; 0 for a single one.
    pub step_ms: i64,
    /// Width of the window of a range selector; 0 for an instant selector (lookback applies).
    pub window_ms: i64,
    /// The function that is applied to a range selector, if any.
    pub function: Option<&'static str>,
}

/// One series: sorted, unique times and as many values.
#[derive(Clone, Debug)]
pub struct Series {
    pub labels: Labels,
    /// Strictly ascending.
    pub timestamps_ms: Vec<i64>,
    /// As long as `timestamps_ms`.
    pub values: Values,
}

impl Series {
    /// A series of floats.
    ///
    /// # Panics
    /// The columns differ in length.
    #[must_use]
    pub fn floats(labels: Labels, timestamps_ms: Vec<i64>, values: Vec<f64>) -> Self {
        assert_eq!(timestamps_ms.len(), values.len(), "columns of one series");
        Self { labels, timestamps_ms, values: Values::Floats(values) }
    }
}

/// A column of values. Another variant will hold native histograms (alone or mixed with floats), which is why this is no
/// plain vector.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Values {
    Floats(Vec<f64>),
}

/// Why a selection failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SelectError {
    /// More samples than `samples_max`.
    #[error("too many samples")]
    TooManySamples,
    /// The deadline passed or the client went away while samples were read.
    #[error("interrupted")]
    Interrupted,
    /// The data is of a kind that cannot be given yet, such as native histograms.
    #[error("{what}")]
    Unsupported { what: &'static str },
    /// A limit of the implementor (bytes, series, ...): the query is at fault, the sentence tells the user.
    #[error("{0}")]
    Limit(String),
    /// Reading failed.
    #[error("{0}")]
    Storage(String),
}
