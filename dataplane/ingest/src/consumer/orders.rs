//! Where a partition starts: what the log on disk, the group's commit and the configuration say, and which of them wins.
//!
//! [`TABLE`] is that decision, row by row; ARCHITECTURE.md shows the same table to operators. An order is obeyed once: the
//! reset is synced, then the group gets our stamp, and only then is anything fetched. So a partition that stands where the
//! order wants it has obeyed already, and one that has moved on finds the order replaced by a stamp.

use std::fmt;

use kafka::{CommitMeaning, CommittedOffset};
use model::{Offset, PartitionId};
use tsdb::store::{PartitionMarks, PartitionReset};
use tsdb::wal::StartupPosition;

use super::LogMismatch;
use super::start::{LogBounds, StartPosition};

/// What the write-ahead log knows of the partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wal {
    Present,
    Absent,
}

/// Whose the group's commit is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Commit {
    Absent,
    /// Stamped by this node.
    Ours,
    /// Stamped by another node: a copied group, a group that two nodes share, or this node before it lost its data folder.
    Others,
    /// Without a stamp, or with the stamp of an order.
    Order,
}

/// What the configuration says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Configured {
    LastOffset,
    /// A position that was not obeyed yet.
    New,
    /// The position that was obeyed last.
    Obeyed,
}

/// What decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Winner {
    Configuration,
    Order,
    Wal,
    Group,
    LogStart,
}

/// What a case must be for a row to fit (`None`: anything), and what decides then.
type Row = (Option<Configured>, Option<Wal>, Option<Commit>, Winner);

/// The decision, row by row; the first row that fits counts, and some row always does.
#[rustfmt::skip]
pub(super) const TABLE: &[Row] = &[
    (Some(Configured::New), None,               None,                 Winner::Configuration),
    (None,                  None,               Some(Commit::Order),  Winner::Order),
    (None,                  Some(Wal::Present), None,                 Winner::Wal),
    (None,                  Some(Wal::Absent),  Some(Commit::Ours),   Winner::Group),
    (None,                  Some(Wal::Absent),  Some(Commit::Others), Winner::Group),
    (None,                  Some(Wal::Absent),  Some(Commit::Absent), Winner::LogStart),
];

pub(super) fn winner(configured: Configured, wal: Wal, commit: Commit) -> Winner {
    fn fits<T: PartialEq>(wanted: Option<T>, found: &T) -> bool {
        wanted.is_none_or(|wanted| wanted == *found)
    }
    let row = TABLE.iter().find(|row| fits(row.0, &configured) && fits(row.1, &wal) && fits(row.2, &commit));
    row.expect("some row fits always").3
}

/// All that is known of a partition at a start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evidence<'a> {
    pub partition: PartitionId,
    pub marks: &'a PartitionMarks,
    pub commit: Option<&'a CommittedOffset>,
    /// This node, as its stamps name it.
    pub writer: &'a str,
    pub position: StartPosition,
    pub bounds: LogBounds,
}

/// Where to go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Start {
    /// Where the write-ahead log stands.
    Resume(Offset),
    /// The store does not know the partition yet and must be told.
    At(Offset),
    /// In a new generation, durably.
    Move(PartitionReset),
}

/// A decision with what must be done about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Decision {
    pub winner: Winner,
    pub start: Start,
    /// The group holds an order: our stamp must replace it before anything is fetched.
    pub is_ordered: bool,
}

/// An order that cannot be obeyed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "the group's commit orders partition {partition} to go on at offset {next}, and its log ends at {end}: order another \
     offset (wellctl offsets reset, kafka-consumer-groups --reset-offsets), or delete the group's commit to go on as before"
)]
pub struct OrderBeyondEnd {
    pub partition: PartitionId,
    pub next: Offset,
    pub end: Offset,
}

/// Why no start is decided.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Undecided {
    #[error(transparent)]
    Mismatch(#[from] LogMismatch),
    #[error(transparent)]
    Order(#[from] OrderBeyondEnd),
}

impl Evidence<'_> {
    pub(super) fn meaning(&self) -> Option<CommitMeaning> {
        self.commit.map(CommitMeaning::of)
    }

    pub(super) fn commit_kind(&self) -> Commit {
        match self.meaning() {
            None => Commit::Absent,
            Some(CommitMeaning::Order { .. }) => Commit::Order,
            Some(CommitMeaning::Progress { stamp: Some(stamp), .. }) if stamp.writer == self.writer => Commit::Ours,
            Some(CommitMeaning::Progress { .. }) => Commit::Others,
        }
    }

    pub(super) fn configured(&self) -> Configured {
        let Some(position) = self.position.configured() else { return Configured::LastOffset };
        let stamped = || match self.meaning() {
            Some(CommitMeaning::Progress { stamp, .. }) => stamp.and_then(|stamp| stamp.position),
            _ => None,
        };
        let is_obeyed = match (self.marks.applied(), self.marks.position()) {
            (_, Some(obeyed)) => obeyed == position,
            (Some(_), None) => false,
            // The log on disk is lost: what it knew stands in the stamp as well.
            (None, None) => stamped().is_some_and(|obeyed| obeyed == PositionText(position).to_string()),
        };
        if is_obeyed { Configured::Obeyed } else { Configured::New }
    }

    /// The position that was obeyed last, by the log on disk or, without it, by our own stamp.
    pub(super) fn position_known(&self) -> Option<StartupPosition> {
        match self.configured() {
            Configured::Obeyed => self.position.configured(),
            Configured::New | Configured::LastOffset => self.marks.position(),
        }
    }

    /// A commit of ours that is ahead of the log on disk: that has lost its end, or is an older copy.
    pub(super) fn warn_of_a_lost_end(&self) {
        let Some(applied) = self.marks.applied() else { return };
        if let (Commit::Ours, Some(next)) = (self.commit_kind(), self.meaning().map(|meaning| meaning.next()))
            && next > applied.0
        {
            tracing::warn!(
                partition = self.partition.0,
                applied = applied.0,
                committed = next,
                "the group knows more than the write-ahead log: what the log has lost is read again"
            );
        }
    }

    pub(super) fn winner(&self) -> Winner {
        let wal = if self.marks.applied().is_some() { Wal::Present } else { Wal::Absent };
        winner(self.configured(), wal, self.commit_kind())
    }

    /// Decides. `at_time` is the offset of a configured time, where the configuration wins with one.
    ///
    /// # Errors
    /// The log ends before the place.
    pub(super) fn decide(&self, at_time: Option<Offset>) -> Result<Decision, Undecided> {
        let (partition, bounds) = (self.partition, self.bounds);
        let winner = self.winner();
        let next_of_commit = || Offset(self.meaning().expect("the table saw a commit").next());
        let reset = |to, position| Start::Move(PartitionReset { partition, to, position });
        let start = match winner {
            Winner::Configuration => {
                let position = self.position.configured().expect("the table saw a position");
                let to = match position {
                    StartupPosition::Start => bounds.start,
                    StartupPosition::End => bounds.end,
                    StartupPosition::Timestamp { .. } => at_time.unwrap_or(bounds.end),
                };
                reset(to, Some(position))
            }
            Winner::Order => {
                let next = next_of_commit();
                if next > bounds.end {
                    return Err(OrderBeyondEnd { partition, next, end: bounds.end }.into());
                }
                if self.marks.applied() == Some(next) { Start::Resume(next) } else { reset(next, None) }
            }
            Winner::Wal => Start::Resume(self.marks.applied().expect("the table saw a log on disk")),
            Winner::Group => Start::At(next_of_commit()),
            Winner::LogStart => Start::At(bounds.start),
        };
        if start.next() > bounds.end {
            return Err(LogMismatch::Cut { partition, next: start.next(), end: bounds.end }.into());
        }
        Ok(Decision { winner, start, is_ordered: self.commit_kind() == Commit::Order })
    }
}

impl Start {
    pub(super) fn next(&self) -> Offset {
        match self {
            Self::Resume(next) | Self::At(next) => *next,
            Self::Move(order) => order.to,
        }
    }
}

impl Winner {
    /// For the log's sentence.
    pub(super) fn why(self) -> &'static str {
        match self {
            Self::Configuration => "the configured position, which was not obeyed before",
            Self::Order => "an operator's order in the group",
            Self::Wal => "the write-ahead log",
            Self::Group => "the group's commit, without a write-ahead log",
            Self::LogStart => "the start of the log: nothing is known of the partition",
        }
    }
}

/// A configured position as stamps name it.
#[derive(Clone, Copy, Debug)]
pub(super) struct PositionText(pub StartupPosition);

impl fmt::Display for PositionText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            StartupPosition::Start => f.write_str("start"),
            StartupPosition::End => f.write_str("end"),
            StartupPosition::Timestamp { unix_ms } => write!(f, "timestamp:{unix_ms}"),
        }
    }
}
