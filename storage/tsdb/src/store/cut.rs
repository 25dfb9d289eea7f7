//! Cut and forget of a store's heads, logged like everything else, and reading what a cut has frozen.
//!
//! Neither happens while a checkpoint is under way: its slices would be half before and half after it.

use std::sync::Arc;

use disk::Disk;
use model::{PartitionId, SeriesRef, TenantId};

use super::ShardStore;
use super::read::HeadAt;
use crate::head::{CutNumber, CutSize, Head, OpenCut};
use crate::read::SeriesSnapshot;
use crate::wal::{CutNote, Lsn, Owner};

/// Why nothing was cut or forgotten.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CutRefusal {
    #[error("a checkpoint is under way: again when it is published")]
    Checkpoint,
    #[error("the tenant has no head of this partition here")]
    NoHead,
    #[error("there was no such cut")]
    NoCut,
}

/// What a cut has frozen, on its way to a block.
#[derive(Debug)]
pub struct CutWalk {
    at: HeadAt,
    cut: CutNumber,
    series: u32,
    end: u32,
}

impl CutWalk {
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.series == self.end
    }
}

impl<D: Disk> ShardStore<D> {
    /// Freezes what a head has before a time and in no cut yet, for a block, as part of the current turn. Once that is durable,
    /// the cut is the same after any restart.
    ///
    /// # Errors
    /// Nothing was changed: see [`CutRefusal`].
    pub fn cut(
        &mut self,
        tenant: &TenantId,
        partition: PartitionId,
        before_ms: i64,
        block: u128,
    ) -> Result<(OpenCut, CutSize), CutRefusal> {
        let is_free = self.files.is_some();
        let marks = self.marks(partition);
        let (epoch, next) = (marks.epoch(), marks.applied().ok_or(CutRefusal::NoHead)?);
        let head = self.tenants.get_mut(tenant).and_then(|tenant| tenant.heads.get_mut(&partition));
        let head = head.ok_or(CutRefusal::NoHead)?;
        if !is_free {
            return Err(CutRefusal::Checkpoint);
        }
        let cut = OpenCut { number: head.last_cut().next(), block, before_ms, next };
        let size = head.cut(cut);
        self.filling.turn.begin(tenant, partition, epoch);
        let owner = Owner { tenant: tenant.as_str(), partition, epoch };
        self.filling.turn.cut(&CutNote { owner, cut: cut.number.0, block, before_ms, next });
        self.memory_bytes = self.bytes().stored();
        Ok((cut, size))
    }

    /// Gives up what a cut and those before it have frozen: their blocks are safe and readers had time to find them. Series
    /// that have nothing else are forgotten. Part of the current turn.
    ///
    /// # Errors
    /// Nothing was changed: see [`CutRefusal`].
    pub fn forget(&mut self, tenant: &TenantId, partition: PartitionId, cut: CutNumber) -> Result<(), CutRefusal> {
        let is_free = self.files.is_some();
        let epoch = self.marks(partition).epoch();
        let of_tenant = self.tenants.get_mut(tenant).ok_or(CutRefusal::NoHead)?;
        let head = of_tenant.heads.get(&partition).ok_or(CutRefusal::NoHead)?;
        if !is_free {
            return Err(CutRefusal::Checkpoint);
        }
        if cut > head.last_cut() || cut.0 == 0 {
            return Err(CutRefusal::NoCut);
        }
        let survivors = of_tenant.forget(partition, cut);
        self.filling.turn.begin(tenant, partition, epoch);
        let owner = Owner { tenant: tenant.as_str(), partition, epoch };
        self.filling.turn.forget(&owner, cut.0, &survivors);
        self.memory_bytes = self.bytes().stored();
        Ok(())
    }

    /// The frame that the turn of now will be.
    #[must_use]
    pub fn filling_lsn(&self) -> Lsn {
        let is_on_its_way = self.wal.is_none() || self.held.is_some();
        let next = self.synced.next();
        if is_on_its_way { next.next() } else { next }
    }

    /// Opens what a cut has frozen of a head; none where there is no such head.
    #[must_use]
    pub fn read_cut(&self, tenant: &TenantId, partition: PartitionId, cut: CutNumber) -> Option<CutWalk> {
        let head = self.tenants.get(tenant)?.heads.get(&partition)?;
        let at = HeadAt::of(tenant, partition, head);
        Some(CutWalk { at, cut, series: 0, end: head.series_count() })
    }

    /// Looks at up to `series_max` series and adds those that have chunks in the cut, in the order of their definitions.
    pub fn cut_step(&self, walk: &mut CutWalk, series_max: u32, found: &mut Vec<SeriesSnapshot>) {
        let (symbols, head) = self.head_at(&walk.at);
        let end = walk.end.min(walk.series.saturating_add(series_max));
        for series in walk.series..end {
            let chunks = head.cut_chunks(series, walk.cut);
            if !chunks.is_empty() {
                found.push(SeriesSnapshot { labels: head.labels(symbols, SeriesRef(series)), chunks });
            }
        }
        walk.series = end;
    }

    /// Drops heads that nobody reads any more.
    pub(super) fn drop_retired(&mut self) {
        for tenant in self.tenants.values_mut().filter(|tenant| !tenant.retired.is_empty()) {
            for (_, head) in tenant.retired.extract_if(.., |(_, head)| !head.is_read()) {
                head.dissolve(&mut tenant.symbols);
            }
        }
    }
}

impl super::Tenant {
    /// Puts the head that follows in the place of one, which stays as long as somebody reads it.
    pub(super) fn forget(&mut self, partition: PartitionId, cut: CutNumber) -> Vec<(u32, u32)> {
        let head = self.heads.get_mut(&partition).expect("callers look first");
        let (next, survivors) = head.without(&mut self.symbols, cut);
        let before = std::mem::replace(head, next);
        if before.is_read() {
            self.retired.push((partition, before));
        } else {
            before.dissolve(&mut self.symbols);
        }
        // The series log has the series under their old numbers.
        self.defined.remove(&partition);
        survivors
    }
}

impl HeadAt {
    pub(super) fn of(tenant: &TenantId, partition: PartitionId, head: &Head) -> Self {
        Self { tenant: tenant.clone(), partition, hold: Arc::clone(head.hold()) }
    }
}
