//! Reads the logs of all shards back: which frames count, whose they are, and in which order they are applied.
//!
//! Two steps. [`survey`] reads every folder, decides by the tables in `decision` where each log ends, syncs what it accepted
//! again, and refuses damage that no crash explains. [`replay`] then hands the sections of the wanted partitions to a
//! visitor, ordered by (epoch, LSN) for each partition. Every survey must be over before any log is opened for writing: a
//! log that grows under a survey looks damaged. Changes nothing but syncs; cutting off a torn tail is left to `Wal::open`.

#[cfg(test)]
mod crash_test;
mod decision;
#[cfg(test)]
mod decision_test;
mod folder;
mod inspect;
#[cfg(test)]
mod inspect_test;
#[cfg(test)]
pub(crate) mod log_fixture;
mod reader;
mod replay;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use disk::{Disk, DiskError, DiskErrorKind};
use model::{PartitionId, ShardId};

use crate::checkpoint::{KEPT, Manifest};
use crate::wal::{Epoch, LogIdentity, Lsn};

pub use decision::{Evidence, Finding};
pub use folder::{FolderSurvey, TornTail, survey_folder};
pub use inspect::{CheckpointState, FolderInspection, Inspection, SegmentRole, SegmentState, inspect};
pub use replay::{FramePlace, Replay, replay};

/// What to do about a log that cannot be read; said with every refusal.
const ADVICE: &str =
    "keep a copy of the folder; then restore it, or move it away and the partitions are read again from Kafka";

/// Why recovery does not go on.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecoveryError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("{} is damaged at offset {offset}: {what}; no crash explains that ({ADVICE})", .segment.display())]
    Damaged { segment: PathBuf, offset: u64, what: String },
    #[error("{} has format version {version} at offset {offset}: a newer release wrote it; start that release again", .segment.display())]
    Unsupported { segment: PathBuf, offset: u64, version: u16 },
    #[error("{}: segment {} is missing between others ({ADVICE})", .dir.display(), crate::wal::file_name(*.segment))]
    MissingSegment { dir: PathBuf, segment: crate::wal::SegmentId },
    #[error("{}: frame {lsn} cannot be understood: {what}; start the release that wrote it, or {ADVICE}", .segment.display())]
    Unintelligible { segment: PathBuf, lsn: Lsn, what: String },
    #[error("partition {partition} has epoch {} in both {} and {}: two shards owned it at once ({ADVICE})", .epoch.0, .one.display(), .other.display())]
    DuplicateEpoch { partition: PartitionId, epoch: Epoch, one: PathBuf, other: PathBuf },
    #[error("{} belongs to topic {} of cluster {:?}, {} to topic {} of cluster {:?} ({ADVICE})", .one.display(), .one_log.topic_name, .one_log.cluster_id, .other.display(), .other_log.topic_name, .other_log.cluster_id)]
    DifferentLogs { one: PathBuf, one_log: Box<LogIdentity>, other: PathBuf, other_log: Box<LogIdentity> },
}

/// What the folders of all shards hold. Plain data: may be sent to the shards that go on from it.
#[derive(Clone, Default, Debug)]
pub struct Survey {
    folders: Vec<FolderSurvey>,
}

/// Surveys every shard's folder below `root`, also those of shards that are no more. A missing root is an empty one.
///
/// # Errors
/// The disk failed, or a log is damaged, unknown or in conflict with another.
pub async fn survey<D: Disk>(disk: &D, root: &Path) -> Result<Survey, RecoveryError> {
    let entries = match disk.list(root).await {
        Err(error) if error.kind == DiskErrorKind::NotFound => Vec::new(),
        result => result?,
    };
    let mut folders = Vec::new();
    for entry in entries {
        if let Some(shard) = parse_folder_name(&entry.name).filter(|_| entry.is_dir) {
            folders.push(survey_folder(disk, &root.join(&entry.name), shard).await?);
        }
    }
    Survey::of_folders(folders)
}

/// Where a shard's log lies below the root: `shard-00007`.
#[must_use]
pub fn folder_name(shard: ShardId) -> String {
    format!("shard-{:05}", shard.0)
}

/// The shard whose folder bears this name.
#[must_use]
pub fn parse_folder_name(name: &str) -> Option<ShardId> {
    let shard = name.strip_prefix("shard-")?.parse().ok().map(ShardId)?;
    (folder_name(shard) == name).then_some(shard)
}

impl Survey {
    /// Puts together what several threads surveyed.
    ///
    /// # Errors
    /// Two folders claim the same epoch of a partition, or belong to different Kafka logs.
    pub fn of_folders(folders: Vec<FolderSurvey>) -> Result<Self, RecoveryError> {
        let mut owners: BTreeMap<(PartitionId, Epoch), &FolderSurvey> = BTreeMap::new();
        let mut known_log: Option<(&FolderSurvey, &LogIdentity)> = None;
        for folder in &folders {
            for (partition, epoch) in folder.routes() {
                if let Some(other) = owners.insert((partition, epoch), folder) {
                    let (one, other) = (other.dir().to_owned(), folder.dir().to_owned());
                    return Err(RecoveryError::DuplicateEpoch { partition, epoch, one, other });
                }
            }
            match (known_log, folder.identity()) {
                (Some((one, one_log)), Some(log)) if one_log != log => {
                    return Err(RecoveryError::DifferentLogs {
                        one: one.dir().to_owned(),
                        one_log: Box::new(one_log.clone()),
                        other: folder.dir().to_owned(),
                        other_log: Box::new(log.clone()),
                    });
                }
                (None, Some(log)) => known_log = Some((folder, log)),
                _ => {}
            }
        }
        let survey = Self { folders };
        survey.check_floors()?;
        Ok(survey)
    }

    /// Behind the checkpoint that a partition is made from, its log must be whole.
    fn check_floors(&self) -> Result<(), RecoveryError> {
        for partition in self.partitions() {
            let Some((folder, checkpoint)) = self.checkpoint(partition) else { continue };
            if folder.first() > checkpoint.lsn.next() {
                let (segment, from, to) = (folder.dir().to_owned(), checkpoint.lsn.next(), folder.first());
                let what = format!("of partition {partition} the frames from {from} to {to} are missing");
                return Err(RecoveryError::Damaged { segment, offset: 0, what });
            }
        }
        Ok(())
    }

    #[must_use]
    pub fn folders(&self) -> &[FolderSurvey] {
        &self.folders
    }

    /// Which Kafka log the offsets belong to, if any was noted.
    #[must_use]
    pub fn identity(&self) -> Option<&LogIdentity> {
        self.folders.iter().find_map(FolderSurvey::identity)
    }

    /// The epoch under which `shard` goes on with a partition: the last one where that stands in the shard's own folder,
    /// else a new one. Also a new one where the partition has been elsewhere since the shard's newest checkpoint, whether or not
    /// anything was logged there.
    #[must_use]
    pub fn epoch(&self, partition: PartitionId, shard: ShardId) -> Epoch {
        let last = |folder: &FolderSurvey| folder.last_epoch(partition).map(|epoch| (epoch, folder.shard()));
        match self.folders.iter().filter_map(last).max_by_key(|(epoch, _)| *epoch) {
            None => Epoch(1),
            Some((epoch, owner)) if owner == shard && !self.was_left_out(partition, shard) => epoch,
            Some((epoch, _)) => Epoch(epoch.0 + 1),
        }
    }

    /// Whether the shard's newest checkpoint lacks a partition that an older one has: it had moved away and comes back.
    fn was_left_out(&self, partition: PartitionId, shard: ShardId) -> bool {
        let folder = self.folders.iter().find(|folder| folder.shard() == shard);
        let has_it = |checkpoint: &Manifest| checkpoint.epoch(partition).is_some();
        folder.is_some_and(|folder| match folder.checkpoints() {
            [newest, older @ ..] => !has_it(newest) && older.iter().any(has_it),
            [] => false,
        })
    }

    /// The checkpoint that a partition is made from: of those that have it the one of the last epoch, and of these the newest.
    pub(crate) fn checkpoint(&self, partition: PartitionId) -> Option<(&FolderSurvey, &Manifest)> {
        let of_folder = |folder| FolderSurvey::checkpoints(folder).iter().map(move |checkpoint| (folder, checkpoint));
        let all = self.folders.iter().flat_map(of_folder);
        // Two of one epoch are of one folder, and may be at one frame.
        let key = |checkpoint: &Manifest| checkpoint.epoch(partition).map(|epoch| (epoch, checkpoint.number));
        all.filter(|(_, checkpoint)| key(checkpoint).is_some()).max_by_key(|(_, checkpoint)| key(checkpoint))
    }

    /// The checkpoints that these partitions are made from, each once.
    pub(crate) fn checkpoints_of(&self, partitions: &[PartitionId]) -> Vec<(&FolderSurvey, &Manifest)> {
        let mut chosen: Vec<(&FolderSurvey, &Manifest)> = Vec::new();
        for (folder, checkpoint) in partitions.iter().filter_map(|partition| self.checkpoint(*partition)) {
            if !chosen.iter().any(|(_, known)| std::ptr::eq(*known, checkpoint)) {
                chosen.push((folder, checkpoint));
            }
        }
        chosen
    }

    /// Frames of a partition up to this epoch and frame are in its checkpoint.
    pub(crate) fn floor(&self, partition: PartitionId) -> (Epoch, Lsn) {
        let floor = |(_, checkpoint): (_, &Manifest)| (checkpoint.epoch(partition).expect("it has it"), checkpoint.lsn);
        self.checkpoint(partition).map_or((Epoch(0), Lsn(0)), floor)
    }

    /// Whether a folder holds anything of other partitions than these that no checkpoint of a later owner has.
    pub(crate) fn is_pinned(&self, folder: &FolderSurvey, partitions: &[PartitionId]) -> bool {
        let has_moved = |checkpoint: &&Manifest, (partition, epoch)| checkpoint.epoch(partition) > Some(epoch);
        let count = |other: &FolderSurvey, route| other.checkpoints().iter().filter(|it| has_moved(it, route)).count();
        let is_moved = |route| self.folders.iter().any(|other| count(other, route) >= KEPT);
        folder.routes().any(|route| !partitions.contains(&route.0) && !is_moved(route))
    }

    /// The partitions that any folder knows.
    #[must_use]
    pub fn partitions(&self) -> std::collections::BTreeSet<PartitionId> {
        self.folders.iter().flat_map(|folder| folder.routes().map(|(partition, _)| partition)).collect()
    }

    /// The folder of a shard, an empty one if it has none yet.
    #[must_use]
    pub fn folder(&self, root: &Path, shard: ShardId) -> FolderSurvey {
        let known = self.folders.iter().find(|folder| folder.shard() == shard);
        known.cloned().unwrap_or_else(|| FolderSurvey::empty(&root.join(folder_name(shard)), shard))
    }
}
