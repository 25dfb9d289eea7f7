//! Whose a group's partition is: of the node that was asked, of another that lives, or of nobody.

use kafka::{CommitStamp, CommittedOffset};

use crate::context::Context;
use crate::node::NodeStatus;

/// A live node commits again every 10 s; a stamp younger than this says that it lives.
const LIVE_MS_MAX: i64 = 30_000;

/// How a partition of a group may be moved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Owner {
    /// The node that answers: through its own endpoint.
    AnsweringNode,
    /// A node that does not answer here, but committed a moment ago.
    SilentNode { writer: String, age_ms: i64 },
    /// Nobody: through Kafka.
    Nobody,
}

/// The node, where it answers and works on this topic of this cluster.
pub fn answering_node<'a>(context: &'a Context, topic: &str, cluster_id: &str) -> Option<&'a NodeStatus> {
    let status = context.status().ok()?;
    (status.kafka.topic == topic && status.kafka.cluster_id == cluster_id).then_some(status)
}

/// Whose a partition of a group is.
pub fn owner(
    node: Option<&NodeStatus>,
    group: &str,
    partition: i32,
    committed: Option<&CommittedOffset>,
    now_ms: i64,
) -> Owner {
    if node.is_some_and(|node| node.owns(group, partition)) {
        return Owner::AnsweringNode;
    }
    match committed.and_then(|committed| CommitStamp::parse(&committed.metadata)) {
        // One from the future counts as young: a clock that is ahead must not make a node look dead.
        Some(stamp) if now_ms.saturating_sub(stamp.time_ms) < LIVE_MS_MAX => {
            Owner::SilentNode { age_ms: (now_ms - stamp.time_ms).max(0), writer: stamp.writer }
        }
        _ => Owner::Nobody,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_young_stamp_is_a_living_node() {
        let committed = |metadata: &str| CommittedOffset { offset: 5, metadata: metadata.to_owned() };
        let stamp = committed("wellhead/1 writer=w generation=1 lsn=1 time=100000");
        let silent = Owner::SilentNode { writer: "w".into(), age_ms: 1000 };
        for (commit, now_ms, expected) in [
            (None, 101_000, Owner::Nobody),
            (Some(&committed("")), 101_000, Owner::Nobody),
            (Some(&stamp), 101_000, silent),
            (Some(&stamp), 99_000, Owner::SilentNode { writer: "w".into(), age_ms: 0 }),
            (Some(&stamp), 130_000, Owner::Nobody),
            (Some(&stamp), i64::MAX, Owner::Nobody),
        ] {
            assert_eq!(owner(None, "g", 0, commit, now_ms), expected);
        }
    }
}
