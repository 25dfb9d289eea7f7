//! What the metadata of a group's commit says: who wrote it, and whether it is progress or an order.
//!
//! Nodes commit progress in Mimir's meaning (the last consumed record) with a stamp. This tool writes orders, with the next offset
//! in words. Any other tool writes no stamp: that is an order to go on **at** the stored offset, as Kafka's own tools mean it.
//! Read as leniently as the forms allow, because a newer node may say more.

use kafka::CommittedOffset;

/// Begins the stamp of a node, of any version.
const PROGRESS_FAMILY: &str = "wellhead/";
const PROGRESS: &str = "wellhead/1";
const ORDER: &str = "wellhead-order/1";

/// `wellhead/1 writer=<id> generation=<n> lsn=<n> time=<unix ms>`, further `name=value` words may follow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommitStamp {
    pub writer: String,
    pub generation: u32,
    pub time_ms: i64,
    /// The next offset where it is not the one behind the stored: a group cannot store "before record 0".
    pub next: Option<i64>,
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
    /// Somebody wants consuming to go on at `next`.
    Order { next: i64 },
}

impl CommitStamp {
    /// None where the metadata is no stamp of this version.
    pub fn parse(metadata: &str) -> Option<Self> {
        let words = metadata.strip_prefix(PROGRESS)?.strip_prefix(' ')?;
        let field = |name: &str| words.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        field("lsn")?.parse::<u64>().ok()?;
        Some(Self {
            writer: field("writer")?.to_owned(),
            generation: field("generation")?.parse().ok()?,
            time_ms: field("time")?.parse().ok()?,
            next: field("next").and_then(|next| next.parse().ok()),
        })
    }
}

impl OrderStamp {
    fn parse(metadata: &str) -> Option<Self> {
        let words = metadata.strip_prefix(ORDER)?.strip_prefix(' ')?;
        let next = words.split(' ').next()?.strip_prefix("next=")?.parse().ok().filter(|next| *next >= 0)?;
        Some(Self { next })
    }

    /// What to store beside the stamp: Mimir's reading of the same, as far as a group can hold it.
    pub fn stored_offset(self) -> i64 {
        (self.next - 1).max(0)
    }
}

impl std::fmt::Display for OrderStamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{ORDER} next={}", self.next)
    }
}

impl CommitMeaning {
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

    /// Where consuming goes on by it.
    pub fn next(&self) -> i64 {
        match self {
            Self::Progress { next, .. } | Self::Order { next } => *next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_commit_has_one_meaning() {
        let stamp = |next| CommitStamp { writer: "w-0".into(), generation: 3, time_ms: 1000, next };
        let progress = |next, stamp| CommitMeaning::Progress { next, stamp };
        for (offset, metadata, expected) in [
            (9, "", CommitMeaning::Order { next: 9 }),
            (9, "by hand", CommitMeaning::Order { next: 9 }),
            (9, "wellhead-order/1 next=10", CommitMeaning::Order { next: 10 }),
            (0, "wellhead-order/1 next=0 by=wellctl", CommitMeaning::Order { next: 0 }),
            (7, "wellhead-order/1 next=-4", CommitMeaning::Order { next: 7 }),
            (9, "wellhead/1 writer=w-0 generation=3 lsn=77 time=1000", progress(10, Some(stamp(None)))),
            (9, "wellhead/1 writer=w-0 generation=3 lsn=77 time=1000 later=1", progress(10, Some(stamp(None)))),
            (0, "wellhead/1 writer=w-0 generation=3 lsn=77 time=1000 next=0", progress(0, Some(stamp(Some(0))))),
            (9, "wellhead/1 writer=w-0 generation=-3 lsn=77 time=1000", progress(10, None)),
            (9, "wellhead/1 writer=w-0 generation=3 time=1000", progress(10, None)),
            (9, "wellhead/7 something", progress(10, None)),
            (i64::MAX, "wellhead/1", progress(i64::MAX, None)),
        ] {
            let found = CommitMeaning::of(&CommittedOffset { offset, metadata: metadata.to_owned() });
            assert_eq!(found, expected, "{metadata}");
        }
        let order = OrderStamp { next: 5 };
        assert_eq!((order.stored_offset(), OrderStamp { next: 0 }.stored_offset()), (4, 0));
        assert_eq!(OrderStamp::parse(&order.to_string()), Some(order));
    }
}
