//! Whether a query should still go on: its deadline, and a flag that is set when nobody waits for the answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use promql::Interrupt;

/// Handed to everything that works for one query. Clones share the flag.
#[derive(Clone, Debug)]
pub struct Watch {
    deadline: Instant,
    is_canceled: Arc<AtomicBool>,
    /// Of the whole pool: its end cancels every query.
    is_stopping: Arc<AtomicBool>,
}

impl Watch {
    /// A query that nobody cancels.
    #[must_use]
    pub fn until(deadline: Instant) -> Self {
        Self::within(deadline, Arc::default())
    }

    pub(super) fn within(deadline: Instant, is_stopping: Arc<AtomicBool>) -> Self {
        Self { deadline, is_canceled: Arc::default(), is_stopping }
    }

    /// The same query with a deadline that is at most `time` away.
    #[must_use]
    pub fn at_most(&self, time: Duration) -> Self {
        let deadline = Instant::now().checked_add(time).map_or(self.deadline, |sooner| sooner.min(self.deadline));
        Self { deadline, ..self.clone() }
    }

    /// Nobody waits for the answer any more.
    pub fn cancel(&self) {
        self.is_canceled.store(true, Ordering::Relaxed);
    }

    #[must_use]
    pub fn is_canceled(&self) -> bool {
        self.is_canceled.load(Ordering::Relaxed) || self.is_stopping.load(Ordering::Relaxed)
    }

    /// Why to stop now, if at all. Costs two loads and a look at the clock.
    #[must_use]
    pub fn interrupt(&self) -> Option<Interrupt> {
        if self.is_canceled() {
            return Some(Interrupt::Canceled);
        }
        (Instant::now() >= self.deadline).then_some(Interrupt::TimedOut)
    }

    /// How long a blocking call for this query may wait.
    #[must_use]
    pub fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}
