//! The parts of a frame: header, payload, checksum. A part starts on a block boundary and never crosses a segment.

use disk::BLOCK_BYTES;

use super::segment::StreamPosition;
use super::{Lsn, SegmentId};

/// Fixed fields before a part's payload.
pub(crate) const PART_HEADER_BYTES: usize = 36;

/// What a reader believes at most about a part's length.
pub(crate) const PART_PAYLOAD_BYTES_MAX: usize = 16 << 20;

/// A frame's payload, all parts together: what recovery must be able to hold in memory.
pub(crate) const FRAME_BYTES_MAX: usize = 256 << 20;

const MAGIC: [u8; 4] = *b"WFRM";
const VERSION: u8 = 1;
const KIND_TURN: u8 = 1;
const CRC_AT: usize = 32;

/// The fields before the payload, as far as they differ from part to part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PartHeader {
    pub(crate) position: StreamPosition,
    /// How many parts the frame has.
    pub(crate) part_count: u16,
    /// Every frame up to here was synced when this one was submitted.
    pub(crate) synced: Lsn,
}

/// A part that was read and checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Part<'a> {
    pub(crate) header: PartHeader,
    pub(crate) payload: &'a [u8],
}

/// Why there is no valid part at a block boundary.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PartError {
    /// The first block is all zeros.
    Zeros,
    /// Something else than a part, or one of this segment's earlier lives that is torn.
    NotAPart,
    /// It looks like a part and fails its checksum: torn, rotten, or of this file's life under another segment id.
    Checksum,
    /// It looks like a part that goes on behind the bytes at hand.
    Incomplete { bytes: usize },
    /// Whole, but written by a newer release.
    UnknownVersion { version: u8, kind: u8 },
}

impl PartHeader {
    /// Appends the part with its padding to `out`. The payload comes in two runs.
    pub(crate) fn encode(&self, segment: SegmentId, data: &[u8], marks: &[u8], out: &mut Vec<u8>) {
        let payload_len = data.len() + marks.len();
        assert!(payload_len <= PART_PAYLOAD_BYTES_MAX && self.position.part < self.part_count);
        assert!(self.synced < self.position.lsn, "a frame is not synced before it is submitted");
        let start = out.len();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[VERSION, KIND_TURN]);
        out.extend_from_slice(&self.position.part.to_le_bytes());
        out.extend_from_slice(&self.part_count.to_le_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&(payload_len as u32).to_le_bytes());
        out.extend_from_slice(&self.position.lsn.0.to_le_bytes());
        out.extend_from_slice(&self.synced.0.to_le_bytes());
        let crc = checksum(&out[start..], &[data, marks], segment);
        out.extend_from_slice(&crc.to_le_bytes());
        debug_assert_eq!(out.len() - start, PART_HEADER_BYTES);
        out.extend_from_slice(data);
        out.extend_from_slice(marks);
        out.resize(start + disk_bytes(payload_len), 0);
    }
}

impl<'a> Part<'a> {
    /// Reads the part that starts at `bytes[0]`, a block boundary of `segment`.
    pub(crate) fn decode(bytes: &'a [u8], segment: SegmentId) -> Result<Self, PartError> {
        let first_block = &bytes[..bytes.len().min(BLOCK_BYTES)];
        if first_block.iter().all(|byte| *byte == 0) {
            return Err(PartError::Zeros);
        }
        if bytes.len() < PART_HEADER_BYTES || bytes[..4] != MAGIC {
            return Err(PartError::NotAPart);
        }
        let header: &[u8; PART_HEADER_BYTES] = bytes[..PART_HEADER_BYTES].try_into().expect("checked above");
        let short = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        let word = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("4 bytes"));
        let long = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().expect("8 bytes"));
        let payload_len = word(12) as usize;
        if payload_len > PART_PAYLOAD_BYTES_MAX {
            return Err(PartError::NotAPart);
        }
        let Some(payload) = bytes.get(PART_HEADER_BYTES..PART_HEADER_BYTES + payload_len) else {
            return Err(PartError::Incomplete { bytes: disk_bytes(payload_len) });
        };
        if word(CRC_AT) != checksum(&header[..CRC_AT], &[payload], segment) {
            return Err(PartError::Checksum);
        }
        let (version, kind) = (header[4], header[5]);
        if version != VERSION || kind != KIND_TURN {
            return Err(PartError::UnknownVersion { version, kind });
        }
        let position = StreamPosition { lsn: Lsn(long(16)), part: short(6) };
        let header = PartHeader { position, part_count: short(8), synced: Lsn(long(24)) };
        if header.position.part >= header.part_count || header.synced >= position.lsn {
            return Err(PartError::NotAPart);
        }
        Ok(Self { header, payload })
    }

    /// Gives bytes the magic and the checksum of a part, for fuzzers.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn make_right(bytes: &mut [u8], segment: SegmentId) {
        if bytes.len() < PART_HEADER_BYTES {
            return;
        }
        bytes[..4].copy_from_slice(&MAGIC);
        let room = (bytes.len() - PART_HEADER_BYTES) as u32;
        let claimed = u32::from_le_bytes(bytes[12..16].try_into().expect("4 bytes")) % (room + 1);
        bytes[12..16].copy_from_slice(&claimed.to_le_bytes());
        let (header, payload) = bytes.split_at_mut(PART_HEADER_BYTES);
        let crc = checksum(&header[..CRC_AT], &[&payload[..claimed as usize]], segment);
        header[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
    }

    /// A quick look that spares most blocks the full one.
    pub(crate) fn may_start(bytes: &[u8]) -> bool {
        bytes.starts_with(&MAGIC)
    }

    /// Bytes that it takes on the device, padding included.
    pub(crate) fn disk_bytes(&self) -> usize {
        disk_bytes(self.payload.len())
    }
}

/// Bytes that a part of this payload takes on the device.
pub(super) fn disk_bytes(payload_len: usize) -> usize {
    (PART_HEADER_BYTES + payload_len).next_multiple_of(BLOCK_BYTES)
}

/// CRC32C over header, payload and the segment's id: a part of the file's earlier life under another id never passes.
fn checksum(header: &[u8], payload: &[&[u8]], segment: SegmentId) -> u32 {
    let mut crc = crc32c::crc32c(header);
    for bytes in payload {
        crc = crc32c::crc32c_append(crc, bytes);
    }
    crc32c::crc32c_append(crc, &segment.0.to_le_bytes())
}
