//! What recovery would decide about the logs as they lie there, for offline tools: the same survey, but nothing is synced,
//! no file is opened for writing, and a folder that is refused does not hide the others.
//!
//! Reads the segments and the checkpoints themselves. The series and chunk files that a checkpoint counts on are read only
//! when a store is opened, so damage in them is not seen here.

use std::path::{Path, PathBuf};

use disk::Disk;
use model::{PartitionId, ShardId};

use super::folder::{FolderSurvey, Role, read_folder};
use super::{RecoveryError, Survey, parse_folder_name};
use crate::wal::{Lsn, SegmentId};

/// What became of each folder, and of all together.
#[derive(Debug)]
pub struct Inspection {
    /// In order of shard.
    pub folders: Vec<FolderInspection>,
    /// What a start would go on from, or the first reason to refuse it.
    pub outcome: Result<Survey, RecoveryError>,
}

/// One shard's folder.
#[derive(Debug)]
pub struct FolderInspection {
    pub shard: ShardId,
    pub dir: PathBuf,
    pub outcome: Result<FolderSurvey, RecoveryError>,
}

/// What a segment file is to recovery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SegmentRole {
    /// Its frames count up to `end`, in bytes from the start of the file; `last` is the last frame of which it has a part.
    Kept { last: Lsn, end: u64 },
    /// Was in use; a later header voids all of it.
    Void,
    /// Waits to be taken into use.
    Reserve,
}

/// A segment file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentState {
    pub id: SegmentId,
    /// Where its header takes up the log; none while it is not in use.
    pub first: Option<Lsn>,
    /// Accepted frames that end in it.
    pub frame_count: u64,
    pub file_bytes: u64,
    pub role: SegmentRole,
}

/// A checkpoint whose every byte was read and checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CheckpointState {
    /// Of its file.
    pub number: u64,
    /// All frames up to here are in it.
    pub lsn: Lsn,
    pub bytes: u64,
    pub partition_count: usize,
}

/// Inspects the folders below `root`, or only that of one shard: then no other is held against it.
///
/// # Errors
/// The root cannot be listed. What is wrong with a folder stands in the inspection.
pub async fn inspect<D: Disk>(disk: &D, root: &Path, only: Option<ShardId>) -> Result<Inspection, RecoveryError> {
    let mut folders = Vec::new();
    for entry in disk.list(root).await? {
        let shard = parse_folder_name(&entry.name).filter(|_| entry.is_dir);
        if let Some(shard) = shard.filter(|shard| only.is_none_or(|only| only == *shard)) {
            let dir = root.join(&entry.name);
            let outcome = read_folder(disk, &dir, shard).await;
            folders.push(FolderInspection { shard, dir, outcome });
        }
    }
    let surveyed: Result<Vec<FolderSurvey>, RecoveryError> =
        folders.iter().map(|folder| folder.outcome.clone()).collect();
    Ok(Inspection { folders, outcome: surveyed.and_then(Survey::of_folders) })
}

impl FolderSurvey {
    /// Its segment files, oldest first.
    pub fn segment_states(&self) -> impl Iterator<Item = SegmentState> {
        self.segments.iter().map(|segment| SegmentState {
            id: segment.id,
            first: segment.first,
            frame_count: segment.frame_count,
            file_bytes: segment.file_bytes,
            role: match segment.role {
                Role::Kept { end, last } => SegmentRole::Kept { last, end },
                Role::Void => SegmentRole::Void,
                Role::Reserve => SegmentRole::Reserve,
            },
        })
    }

    /// Its readable checkpoints, newest first.
    pub fn checkpoint_states(&self) -> impl Iterator<Item = CheckpointState> {
        self.checkpoints().iter().map(|checkpoint| CheckpointState {
            number: checkpoint.number,
            lsn: checkpoint.lsn,
            bytes: checkpoint.bytes,
            partition_count: checkpoint.marks.len(),
        })
    }
}

impl Survey {
    /// The checkpoint that a partition would be made from: whose folder, and the number of its file.
    #[must_use]
    pub fn source_of(&self, partition: PartitionId) -> Option<(ShardId, u64)> {
        self.checkpoint(partition).map(|(folder, checkpoint)| (folder.shard(), checkpoint.number))
    }
}
