//! What consumer groups committed: a map in memory, and an append-only file of frames that is written anew without the replaced ones.
//!
//! ```text
//! frame:   payload length u32 | CRC32C of the payload u32 | payload
//! payload: topic id 16 B | partition i32 | offset i64 | leader epoch i32 | group length u16 | group | metadata length u16 | metadata
//! ```
//! All integers are little endian. Offsets belong to a topic's id: a topic that is made again under its name starts without any.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use disk::{Disk, DiskError, DiskErrorKind, DiskFile};
use uuid::Uuid;

use super::append_file::{AppendFile, DATA_START, FileIdentity, FileKind, Opened};
use super::request::Committed;
use super::space::Space;
use super::window::Window;
use crate::error::BrokerError;
use crate::limits::{COMMIT_METADATA_BYTES_MAX, GROUP_NAME_BYTES_MAX, GROUP_OFFSETS_MAX};

const FRAME_HEADER_BYTES: usize = 8;
const FIXED_PAYLOAD_BYTES: usize = 16 + 4 + 8 + 4 + 2 + 2;
const PAYLOAD_BYTES_MAX: usize = FIXED_PAYLOAD_BYTES + GROUP_NAME_BYTES_MAX + COMMIT_METADATA_BYTES_MAX;
const SCAN_BYTES: usize = 256 << 10;
/// A file below this is never written anew while the broker runs.
const REWRITE_BYTES_MIN: u64 = 8 << 20;

type ByPartition = BTreeMap<(Uuid, i32), Committed>;

pub(super) struct GroupOffsets<F> {
    dir: PathBuf,
    file: Rc<AppendFile<F>>,
    groups: BTreeMap<Arc<str>, ByPartition>,
    count: usize,
    /// Bytes of a file with the frames of `groups` only, as of the last rewrite.
    live_bytes: u64,
}

/// One commit on its way to the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Commit {
    pub group: Arc<str>,
    pub topic: Uuid,
    pub partition: i32,
    pub committed: Committed,
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
        let (mut groups, mut frame_count) = (BTreeMap::new(), 0);
        let mut old = None;
        match opened {
            Some(Opened::File { file, synced }) => {
                let end = read_frames(file.file(), file.end(), |commit| {
                    frame_count += 1;
                    apply(&mut groups, commit);
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
        groups.retain(|_, offsets: &mut ByPartition| {
            offsets.retain(|(topic, _), _| is_topic(*topic));
            !offsets.is_empty()
        });
        let count = groups.values().map(BTreeMap::len).sum();
        let file = match old {
            Some(old) if frame_count == count => old,
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
        self.groups.get(group)?.get(&(topic, partition))
    }

    /// All that a group stored, by topic and partition.
    pub fn of_group(&self, group: &str) -> impl Iterator<Item = (Uuid, i32, &Committed)> {
        let offsets = self.groups.get(group).into_iter().flatten();
        offsets.map(|((topic, partition), committed)| (*topic, *partition, committed))
    }

    /// Whether one more may be stored.
    pub fn has_room_for(&self, commit: &Commit) -> bool {
        self.count < GROUP_OFFSETS_MAX || self.get(&commit.group, commit.topic, commit.partition).is_some()
    }

    /// The file that commits are appended to; hold no borrow of the rest meanwhile.
    pub fn file(&self) -> Rc<AppendFile<F>> {
        Rc::clone(&self.file)
    }

    /// Makes a synced commit known.
    pub fn publish(&mut self, commit: Commit) {
        if apply(&mut self.groups, commit) {
            self.count += 1;
        }
    }

    /// Forgets a topic's offsets; the file forgets them when it is written anew.
    pub fn forget_topic(&mut self, topic: Uuid) {
        for offsets in self.groups.values_mut() {
            offsets.retain(|(of, _), _| *of != topic);
        }
        self.groups.retain(|_, offsets| !offsets.is_empty());
        self.count = self.groups.values().map(BTreeMap::len).sum();
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
    groups: BTreeMap<Arc<str>, ByPartition>,
}

impl Rewrite {
    /// `None`: there is no room, and the old file stays.
    pub async fn write<D: Disk>(self, disk: &D) -> Result<Option<AppendFile<D::File>>, DiskError> {
        write_anew(disk, &self.dir, &self.groups).await
    }
}

/// Appends frames and syncs them. `Ok(false)`: there is no room, and nothing was written.
pub(super) async fn append<F: DiskFile>(file: &AppendFile<F>, commits: &[Commit]) -> Result<bool, DiskError> {
    let mut bytes = Vec::new();
    commits.iter().for_each(|commit| encode(commit, &mut bytes));
    // Commits are small and do not count: a reader must be able to tell how far it came when the log is full.
    if !file.reserve(file.end() + bytes.len() as u64, &Space::unlimited()).await? {
        return Ok(false);
    }
    match file.append(&bytes).await {
        Err(error) if error.kind == DiskErrorKind::NoSpace => return Ok(false),
        written => written?,
    }
    file.sync().await?;
    Ok(true)
}

async fn write_anew<D: Disk>(
    disk: &D,
    dir: &Path,
    groups: &BTreeMap<Arc<str>, ByPartition>,
) -> Result<Option<AppendFile<D::File>>, DiskError> {
    let new = dir.join("group-offsets.new");
    match disk.remove(&new).await {
        Err(error) if error.kind != DiskErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut commits = Vec::new();
    for (group, offsets) in groups {
        for ((topic, partition), committed) in offsets {
            let (group, committed) = (Arc::clone(group), committed.clone());
            commits.push(Commit { group, topic: *topic, partition: *partition, committed });
        }
    }
    let file = match AppendFile::create(disk, &new, IDENTITY).await {
        Err(error) if error.kind == DiskErrorKind::NoSpace => return Ok(None),
        created => created?,
    };
    if !append(&file, &commits).await? {
        return Ok(None);
    }
    disk.rename(&new, &dir.join("group-offsets")).await?;
    disk.sync_dir(dir).await?;
    Ok(Some(file))
}

/// `true`: the partition had no offset of this group before.
fn apply(groups: &mut BTreeMap<Arc<str>, ByPartition>, commit: Commit) -> bool {
    let offsets = groups.entry(commit.group).or_default();
    offsets.insert((commit.topic, commit.partition), commit.committed).is_none()
}

/// Gives every valid frame to `each` and stops at the first that is not: its position.
async fn read_frames<F: DiskFile>(file: &F, size: u64, mut each: impl FnMut(Commit)) -> Result<u64, DiskError> {
    let mut window = Window::new(file, SCAN_BYTES);
    let mut position = DATA_START;
    while position < size {
        let header: Option<&[u8; FRAME_HEADER_BYTES]> = window.get(position, FRAME_HEADER_BYTES).await?.first_chunk();
        let Some(header) = header.copied() else { break };
        let len = u32::from_le_bytes(*header.first_chunk().expect("8 bytes")) as usize;
        let crc = u32::from_le_bytes(*header.last_chunk().expect("8 bytes"));
        if !(FIXED_PAYLOAD_BYTES..=PAYLOAD_BYTES_MAX).contains(&len) {
            break;
        }
        let frame = window.get(position, FRAME_HEADER_BYTES + len).await?;
        let Some(payload) = frame.get(FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + len) else { break };
        if crc32c::crc32c(payload) != crc {
            break;
        }
        let Some(commit) = decode(payload) else { break };
        each(commit);
        position += (FRAME_HEADER_BYTES + len) as u64;
    }
    Ok(position)
}

fn encode(commit: &Commit, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
    out.extend_from_slice(commit.topic.as_bytes());
    out.extend_from_slice(&commit.partition.to_le_bytes());
    out.extend_from_slice(&commit.committed.offset.to_le_bytes());
    out.extend_from_slice(&commit.committed.leader_epoch.to_le_bytes());
    for text in [&commit.group, &commit.committed.metadata] {
        let len = u16::try_from(text.len()).expect("the network refuses longer ones");
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(text.as_bytes());
    }
    let payload = &out[start + FRAME_HEADER_BYTES..];
    assert!(payload.len() <= PAYLOAD_BYTES_MAX, "the network refuses longer ones");
    let (len, crc) = (payload.len() as u32, crc32c::crc32c(payload));
    out[start..start + 4].copy_from_slice(&len.to_le_bytes());
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
}

fn decode(payload: &[u8]) -> Option<Commit> {
    let (topic, rest) = payload.split_first_chunk::<16>()?;
    let (partition, rest) = rest.split_first_chunk::<4>()?;
    let (offset, rest) = rest.split_first_chunk::<8>()?;
    let (leader_epoch, rest) = rest.split_first_chunk::<4>()?;
    let (group, rest) = take_text(rest)?;
    let (metadata, rest) = take_text(rest)?;
    let committed = Committed {
        offset: i64::from_le_bytes(*offset),
        leader_epoch: i32::from_le_bytes(*leader_epoch),
        metadata: metadata.into(),
    };
    let partition = i32::from_le_bytes(*partition);
    rest.is_empty().then(|| Commit { group: group.into(), topic: Uuid::from_bytes(*topic), partition, committed })
}

fn take_text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    let (text, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

const IDENTITY: FileIdentity =
    FileIdentity { kind: FileKind::GroupOffsets, topic: Uuid::nil(), partition: 0, base_offset: 0 };
