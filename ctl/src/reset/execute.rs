//! Doing what was surveyed: a live node through its own endpoint, all else through Kafka, as an order that
//! a node obeys at its next start. Reads back what Kafka stored.

use kafka::{CommitPosition, OrderStamp};

use super::survey::Planned;
use crate::cluster::Cluster;
use crate::context::Context;
use crate::failure::Failure;
use crate::liveness::Owner;

/// What to do about a node that lives and does not answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Silent {
    Refuse,
    Override,
}

/// Would Kafka and the nodes let this happen?
///
/// # Errors
/// A living node that does not answer here, or members of the group, are in the way.
pub async fn check(cluster: &mut Cluster, moves: &[Planned], silent: Silent) -> Result<(), Failure> {
    for planned in moves {
        if let (Owner::SilentNode { writer, age_ms }, Silent::Refuse) = (&planned.owner, silent) {
            return Err(Failure::refused(format!(
                "partition {} of group {} is consumed by the node {writer}, which committed {:.1} s ago and would commit over \
                 this: name it with --node, or stop it and wait 30 s, or use --force",
                planned.planned.partition,
                planned.group,
                *age_ms as f64 / 1000.0
            )));
        }
    }
    let mut groups: Vec<&str> = moves
        .iter()
        .filter(|planned| planned.owner != Owner::AnsweringNode)
        .map(|planned| planned.group.as_str())
        .collect();
    groups.dedup();
    for group in groups {
        cluster.no_members(group).await?;
    }
    Ok(())
}

/// Makes the moves; fills in the generations that nodes tell.
///
/// # Errors
/// Of the node or Kafka. Groups before the one at fault are moved then.
pub async fn execute(context: &Context, cluster: &mut Cluster, moves: &mut [Planned]) -> Result<(), Failure> {
    let through_node: Vec<(i32, i64)> = moves
        .iter()
        .filter(|planned| planned.owner == Owner::AnsweringNode)
        .map(|planned| (planned.planned.partition, planned.planned.to))
        .collect();
    if !through_node.is_empty() {
        let moved = context.node()?.reset(&through_node)?;
        for planned in moves.iter_mut().filter(|planned| planned.owner == Owner::AnsweringNode) {
            let told = moved.iter().find(|moved| moved.partition == planned.planned.partition);
            let told = told.ok_or_else(|| {
                Failure::failed(format!("the node did not say that it moved partition {}", planned.planned.partition))
            })?;
            planned.generation = told.generation;
            planned.planned.from = told.from.or(planned.planned.from);
        }
    }
    let mut groups: Vec<String> = moves
        .iter()
        .filter(|planned| planned.owner != Owner::AnsweringNode)
        .map(|planned| planned.group.clone())
        .collect();
    groups.dedup();
    for group in groups {
        let of_group: Vec<(i32, i64)> = moves
            .iter()
            .filter(|planned| planned.group == group && planned.owner != Owner::AnsweringNode)
            .map(|planned| (planned.planned.partition, planned.planned.to))
            .collect();
        order(cluster, &group, &of_group, context.now_ms).await?;
    }
    Ok(())
}

/// Writes a group's next offsets as orders, and reads them back.
///
/// # Errors
/// Kafka refuses, or stores something else.
pub async fn order(cluster: &mut Cluster, group: &str, nexts: &[(i32, i64)], now_ms: i64) -> Result<(), Failure> {
    let partitions: Vec<i32> = nexts.iter().map(|(partition, _)| *partition).collect();
    let commits: Vec<CommitPosition> = nexts
        .iter()
        .map(|(partition, next)| {
            let stamp = OrderStamp { next: *next };
            let metadata = format!("{stamp} by=wellctl time={now_ms}");
            CommitPosition { partition: *partition, offset: stamp.stored_offset(), metadata }
        })
        .collect();
    cluster.ask(async |client| client.commit(group, &commits).await).await?;
    let stored = cluster.ask(async |client| client.committed(group, &partitions).await).await?;
    for commit in commits {
        let found = stored.get(&commit.partition);
        if found.is_none_or(|found| found.offset != commit.offset || found.metadata != commit.metadata) {
            let found = found.map_or("nothing".to_owned(), |found| found.offset.to_string());
            return Err(Failure::failed(format!(
                "Kafka stores {found} for partition {} of group {group} instead of {}: somebody else commits there",
                commit.partition, commit.offset
            )));
        }
    }
    Ok(())
}
