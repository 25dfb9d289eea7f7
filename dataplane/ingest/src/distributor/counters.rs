//! What a distributor counts. Written by its thread only, read by any.

use std::sync::atomic::{AtomicU64, Ordering};

use model::RejectReason;

/// A counter with one writer: no read-modify-write instruction is needed.
#[derive(Default, Debug)]
pub struct Count(AtomicU64);

impl Count {
    #[inline]
    pub fn add(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// All since the start of the process, except where a gauge is named.
#[derive(Default, Debug)]
pub struct DistributorCounters {
    pub requests: Count,
    pub requests_failed: Count,
    pub body_bytes: Count,
    pub inflated_bytes: Count,
    /// Before any check.
    pub samples_received: Count,
    /// Samples that Kafka acknowledged.
    pub samples_accepted: Count,
    pub exemplars_received: Count,
    pub histograms_received: Count,
    pub metadata_received: Count,
    /// Of those, refused: a family's name is no text, or it exceeds a record.
    pub metadata_refused: Count,
    /// Series that were refused for whatever reason, those without samples included.
    pub series_refused: Count,
    pub records: Count,
    pub record_bytes: Count,
    /// Series whose verdict was known, and series that were parsed and checked.
    pub cache_hits: Count,
    pub cache_misses: Count,
    /// Gauge: series that the cache holds.
    pub cache_series: Count,
    rejected: [Count; RejectReason::ALL.len()],
}

impl DistributorCounters {
    /// Samples that were refused for `reason`.
    #[must_use]
    pub fn rejected(&self, reason: RejectReason) -> &Count {
        &self.rejected[reason as usize]
    }
}
