//! `wellctl groups`: which consumer groups there are, who is in them, deleting and copying them.

use clap::Subcommand;
use kafka::CommitMeaning;
use serde_json::{Value, json};

use super::offsets::{self, Depth};
use crate::cluster::Cluster;
use crate::context::Context;
use crate::failure::Failure;
use crate::liveness::{self, Owner};
use crate::output::{Column, table};
use crate::reset::execute;

/// Consumer groups: list, describe, delete, copy.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// All groups and their state.
    #[command(after_help = "\
Examples:
  wellctl groups list
  wellctl --kafka-address kafka-1:9092 groups list -o json")]
    List,
    /// A group: its state, members, and what it has committed in every topic.
    #[command(after_help = "\
Examples:
  wellctl groups describe wellhead-0")]
    Describe { group: String },
    /// Delete a group with all that it has committed.
    #[command(after_help = "\
Refused for a group that has members or whose node lives. Shows what would be lost; --execute does it.

Examples:
  wellctl groups delete old-group
  wellctl groups delete old-group --execute")]
    Delete {
        group: String,
        /// Do it. Without this, only shown.
        #[arg(long)]
        execute: bool,
        /// Even where a node has committed within the last 30 s.
        #[arg(long)]
        force: bool,
    },
    /// Give another group the same offsets.
    #[command(after_help = "\
The copy is an order: a node that starts under the new name begins there.

Examples:
  wellctl groups copy wellhead-0 wellhead-1
  wellctl groups copy wellhead-0 wellhead-1 --execute")]
    Copy {
        from: String,
        to: String,
        /// Do it. Without this, only shown.
        #[arg(long)]
        execute: bool,
        /// Even where the other group has committed something for these topics already, or its node lives.
        #[arg(long)]
        force: bool,
    },
}

const LIST: &[Column] = &[Column("GROUP", "group"), Column("STATE", "state"), Column("PROTOCOL", "protocol_type")];

const MEMBERS: &[Column] = &[Column("MEMBER", "member_id"), Column("CLIENT", "client_id"), Column("HOST", "host")];

const OFFSETS: &[Column] = &[
    Column("TOPIC", "topic"),
    Column("PARTITION", "partition"),
    Column("LAST CONSUMED", "committed_last_consumed"),
    Column("NEXT", "next_offset"),
    Column("LOG END", "log_end"),
    Column("LAG", "lag_records"),
    Column("MEANING", "meaning"),
    Column("WRITER", "writer"),
];

const COPIED: &[Column] = &[
    Column("TOPIC", "topic"),
    Column("PARTITION", "partition"),
    Column("LAST CONSUMED", "committed_last_consumed"),
    Column("NEXT", "next_offset"),
    Column("REPLACES NEXT", "replaced_next_offset"),
];

impl Arguments {
    pub async fn run(&self, context: &Context) -> Result<(), Failure> {
        // No topic in view: groups are the cluster's.
        let mut cluster = context.cluster("")?;
        match &self.command {
            Command::List => list(context, &mut cluster).await,
            Command::Describe { group } => describe(context, &mut cluster, group).await,
            Command::Delete { group, execute, force } => {
                let doing = Doing { is_executed: *execute, is_forced: *force };
                delete(context, &mut cluster, group, doing).await
            }
            Command::Copy { from, to, execute, force } => {
                let doing = Doing { is_executed: *execute, is_forced: *force };
                copy(context, &mut cluster, [from, to], doing).await
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Doing {
    is_executed: bool,
    is_forced: bool,
}

impl Doing {
    fn sentence(self) -> &'static str {
        if self.is_executed { "Done." } else { "Nothing was changed; add --execute to do it." }
    }
}

async fn list(context: &Context, cluster: &mut Cluster) -> Result<(), Failure> {
    let groups = cluster.ask(async |client| client.list_groups().await).await?;
    let rows: Vec<Value> = groups
        .iter()
        .map(|group| json!({"group": group.group, "state": group.state, "protocol_type": group.protocol_type}))
        .collect();
    context.output.show(&json!({"groups": rows}), || table(LIST, &rows))
}

async fn describe(context: &Context, cluster: &mut Cluster, group: &str) -> Result<(), Failure> {
    cluster.known_group(group).await?;
    let found = cluster.ask(async |client| client.describe_group(group).await).await?;
    let offsets = committed_rows(context, cluster, group).await?;
    let members: Vec<Value> = found
        .members
        .iter()
        .map(|member| json!({"member_id": member.member_id, "client_id": member.client_id, "host": member.host}))
        .collect();
    let document = json!({
        "group": group,
        "state": found.state,
        "protocol_type": found.protocol_type,
        "assignor": found.assignor,
        "members": members,
        "offsets": offsets,
    });
    context.output.show(&document, || {
        let mut text = format!("group {group} is {}, {} member(s)\n", found.state, members.len());
        if !members.is_empty() {
            text.push_str(&format!("\n{}", table(MEMBERS, &members)));
        }
        format!("{text}\n{}", table(OFFSETS, &offsets))
    })
}

/// Rows of all that a group has committed; of topics that are gone, without the log's offsets.
async fn committed_rows(context: &Context, cluster: &mut Cluster, group: &str) -> Result<Vec<Value>, Failure> {
    let committed = cluster.ask(async |client| client.committed_everywhere(group).await).await?;
    let known = cluster.ask(async |client| client.list_topics().await).await?;
    let mut topics: Vec<&str> = committed.keys().map(|(topic, _)| topic.as_str()).collect();
    topics.dedup();
    let mut rows = Vec::new();
    for topic in topics {
        let of_topic = committed.iter().filter(|((own, _), _)| own == topic);
        let partitions: Vec<i32> = of_topic.clone().map(|((_, partition), _)| *partition).collect();
        let count = known.iter().find(|known| known.topic == topic).map_or(0, |known| known.partitions as i32);
        if partitions.iter().all(|partition| *partition < count) {
            rows.extend(offsets::rows(&mut context.cluster(topic)?, group, &partitions, Depth::Offsets).await?);
            continue;
        }
        rows.extend(of_topic.map(|((topic, partition), commit)| {
            json!({
                "group": group,
                "topic": topic,
                "partition": partition,
                "committed_last_consumed": offsets::last_consumed(Some(CommitMeaning::of(commit).next())),
                "next_offset": CommitMeaning::of(commit).next(),
            })
        }));
    }
    Ok(rows)
}

/// # Errors
/// The group has members, or a node works under it.
async fn nobody_works(context: &Context, cluster: &mut Cluster, group: &str) -> Result<(), Failure> {
    let committed = cluster.ask(async |client| client.committed_everywhere(group).await).await?;
    let node = context.status().ok();
    for ((topic, partition), commit) in &committed {
        let node = node.filter(|node| node.kafka.topic == *topic);
        match liveness::owner(node, group, *partition, Some(commit), context.now_ms) {
            Owner::Nobody => {}
            Owner::AnsweringNode => {
                let url = context.node()?.url();
                return Err(Failure::refused(format!(
                    "group {group} is in use by the node {url}: stop it, or use --force"
                )));
            }
            Owner::SilentNode { writer, age_ms } => {
                let seconds = age_ms as f64 / 1000.0;
                return Err(Failure::refused(format!(
                    "group {group} is in use by the node {writer}, which committed {seconds:.1} s ago: stop it and wait 30 s, or \
                     use --force"
                )));
            }
        }
    }
    Ok(())
}

async fn delete(context: &Context, cluster: &mut Cluster, group: &str, doing: Doing) -> Result<(), Failure> {
    cluster.known_group(group).await?;
    cluster.no_members(group).await?;
    if !doing.is_forced {
        nobody_works(context, cluster, group).await?;
    }
    let rows = committed_rows(context, cluster, group).await?;
    if doing.is_executed {
        cluster.ask(async |client| client.delete_group(group).await).await?;
    }
    let document = json!({"group": group, "executed": doing.is_executed, "offsets": rows});
    context.output.show(&document, || {
        let lost = if doing.is_executed { "was deleted with" } else { "would be deleted with" };
        format!("group {group} {lost} {} offsets\n\n{}{}\n", rows.len(), table(OFFSETS, &rows), doing.sentence())
    })
}

async fn copy(context: &Context, cluster: &mut Cluster, [from, to]: [&str; 2], doing: Doing) -> Result<(), Failure> {
    if from == to {
        return Err(Failure::usage(format!("{from} cannot be copied onto itself")));
    }
    cluster.known_group(from).await?;
    let source = cluster.ask(async |client| client.committed_everywhere(from).await).await?;
    if source.is_empty() {
        return Err(Failure::not_found(format!("group {from} has committed nothing")));
    }
    let target = cluster.ask(async |client| client.committed_everywhere(to).await).await?;
    cluster.no_members(to).await?;
    if !doing.is_forced {
        nobody_works(context, cluster, to).await?;
        if let Some(((topic, partition), _)) = target.iter().find(|(place, _)| source.contains_key(*place)) {
            return Err(Failure::refused(format!(
                "group {to} has committed for partition {partition} of {topic} already: --force replaces it"
            )));
        }
    }
    let rows: Vec<Value> = source
        .iter()
        .map(|((topic, partition), commit)| {
            json!({
                "from_group": from,
                "to_group": to,
                "topic": topic,
                "partition": partition,
                "committed_last_consumed": offsets::last_consumed(Some(CommitMeaning::of(commit).next())),
                "next_offset": CommitMeaning::of(commit).next(),
                "replaced_next_offset":
                    target.get(&(topic.clone(), *partition)).map(|commit| CommitMeaning::of(commit).next()),
            })
        })
        .collect();
    if doing.is_executed {
        let mut topics: Vec<&str> = source.keys().map(|(topic, _)| topic.as_str()).collect();
        topics.dedup();
        for topic in topics {
            let of_topic = source.iter().filter(|((own, _), _)| own == topic);
            let nexts: Vec<(i32, i64)> =
                of_topic.map(|((_, partition), commit)| (*partition, CommitMeaning::of(commit).next())).collect();
            execute::order(&mut context.cluster(topic)?, to, &nexts, context.now_ms).await?;
        }
    }
    context.output.show(&json!({"executed": doing.is_executed, "offsets": rows}), || {
        format!("from group {from} to group {to}\n\n{}{}\n", table(COPIED, &rows), doing.sentence())
    })
}
