//! What a store counts: samples by outcome for each tenant, memory by owner.

use disk::Disk;
use model::{RejectReason, TenantId};

use super::ShardStore;
use crate::wal::WalCounters;

/// Outcomes of one tenant's samples since the store was opened; what was replayed is not counted again.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct TenantCounters {
    pub samples_stored: u64,
    /// Of these, those that came after a later one of their series.
    pub samples_late: u64,
    /// There already, to the bit.
    pub samples_equal: u64,
    rejected: [u64; RejectReason::ALL.len()],
}

/// What a replay made of the log.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ReplayCounters {
    pub samples: u64,
    pub series: u64,
    /// Logged samples that the heads would not take again: each is a sign that something was logged twice.
    pub samples_equal: u64,
    pub samples_rejected: u64,
}

/// Memory of a store by owner.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct StoreBytes {
    pub series: u64,
    pub symbols: u64,
    pub postings: u64,
    pub chunks: u64,
    /// Turns and the log's write buffer.
    pub wal: u64,
    pub scratch: u64,
}

/// A store's figures at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct StoreCounters {
    pub series: u64,
    pub heads: u64,
    pub bytes: StoreBytes,
    pub replayed: ReplayCounters,
    /// Of the log since it was opened; absent while a commit has it.
    pub wal: Option<WalCounters>,
    pub wal_file_bytes: Option<u64>,
}

impl TenantCounters {
    #[must_use]
    pub fn rejected(&self, reason: RejectReason) -> u64 {
        self.rejected[reason as usize]
    }

    /// Reasons that were met, with their counts.
    pub fn rejections(&self) -> impl Iterator<Item = (RejectReason, u64)> {
        RejectReason::ALL.into_iter().zip(self.rejected).filter(|(_, count)| *count > 0)
    }

    pub(super) fn reject(&mut self, reason: RejectReason) {
        self.rejected[reason as usize] += 1;
    }
}

impl StoreBytes {
    /// What stays: heads and symbols.
    #[must_use]
    pub fn stored(&self) -> u64 {
        self.series + self.symbols + self.postings + self.chunks
    }

    #[must_use]
    pub fn total(&self) -> u64 {
        self.stored() + self.wal + self.scratch
    }
}

impl<D: Disk> ShardStore<D> {
    #[must_use]
    pub fn counters(&self) -> StoreCounters {
        let heads = || self.tenants.values().flat_map(|tenant| tenant.heads.values());
        StoreCounters {
            series: heads().map(|head| u64::from(head.series_count())).sum(),
            heads: heads().count() as u64,
            bytes: self.bytes(),
            replayed: self.replayed,
            wal: self.wal.as_ref().map(crate::wal::Wal::counters),
            wal_file_bytes: self.wal.as_ref().map(crate::wal::Wal::bytes),
        }
    }

    /// Counts samples that a caller refuses before they reach a head.
    pub fn reject(&mut self, tenant: &TenantId, reason: RejectReason, samples: u64) {
        let options = &self.options;
        let tenant = self.tenants.entry(tenant.clone()).or_insert_with(|| super::Tenant::new(options));
        tenant.counters.rejected[reason as usize] += samples;
    }

    /// Outcomes by tenant.
    pub fn tenant_counters(&self) -> impl Iterator<Item = (&TenantId, &TenantCounters)> {
        self.tenants.iter().map(|(id, tenant)| (id, &tenant.counters))
    }

    #[must_use]
    pub fn bytes(&self) -> StoreBytes {
        let mut bytes = StoreBytes { scratch: self.scratch.bytes(), ..StoreBytes::default() };
        for tenant in self.tenants.values() {
            bytes.symbols += tenant.symbols.bytes();
            for head in tenant.heads.values().chain(tenant.retired.iter().map(|(_, head)| head)) {
                let head = head.counters().bytes;
                bytes.series += head.series;
                bytes.postings += head.postings;
                bytes.chunks += head.chunks_open + head.chunks_sealed + head.late;
            }
        }
        let turns = [Some(&self.filling), self.held.as_ref(), self.spare.as_ref()];
        bytes.wal = turns.into_iter().flatten().map(|pending| pending.turn.capacity_bytes() as u64).sum();
        bytes.wal += self.wal.as_ref().map_or(0, |wal| wal.memory_bytes() as u64);
        bytes.wal += self.files.as_ref().map_or(0, crate::checkpoint::CheckpointFiles::memory_bytes);
        bytes
    }
}
