//! The hand-over from a companion to its executor: one place per partition for a fetched batch, and a budget of bytes for
//! all of them. A slow or held partition never blocks the others, and a full slot means *not fetching*.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam::queue::ArrayQueue;
use crossbeam::utils::CachePadded;
use tokio::sync::Notify;

/// Makes `count` empty slots that share `bytes_max` bytes.
///
/// # Panics
/// `count` is 0.
#[must_use]
pub fn slots<T: Send>(count: usize, bytes_max: usize) -> (SlotSender<T>, Slots<T>) {
    assert!(count > 0, "a shard without partitions needs no slots");
    let shared = Arc::new(Shared {
        places: (0..count).map(|_| CachePadded::new(ArrayQueue::new(1))).collect(),
        bytes: CachePadded::new(AtomicUsize::new(0)),
        bytes_max,
        filled: Notify::new(),
        freed: Notify::new(),
    });
    (SlotSender(shared.clone()), Slots { shared, next: 0 })
}

struct Shared<T> {
    /// Each holds at most one batch and its size.
    places: Vec<CachePadded<ArrayQueue<(T, usize)>>>,
    bytes: CachePadded<AtomicUsize>,
    bytes_max: usize,
    filled: Notify,
    freed: Notify,
}

/// The companion's side; clones share the slots.
pub struct SlotSender<T>(Arc<Shared<T>>);

impl<T> Clone for SlotSender<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Send> SlotSender<T> {
    /// Waits until the slot is empty and the budget is not used up: then it is worth fetching.
    pub async fn room(&self, slot: usize) {
        loop {
            let freed = self.0.freed.notified();
            tokio::pin!(freed);
            // Listen first, then look: a slot that is freed in between is not missed.
            freed.as_mut().enable();
            if self.has_room(slot) {
                return;
            }
            freed.await;
        }
    }

    #[must_use]
    pub fn has_room(&self, slot: usize) -> bool {
        self.0.places[slot].is_empty() && self.0.bytes.load(Ordering::Acquire) < self.0.bytes_max
    }

    /// Puts a batch of `bytes` into its slot.
    ///
    /// # Errors
    /// The slot is full: the batch comes back. The budget is not asked again, so it can be exceeded by what was fetched
    /// while it still had room.
    pub fn put(&self, slot: usize, bytes: usize, batch: T) -> Result<(), T> {
        self.0.bytes.fetch_add(bytes, Ordering::AcqRel);
        if let Err((batch, bytes)) = self.0.places[slot].push((batch, bytes)) {
            self.0.bytes.fetch_sub(bytes, Ordering::AcqRel);
            return Err(batch);
        }
        self.0.filled.notify_one();
        Ok(())
    }

    /// Bytes that wait in slots now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.bytes.load(Ordering::Relaxed)
    }
}

/// The executor's side.
pub struct Slots<T> {
    shared: Arc<Shared<T>>,
    /// Where the next round begins, so that a busy partition does not starve those behind it.
    next: usize,
}

impl<T: Send> Slots<T> {
    /// Waits until [`Slots::take`] may have something. Wakes without reason now and then.
    pub async fn filled(&self) {
        if self.shared.places.iter().all(|place| place.is_empty()) {
            self.shared.filled.notified().await;
        }
    }

    /// Takes a batch, slot by slot in turn.
    pub fn take(&mut self) -> Option<(usize, T)> {
        let count = self.shared.places.len();
        for step in 0..count {
            let slot = (self.next + step) % count;
            if let Some((batch, bytes)) = self.shared.places[slot].pop() {
                self.next = (slot + 1) % count;
                self.shared.bytes.fetch_sub(bytes, Ordering::AcqRel);
                self.shared.freed.notify_waiters();
                return Some((slot, batch));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ExecutorSpec, spawn_companion, spawn_executor};

    #[test]
    fn a_full_slot_refuses_and_a_used_budget_holds() {
        let (sender, mut slots) = slots::<&str>(2, 10);
        assert_eq!(sender.put(0, 10, "a"), Ok(()));
        assert_eq!(sender.put(0, 1, "b"), Err("b"));
        assert_eq!((sender.has_room(0), sender.has_room(1), sender.bytes()), (false, false, 10));
        assert_eq!(slots.take(), Some((0, "a")));
        assert!(sender.has_room(0) && sender.has_room(1) && slots.take().is_none());
    }

    #[test]
    fn slots_are_taken_in_turn() {
        let (sender, mut slots) = slots::<u32>(3, 100);
        for slot in [0, 1, 2] {
            sender.put(slot, 1, slot as u32).unwrap();
        }
        assert_eq!(slots.take(), Some((0, 0)));
        sender.put(0, 1, 9).unwrap();
        assert_eq!([slots.take(), slots.take(), slots.take()], [Some((1, 1)), Some((2, 2)), Some((0, 9))]);
    }

    #[test]
    fn everything_crosses_between_two_threads() {
        const SLOTS: usize = 3;
        const BATCHES: u64 = 3_000;
        let (sender, mut slots) = slots::<u64>(SLOTS, 2);
        let companion = spawn_companion("slot-test", None, move || async move {
            let put = (0..SLOTS).map(|slot| {
                let sender = sender.clone();
                tokio::task::spawn_local(async move {
                    for number in 0..BATCHES {
                        sender.room(slot).await;
                        sender.put(slot, 1, number).unwrap();
                    }
                })
            });
            for task in put.collect::<Vec<_>>() {
                task.await.unwrap();
            }
        });
        let executor = spawn_executor(ExecutorSpec { name: "slot-test".to_owned(), cpu: None }, move || async move {
            let mut next = [0; SLOTS];
            while next != [BATCHES; SLOTS] {
                slots.filled().await;
                while let Some((slot, number)) = slots.take() {
                    assert_eq!(number, next[slot], "in order");
                    next[slot] += 1;
                }
            }
        });
        companion.unwrap().join().unwrap();
        executor.unwrap().join().unwrap();
    }
}
