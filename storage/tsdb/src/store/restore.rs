//! Builds heads and marks from replayed frames. No limit applies: all of it was accepted once.

use std::collections::{BTreeMap, HashMap};

use model::{FingerprintKey, PartitionId, RejectReason, Sample, SeriesRef, TenantId};

use super::marks::{PartitionMarks, ProgressBreak};
use super::{ReplayCounters, StoreOptions, Tenant};
use crate::head::{Appended, DefineError, Head, Horizon, Symbols};
use crate::recovery::{FramePlace, Replay};
use crate::wal::{Definitions, Malformed, Owner, Samples, Section};

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
    #[error("the tenant name {tenant:?} is not valid")]
    Tenant { tenant: String },
}

pub(super) struct Restore<'a> {
    options: &'a StoreOptions,
    key: FingerprintKey,
    pub(super) tenants: HashMap<TenantId, Tenant>,
    pub(super) partitions: BTreeMap<PartitionId, PartitionMarks>,
    pub(super) counters: ReplayCounters,
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
            items: Vec::new(),
            outcomes: Vec::new(),
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

    fn append(&mut self, mut samples: Samples<'_>) -> Result<(), RestoreError> {
        let (_, head) = head_of(&mut self.tenants, self.options, &samples.owner)?;
        loop {
            self.items.clear();
            while self.items.len() < BATCH_LEN {
                let Some((series, sample)) = samples.next_sample()? else { break };
                if series.0 >= head.series_count() {
                    return Err(RestoreError::UnknownSeries { series: series.0 });
                }
                self.items.push((series, sample));
            }
            if self.items.is_empty() {
                return Ok(());
            }
            head.append_batch(&self.items, Horizon::NONE, &mut self.outcomes);
            self.counters.samples += self.items.len() as u64;
            for outcome in &self.outcomes {
                match outcome {
                    Ok(Appended::InOrder) => {}
                    Ok(Appended::Equal) => self.counters.samples_equal += 1,
                    Err(_) => self.counters.samples_rejected += 1,
                }
            }
        }
    }
}

impl Replay for Restore<'_> {
    type Error = RestoreError;

    fn section(&mut self, _: FramePlace, section: Section<'_>) -> Result<(), RestoreError> {
        match section {
            Section::Definitions(definitions) => self.define(definitions)?,
            Section::Samples(samples) => self.append(samples)?,
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
