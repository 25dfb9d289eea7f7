//! What became of a push.

use std::fmt;

use model::RejectReason;
use wire::{InflateError, Malformed};

use super::sink::SinkError;

/// What of one request was refused for one reason: how much, and the first as an example.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    pub reason: RejectReason,
    pub series: u64,
    pub samples: u64,
    /// Of the first such series: what is wrong, and its labels.
    pub message: String,
}

/// A push whose good part Kafka has.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct PushOutcome {
    pub samples_accepted: u64,
    /// One for each reason, in the order of their first example. Not empty: the client gets 400, and the good part stays.
    pub refusals: Vec<Refusal>,
}

impl PushOutcome {
    /// What to tell the client about what was refused; `None` where all was good.
    #[must_use]
    pub fn refusal_text(&self) -> Option<String> {
        let texts: Vec<String> = self.refusals.iter().map(ToString::to_string).collect();
        (!texts.is_empty()).then(|| texts.join("; "))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { series, samples, message, .. } = self;
        write!(f, "{message} ({}; refused for this: series={series} samples={samples})", self.error_id())
    }
}

/// A push of which nothing, or an unknown part, was stored.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PushError {
    /// The body claims to be too large (413), or it is not snappy (400).
    #[error("{0}{id}", id = inflate_error_id(.0))]
    Inflate(#[from] InflateError),
    /// Not a remote write 1 request (400); nothing was stored.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    #[error("{0}")]
    Sink(#[from] SinkError),
}

fn inflate_error_id(error: &InflateError) -> &'static str {
    match error {
        InflateError::TooLarge { .. } => " (err-mimir-distributor-max-write-message-size)",
        InflateError::NotSnappy(_) => "",
    }
}

impl Refusal {
    /// Mimir's id of the reason where it has one, so that its runbooks can be searched.
    #[must_use]
    pub fn error_id(&self) -> &'static str {
        match self.reason {
            RejectReason::MissingMetricName => "err-mimir-missing-metric-name",
            RejectReason::InvalidMetricName => "err-mimir-metric-name-invalid",
            RejectReason::InvalidLabelName => "err-mimir-label-invalid",
            RejectReason::InvalidLabelValue => "err-mimir-label-value-invalid",
            RejectReason::LabelsNotSorted => "err-mimir-labels-not-sorted",
            RejectReason::DuplicateLabelName => "err-mimir-duplicate-label-names",
            RejectReason::TooManyLabels => "err-mimir-max-label-names-per-series",
            RejectReason::LabelNameTooLong => "err-mimir-label-name-too-long",
            RejectReason::LabelValueTooLong => "err-mimir-label-value-too-long",
            RejectReason::TooFarInFuture => "err-mimir-too-far-in-future",
            RejectReason::SampleOutOfOrder => "err-mimir-sample-out-of-order",
            RejectReason::SampleTooOld => "err-mimir-sample-timestamp-too-old",
            RejectReason::DuplicateTimestamp => "err-mimir-sample-duplicate-timestamp",
            RejectReason::SeriesLimit => "err-mimir-max-series-per-user",
            RejectReason::SeriesTooLarge => "err-mimir-distributor-max-write-request-data-item-size",
            RejectReason::Unsupported => "unsupported",
        }
    }
}
