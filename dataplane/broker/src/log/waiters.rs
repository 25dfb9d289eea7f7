//! Fetches that wait for more bytes than there are.
//!
//! A waiter stands in the list of each of its partitions and leaves the log when one of them advanced far enough, failed, or when
//! nobody listens any more: the network keeps the time and asks anew without waiting.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use disk::Disk;

use super::partition::Partition;
use super::request::FetchRequest;

pub(super) struct Waiter {
    request: RefCell<Option<FetchRequest>>,
}

/// How many entries the lists of all partitions have: abandoned waiters of quiet partitions are swept when they double.
#[derive(Default)]
pub(super) struct WaiterCount {
    entries: Cell<usize>,
    sweep_at: Cell<usize>,
}

const SWEEP_ENTRIES_MIN: usize = 1_024;

impl Waiter {
    pub fn new(request: FetchRequest) -> Rc<Self> {
        Rc::new(Self { request: RefCell::new(Some(request)) })
    }

    fn is_waiting(&self) -> bool {
        self.request.borrow().as_ref().is_some_and(|request| !request.answer.is_closed())
    }

    fn take_if(&self, is_due: impl FnOnce(&FetchRequest) -> bool) -> Option<FetchRequest> {
        let mut request = self.request.borrow_mut();
        if request.as_ref().is_some_and(is_due) { request.take() } else { None }
    }
}

impl WaiterCount {
    /// Puts a waiter into the lists of its partitions. `true`: it is time for [`WaiterCount::sweep`].
    pub fn enter<D: Disk>(&self, waiter: &Rc<Waiter>, partitions: &[Rc<Partition<D>>]) -> bool {
        for partition in partitions {
            partition.waiters.borrow_mut().push(Rc::clone(waiter));
        }
        self.entries.set(self.entries.get() + partitions.len());
        self.entries.get() > self.sweep_at.get().max(SWEEP_ENTRIES_MIN)
    }

    pub fn sweep<D: Disk>(&self, partitions: impl Iterator<Item = Rc<Partition<D>>>) {
        let mut entries = 0;
        for partition in partitions {
            let mut waiters = partition.waiters.borrow_mut();
            waiters.retain(|waiter| waiter.is_waiting());
            entries += waiters.len();
        }
        self.entries.set(entries);
        self.sweep_at.set(entries * 2);
    }

    /// Takes the waiters of a partition that are due.
    pub fn take_due<D: Disk>(
        &self,
        partition: &Partition<D>,
        is_due: impl Fn(&FetchRequest) -> bool,
    ) -> Vec<FetchRequest> {
        let mut waiters = partition.waiters.borrow_mut();
        let before = waiters.len();
        let mut due = Vec::new();
        waiters.retain(|waiter| {
            due.extend(waiter.take_if(&is_due));
            waiter.is_waiting()
        });
        self.entries.set(self.entries.get().saturating_sub(before - waiters.len()));
        due
    }
}
