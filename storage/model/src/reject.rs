//! Why input was refused by a rule. A refusal is a value: counted by reason, told to the sender, never a panic.

/// One reason, with the label value under which it is counted (Mimir's words where Mimir has the reason).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RejectReason {
    /// No `__name__` label.
    MissingMetricName,
    /// `__name__` is not valid UTF-8 or empty.
    InvalidMetricName,
    /// A label name is empty or not valid UTF-8.
    InvalidLabelName,
    /// A label value is not valid UTF-8.
    InvalidLabelValue,
    /// Labels are not sorted by name.
    LabelsNotSorted,
    /// A label name stands twice.
    DuplicateLabelName,
    /// More labels than the limit.
    TooManyLabels,
    LabelNameTooLong,
    LabelValueTooLong,
    /// Later than now (or the record's time) plus the grace period.
    TooFarInFuture,
    /// Older than the series' last sample, where the tenant has no out-of-order window.
    SampleOutOfOrder,
    /// Older than the series' last sample by more than the tenant's out-of-order window.
    SampleTooOld,
    /// Same time as a sample of the series that is there, another value.
    DuplicateTimestamp,
    /// The head holds as many series as it may, or memory is at its limit.
    SeriesLimit,
    /// A single series exceeds what a record may hold.
    SeriesTooLarge,
    /// The sample type is known but not stored yet.
    Unsupported,
}

impl RejectReason {
    pub const ALL: [Self; 16] = [
        Self::MissingMetricName,
        Self::InvalidMetricName,
        Self::InvalidLabelName,
        Self::InvalidLabelValue,
        Self::LabelsNotSorted,
        Self::DuplicateLabelName,
        Self::TooManyLabels,
        Self::LabelNameTooLong,
        Self::LabelValueTooLong,
        Self::TooFarInFuture,
        Self::SampleOutOfOrder,
        Self::SampleTooOld,
        Self::DuplicateTimestamp,
        Self::SeriesLimit,
        Self::SeriesTooLarge,
        Self::Unsupported,
    ];

    /// The `reason` label of `cortex_discarded_samples_total`.
    #[must_use]
    pub fn as_label(self) -> &'static str {
        match self {
            Self::MissingMetricName => "missing_metric_name",
            Self::InvalidMetricName => "metric_name_invalid",
            Self::InvalidLabelName => "label_invalid",
            Self::InvalidLabelValue => "label_value_invalid",
            Self::LabelsNotSorted => "labels_not_sorted",
            Self::DuplicateLabelName => "duplicate_label_names",
            Self::TooManyLabels => "max_label_names_per_series",
            Self::LabelNameTooLong => "label_name_too_long",
            Self::LabelValueTooLong => "label_value_too_long",
            Self::TooFarInFuture => "too_far_in_future",
            Self::SampleOutOfOrder => "sample-out-of-order",
            Self::SampleTooOld => "sample-too-old",
            Self::DuplicateTimestamp => "new-value-for-timestamp",
            Self::SeriesLimit => "per_user_series_limit",
            Self::SeriesTooLarge => "series_too_large",
            Self::Unsupported => "unsupported_sample_type",
        }
    }
}
