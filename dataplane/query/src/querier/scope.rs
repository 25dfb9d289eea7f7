//! What one query may still read, shared between its thread and the shards that read for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use promql::Interrupt;
use tsdb::read::StepCost;

use super::ReadError;
use crate::Watch;

/// Limits of one query, summed over all of its selectors and all shards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadLimits {
    pub series_max: u64,
    pub chunk_bytes_max: u64,
}

impl Default for ReadLimits {
    /// 1 M series, 1 GiB of chunks.
    fn default() -> Self {
        Self { series_max: 1_000_000, chunk_bytes_max: 1 << 30 }
    }
}

/// The budget and the watch of one query.
#[derive(Debug)]
pub struct ReadScope {
    watch: Watch,
    limits: ReadLimits,
    series_left: AtomicU64,
    chunk_bytes_left: AtomicU64,
}

impl ReadScope {
    #[must_use]
    pub fn new(watch: Watch, limits: ReadLimits) -> Arc<Self> {
        let (series_left, chunk_bytes_left) = (limits.series_max.into(), limits.chunk_bytes_max.into());
        Arc::new(Self { watch, limits, series_left, chunk_bytes_left })
    }

    /// Books what the next step of a cursor will hand out; nothing is booked where it does not fit.
    ///
    /// # Errors
    /// A limit of the query.
    pub fn charge(&self, cost: StepCost) -> Result<(), ReadError> {
        let bytes = cost.copied_bytes.saturating_add(cost.referenced_bytes);
        let max = self.limits.chunk_bytes_max;
        let message = || format!("the query exceeded the maximum number of chunk bytes (limit: {max} bytes)");
        take(&self.chunk_bytes_left, bytes).ok_or_else(|| ReadError::Limit(message()))
    }

    /// Books series, with chunks or without.
    ///
    /// # Errors
    /// A limit of the query.
    pub fn charge_series(&self, count: usize) -> Result<(), ReadError> {
        let max = self.limits.series_max;
        let message = || format!("the query exceeded the maximum number of series (limit: {max} series)");
        take(&self.series_left, count as u64).ok_or_else(|| ReadError::Limit(message()))
    }

    /// Why to stop now, if at all.
    #[must_use]
    pub fn interrupt(&self) -> Option<Interrupt> {
        self.watch.interrupt()
    }

    /// How long a blocking call may wait.
    #[must_use]
    pub fn time_left(&self) -> Duration {
        self.watch.time_left()
    }
}

fn take(left: &AtomicU64, count: u64) -> Option<()> {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(count)).ok().map(|_| ())
}
