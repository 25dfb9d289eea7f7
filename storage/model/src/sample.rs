//! Samples and ranges of time. All times are milliseconds since the Unix epoch.

/// One value at one time.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sample {
    pub timestamp_ms: i64,
    pub value: f64,
}

/// A closed range of time: both ends belong to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimeRange {
    pub min_ms: i64,
    pub max_ms: i64,
}

impl TimeRange {
    #[must_use]
    pub fn contains(&self, timestamp_ms: i64) -> bool {
        self.min_ms <= timestamp_ms && timestamp_ms <= self.max_ms
    }

    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.min_ms <= other.max_ms && other.min_ms <= self.max_ms
    }
}

/// The one NaN by which Prometheus says "this series ended here".
const STALE_BITS: u64 = 0x7ff0_0000_0000_0002;

#[must_use]
pub fn stale_marker() -> f64 {
    f64::from_bits(STALE_BITS)
}

/// Compares bits: every other NaN is a value.
#[must_use]
pub fn is_stale_marker(value: f64) -> bool {
    value.to_bits() == STALE_BITS
}
