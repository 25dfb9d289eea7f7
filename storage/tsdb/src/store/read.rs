//! Reading all heads that a tenant has on the shard, in steps between which the shard does other work.

use std::collections::BTreeSet;
use std::sync::Arc;

use disk::Disk;
use model::{Labels, Matcher, PartitionId, TenantId, TimeRange};

use super::ShardStore;
use crate::head::{Head, Symbols};
use crate::read::{NamesCursor, NamesQuestion, SelectCursor, SelectRequest, SeriesSnapshot, StepCost};

/// A selection on its way through a tenant's heads. Only the store that opened it can go on with it.
#[derive(Debug)]
pub struct SelectWalk {
    tenant: TenantId,
    /// The heads to come, last first.
    heads: Vec<(PartitionId, SelectCursor)>,
}

/// A question for label names or values on its way through a tenant's heads.
#[derive(Debug)]
pub struct NamesWalk {
    tenant: TenantId,
    heads: Vec<(PartitionId, NamesCursor)>,
    found: BTreeSet<Arc<str>>,
}

impl SelectWalk {
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.heads.is_empty()
    }

    /// Series still to be looked at.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.heads.iter().map(|(_, cursor)| cursor.remaining()).sum()
    }
}

impl NamesWalk {
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.heads.is_empty()
    }

    /// The names or values found, sorted.
    #[must_use]
    pub fn into_texts(self) -> Vec<Arc<str>> {
        self.found.into_iter().collect()
    }
}

impl<D: Disk> ShardStore<D> {
    /// Resolves a selection in all heads of the tenant; samples are touched by the steps.
    #[must_use]
    pub fn select(&self, request: &SelectRequest) -> SelectWalk {
        let open = |(partition, symbols, head): (PartitionId, &Symbols, &Head)| {
            (partition, SelectCursor::open(head, symbols, &request.matchers, request.range))
        };
        let mut heads: Vec<_> = self.heads(&request.tenant).map(open).collect();
        heads.retain(|(_, cursor)| !cursor.is_done());
        SelectWalk { tenant: request.tenant.clone(), heads }
    }

    /// What the next step with the same `series_max` would hand out: to be charged before it is taken.
    #[must_use]
    pub fn select_cost(&self, walk: &SelectWalk, series_max: usize) -> StepCost {
        let cost = |(partition, cursor): &(PartitionId, SelectCursor)| {
            cursor.cost(self.head(&walk.tenant, *partition).1, series_max)
        };
        walk.heads.last().map(cost).unwrap_or_default()
    }

    /// Looks at up to `series_max` series of one head and adds those with chunks in the range.
    pub fn select_step(&self, walk: &mut SelectWalk, series_max: usize, found: &mut Vec<SeriesSnapshot>) {
        self.step(walk, |cursor, symbols, head| cursor.next(head, symbols, series_max, found));
    }

    /// Like [`ShardStore::select_step`], labels only.
    pub fn select_labels_step(&self, walk: &mut SelectWalk, series_max: usize, found: &mut Vec<Labels>) {
        self.step(walk, |cursor, symbols, head| cursor.next_labels(head, symbols, series_max, found));
    }

    /// Asks for label names, or the values of one, in all heads of the tenant.
    #[must_use]
    pub fn names(
        &self,
        tenant: &TenantId,
        question: &NamesQuestion,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> NamesWalk {
        let open = |(partition, symbols, head): (PartitionId, &Symbols, &Head)| {
            (partition, NamesCursor::open(head, symbols, question, matchers, range))
        };
        NamesWalk { tenant: tenant.clone(), heads: self.heads(tenant).map(open).collect(), found: BTreeSet::new() }
    }

    /// Looks at up to `series_max` series of one head.
    pub fn names_step(&self, walk: &mut NamesWalk, series_max: usize) {
        let Some((partition, mut cursor)) = walk.heads.pop() else { return };
        let (symbols, head) = self.head(&walk.tenant, partition);
        cursor.step(head, series_max);
        if cursor.is_done() {
            walk.found.extend(cursor.into_texts(symbols));
        } else {
            walk.heads.push((partition, cursor));
        }
    }

    fn step(&self, walk: &mut SelectWalk, take: impl FnOnce(&mut SelectCursor, &Symbols, &Head)) {
        let Some((partition, cursor)) = walk.heads.last_mut() else { return };
        let (symbols, head) = self.head(&walk.tenant, *partition);
        take(cursor, symbols, head);
        if cursor.is_done() {
            walk.heads.pop();
        }
    }

    fn head(&self, tenant: &TenantId, partition: PartitionId) -> (&Symbols, &Head) {
        let tenant = self.tenants.get(tenant).expect("heads stay as long as the store");
        (&tenant.symbols, tenant.heads.get(&partition).expect("heads stay as long as the store"))
    }
}
