//! The shard's write-ahead log: one frame a turn, samples and progress in the same frame, written and synced before anyone
//! hears of it. The bytes are described in `wal/FORMAT.md`.
//!
//! Reading back is `recovery`'s business. Does not know heads: which segments may go is said by whoever takes checkpoints.

mod fields;
mod frame;
mod log;
#[cfg(test)]
mod log_test;
mod samples;
mod section;
mod segment;
mod turn;
#[cfg(test)]
mod turn_test;

pub use fields::Malformed;
pub use log::{Wal, WalCounters, WalError, WalOptions};
pub use samples::Samples;
pub use section::{
    CutNote, Definitions, Epoch, ForgetNote, Generation, LogIdentity, Owner, PositionNote, Progress, RecordIdentity,
    Reset, Section, Sections, StartupPosition,
};
pub use segment::SegmentId;
pub use turn::Turn;

pub(crate) use fields::{Fields, put_bytes, put_signed, put_varint};
pub(crate) use frame::{FRAME_BYTES_MAX, PART_HEADER_BYTES, Part, PartError, PartHeader};
pub(crate) use segment::{
    HeaderState, SEGMENT_HEADER_BYTES, SegmentHeader, StreamPosition, file_name, parse_file_name,
};

/// Sequence number of a frame in its shard's log. The first frame has 1; 0 stands for "none yet".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Lsn(pub u64);

impl Lsn {
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl std::fmt::Display for Lsn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
