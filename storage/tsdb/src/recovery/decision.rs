//! The decision tables of recovery, as data: what was found, what else is known, what follows.
//!
//! The principle: only what a crash can do to bytes that were never synced is forgiven. A frame is known to have been
//! synced as soon as anything that was written later says so.

/// What stands where the next part of the stream was expected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Finding {
    /// A block of zeros.
    Zeros,
    /// Something that is no part of a frame.
    NotAPart,
    /// A part that fails its checksum: torn, rotten, or of the file's life under another segment id.
    Checksum,
    /// The segment is full to its last block.
    SegmentEnd,
    /// The file is shorter than its header says, or ends inside a part.
    Shortened,
    /// A whole part of another place in the stream.
    OutOfSequence,
    /// A partition's epoch is lower than in an earlier frame.
    EpochFellBack,
}

/// What stands behind that place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Evidence {
    /// No whole part and no header.
    Nothing,
    /// Something, but nothing that was written after the missing frame had been synced.
    LaterUnsynced,
    /// Something that was written after the missing frame had been synced.
    SyncedPast,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// The log ends here as it was left.
    CleanEnd,
    /// A crash hit frames that nobody was told of: they are dropped.
    TornTail,
    Damage,
}

/// Verdicts in the order of [`Evidence`], and the sentence for damage.
type StreamRow = (Finding, [Verdict; 3], &'static str);

pub(super) const STREAM_TABLE: [StreamRow; 7] = {
    use Verdict::{CleanEnd, Damage, TornTail};
    [
        (Finding::Zeros, [CleanEnd, TornTail, Damage], "a synced frame was replaced by zeros"),
        (Finding::NotAPart, [TornTail, TornTail, Damage], "a synced frame was overwritten"),
        (Finding::Checksum, [TornTail, TornTail, Damage], "a synced frame fails its checksum"),
        (Finding::SegmentEnd, [CleanEnd, TornTail, Damage], "a frame is missing before the next segment"),
        (Finding::Shortened, [Damage, Damage, Damage], "the file is shorter than it was made"),
        (Finding::OutOfSequence, [Damage, Damage, Damage], "a frame of another place stands here"),
        (Finding::EpochFellBack, [Damage, Damage, Damage], "the epoch of a partition is lower than before"),
    ]
};

/// What the header block of a segment file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum HeaderFinding {
    /// Zeros, a header from before recycling, or a file without a whole block.
    Unused,
    /// Not zeros and not a header.
    Damaged,
}

/// What contradicts that the segment is still unused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum HeaderEvidence {
    Nothing,
    /// Segments are taken into use in order, and a later one is in use.
    LaterInUse,
    /// A whole part with this segment's id stands in it.
    HoldsFrames,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum HeaderVerdict {
    Reserve,
    Damage,
}

/// Verdicts in the order of [`HeaderEvidence`]. A header is synced before a frame follows, so a torn one has none behind it.
pub(super) const HEADER_TABLE: [(HeaderFinding, [HeaderVerdict; 3], &str); 2] = {
    use HeaderVerdict::{Damage, Reserve};
    [
        (HeaderFinding::Unused, [Reserve, Damage, Damage], "the header of a segment in use is gone"),
        (HeaderFinding::Damaged, [Reserve, Damage, Damage], "the header of a segment in use is damaged"),
    ]
};

pub(super) fn judge_stream(finding: Finding, evidence: Evidence) -> (Verdict, &'static str) {
    let row = STREAM_TABLE.iter().find(|row| row.0 == finding).expect("each finding has a row");
    (row.1[evidence as usize], row.2)
}

pub(super) fn judge_header(finding: HeaderFinding, evidence: HeaderEvidence) -> (HeaderVerdict, &'static str) {
    let row = HEADER_TABLE.iter().find(|row| row.0 == finding).expect("each finding has a row");
    (row.1[evidence as usize], row.2)
}
