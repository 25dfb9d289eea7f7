//! The facts around a reset: who owns the partitions, what is committed, what the log holds, what the move would mean. Changes
//! nothing.

use std::collections::BTreeMap;

use kafka::{CommitMeaning, CommittedOffset, OffsetAt, OffsetFound};
use serde_json::{Value, json};

use super::plan::{self, Facts, Move, Target, TimeFound};
use crate::cluster::{Bounds, Cluster};
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::liveness::{self, Owner};
use crate::node::NodeStatus;
use crate::output::Column;
use crate::progress::Progress;

/// At most so many refusals are told at once.
const REFUSALS_SHOWN_MAX: usize = 3;

/// A move with all that is told about it.
#[derive(Clone, Debug)]
pub struct Planned {
    pub group: String,
    pub topic: String,
    pub planned: Move,
    pub owner: Owner,
    /// When the first and the last record concerned were written.
    pub times_ms: Option<(i64, i64)>,
    /// Of the partition after the node moved it.
    pub generation: Option<u64>,
}

/// What to look at.
pub struct Question<'a> {
    pub groups: &'a [String],
    pub partitions: &'a [i32],
    pub target: Target,
}

/// Looks at every partition of every group.
///
/// # Errors
/// Kafka does not answer; a group is unknown; one of the moves is refused, and so all are.
pub async fn survey(
    context: &Context,
    cluster: &mut Cluster,
    question: &Question<'_>,
) -> Result<Vec<Planned>, Failure> {
    let Question { groups, partitions, target } = *question;
    let cluster_id = cluster.ask(async |client| client.topic_info().await).await?.cluster_id;
    let topic = cluster.topic().to_owned();
    let node = liveness::answering_node(context, &topic, &cluster_id);
    let bounds = cluster.bounds(partitions).await?;
    let times = match target {
        Target::Time { unix_ms } if unix_ms <= context.now_ms => find_time(cluster, &bounds, unix_ms).await?,
        _ => BTreeMap::new(),
    };
    let mut moves = Vec::new();
    let mut refusals = Vec::new();
    for group in groups {
        let committed = committed(cluster, group, partitions, node).await?;
        for &partition in partitions {
            let commit = committed.get(&partition);
            let owner = liveness::owner(node, group, partition, commit, context.now_ms);
            // A node is ahead of what it has committed.
            let durable = node.filter(|_| owner == Owner::AnsweringNode).and_then(|node| node.durable(partition));
            let facts = Facts {
                partition,
                next_offset: durable.or(commit.map(|commit| CommitMeaning::of(commit).next())),
                log: bounds[&partition],
                time_found: times.get(&partition).copied(),
            };
            match plan::plan(&facts, target, context.now_ms) {
                Ok(planned) => moves.push(Planned {
                    group: group.clone(),
                    topic: topic.clone(),
                    planned,
                    owner,
                    times_ms: None,
                    generation: None,
                }),
                Err(refusal) => refusals.push(refusal.to_string()),
            }
        }
    }
    refusals.dedup();
    if !refusals.is_empty() {
        return Err(Failure::refused(told(&refusals)));
    }
    tell_times(cluster, &mut moves).await?;
    Ok(moves)
}

fn told(refusals: &[String]) -> String {
    let more = refusals.len().saturating_sub(REFUSALS_SHOWN_MAX);
    let mut text = refusals[..refusals.len().min(REFUSALS_SHOWN_MAX)].join("; ");
    if more > 0 {
        text.push_str(&format!("; and {more} more"));
    }
    text
}

/// What a group has committed for the partitions.
///
/// # Errors
/// There is no such group: neither commits, nor members, nor a node that works under this name.
async fn committed(
    cluster: &mut Cluster,
    group: &str,
    partitions: &[i32],
    node: Option<&NodeStatus>,
) -> Result<BTreeMap<i32, CommittedOffset>, Failure> {
    let committed = cluster.ask(async |client| client.committed(group, partitions).await).await?;
    let is_of_node = node.is_some_and(|node| partitions.iter().any(|partition| node.owns(group, *partition)));
    if committed.is_empty() && !is_of_node {
        cluster.known_group(group).await?;
    }
    Ok(committed)
}

async fn find_time(
    cluster: &mut Cluster,
    bounds: &BTreeMap<i32, Bounds>,
    unix_ms: i64,
) -> Result<BTreeMap<i32, TimeFound>, Failure> {
    let partitions: Vec<i32> = bounds.keys().copied().collect();
    let offsets = cluster.ask(async |client| client.offsets_at(&partitions, OffsetAt::Time { unix_ms }).await).await?;
    let mut found = BTreeMap::new();
    for (partition, offset) in offsets {
        let Bounds { start, end } = bounds[&partition];
        let of_partition = match offset {
            OffsetFound::At(offset) => TimeFound::At(offset),
            OffsetFound::NoRecordThatLate if end > start => {
                TimeFound::NoRecordThatLate { newest_ms: cluster.time_at(partition, end - 1).await? }
            }
            OffsetFound::NoRecordThatLate => TimeFound::NoRecordThatLate { newest_ms: None },
        };
        found.insert(partition, of_partition);
    }
    Ok(found)
}

/// Reads when the first and the last record of each move were written.
async fn tell_times(cluster: &mut Cluster, moves: &mut [Planned]) -> Result<(), Failure> {
    let mut progress = Progress::new("reading times", moves.len() as u64);
    for planned in moves {
        if let Some(range) = planned.planned.effect().range() {
            let partition = planned.planned.partition;
            let first_ms = time_or_gone(cluster.time_at(partition, range.start).await)?;
            let last_ms = time_or_gone(cluster.time_at(partition, range.end - 1).await)?;
            planned.times_ms = first_ms.zip(last_ms);
        }
        progress.step(1);
    }
    Ok(())
}

/// Retention may take a record between two questions: then its time is not known, and that is all.
fn time_or_gone(time: Result<Option<i64>, Failure>) -> Result<Option<i64>, Failure> {
    match time {
        Err(failure) if failure.kind == Kind::Refused => Ok(None),
        other => other,
    }
}

impl Planned {
    pub fn row(&self) -> Value {
        let Self { group, topic, planned, owner, times_ms, generation } = self;
        let effect = planned.effect();
        let old_last_consumed = planned.from.filter(|from| *from > 0).map(|from| from - 1);
        json!({
            "group": group,
            "topic": topic,
            "partition": planned.partition,
            "old_committed_last_consumed": old_last_consumed,
            "old_next_offset": planned.from,
            "new_committed_last_consumed": planned.last_consumed(),
            "new_next_offset": planned.to,
            "effect": effect.name(),
            "records": effect.range().map(|range| range.end - range.start),
            "first_record_time_ms": times_ms.map(|times| times.0),
            "last_record_time_ms": times_ms.map(|times| times.1),
            "span_seconds": times_ms.map(|(first, last)| (last - first).max(0) as f64 / 1000.0),
            "through": match owner {
                Owner::AnsweringNode => "node",
                Owner::SilentNode { .. } | Owner::Nobody => "kafka",
            },
            "generation": generation,
        })
    }
}

pub const COLUMNS: &[Column] = &[
    Column("GROUP", "group"),
    Column("TOPIC", "topic"),
    Column("PARTITION", "partition"),
    Column("OLD LAST CONSUMED", "old_committed_last_consumed"),
    Column("OLD NEXT", "old_next_offset"),
    Column("NEW LAST CONSUMED", "new_committed_last_consumed"),
    Column("NEW NEXT", "new_next_offset"),
    Column("EFFECT", "effect"),
    Column("RECORDS", "records"),
    Column("FROM", "first_record_time_ms"),
    Column("TO", "last_record_time_ms"),
    Column("THROUGH", "through"),
];
