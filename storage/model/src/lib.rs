//! Plain values of the whole project: identities, labels, samples, matchers, refusals.
//!
//! Knows no file, no thread, no clock and no wire format. Everything else may depend on it; it depends on nothing of ours.

mod canonical;
mod fingerprint;
mod identity;
mod labels;
mod matcher;
mod reject;
mod sample;

pub use canonical::{CanonicalLabels, encode_labels};
pub use fingerprint::{Fingerprint, FingerprintKey};
pub use identity::{Offset, PartitionId, SeriesRef, ShardId, TenantId, TenantIdError};
pub use labels::{Label, Labels};
pub use matcher::{MatchOp, Matcher, MatcherError};
pub use reject::RejectReason;
pub use sample::{Sample, TimeRange, is_stale_marker, stale_marker};

/// The label that holds the metric name.
pub const METRIC_NAME: &str = "__name__";
