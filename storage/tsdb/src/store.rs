//! All that one shard stores: the heads of its partitions, its log, and how far each partition is.
//!
//! A turn goes: [`ShardStore::apply`] for every record, [`ShardStore::advance`] for every batch, then a commit, after which
//! the durable marks have moved. What was applied is visible to readers at once and durable only after the commit. Knows no
//! Kafka: offsets come in as numbers, and who fetches, commits to the group or answers clients is not here.

mod apply;
mod checkpoint;
#[cfg(test)]
mod checkpoint_test;
mod commit;
mod counters;
mod cut;
#[cfg(test)]
mod cut_fixture;
#[cfg(test)]
mod cut_test;
mod marks;
mod read;
mod restore;
#[cfg(test)]
mod store_fixture;
#[cfg(test)]
mod store_test;
#[cfg(test)]
mod story_test;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use disk::Disk;
use model::{FingerprintKey, Offset, PartitionId, ShardId, TenantId};

use crate::checkpoint::{CheckpointFiles, CheckpointOptions, FilesFound};
use crate::head::{Head, HeadOptions, Symbols};
use crate::recovery::{FolderSurvey, RecoveryError, Survey, replay};
use crate::wal::{
    Generation, LogIdentity, Lsn, PositionNote, RecordIdentity, Reset, StartupPosition, Wal, WalError, WalOptions,
};

pub use apply::{Applied, Identify, RecordBatch};
pub use checkpoint::CheckpointStep;
pub use commit::{Commit, Committed};
pub use counters::{ReplayCounters, StoreBytes, StoreCounters, TenantCounters};
pub use cut::{CutRefusal, CutWalk};
pub use marks::PartitionMarks;
pub use read::{NamesWalk, SelectWalk};

use apply::Scratch;
use commit::Pending;
use restore::Restore;

/// What a store is told when it is opened.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    pub shard: ShardId,
    pub wal: WalOptions,
    pub checkpoint: CheckpointOptions,
    /// Of the topic whose partitions are stored.
    pub key: FingerprintKey,
    /// For heads that are made from now on.
    pub head: HeadOptions,
    /// Memory of heads and symbols from which on new series are refused; existing ones go on.
    pub memory_bytes_max: u64,
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    #[error(transparent)]
    Wal(#[from] WalError),
}

/// The log holds offsets of another Kafka log.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the write-ahead log belongs to topic {} of cluster {:?}, not to topic {} of cluster {:?}",
    .logged.topic_name, .logged.cluster_id, .found.topic_name, .found.cluster_id)]
pub struct IdentityMismatch {
    pub logged: Box<LogIdentity>,
    pub found: Box<LogIdentity>,
}

/// An order to a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartitionReset {
    pub partition: PartitionId,
    /// The next offset to consume.
    pub to: Offset,
    /// Where the order is a configured position.
    pub position: Option<StartupPosition>,
}

/// What an order has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResetDone {
    pub partition: PartitionId,
    /// Where the partition stood; `to` where it was never started.
    pub from: Offset,
    pub to: Offset,
    /// The one that began.
    pub generation: Generation,
}

/// One shard's heads, log and marks. Belongs to one executor.
pub struct ShardStore<D: Disk> {
    options: StoreOptions,
    tenants: HashMap<TenantId, Tenant>,
    partitions: BTreeMap<PartitionId, PartitionMarks>,
    /// Absent while a commit has it.
    wal: Option<Wal<D>>,
    /// The last frame that is durable.
    synced: Lsn,
    /// Bytes of frames since the store was opened, and how many of them there were when the last checkpoint began.
    logged_bytes: u64,
    checkpoint_bytes: u64,
    /// Definitions in the series log, of this process: those before are taken for alive.
    definitions_logged: u64,
    /// Absent while a checkpoint has them.
    files: Option<CheckpointFiles<D>>,
    /// The frame up to which no checkpoint needs the log.
    releasable: Option<Lsn>,
    filling: Pending,
    /// Refused by the log; goes before what is being filled.
    held: Option<Pending>,
    spare: Option<Pending>,
    /// What this shard's own folder says, and what any folder says.
    identity: Option<LogIdentity>,
    is_identity_logged: bool,
    /// Heads and symbols.
    memory_bytes: u64,
    replayed: ReplayCounters,
    scratch: Scratch,
}

/// What a tenant has on this shard.
struct Tenant {
    symbols: Symbols,
    heads: BTreeMap<PartitionId, Head>,
    /// Heads that were followed by others and are still read.
    retired: Vec<(PartitionId, Head)>,
    /// How many series of each head the series log defines.
    defined: BTreeMap<PartitionId, u32>,
    counters: TenantCounters,
}

impl<D: Disk> ShardStore<D> {
    /// Replays the shard's partitions from wherever they were logged, and opens the shard's log to go on.
    ///
    /// All folders must have been surveyed before any shard's store is opened: see [`crate::recovery`].
    ///
    /// # Errors
    /// The logs are damaged, the disk failed, or there is no room for a segment.
    pub async fn open(
        disk: D,
        wal_root: &Path,
        survey: &Survey,
        partitions: &[PartitionId],
        options: StoreOptions,
    ) -> Result<Self, StoreError> {
        let shard = options.shard;
        let marks = |partition: &PartitionId| (*partition, PartitionMarks::new(survey.epoch(*partition, shard)));
        let mut restore = Restore::new(partitions.iter().map(marks).collect(), &options);
        let own_chunks = restore.take_checkpoints(&disk, survey, partitions).await?;
        replay(&disk, survey, &|partition| partitions.contains(&partition), &mut restore).await?;
        let folder: FolderSurvey = survey.folder(wal_root, shard);
        let found = FilesFound {
            next_number: folder.next_file_number(),
            manifests: folder.checkpoints().to_vec(),
            pin: restore.pin(survey.is_pinned(&folder, partitions)),
            source: own_chunks,
        };
        let files = CheckpointFiles::new(disk.clone(), folder.dir().to_owned(), shard, options.checkpoint, found);
        let Restore { tenants, partitions, counters: replayed, .. } = restore;
        let wal = Wal::open(disk, &folder, options.wal).await?;
        let mut store = Self {
            options,
            tenants,
            partitions,
            synced: wal.synced(),
            logged_bytes: folder.bytes_behind_checkpoint(),
            checkpoint_bytes: 0,
            definitions_logged: 0,
            releasable: None,
            files: Some(files),
            wal: Some(wal),
            filling: Pending::default(),
            held: None,
            spare: None,
            identity: survey.identity().cloned(),
            is_identity_logged: folder.identity().is_some(),
            memory_bytes: 0,
            replayed,
            scratch: Scratch::default(),
        };
        store.memory_bytes = store.bytes().stored();
        Ok(store)
    }

    /// Notes, with the next commit, which Kafka log the offsets belong to.
    ///
    /// # Errors
    /// Another one is noted already: nothing of it may be mixed in.
    pub fn set_identity(&mut self, found: &LogIdentity) -> Result<(), IdentityMismatch> {
        if let Some(logged) = self.identity.as_ref().filter(|logged| *logged != found) {
            return Err(IdentityMismatch { logged: Box::new(logged.clone()), found: Box::new(found.clone()) });
        }
        if !self.is_identity_logged {
            self.filling.turn.identity(found);
            self.identity = Some(found.clone());
            self.is_identity_logged = true;
        }
        Ok(())
    }

    /// Where each partition of the shard stands.
    #[must_use]
    pub fn partitions(&self) -> &BTreeMap<PartitionId, PartitionMarks> {
        &self.partitions
    }

    /// The marks of one partition.
    ///
    /// # Panics
    /// The partition is not of this shard.
    #[must_use]
    pub fn marks(&self, partition: PartitionId) -> &PartitionMarks {
        self.partitions.get(&partition).expect("a partition of this shard")
    }

    /// Says where a partition without any progress starts. Not logged: the first progress is.
    pub fn start_at(&mut self, partition: PartitionId, offset: Offset) {
        self.marks_mut(partition).start_at(offset);
    }

    /// The offsets `first..next` of a partition are applied, as part of the current turn. A range without a record (a gap
    /// that nobody can read any more) is told the same way, without a `last`.
    ///
    /// # Panics
    /// `first` is not where the partition stands: something would be lost or applied twice.
    pub fn advance(&mut self, partition: PartitionId, first: Offset, next: Offset, last: Option<RecordIdentity>) {
        if self.marks_mut(partition).advance(first, next, last) {
            self.filling.touched.push(partition);
        }
    }

    /// Obeys an order: the partition goes on at `to`, in a new generation, and remembers the configured position if that was
    /// the order. Commit before the first fetch from there: until then nothing of the new generation is durable.
    ///
    /// # Panics
    /// The partition is not of this shard.
    pub fn reset(&mut self, order: PartitionReset) -> ResetDone {
        let PartitionReset { partition, to, position } = order;
        let marks = self.partitions.get_mut(&partition).expect("a partition of this shard");
        self.filling.note_progress(partition, marks);
        let from = marks.reset(to);
        let (epoch, generation) = (marks.epoch(), marks.generation());
        self.filling.turn.reset(&Reset { partition, epoch, generation, from, to });
        if let Some(position) = position {
            marks.set_position(position);
            self.filling.turn.position(&PositionNote { partition, epoch, position });
        }
        self.filling.note_mark(partition, marks);
        ResetDone { partition, from, to, generation }
    }

    /// The tenants that have heads here.
    pub fn tenants(&self) -> impl Iterator<Item = &TenantId> {
        self.tenants.keys()
    }

    /// A tenant's heads, by partition, with the symbols that they share.
    pub fn heads(&self, tenant: &TenantId) -> impl Iterator<Item = (PartitionId, &Symbols, &Head)> {
        let heads = self.tenants.get(tenant).into_iter();
        heads.flat_map(|tenant| tenant.heads.iter().map(|(partition, head)| (*partition, &tenant.symbols, head)))
    }

    fn marks_mut(&mut self, partition: PartitionId) -> &mut PartitionMarks {
        self.partitions.get_mut(&partition).expect("a partition of this shard")
    }
}

impl Tenant {
    fn new(options: &StoreOptions) -> Self {
        Self {
            symbols: Symbols::new(options.key.clone()),
            heads: BTreeMap::new(),
            retired: Vec::new(),
            defined: BTreeMap::new(),
            counters: TenantCounters::default(),
        }
    }
}
