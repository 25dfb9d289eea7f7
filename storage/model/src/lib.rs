//! Plain values of the whole project: identities, labels, samples, histograms, matchers, refusals.
//!
//! Knows no file, no thread, no clock and no wire format. Everything else may depend on it; it depends on nothing of ours.

mod canonical;
mod fingerprint;
mod histogram;
mod identity;
mod labels;
mod matcher;
mod reject;
mod sample;

pub use canonical::{CanonicalLabels, encode_labels};
pub use fingerprint::{Fingerprint, FingerprintKey};
pub use histogram::{
    BUCKETS_MAX, BucketIndexes, CounterResetHint, FloatHistogram, HistogramCount, HistogramError, HistogramLayout,
    IntHistogram, NativeHistogram, SCHEMA_CUSTOM, SCHEMA_MAX, SCHEMA_MIN, SCHEMA_RESERVED_MAX, SCHEMA_RESERVED_MIN,
    Span, bucket_indexes, bucket_total, check_spans, merge_spans, spread_buckets,
};
pub use identity::{Offset, PartitionId, SeriesRef, ShardId, TenantId, TenantIdError};
pub use labels::{Label, Labels};
pub use matcher::{MatchOp, Matcher, MatcherError};
pub use reject::RejectReason;
pub use sample::{Sample, TimeRange, is_stale_marker, stale_marker};

/// The label that holds the metric name.
pub const METRIC_NAME: &str = "__name__";
