//! A budget of bytes that all cores share: taken without waiting, given back on drop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Clones share the budget.
#[derive(Clone, Debug)]
pub struct Budget {
    used: Arc<AtomicU64>,
    bytes_max: u64,
}

/// Bytes of a [`Budget`].
#[derive(Debug)]
pub struct Permit {
    used: Arc<AtomicU64>,
    bytes: u64,
}

impl Budget {
    #[must_use]
    pub fn new(bytes_max: u64) -> Self {
        Self { used: Arc::default(), bytes_max }
    }

    /// Takes bytes; none where they are not left. A request larger than the whole budget passes when nothing else is there.
    #[must_use]
    pub fn try_take(&self, bytes: u64) -> Option<Permit> {
        let take =
            |used: u64| (used == 0 || used.saturating_add(bytes) <= self.bytes_max).then(|| used.saturating_add(bytes));
        self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, take).ok()?;
        Some(Permit { used: self.used.clone(), bytes })
    }

    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_comes_back() {
        let budget = Budget::new(10);
        let first = budget.try_take(6).unwrap();
        assert!(budget.try_take(5).is_none() && budget.try_take(4).is_some());
        drop(first);
        let large = budget.try_take(100).unwrap();
        assert!(budget.try_take(1).is_none());
        drop(large);
        assert_eq!(budget.used(), 0);
    }
}
