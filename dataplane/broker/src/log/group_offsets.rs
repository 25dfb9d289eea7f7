//! What consumer groups left behind: a map in memory, and an append-only file of frames that is written anew without the replaced ones.
//!
//! That is the offsets that a group committed, and its generation and protocol type if it ever had members. Members themselves live
//! with the network and are gone after a restart: they join again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use disk::{Disk, DiskError, DiskErrorKind, DiskFile};
use uuid::Uuid;

use super::append_file::{AppendFile, FileIdentity, FileKind, Opened};
use super::group_frames::{Commit, Frame, OffsetKey, append, read_frames};
use super::request::{Committed, StoredGroup};
use super::space::Space;
use crate::error::BrokerError;
use crate::limits::{GROUP_OFFSETS_MAX, GROUPS_MAX};

/// A file below this is never written anew while the broker runs.
const REWRITE_BYTES_MIN: u64 = 8 << 20;

type Groups = BTreeMap<Arc<str>, GroupState>;

/// What is kept of one group; one of which nothing is kept does not exist.
#[derive(Clone, Default)]
struct GroupState {
    /// If it ever had members.
    membership: Option<StoredGroup>,
    offsets: BTreeMap<(Uuid, i32), Committed>,
}

pub(super) struct GroupOffsets<F> {
    dir: PathBuf,
    file: Rc<AppendFile<F>>,
    groups: Groups,
    count: usize,
    /// Bytes of a file with the frames of `groups` only, as of the last rewrite.
    live_bytes: u64,
}

impl<F: DiskFile> GroupOffsets<F> {
    /// Reads the file and, if there is something to leave out, writes it anew. `is_topic` says which topics still exist.
    pub async fn open<D: Disk<File = F>>(
        disk: &D,
        dir: &Path,
        is_topic: impl Fn(Uuid) -> bool,
    ) -> Result<Self, BrokerError> {
        let path = dir.join("group-offsets");
        let opened = match AppendFile::open(disk, &path, IDENTITY).await {
            Err(BrokerError::Disk(error)) if error.kind == DiskErrorKind::NotFound => None,
            opened => Some(opened?),
        };
        let (mut groups, mut frame_count) = (Groups::new(), 0);
        let mut old = None;
        match opened {
            Some(Opened::File { file, synced }) => {
                let end = read_frames(file.file(), file.end(), |frame| {
                    frame_count += 1;
                    apply(&mut groups, frame);
                })
                .await?;
                if end < synced {
                    return Err(BrokerError::damaged(&path, end, "no valid frame, although it was acknowledged"));
                }
                file.cut(end, &Space::unlimited()).await?;
                old = Some(file);
            }
            // It gets its name only when it is complete.
            Some(Opened::Unfinished) => return Err(BrokerError::damaged(&path, 0, "its header is not valid")),
            None => {}
        }
        groups.retain(|_, group| {
            group.offsets.retain(|(topic, _), _| is_topic(*topic));
            !group.is_nothing()
        });
        let count = offset_count(&groups);
        let file = match old {
            Some(old) if frame_count == count + groups.values().filter(|group| group.membership.is_some()).count() => {
                old
            }
            old => match (write_anew(disk, dir, &groups).await?, old) {
                (Some(file), _) => file,
                // A full disk must not keep the broker from starting.
                (None, Some(old)) => old,
                (None, None) => return Err(BrokerError::Options(format!("no space for {}", path.display()))),
            },
        };
        let live_bytes = file.end();
        Ok(Self { dir: dir.to_owned(), file: Rc::new(file), groups, count, live_bytes })
    }

    pub fn get(&self, group: &str, topic: Uuid, partition: i32) -> Option<&Committed> {
        self.groups.get(group)?.offsets.get(&(topic, partition))
    }

    /// All that a group stored, by topic and partition.
    pub fn of_group(&self, group: &str) -> impl Iterator<Item = (Uuid, i32, &Committed)> {
        let offsets = self.groups.get(group).into_iter().flat_map(|group| &group.offsets);
        offsets.map(|((topic, partition), committed)| (*topic, *partition, committed))
    }

    /// Every group there is, by name; one that never had members has no protocol type.
    pub fn all(&self) -> Vec<StoredGroup> {
        self.groups.iter().map(|(name, group)| group.stored(name)).collect()
    }

    pub fn find(&self, name: &str) -> Option<StoredGroup> {
        self.groups.get_key_value(name).map(|(name, group)| group.stored(name))
    }

    /// Whether one more may be stored.
    pub fn has_room_for(&self, key: &OffsetKey) -> bool {
        self.count < GROUP_OFFSETS_MAX || self.get(&key.group, key.topic, key.partition).is_some()
    }

    /// Whether the membership of one more group may be stored.
    pub fn has_room_for_group(&self, name: &str) -> bool {
        self.groups.len() < GROUPS_MAX || self.groups.contains_key(name)
    }

    /// The file that frames are appended to; hold no borrow of the rest meanwhile.
    pub fn file(&self) -> Rc<AppendFile<F>> {
        Rc::clone(&self.file)
    }

    /// Makes a synced frame known.
    pub fn publish(&mut self, frame: Frame) {
        let change = apply(&mut self.groups, frame);
        self.count = self.count.checked_add_signed(change).expect("only what was counted is removed");
    }

    /// Forgets a topic's offsets; the file forgets them when it is written anew.
    pub fn forget_topic(&mut self, topic: Uuid) {
        for group in self.groups.values_mut() {
            group.offsets.retain(|(of, _), _| *of != topic);
        }
        self.groups.retain(|_, group| !group.is_nothing());
        self.count = offset_count(&self.groups);
    }

    /// What must be written anew, if it is time: most of the file is replaced frames.
    pub fn to_rewrite(&self) -> Option<Rewrite> {
        let is_due = self.file.end() > REWRITE_BYTES_MIN.max(4 * self.live_bytes);
        is_due.then(|| Rewrite { dir: self.dir.clone(), groups: self.groups.clone() })
    }

    pub fn replace_file(&mut self, file: AppendFile<F>) {
        self.live_bytes = file.end();
        self.file = Rc::new(file);
    }
}

/// A copy of all offsets, to be written without holding on to the original.
pub(super) struct Rewrite {
    dir: PathBuf,
    groups: Groups,
}

impl Rewrite {
    /// `None`: there is no room, and the old file stays.
    pub async fn write<D: Disk>(self, disk: &D) -> Result<Option<AppendFile<D::File>>, DiskError> {
        write_anew(disk, &self.dir, &self.groups).await
    }
}

async fn write_anew<D: Disk>(disk: &D, dir: &Path, groups: &Groups) -> Result<Option<AppendFile<D::File>>, DiskError> {
    let new = dir.join("group-offsets.new");
    match disk.remove(&new).await {
        Err(error) if error.kind != DiskErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut frames = Vec::new();
    for (name, group) in groups {
        frames.extend(group.membership.clone().map(Frame::Group));
        for ((topic, partition), committed) in &group.offsets {
            let key = OffsetKey { group: Arc::clone(name), topic: *topic, partition: *partition };
            frames.push(Frame::Offset(Commit { key, committed: committed.clone() }));
        }
    }
    let file = match AppendFile::create(disk, &new, IDENTITY).await {
        Err(error) if error.kind == DiskErrorKind::NoSpace => return Ok(None),
        created => created?,
    };
    if !append(&file, &frames).await? {
        return Ok(None);
    }
    disk.rename(&new, &dir.join("group-offsets")).await?;
    disk.sync_dir(dir).await?;
    Ok(Some(file))
}

impl GroupState {
    fn is_nothing(&self) -> bool {
        self.membership.is_none() && self.offsets.is_empty()
    }

    fn stored(&self, name: &Arc<str>) -> StoredGroup {
        let without = || StoredGroup { name: Arc::clone(name), protocol_type: "".into(), generation: 0 };
        self.membership.clone().unwrap_or_else(without)
    }
}

fn offset_count(groups: &Groups) -> usize {
    groups.values().map(|group| group.offsets.len()).sum()
}

/// By how much the number of offsets changed.
fn apply(groups: &mut Groups, frame: Frame) -> isize {
    match frame {
        Frame::Offset(Commit { key, committed }) => {
            let group = groups.entry(key.group).or_default();
            isize::from(group.offsets.insert((key.topic, key.partition), committed).is_none())
        }
        Frame::OffsetRemoved(key) => {
            let Some(group) = groups.get_mut(&key.group) else { return 0 };
            let was_there = group.offsets.remove(&(key.topic, key.partition)).is_some();
            if group.is_nothing() {
                groups.remove(&key.group);
            }
            -isize::from(was_there)
        }
        Frame::Group(stored) => {
            let name = Arc::clone(&stored.name);
            groups.entry(name).or_default().membership = Some(stored);
            0
        }
        Frame::GroupRemoved(name) => groups.remove(&name).map_or(0, |group| -(group.offsets.len() as isize)),
    }
}

const IDENTITY: FileIdentity =
    FileIdentity { kind: FileKind::GroupOffsets, topic: Uuid::nil(), partition: 0, base_offset: 0 };
