//! Cut and forget on a shard: orders wait until no checkpoint is under way, are done one a turn, and are answered when all of
//! them are durable. Which head is cut when, and when a block is safe, is decided elsewhere.

use std::collections::VecDeque;

use disk::Disk;
use model::{PartitionId, TenantId, TimeRange};
use tokio::sync::oneshot;
use tsdb::head::{CutNumber, CutSize, OpenCut};
use tsdb::store::{CutRefusal, ShardStore};
use tsdb::wal::Lsn;

/// What is to be done with a head.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CutOrder {
    /// Freeze what it has before a time, for a block.
    Cut { tenant: TenantId, partition: PartitionId, before_ms: i64, block: u128 },
    /// Give up what this cut and those before it have frozen.
    Forget { tenant: TenantId, partition: PartitionId, cut: CutNumber },
}

/// What became of an order; a forget has neither cut nor size.
pub type CutOutcome = Result<Option<(OpenCut, CutSize)>, CutRefusal>;

/// A head as whoever decides about cuts sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeadFacts {
    pub tenant: TenantId,
    pub partition: PartitionId,
    pub series: u64,
    /// Of all samples, cut or not; none where there is none.
    pub range: Option<TimeRange>,
    /// The earliest time of a sample that is in no cut.
    pub uncut_min_ms: Option<i64>,
    /// Cuts that are not forgotten, oldest first.
    pub open_cuts: Vec<OpenCut>,
}

/// Orders of one asker.
#[derive(Debug)]
struct Batch {
    orders: VecDeque<CutOrder>,
    outcomes: Vec<CutOutcome>,
    /// The frame of the last one that was done.
    lsn: Lsn,
    reply: oneshot::Sender<Vec<CutOutcome>>,
}

/// The orders of a shard that are not answered yet.
#[derive(Default, Debug)]
pub(super) struct Cuts {
    waiting: VecDeque<Batch>,
    done: Vec<Batch>,
}

impl Cuts {
    pub(super) fn add(&mut self, orders: Vec<CutOrder>, reply: oneshot::Sender<Vec<CutOutcome>>) {
        self.waiting.push_back(Batch { orders: orders.into(), outcomes: Vec::new(), lsn: Lsn(0), reply });
    }

    /// Whether checkpoints must wait.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Does one order that changes something. No checkpoint is under way.
    pub(super) fn advance<D: Disk>(&mut self, store: &mut ShardStore<D>) {
        while let Some(batch) = self.waiting.front_mut() {
            let Some(order) = batch.orders.pop_front() else {
                self.done.extend(self.waiting.pop_front());
                continue;
            };
            let outcome = obey(store, &order);
            batch.outcomes.push(outcome);
            if outcome.is_ok() {
                batch.lsn = store.filling_lsn();
                return;
            }
        }
    }

    /// Answers what the log has.
    pub(super) fn tell(&mut self, synced: Lsn) {
        for batch in self.done.extract_if(.., |batch| batch.lsn <= synced) {
            // Whoever asked may be gone.
            let _ = batch.reply.send(batch.outcomes);
        }
    }
}

fn obey<D: Disk>(store: &mut ShardStore<D>, order: &CutOrder) -> CutOutcome {
    match order {
        CutOrder::Cut { tenant, partition, before_ms, block } => {
            store.cut(tenant, *partition, *before_ms, *block).map(Some)
        }
        CutOrder::Forget { tenant, partition, cut } => store.forget(tenant, *partition, *cut).map(|()| None),
    }
}

pub(super) fn facts<D: Disk>(store: &ShardStore<D>) -> Vec<HeadFacts> {
    let of_tenant = |tenant: &TenantId| {
        let fact = |(partition, _, head): (PartitionId, &_, &tsdb::head::Head)| HeadFacts {
            tenant: tenant.clone(),
            partition,
            series: head.series_count().into(),
            range: head.range(),
            uncut_min_ms: head.uncut_min_ms(),
            open_cuts: head.open_cuts().to_vec(),
        };
        store.heads(tenant).map(fact).collect::<Vec<_>>()
    };
    store.tenants().flat_map(of_tenant).collect()
}
