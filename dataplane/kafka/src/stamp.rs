//! What the metadata string of a group's commit says: who wrote it, and whether it is progress or an order.
//!
//! Nodes commit *progress* in Mimir's meaning (the last consumed record) and stamp it. `wellctl` writes *orders* with the next
//! offset in words. Every other tool writes no stamp: that is an order too, and goes on **at** the stored offset. Kafka's own
//! tools mean exactly that; Mimir's mean "behind it", for whom one record is read once more: no reading skips a record.

use std::fmt;

use crate::CommittedOffset;

/// Begins the stamp of a node, of any version.
const PROGRESS_FAMILY: &str = "wellhead/";
const PROGRESS: &str = "wellhead/1";
const ORDER: &str = "wellhead-order/1";
const WRITER_BYTES_MAX: usize = 128;

/// `wellhead/1 writer=<id> generation=<n> lsn=<n> time=<unix ms>[ next=<offset>][ position=<text>]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommitStamp {
    /// The node: without white space, at most 128 bytes (see [`CommitStamp::writer_of`]).
    pub writer: String,
    /// Rises with each order that moved the partition.
    pub generation: u32,
    /// Last synced frame since the writer's start; 0 before the first.
    pub lsn: u64,
    pub time_ms: i64,
    /// The next offset where it is not the one behind the stored: a group cannot store "before record 0".
    pub next: Option<i64>,
    /// The configured start position that was obeyed last, such as `timestamp:1700000000000`.
    pub position: Option<String>,
}

/// `wellhead-order/1 next=<offset>[ ...]`: go on at exactly that offset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OrderStamp {
    pub next: i64,
}

/// A group's commit, understood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CommitMeaning {
    /// A node was here. Without a stamp: a release with another format of it.
    Progress { next: i64, stamp: Option<CommitStamp> },
    /// An operator wants the partition to go on at `next`.
    Order { next: i64 },
}

impl CommitStamp {
    /// A node's name as a stamp can carry it.
    #[must_use]
    pub fn writer_of(name: &str) -> String {
        let mut writer: String = name.chars().map(|c| if c.is_whitespace() { '_' } else { c }).collect();
        while writer.len() > WRITER_BYTES_MAX {
            writer.pop();
        }
        writer
    }

    /// Reads a stamp; none where the metadata is not ours.
    #[must_use]
    pub fn parse(metadata: &str) -> Option<Self> {
        let mut words = metadata.split(' ');
        if words.next() != Some(PROGRESS) {
            return None;
        }
        let mut field = |name: &str| words.next().and_then(|word| value_of(word, name));
        let writer = field("writer")?.to_owned();
        let generation = field("generation")?.parse().ok()?;
        let lsn = field("lsn")?.parse().ok()?;
        let time_ms = field("time")?.parse().ok()?;
        let mut stamp = Self { writer, generation, lsn, time_ms, next: None, position: None };
        // Later releases may add words behind these.
        for word in words {
            if let Some(next) = value_of(word, "next") {
                stamp.next = Some(next.parse().ok().filter(|next| *next >= 0)?);
            } else if let Some(position) = value_of(word, "position") {
                stamp.position = Some(position.to_owned());
            }
        }
        Some(stamp)
    }
}

impl fmt::Display for CommitStamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { writer, generation, lsn, time_ms, next, position } = self;
        write!(f, "{PROGRESS} writer={writer} generation={generation} lsn={lsn} time={time_ms}")?;
        next.iter().try_for_each(|next| write!(f, " next={next}"))?;
        position.iter().try_for_each(|position| write!(f, " position={position}"))
    }
}

impl OrderStamp {
    /// Reads an order; none where the metadata is something else.
    #[must_use]
    pub fn parse(metadata: &str) -> Option<Self> {
        let mut words = metadata.split(' ');
        if words.next() != Some(ORDER) {
            return None;
        }
        let next = value_of(words.next()?, "next")?.parse().ok().filter(|next| *next >= 0)?;
        Some(Self { next })
    }

    /// What to store beside the stamp: Mimir's reading of the same, as far as a group can hold it.
    #[must_use]
    pub fn stored_offset(self) -> i64 {
        (self.next - 1).max(0)
    }
}

impl fmt::Display for OrderStamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ORDER} next={}", self.next)
    }
}

impl CommitMeaning {
    #[must_use]
    pub fn of(commit: &CommittedOffset) -> Self {
        if let Some(OrderStamp { next }) = OrderStamp::parse(&commit.metadata) {
            return Self::Order { next };
        }
        if !commit.metadata.starts_with(PROGRESS_FAMILY) {
            return Self::Order { next: commit.offset };
        }
        let stamp = CommitStamp::parse(&commit.metadata);
        let behind = commit.offset.saturating_add(1);
        Self::Progress { next: stamp.as_ref().and_then(|stamp| stamp.next).unwrap_or(behind), stamp }
    }

    /// Where to go on by it.
    #[must_use]
    pub fn next(&self) -> i64 {
        match self {
            Self::Progress { next, .. } | Self::Order { next } => *next,
        }
    }
}

fn value_of<'a>(word: &'a str, name: &str) -> Option<&'a str> {
    word.strip_prefix(name)?.strip_prefix('=')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp() -> CommitStamp {
        let writer = CommitStamp::writer_of("node 1");
        CommitStamp { writer, generation: 3, lsn: 77, time_ms: 1_700_000, next: None, position: None }
    }

    #[test]
    fn stamps_are_read_back() {
        assert_eq!(stamp().to_string(), "wellhead/1 writer=node_1 generation=3 lsn=77 time=1700000");
        let full = CommitStamp { next: Some(0), position: Some("timestamp:17".to_owned()), ..stamp() };
        assert_eq!(full.to_string(), format!("{} next=0 position=timestamp:17", stamp()));
        for stamp in [stamp(), full] {
            assert_eq!(CommitStamp::parse(&stamp.to_string()), Some(stamp));
        }
        assert_eq!(CommitStamp::parse(&format!("{} later=1", stamp())), Some(stamp()));
        for other in
            ["", "wellhead/1", "wellhead/2 writer=a generation=1 lsn=1 time=1", "wellhead/1 writer=a lsn=1", "x"]
        {
            assert_eq!(CommitStamp::parse(other), None, "{other:?}");
        }
        assert_eq!(CommitStamp::writer_of(&"é ".repeat(200)).len(), 128);
    }

    #[test]
    fn every_commit_has_one_meaning() {
        #[track_caller]
        fn check(offset: i64, metadata: &str, expected: &CommitMeaning) {
            let found = CommitMeaning::of(&CommittedOffset { offset, metadata: metadata.to_owned() });
            assert_eq!(found, *expected, "{offset} {metadata:?}");
        }
        let progress = |next, stamp| CommitMeaning::Progress { next, stamp };
        check(9, "", &CommitMeaning::Order { next: 9 });
        check(9, "by hand", &CommitMeaning::Order { next: 9 });
        check(9, &OrderStamp { next: 10 }.to_string(), &CommitMeaning::Order { next: 10 });
        check(0, "wellhead-order/1 next=0 by=wellctl", &CommitMeaning::Order { next: 0 });
        check(7, "wellhead-order/1 next=-4", &CommitMeaning::Order { next: 7 });
        check(9, &stamp().to_string(), &progress(10, Some(stamp())));
        let before = CommitStamp { next: Some(0), ..stamp() };
        check(0, &before.to_string(), &progress(0, Some(before)));
        check(9, "wellhead/7 something", &progress(10, None));
        check(i64::MAX, "wellhead/1", &progress(i64::MAX, None));
        assert_eq!((OrderStamp { next: 0 }.stored_offset(), OrderStamp { next: 5 }.stored_offset()), (0, 4));
    }
}
