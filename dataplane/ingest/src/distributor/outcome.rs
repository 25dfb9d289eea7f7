//! What became of a push.

use model::RejectReason;
use wire::{InflateError, Malformed};

use super::records::SinkError;

/// Refused series and samples of one request: how many, and the first as an example.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    pub samples: u64,
    pub reason: RejectReason,
    pub message: String,
}

/// A push whose good part Kafka has.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct PushOutcome {
    pub samples_accepted: u64,
    /// Present where something was refused: the client gets 400, and the good part stays.
    pub refusal: Option<Refusal>,
}

/// A push of which nothing, or an unknown part, was stored.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PushError {
    #[error("{0}")]
    Inflate(#[from] InflateError),
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// A single series exceeds what a record may hold.
    #[error(
        "a series of {bytes} bytes exceeds the largest record of {bytes_max} bytes \
         (err-mimir-distributor-max-write-request-data-item-size): send fewer samples of it at once"
    )]
    SeriesTooLarge { bytes: usize, bytes_max: usize },
    #[error("{0}")]
    Sink(#[from] SinkError),
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
            RejectReason::DuplicateTimestamp => "err-mimir-sample-duplicate-timestamp",
            RejectReason::SeriesLimit => "err-mimir-max-series-per-user",
            RejectReason::Unsupported => "unsupported",
        }
    }
}
