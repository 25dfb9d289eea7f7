//! What a query holds: selected samples and cells of columns, against one limit.

use crate::{QueryError, QueryStats};

pub(crate) struct Budget {
    held: u64,
    held_max: u64,
    pub stats: QueryStats,
}

/// What was held when a node began.
#[derive(Clone, Copy)]
pub(crate) struct Mark(u64);

impl Budget {
    pub fn new(samples_max: u64) -> Self {
        Self { held: 0, held_max: samples_max, stats: QueryStats::default() }
    }

    pub fn left(&self) -> u64 {
        self.held_max - self.held
    }

    /// Books samples or cells *before* they are allocated.
    pub fn charge(&mut self, count: u64) -> Result<(), QueryError> {
        if count > self.left() {
            return Err(QueryError::TooManySamples);
        }
        self.held += count;
        self.stats.samples_peak = self.stats.samples_peak.max(self.held);
        Ok(())
    }

    pub fn mark(&self) -> Mark {
        Mark(self.held)
    }

    /// The node that began at `mark` ends: of all that it held, only its result stays.
    pub fn settle(&mut self, mark: Mark, result: u64) -> Result<(), QueryError> {
        if mark.0 + result > self.held {
            self.charge(mark.0 + result - self.held)?;
        }
        self.held = mark.0 + result;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_results_stay() {
        let mut budget = Budget::new(10);
        let mark = budget.mark();
        budget.charge(8).unwrap();
        budget.settle(mark, 3).unwrap();
        assert_eq!((budget.left(), budget.stats.samples_peak), (7, 8));
        assert_eq!(budget.charge(8), Err(QueryError::TooManySamples));
        assert!(budget.settle(mark, 11).is_err());
    }
}
