//! What a query answers. Shapes follow Prometheus' API; encoding them is the caller's.

use model::Labels;

use crate::Annotations;

/// A result with what was noticed on the way.
#[derive(Clone, Debug)]
pub struct Answer {
    pub result: QueryResult,
    pub annotations: Annotations,
    pub stats: QueryStats,
}

#[derive(Clone, PartialEq, Debug)]
pub enum QueryResult {
    Scalar {
        timestamp_ms: i64,
        value: f64,
    },
    String {
        timestamp_ms: i64,
        value: String,
    },
    /// In evaluation order, which `sort` and `topk` define.
    Vector(Vec<InstantSample>),
    /// Sorted by labels.
    Matrix(Vec<ResultSeries>),
}

/// One element of an instant vector.
#[derive(Clone, PartialEq, Debug)]
pub struct InstantSample {
    pub labels: Labels,
    pub timestamp_ms: i64,
    pub value: f64,
}

/// One series of a matrix: as many times as values, at least one, ascending.
#[derive(Clone, PartialEq, Debug)]
pub struct ResultSeries {
    pub labels: Labels,
    pub timestamps_ms: Vec<i64>,
    pub values: Vec<f64>,
}

/// What the evaluation cost.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct QueryStats {
    /// Samples that selectors returned, stale markers included.
    pub samples_selected: u64,
    pub series_selected: u64,
    /// Most samples (selected ones and cells of intermediate columns) held at one time.
    pub samples_peak: u64,
}
