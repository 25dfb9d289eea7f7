//! Builds heads and marks from replayed frames. No limit applies: all of it was accepted once.

use std::collections::{BTreeMap, HashMap};

use disk::Disk;
use model::{FingerprintKey, PartitionId, RejectReason, Sample, SeriesRef, TenantId};

use super::marks::{PartitionMarks, ProgressBreak};
use super::{ReplayCounters, StoreOptions, Tenant};
use crate::checkpoint::{CheckpointSource, ChunkMaps, HeadSource, Manifest, Pin, Stamps, covers, restore_checkpoint};
use crate::head::{Appended, CutNumber, DefineError, Head, Horizon, OpenCut, Reading, Symbols};
use crate::recovery::{FramePlace, RecoveryError, Replay, Survey};
use crate::wal::{CutNote, Definitions, Epoch, ForgetNote, Malformed, Owner, Samples, Section};

/// As many samples are looked at together as a head prefetches, some times over.
const BATCH_LEN: usize = 512;

/// Why frames that are whole make no sense together.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum RestoreError {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error(transparent)]
    Define(#[from] DefineError),
    #[error(transparent)]
    Progress(#[from] ProgressBreak),
    #[error("a sample names series {series}, which was not defined")]
    UnknownSeries { series: u32 },
    #[error("cut {found} is not the one that follows cut {last}")]
    Cut { last: u32, found: u32 },
    #[error("what is left of a head behind cut {cut} is not what the log says")]
    Forget { cut: u32 },
    #[error("the tenant name {tenant:?} is not valid")]
    Tenant { tenant: String },
}

pub(super) struct Restore<'a> {
    options: &'a StoreOptions,
    key: FingerprintKey,
    pub(super) tenants: HashMap<TenantId, Tenant>,
    pub(super) partitions: BTreeMap<PartitionId, PartitionMarks>,
    pub(super) counters: ReplayCounters,
    /// The epoch of each partition's state in the checkpoint that it was made from.
    epochs: BTreeMap<PartitionId, Epoch>,
    stamps: Stamps,
    /// A partition that was logged before is not in the shard's newest checkpoint.
    has_moved: bool,
    items: Vec<(SeriesRef, Sample)>,
    outcomes: Vec<Result<Appended, RejectReason>>,
}

impl<'a> Restore<'a> {
    pub(super) fn new(partitions: BTreeMap<PartitionId, PartitionMarks>, options: &'a StoreOptions) -> Self {
        Self {
            options,
            key: options.key.clone(),
            tenants: HashMap::new(),
            partitions,
            counters: ReplayCounters::default(),
            epochs: BTreeMap::new(),
            stamps: Stamps::default(),
            has_moved: false,
            items: Vec::new(),
            outcomes: Vec::new(),
        }
    }

    /// Makes the heads that checkpoints have. Gives back the shard's own newest checkpoint, if that was one of them, with the
    /// files of its chunk log.
    pub(super) async fn take_checkpoints<D: Disk>(
        &mut self,
        disk: &D,
        survey: &Survey,
        partitions: &[PartitionId],
    ) -> Result<Option<(u64, ChunkMaps)>, RecoveryError> {
        let (mut own_chunks, mut going_on) = (None, Vec::new());
        for (folder, manifest) in survey.checkpoints_of(partitions) {
            let is_newest = folder.checkpoints().first().is_some_and(|newest| std::ptr::eq(newest, manifest));
            let is_own_newest = folder.shard() == self.options.shard && is_newest;
            let is_chosen = |partition: PartitionId| {
                survey.checkpoint(partition).is_some_and(|(_, chosen)| std::ptr::eq(chosen, manifest))
            };
            let goes_on =
                |partition: PartitionId| manifest.epoch(partition) == Some(self.partitions[&partition].epoch());
            let chosen = partitions.iter().copied().filter(|partition| is_chosen(*partition));
            // What moved here is logged anew, and so is what has been elsewhere in between.
            let (own, moved): (Vec<_>, Vec<_>) = chosen.partition(|partition| is_own_newest && goes_on(*partition));
            for (partitions, is_own) in [(&own[..], true), (&moved[..], false)] {
                if partitions.is_empty() {
                    continue;
                }
                let (dir, shard) = (folder.dir(), folder.shard());
                let source = CheckpointSource { dir, shard, manifest, partitions, is_own };
                let mut stamps = std::mem::take(&mut self.stamps);
                let maps = restore_checkpoint(disk, &source, self, &mut stamps).await?;
                self.stamps = stamps;
                partitions.iter().for_each(|partition| self.restore_mark(*partition, manifest, is_own));
                if is_own {
                    own_chunks = Some((manifest.number, maps));
                    going_on.extend_from_slice(partitions);
                }
            }
        }
        let known = survey.partitions();
        self.has_moved = partitions.iter().any(|partition| known.contains(partition) && !going_on.contains(partition));
        Ok(own_chunks)
    }

    /// How long the shard's own older checkpoints stay.
    pub(super) fn pin(&self, is_pinned_for_good: bool) -> Pin {
        match (is_pinned_for_good, self.has_moved) {
            (true, _) => Pin::ForGood,
            (false, true) => Pin::UntilReplaced,
            (false, false) => Pin::None,
        }
    }

    fn restore_mark(&mut self, partition: PartitionId, manifest: &Manifest, is_own: bool) {
        let mark = &manifest.marks[&partition];
        self.epochs.insert(partition, mark.progress.epoch);
        self.partitions.get_mut(&partition).expect("only wanted partitions are taken").restore_mark(mark);
        let heads = self.tenants.values_mut().filter_map(|tenant| tenant.heads.get_mut(&partition));
        heads.for_each(Head::find_uncut_min);
        if is_own {
            self.note_defined(partition);
        }
    }

    fn note_defined(&mut self, partition: PartitionId) {
        for tenant in self.tenants.values_mut() {
            if let Some(head) = tenant.heads.get(&partition) {
                tenant.defined.insert(partition, head.series_count());
            }
        }
    }

    fn define(&mut self, mut definitions: Definitions<'_>) -> Result<(), RestoreError> {
        let (symbols, head) = head_of(&mut self.tenants, self.options, &definitions.owner)?;
        while let Some((series, labels)) = definitions.next_definition()? {
            head.define_at(symbols, series, self.key.fingerprint(labels), labels)?;
            self.counters.series += 1;
        }
        Ok(())
    }

    fn cut(&mut self, note: &CutNote<'_>) -> Result<(), RestoreError> {
        let (_, head) = head_of(&mut self.tenants, self.options, &note.owner)?;
        let (last, found) = (head.last_cut(), CutNumber(note.cut));
        if last.0.checked_add(1) != Some(found.0) {
            return Err(RestoreError::Cut { last: last.0, found: found.0 });
        }
        head.cut(OpenCut { number: found, block: note.block, before_ms: note.before_ms, next: note.next });
        Ok(())
    }

    fn forget(&mut self, note: &ForgetNote<'_>) -> Result<(), RestoreError> {
        let (_, head) = head_of(&mut self.tenants, self.options, &note.owner)?;
        if note.cut > head.last_cut().0 {
            return Err(RestoreError::Cut { last: head.last_cut().0, found: note.cut });
        }
        let id = TenantId::new(note.owner.tenant).expect("it has a head");
        let tenant = self.tenants.get_mut(&id).expect("it has a head");
        if tenant.forget(note.owner.partition, CutNumber(note.cut)) != note.survivors {
            return Err(RestoreError::Forget { cut: note.cut });
        }
        // All that follows is behind every slice of the checkpoint, and under other numbers.
        self.stamps.forget(&id, note.owner.partition);
        Ok(())
    }

    fn append(&mut self, place: FramePlace, mut samples: Samples<'_>) -> Result<(), RestoreError> {
        let (_, head) = head_of(&mut self.tenants, self.options, &samples.owner)?;
        let is_of_checkpoint = self.epochs.get(&samples.owner.partition) == Some(&samples.owner.epoch);
        let tenant = TenantId::new(samples.owner.tenant).expect("it has a head");
        let stamps = if is_of_checkpoint { self.stamps.of(&tenant, samples.owner.partition) } else { &[] };
        loop {
            self.items.clear();
            while self.items.len() < BATCH_LEN {
                let Some((series, sample)) = samples.next_sample()? else { break };
                if series.0 >= head.series_count() {
                    return Err(RestoreError::UnknownSeries { series: series.0 });
                }
                if !covers(stamps, series, place.lsn) {
                    self.items.push((series, sample));
                }
            }
            if self.items.is_empty() {
                return Ok(());
            }
            head.append_batch(&self.items, Horizon::NONE, Reading::First, &mut self.outcomes);
            self.counters.samples += self.items.len() as u64;
            for outcome in &self.outcomes {
                match outcome {
                    Ok(Appended::InOrder | Appended::Late) => {}
                    Ok(Appended::Equal) => self.counters.samples_equal += 1,
                    Err(_) => self.counters.samples_rejected += 1,
                }
            }
        }
    }
}

impl HeadSource for Restore<'_> {
    fn key(&self) -> &FingerprintKey {
        &self.key
    }

    fn head(&mut self, tenant: &TenantId, partition: PartitionId) -> (&mut Symbols, &mut Head) {
        let options = self.options;
        let tenant = self.tenants.entry(tenant.clone()).or_insert_with(|| Tenant::new(options));
        let head = tenant.heads.entry(partition).or_insert_with(|| Head::new(options.head));
        (&mut tenant.symbols, head)
    }
}

impl Replay for Restore<'_> {
    type Error = RestoreError;

    fn section(&mut self, place: FramePlace, section: Section<'_>) -> Result<(), RestoreError> {
        match section {
            Section::Definitions(definitions) => self.define(definitions)?,
            Section::Samples(samples) => self.append(place, samples)?,
            Section::Progress(progress) => {
                let marks = self.partitions.get_mut(&progress.partition).expect("only wanted partitions are replayed");
                marks.restore_progress(&progress)?;
            }
            Section::Reset(reset) => {
                let marks = self.partitions.get_mut(&reset.partition).expect("only wanted partitions are replayed");
                marks.restore_reset(&reset)?;
            }
            Section::Position(note) => {
                let marks = self.partitions.get_mut(&note.partition).expect("only wanted partitions are replayed");
                marks.set_position(note.position);
            }
            Section::Cut(note) => self.cut(&note)?,
            Section::Forget(note) => self.forget(&note)?,
            Section::Identity(_) => {}
        }
        Ok(())
    }
}

fn head_of<'t>(
    tenants: &'t mut HashMap<TenantId, Tenant>,
    options: &StoreOptions,
    owner: &Owner<'_>,
) -> Result<(&'t mut Symbols, &'t mut Head), RestoreError> {
    let id = TenantId::new(owner.tenant).map_err(|_| RestoreError::Tenant { tenant: owner.tenant.to_owned() })?;
    let tenant = tenants.entry(id).or_insert_with(|| Tenant::new(options));
    let head = tenant.heads.entry(owner.partition).or_insert_with(|| Head::new(options.head));
    Ok((&mut tenant.symbols, head))
}
