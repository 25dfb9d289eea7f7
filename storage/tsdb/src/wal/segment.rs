//! Segment files: names, and the header block that says where in the stream of frames a segment starts.

use disk::BLOCK_BYTES;
use model::ShardId;

use super::Lsn;

/// Number of a segment in its shard's folder: rises by one, never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SegmentId(pub u64);

impl SegmentId {
    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A place in the stream: a frame and which of its parts. Frames are dense, parts count from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct StreamPosition {
    pub(crate) lsn: Lsn,
    pub(crate) part: u16,
}

impl StreamPosition {
    pub(crate) fn start_of(lsn: Lsn) -> Self {
        Self { lsn, part: 0 }
    }
}

/// Frames start behind it.
pub(crate) const SEGMENT_HEADER_BYTES: u64 = BLOCK_BYTES as u64;

const MAGIC: [u8; 8] = *b"WELLWAL\n";
const FORMAT_VERSION: u16 = 1;
const WRITER_BYTES: usize = 32;
const CRC_AT: usize = 88;
const HEADER_BYTES: usize = CRC_AT + 4;

// One sector: a crash leaves it whole or not at all.
const _: () = assert!(HEADER_BYTES <= 512 && MAGIC.len() + 48 + WRITER_BYTES == CRC_AT);

/// What a segment says of itself. Written and synced before the first frame goes into it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SegmentHeader {
    pub(crate) shard: ShardId,
    pub(crate) segment: SegmentId,
    pub(crate) segment_bytes: u64,
    /// What stands first in it. Everything at or behind this place in older segments is void.
    pub(crate) first: StreamPosition,
    /// Up to here frames were synced when the header was written.
    pub(crate) synced: Lsn,
}

/// What the first block of a segment file turned out to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum HeaderState {
    /// In use.
    Valid(SegmentHeader),
    /// Zeros: preallocated, not in use yet.
    Blank,
    /// A whole header of another segment id: recycled, not in use yet.
    Stale,
    /// The file is shorter than a header.
    Short,
    /// Neither of these.
    Damaged,
    /// A header of another format.
    UnknownVersion(u16),
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; BLOCK_BYTES] {
        let mut block = [0; BLOCK_BYTES];
        let writer = concat!("wellhead ", env!("CARGO_PKG_VERSION")).as_bytes();
        let fields: [(usize, &[u8]); 9] = [
            (0, &MAGIC),
            (8, &FORMAT_VERSION.to_le_bytes()),
            (10, &self.shard.0.to_le_bytes()),
            (16, &self.segment.0.to_le_bytes()),
            (24, &self.segment_bytes.to_le_bytes()),
            (32, &self.first.lsn.0.to_le_bytes()),
            (40, &self.first.part.to_le_bytes()),
            (48, &self.synced.0.to_le_bytes()),
            (56, &writer[..writer.len().min(WRITER_BYTES)]),
        ];
        for (at, bytes) in fields {
            block[at..at + bytes.len()].copy_from_slice(bytes);
        }
        let crc = crc32c::crc32c(&block[..CRC_AT]);
        block[CRC_AT..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
        block
    }

    /// Judges the first block of the file that bears the name of `segment`.
    pub(crate) fn judge(block: &[u8], segment: SegmentId) -> HeaderState {
        if block.len() < BLOCK_BYTES {
            return HeaderState::Short;
        }
        if block.iter().all(|byte| *byte == 0) {
            return HeaderState::Blank;
        }
        if block[..8] != MAGIC {
            return HeaderState::Damaged;
        }
        let version = u16::from_le_bytes([block[8], block[9]]);
        if version != FORMAT_VERSION {
            return HeaderState::UnknownVersion(version);
        }
        let number = |at: usize| u64::from_le_bytes(block[at..at + 8].try_into().expect("8 bytes"));
        let short = |at: usize| u16::from_le_bytes([block[at], block[at + 1]]);
        let crc = u32::from_le_bytes(block[CRC_AT..HEADER_BYTES].try_into().expect("4 bytes"));
        if crc != crc32c::crc32c(&block[..CRC_AT]) {
            return HeaderState::Damaged;
        }
        let header = Self {
            shard: ShardId(short(10)),
            segment: SegmentId(number(16)),
            segment_bytes: number(24),
            first: StreamPosition { lsn: Lsn(number(32)), part: short(40) },
            synced: Lsn(number(48)),
        };
        if header.segment == segment { HeaderState::Valid(header) } else { HeaderState::Stale }
    }
}

/// `0000000000000007.wal`, sixteen digits.
pub(crate) fn file_name(segment: SegmentId) -> String {
    format!("{:016}.wal", segment.0)
}

pub(crate) fn parse_file_name(name: &str) -> Option<SegmentId> {
    let digits = name.strip_suffix(".wal")?;
    let is_ours = digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_ours.then(|| digits.parse().ok().map(SegmentId)).flatten()
}
