//! What cuts and forgets leave of the fixture's records: a model that knows each sample's record and each cut's place among them.

use std::collections::BTreeMap;

use disk::Disk;
use model::{PartitionId, TenantId};

use super::store_fixture::{STEP_MS, Shown, Taken, decoded, expected_taken};
use super::{CutRefusal, ShardStore};
use crate::head::{CHUNK_RANGE_MS, CutNumber};

#[derive(Clone, Copy, Debug)]
struct Cut {
    /// Records below this were there.
    next: i64,
    before_ms: i64,
}

/// Of one head.
#[derive(Clone, Default, Debug)]
struct OfHead {
    cuts: Vec<Cut>,
    /// Up to which cut each forget went.
    forgets: Vec<u32>,
    durable_cuts: usize,
    durable_forgets: usize,
}

impl OfHead {
    /// The cut that has a sample, from 1; 0 for none.
    fn cut_of(&self, taken: &Taken) -> u32 {
        let has = |cut: &Cut| taken.offset < cut.next && taken.timestamp_ms < cut.before_ms;
        self.cuts.iter().position(has).map_or(0, |index| index as u32 + 1)
    }

    fn is_forgotten(&self, taken: &Taken) -> bool {
        let cut = self.cut_of(taken);
        cut > 0 && self.forgets.iter().any(|up_to| cut <= *up_to)
    }
}

fn block_of(partition: PartitionId, next: i64) -> u128 {
    (partition.0 as u128) << 64 | next as u128
}

/// All cuts and forgets of a story.
#[derive(Default, Debug)]
pub(super) struct Cuts {
    heads: BTreeMap<(TenantId, PartitionId), OfHead>,
    pub(super) cut: u64,
    pub(super) forgotten: u64,
}

impl Cuts {
    /// Cuts a head some ranges before what was consumed, and checks what that hands over.
    pub(super) fn cut<D: Disk>(
        &mut self,
        store: &mut ShardStore<D>,
        tenant: &TenantId,
        partition: PartitionId,
        ranges: i64,
    ) {
        let next = store.marks(partition).applied().map_or(0, |next| next.0);
        let before_ms = ((next * STEP_MS).div_euclid(CHUNK_RANGE_MS) - ranges) * CHUNK_RANGE_MS;
        let (cut, size) = match store.cut(tenant, partition, before_ms, block_of(partition, next)) {
            Err(CutRefusal::Checkpoint | CutRefusal::NoHead) => return,
            cut => cut.unwrap(),
        };
        let cut = cut.number;
        let model = self.heads.entry((tenant.clone(), partition)).or_default();
        model.cuts.push(Cut { next, before_ms });
        assert_eq!(cut.0 as usize, model.cuts.len());
        let mut expected = of_tenant(tenant, partition, next);
        expected.values_mut().for_each(|samples| samples.retain(|taken| model.cut_of(taken) == cut.0));
        expected.retain(|_, samples| !samples.is_empty());
        let mut walk = store.read_cut(tenant, partition, cut).unwrap();
        let mut found = Vec::new();
        while !walk.is_done() {
            store.cut_step(&mut walk, 3, &mut found);
        }
        assert_eq!((found.len(), size.series), (expected.len(), expected.len() as u64));
        for series in &found {
            assert_eq!(decoded(series), shown(&expected[&format!("{tenant} {}", series.labels)]));
        }
        self.cut += u64::from(size.chunks > 0);
    }

    /// Forgets all cuts of a head but the last few.
    pub(super) fn forget<D: Disk>(
        &mut self,
        store: &mut ShardStore<D>,
        tenant: &TenantId,
        partition: PartitionId,
        but: u32,
    ) {
        let Some(model) = self.heads.get_mut(&(tenant.clone(), partition)) else { return };
        let cut = (model.cuts.len() as u32).saturating_sub(but);
        match store.forget(tenant, partition, CutNumber(cut)) {
            Err(CutRefusal::Checkpoint) => return,
            Err(CutRefusal::NoCut) => return assert_eq!(cut, 0),
            forgotten => forgotten.unwrap(),
        }
        model.forgets.push(cut);
        self.forgotten += 1;
    }

    /// All of the store's turns so far are synced.
    pub(super) fn note_durable<D: Disk>(&mut self, store: &ShardStore<D>) {
        for ((_, partition), model) in &mut self.heads {
            if store.partitions().contains_key(partition) {
                (model.durable_cuts, model.durable_forgets) = (model.cuts.len(), model.forgets.len());
            }
        }
    }

    /// A partition was recovered: what was not synced may be there or not.
    pub(super) fn recovered<D: Disk>(&mut self, store: &ShardStore<D>, partition: PartitionId) {
        for ((tenant, of), model) in self.heads.iter_mut().filter(|((_, of), _)| *of == partition) {
            let head = store.heads(tenant).find(|(found, ..)| found == of).map(|(_, _, head)| head);
            let (cuts, forgets) = head.map_or((0, 0), |head| (head.last_cut().0 as usize, head.numbering() as usize));
            assert!((model.durable_cuts..=model.cuts.len()).contains(&cuts), "{cuts} cuts of {model:?}");
            assert!((model.durable_forgets..=model.forgets.len()).contains(&forgets), "{forgets} of {model:?}");
            if let Some(head) = head {
                let open = head.open_cuts().iter().map(|open| (open.next.0, open.before_ms, open.block));
                let kept = model.forgets[..forgets].iter().max().copied().unwrap_or(0) as usize;
                let expected = model.cuts[kept..cuts].iter();
                assert!(open.eq(expected.map(|cut| (cut.next, cut.before_ms, block_of(partition, cut.next)))));
            }
            model.cuts.truncate(cuts);
            model.forgets.truncate(forgets);
            (model.durable_cuts, model.durable_forgets) = (cuts, forgets);
        }
    }

    /// What the records below `next` leave of a partition.
    pub(super) fn expected(&self, partition: PartitionId, next: i64, expected: &mut Shown) {
        for (name, mut samples) in expected_taken(partition, next) {
            let (tenant, _) = name.split_once(' ').unwrap();
            if let Some(model) = self.heads.get(&(TenantId::new(tenant).unwrap(), partition)) {
                samples.retain(|taken| !model.is_forgotten(taken));
            }
            if !samples.is_empty() {
                expected.insert(name, shown(&samples));
            }
        }
    }
}

fn of_tenant(tenant: &TenantId, partition: PartitionId, next: i64) -> BTreeMap<String, Vec<Taken>> {
    let mut taken = expected_taken(partition, next);
    taken.retain(|name, _| name.split_once(' ').unwrap().0 == tenant.as_str());
    taken
}

fn shown(samples: &[Taken]) -> Vec<(i64, f64)> {
    samples.iter().map(|taken| (taken.timestamp_ms, taken.value)).collect()
}
