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
#[cfg(test)]
pub(crate) mod log_fixture;
mod reader;
mod replay;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use disk::{Disk, DiskError, DiskErrorKind};
use model::{PartitionId, ShardId};

use crate::wal::{Epoch, LogIdentity, Lsn};

pub use decision::{Evidence, Finding};
pub use folder::{FolderSurvey, TornTail, survey_folder};
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
        Ok(Self { folders })
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
    /// else a new one.
    #[must_use]
    pub fn epoch(&self, partition: PartitionId, shard: ShardId) -> Epoch {
        let last = |folder: &FolderSurvey| folder.last_epoch(partition).map(|epoch| (epoch, folder.shard()));
        match self.folders.iter().filter_map(last).max_by_key(|(epoch, _)| *epoch) {
            None => Epoch(1),
            Some((epoch, owner)) if owner == shard => epoch,
            Some((epoch, _)) => Epoch(epoch.0 + 1),
        }
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
