//! Reading all heads that a tenant has on the shard, in steps between which the shard does other work.

use std::collections::BTreeSet;
use std::sync::Arc;

use disk::Disk;
use model::{Labels, Matcher, PartitionId, TenantId, TimeRange};

use super::ShardStore;
use crate::head::{Head, Symbols};
use crate::read::{NamesCursor, NamesQuestion, SelectCursor, SelectRequest, SeriesSnapshot, StepCost};

/// A head with its numbers of series. As long as this lives, the store keeps it, even if another head follows it.
#[derive(Clone, Debug)]
pub(super) struct HeadAt {
    pub(super) tenant: TenantId,
    pub(super) partition: PartitionId,
    pub(super) hold: Arc<()>,
}

/// A selection on its way through a tenant's heads. Only the store that opened it can go on with it.
#[derive(Debug)]
pub struct SelectWalk {
    /// The heads to come, last first.
    heads: Vec<(HeadAt, SelectCursor)>,
}

/// A question for label names or values on its way through a tenant's heads.
#[derive(Debug)]
pub struct NamesWalk {
    heads: Vec<(HeadAt, NamesCursor)>,
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
            let at = HeadAt::of(&request.tenant, partition, head);
            (at, SelectCursor::open(head, symbols, &request.matchers, request.range))
        };
        let mut heads: Vec<_> = self.heads(&request.tenant).map(open).collect();
        heads.retain(|(_, cursor)| !cursor.is_done());
        SelectWalk { heads }
    }

    /// What the next step with the same `series_max` would hand out: to be charged before it is taken.
    #[must_use]
    pub fn select_cost(&self, walk: &SelectWalk, series_max: usize) -> StepCost {
        let cost = |(at, cursor): &(HeadAt, SelectCursor)| cursor.cost(self.head_at(at).1, series_max);
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
            (HeadAt::of(tenant, partition, head), NamesCursor::open(head, symbols, question, matchers, range))
        };
        NamesWalk { heads: self.heads(tenant).map(open).collect(), found: BTreeSet::new() }
    }

    /// Looks at up to `series_max` series of one head.
    pub fn names_step(&self, walk: &mut NamesWalk, series_max: usize) {
        let Some((at, mut cursor)) = walk.heads.pop() else { return };
        let (symbols, head) = self.head_at(&at);
        cursor.step(head, series_max);
        if cursor.is_done() {
            walk.found.extend(cursor.into_texts(symbols));
        } else {
            walk.heads.push((at, cursor));
        }
    }

    fn step(&self, walk: &mut SelectWalk, take: impl FnOnce(&mut SelectCursor, &Symbols, &Head)) {
        let Some((at, cursor)) = walk.heads.last_mut() else { return };
        let (symbols, head) = self.head_at(at);
        take(cursor, symbols, head);
        if cursor.is_done() {
            walk.heads.pop();
        }
    }

    pub(super) fn head_at(&self, at: &HeadAt) -> (&Symbols, &Head) {
        let tenant = self.tenants.get(&at.tenant).expect("tenants stay as long as the store");
        let now = tenant.heads.get(&at.partition).into_iter();
        let before = tenant.retired.iter().filter(|(partition, _)| *partition == at.partition).map(|(_, head)| head);
        let head = now.chain(before).find(|head| Arc::ptr_eq(head.hold(), &at.hold));
        (&tenant.symbols, head.expect("heads that are read stay"))
    }
}
