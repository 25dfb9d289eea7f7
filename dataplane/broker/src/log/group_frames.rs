//! The frames of the file `group-offsets`: what each change of a group is on disk, and how a run of them is read back.
//!
//! ```text
//! frame:   payload length u32 | CRC32C of the payload u32 | payload
//! payload: topic id 16 B | partition i32 | offset i64 | leader epoch i32 | group length u16 | group | text length u16 | text
//! ```
//! All integers are little endian. What a frame says is in its partition:
//!
//! | partition | frame | the other fields |
//! |---|---|---|
//! | 0 and above | an offset that was committed | text: its metadata |
//! | -1 | the group had members | offset: its generation; text: its protocol type |
//! | -2 | the group and all of its offsets are removed | |
//! | -3 | an offset is removed | offset: the partition |

use std::sync::Arc;

use disk::{DiskError, DiskErrorKind, DiskFile};
use uuid::Uuid;

use super::append_file::{AppendFile, DATA_START};
use super::request::{Committed, StoredGroup};
use super::space::Space;
use super::window::Window;
use crate::limits::{COMMIT_METADATA_BYTES_MAX, GROUP_NAME_BYTES_MAX};

const FRAME_HEADER_BYTES: usize = 8;
const FIXED_PAYLOAD_BYTES: usize = 16 + 4 + 8 + 4 + 2 + 2;
const PAYLOAD_BYTES_MAX: usize = FIXED_PAYLOAD_BYTES + GROUP_NAME_BYTES_MAX + COMMIT_METADATA_BYTES_MAX;
const SCAN_BYTES: usize = 256 << 10;

const GROUP: i32 = -1;
const GROUP_REMOVED: i32 = -2;
const OFFSET_REMOVED: i32 = -3;

/// One change on its way to the file, or read back from it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Frame {
    Offset(Commit),
    OffsetRemoved(OffsetKey),
    Group(StoredGroup),
    GroupRemoved(Arc<str>),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Commit {
    pub key: OffsetKey,
    pub committed: Committed,
}

/// Offsets belong to a topic's id: a topic that is made again under its name starts without any.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct OffsetKey {
    pub group: Arc<str>,
    pub topic: Uuid,
    pub partition: i32,
}

/// Appends frames and syncs them. `Ok(false)`: there is no room, and nothing was written.
pub(super) async fn append<F: DiskFile>(file: &AppendFile<F>, frames: &[Frame]) -> Result<bool, DiskError> {
    let mut bytes = Vec::new();
    frames.iter().for_each(|frame| encode(frame, &mut bytes));
    // Frames are small and do not count: a reader must be able to tell how far it came when the log is full.
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

/// Gives every valid frame to `each` and stops at the first that is not: its position.
pub(super) async fn read_frames<F: DiskFile>(
    file: &F,
    size: u64,
    mut each: impl FnMut(Frame),
) -> Result<u64, DiskError> {
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
        let Some(frame) = decode(payload) else { break };
        each(frame);
        position += (FRAME_HEADER_BYTES + len) as u64;
    }
    Ok(position)
}

/// The fields of a payload.
struct Payload<'a> {
    topic: Uuid,
    partition: i32,
    offset: i64,
    leader_epoch: i32,
    group: &'a str,
    text: &'a str,
}

impl<'a> Payload<'a> {
    fn of(frame: &'a Frame) -> Self {
        let bare =
            |partition, group| Self { topic: Uuid::nil(), partition, offset: 0, leader_epoch: -1, group, text: "" };
        match frame {
            Frame::Offset(Commit { key, committed }) => Self {
                topic: key.topic,
                partition: key.partition,
                offset: committed.offset,
                leader_epoch: committed.leader_epoch,
                group: &key.group,
                text: &committed.metadata,
            },
            Frame::OffsetRemoved(key) => {
                Self { topic: key.topic, offset: i64::from(key.partition), ..bare(OFFSET_REMOVED, &key.group) }
            }
            Frame::Group(group) => {
                let offset = i64::from(group.generation);
                Self { offset, text: &group.protocol_type, ..bare(GROUP, &group.name) }
            }
            Frame::GroupRemoved(group) => bare(GROUP_REMOVED, group),
        }
    }

    fn frame(self) -> Option<Frame> {
        let group: Arc<str> = self.group.into();
        let key = |partition| OffsetKey { group: Arc::clone(&group), topic: self.topic, partition };
        Some(match self.partition {
            0.. => {
                let (offset, leader_epoch) = (self.offset, self.leader_epoch);
                let committed = Committed { offset, leader_epoch, metadata: self.text.into() };
                Frame::Offset(Commit { key: key(self.partition), committed })
            }
            GROUP => {
                let generation = i32::try_from(self.offset).ok()?;
                Frame::Group(StoredGroup { name: group, protocol_type: self.text.into(), generation })
            }
            GROUP_REMOVED => Frame::GroupRemoved(group),
            OFFSET_REMOVED => Frame::OffsetRemoved(key(i32::try_from(self.offset).ok()?)),
            _ => return None,
        })
    }
}

fn encode(frame: &Frame, out: &mut Vec<u8>) {
    let fields = Payload::of(frame);
    let start = out.len();
    out.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
    out.extend_from_slice(fields.topic.as_bytes());
    out.extend_from_slice(&fields.partition.to_le_bytes());
    out.extend_from_slice(&fields.offset.to_le_bytes());
    out.extend_from_slice(&fields.leader_epoch.to_le_bytes());
    for text in [fields.group, fields.text] {
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

fn decode(payload: &[u8]) -> Option<Frame> {
    let (topic, rest) = payload.split_first_chunk::<16>()?;
    let (partition, rest) = rest.split_first_chunk::<4>()?;
    let (offset, rest) = rest.split_first_chunk::<8>()?;
    let (leader_epoch, rest) = rest.split_first_chunk::<4>()?;
    let (group, rest) = take_text(rest)?;
    let (text, rest) = take_text(rest)?;
    let fields = Payload {
        topic: Uuid::from_bytes(*topic),
        partition: i32::from_le_bytes(*partition),
        offset: i64::from_le_bytes(*offset),
        leader_epoch: i32::from_le_bytes(*leader_epoch),
        group,
        text,
    };
    if rest.is_empty() { fields.frame() } else { None }
}

fn take_text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    let (text, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frames() -> Vec<Frame> {
        let key = OffsetKey { group: "g".into(), topic: Uuid::from_u128(7), partition: 3 };
        let committed = Committed { offset: -1, leader_epoch: 5, metadata: "stamp".into() };
        vec![
            Frame::Offset(Commit { key: key.clone(), committed }),
            Frame::OffsetRemoved(key),
            Frame::Group(StoredGroup { name: "g".into(), protocol_type: "consumer".into(), generation: 9 }),
            Frame::GroupRemoved("other".into()),
        ]
    }

    #[test]
    fn frames_come_back() {
        for frame in frames() {
            let mut bytes = Vec::new();
            encode(&frame, &mut bytes);
            assert_eq!(decode(&bytes[FRAME_HEADER_BYTES..]), Some(frame));
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics(payload in proptest::collection::vec(any::<u8>(), 0..100)) {
            decode(&payload);
        }
    }
}
