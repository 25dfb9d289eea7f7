//! The budget of bytes that all segments may occupy. Counts what was reserved, not what was written.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::counters::BrokerCounters;

pub(super) struct Space {
    used_bytes: Cell<u64>,
    bytes_max: u64,
    counters: Option<Arc<BrokerCounters>>,
}

impl Space {
    pub fn new(bytes_max: u64, counters: Arc<BrokerCounters>) -> Self {
        counters.log_bytes_max.store(bytes_max, Relaxed);
        Self { used_bytes: Cell::new(0), bytes_max, counters: Some(counters) }
    }

    /// For files that do not count.
    pub fn unlimited() -> Self {
        Self { used_bytes: Cell::new(u64::MAX / 2), bytes_max: u64::MAX, counters: None }
    }

    /// Takes `bytes` if they are free.
    pub fn take(&self, bytes: u64) -> bool {
        let used = self.used_bytes.get().saturating_add(bytes);
        if used > self.bytes_max {
            return false;
        }
        self.set(used);
        true
    }

    /// Takes bytes that are occupied already.
    pub fn count(&self, bytes: u64) {
        self.set(self.used_bytes.get().saturating_add(bytes));
    }

    pub fn give_back(&self, bytes: u64) {
        self.set(self.used_bytes.get().checked_sub(bytes).expect("only what was taken is given back"));
    }

    fn set(&self, bytes: u64) {
        self.used_bytes.set(bytes);
        if let Some(counters) = &self.counters {
            counters.log_bytes.store(bytes, Relaxed);
        }
    }
}
