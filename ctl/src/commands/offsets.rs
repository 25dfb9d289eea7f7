//! `wellctl offsets`: what groups have committed, and moving it.

use clap::Subcommand;
use kafka::CommitMeaning;
use serde_json::{Value, json};

use crate::cluster::{Bounds, Cluster};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Column, table};
use crate::progress::Progress;
use crate::reset::execute::{self, Silent};
use crate::reset::plan::Target;
use crate::reset::survey::{self, Question, survey};
use crate::time;

/// See and move what groups have committed.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Committed offsets of one group or of all, with their lag in records.
    #[command(after_help = "\
LAST CONSUMED is how Mimir names progress, NEXT is the offset after it. A node stores the former, with a stamp (progress). What
has no stamp was stored by another tool and is an order: Kafka's tools store the next offset, and so it is read.

Examples:
  wellctl offsets list
  wellctl offsets list --group wellhead-0
  wellctl --kafka-address kafka-1:9092 offsets list --topic ingest -o json")]
    List {
        /// Only this group.
        #[arg(long)]
        group: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// One group with everything: times, stamps, lag in seconds.
    #[command(after_help = "\
Examples:
  wellctl offsets get --group wellhead-0
  wellctl offsets get --group wellhead-0 --partition 3 -o json")]
    Get {
        #[arg(long)]
        group: String,
        #[command(flatten)]
        place: Place,
    },
    /// Move a group: to either end, an offset, a time, or by a number of records.
    #[command(after_help = "\
Shows what would happen; changes something only with --execute. A node that answers is moved through its own endpoint (it
holds, resets, resumes); a stopped one by an order in its group, which it obeys at its next start. A time for which there is
no record is refused: it does not silently mean the end. A group stores the last consumed record, and cannot store \"before record
0\": our orders say it in words; for an ingester of Mimir that is to begin at 0, delete the offsets instead.

Examples:
  wellctl offsets reset --group wellhead-0 --to time:-10m
  wellctl offsets reset --group wellhead-0 --to time:2026-11-23T16:05:00Z --execute
  wellctl offsets reset --group wellhead-0 --to offset:1200 --partition 3 --execute
  wellctl offsets reset --all-groups --to shift:-1000
  wellctl offsets reset --group wellhead-0 --to earliest --execute")]
    Reset(Reset),
    /// Take committed offsets away. A node that has its log goes on as before.
    #[command(after_help = "\
Takes back an order that a stopped node has not obeyed yet, or lets a consumer begin anew. Shows what would be deleted; --execute
does it.

Examples:
  wellctl offsets delete --group wellhead-0 --partition 3
  wellctl offsets delete --group wellhead-0 --execute")]
    Delete {
        #[arg(long)]
        group: String,
        #[command(flatten)]
        place: Place,
        /// Do it. Without this, only shown.
        #[arg(long)]
        execute: bool,
    },
}

/// Where.
#[derive(clap::Args, Debug)]
struct Place {
    /// Topic; the node's own unless given.
    #[arg(long)]
    topic: Option<String>,
    /// Partitions, several with commas; all unless given.
    #[arg(long, value_name = "PARTITIONS", value_delimiter = ',', value_parser = clap::value_parser!(i32).range(0..))]
    partition: Vec<i32>,
}

#[derive(clap::Args, Debug)]
struct Reset {
    /// The group to move.
    #[arg(long, required_unless_present = "all_groups", conflicts_with = "all_groups")]
    group: Option<String>,
    /// Every group that has committed for the topic.
    #[arg(long)]
    all_groups: bool,
    #[command(flatten)]
    place: Place,
    /// earliest, latest, offset:N (the next to consume), time:T (RFC 3339, unix ms, or -2h), shift:N (records, may be negative).
    #[arg(long, value_name = "TARGET", allow_hyphen_values = true)]
    to: String,
    /// Do it. Without this, only shown.
    #[arg(long)]
    execute: bool,
    /// Even where a node that lives and does not answer would commit over it.
    #[arg(long)]
    force: bool,
}

/// How much to ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Depth {
    Offsets,
    /// Also when the next record was written: a fetch for each partition.
    Times,
}

const LIST: &[Column] = &[
    Column("GROUP", "group"),
    Column("TOPIC", "topic"),
    Column("PARTITION", "partition"),
    Column("LAST CONSUMED", "committed_last_consumed"),
    Column("NEXT", "next_offset"),
    Column("LOG START", "log_start"),
    Column("LOG END", "log_end"),
    Column("LAG", "lag_records"),
    Column("MEANING", "meaning"),
    Column("WRITER", "writer"),
];

const GET: &[Column] = &[
    Column("PARTITION", "partition"),
    Column("LAST CONSUMED", "committed_last_consumed"),
    Column("NEXT", "next_offset"),
    Column("LOG START", "log_start"),
    Column("LOG END", "log_end"),
    Column("LAG", "lag_records"),
    Column("LAG SECONDS", "lag_seconds"),
    Column("NEXT RECORD OF", "next_record_time_ms"),
    Column("MEANING", "meaning"),
    Column("WRITER", "writer"),
    Column("AT", "commit_time_ms"),
    Column("GENERATION", "generation"),
];

impl Arguments {
    pub async fn run(&self, context: &Context) -> Result<(), Failure> {
        match &self.command {
            Command::List { group, place } => list(context, group.as_deref(), place).await,
            Command::Get { group, place } => get(context, group, place).await,
            Command::Reset(reset) => reset.run(context).await,
            Command::Delete { group, place, execute } => delete(context, group, place, *execute).await,
        }
    }
}

async fn list(context: &Context, group: Option<&str>, place: &Place) -> Result<(), Failure> {
    let (mut cluster, partitions) = place.open(context).await?;
    let groups = match group {
        Some(group) => {
            cluster.known_group(group).await?;
            vec![group.to_owned()]
        }
        None => cluster.ask(async |client| client.list_groups().await).await?.into_iter().map(|g| g.group).collect(),
    };
    let mut progress = Progress::new("reading groups", groups.len() as u64);
    let mut found = Vec::new();
    for group in &groups {
        found.extend(rows(&mut cluster, group, &partitions, Depth::Offsets).await?);
        progress.step(1);
    }
    drop(progress);
    found.retain(|row| !row["next_offset"].is_null() || !place.partition.is_empty());
    context.output.show(&json!({"offsets": found}), || table(LIST, &found))
}

async fn get(context: &Context, group: &str, place: &Place) -> Result<(), Failure> {
    let (mut cluster, partitions) = place.open(context).await?;
    cluster.known_group(group).await?;
    let rows = rows(&mut cluster, group, &partitions, Depth::Times).await?;
    context.output.show(&json!({"offsets": rows}), || {
        format!("group {group}, topic {}\n\n{}", cluster.topic(), table(GET, &rows))
    })
}

async fn delete(context: &Context, group: &str, place: &Place, is_executed: bool) -> Result<(), Failure> {
    let (mut cluster, partitions) = place.open(context).await?;
    cluster.known_group(group).await?;
    cluster.no_members(group).await?;
    let mut rows = rows(&mut cluster, group, &partitions, Depth::Offsets).await?;
    rows.retain(|row| !row["stored_offset"].is_null());
    let committed: Vec<i32> = rows.iter().filter_map(|row| row["partition"].as_i64()).map(|id| id as i32).collect();
    if is_executed && !committed.is_empty() {
        cluster.ask(async |client| client.delete_offsets(group, &committed).await).await?;
    }
    context.output.show(&json!({"executed": is_executed, "offsets": rows}), || {
        let done = if is_executed { "Deleted." } else { "Nothing was changed; add --execute to delete these." };
        format!("{}\n{done}\n", table(LIST, &rows))
    })
}

impl Place {
    async fn open(&self, context: &Context) -> Result<(Cluster, Vec<i32>), Failure> {
        let mut cluster = context.cluster(&context.topic(self.topic.as_deref())?)?;
        let partitions = cluster.partitions(&self.partition).await?;
        Ok((cluster, partitions))
    }
}

/// A row for each partition: what the group committed, and how far that is from the log's end.
///
/// # Errors
/// Kafka does not answer.
pub async fn rows(cluster: &mut Cluster, group: &str, partitions: &[i32], depth: Depth) -> Result<Vec<Value>, Failure> {
    let bounds = cluster.bounds(partitions).await?;
    let committed = cluster.ask(async |client| client.committed(group, partitions).await).await?;
    let mut rows = Vec::new();
    for &partition in partitions {
        let Bounds { start, end } = bounds[&partition];
        let commit = committed.get(&partition);
        let meaning = commit.map(CommitMeaning::of);
        let stamp = match &meaning {
            Some(CommitMeaning::Progress { stamp, .. }) => stamp.as_ref(),
            _ => None,
        };
        let committed_next = meaning.as_ref().map(CommitMeaning::next);
        // Nothing committed: all that there is lies before the group.
        let next = committed_next.unwrap_or(start);
        let lag_records = (end - next.max(start)).max(0);
        let next_time_ms = match depth {
            Depth::Times if lag_records > 0 => cluster.time_at(partition, next.max(start)).await?,
            _ => None,
        };
        let lag_seconds = match (depth, lag_records) {
            (Depth::Offsets, _) => None,
            (Depth::Times, 0) => Some(0.0),
            (Depth::Times, _) => next_time_ms.map(|time_ms| (time::now_ms() - time_ms).max(0) as f64 / 1000.0),
        };
        rows.push(json!({
            "group": group,
            "topic": cluster.topic(),
            "partition": partition,
            "committed_last_consumed": last_consumed(committed_next),
            "next_offset": committed_next,
            "stored_offset": commit.map(|commit| commit.offset),
            "meaning": meaning.as_ref().map(|meaning| match meaning {
                CommitMeaning::Progress { .. } => "progress",
                CommitMeaning::Order { .. } => "order",
            }),
            "log_start": start,
            "log_end": end,
            "lag_records": lag_records,
            "lag_seconds": lag_seconds,
            "next_record_time_ms": next_time_ms,
            "writer": stamp.map(|stamp| &stamp.writer),
            "generation": stamp.map(|stamp| stamp.generation),
            "commit_time_ms": stamp.map(|stamp| stamp.time_ms),
            "metadata": commit.map(|commit| &commit.metadata),
        }));
    }
    Ok(rows)
}

/// The same in Mimir's words; None where nothing was consumed.
pub fn last_consumed(next: Option<i64>) -> Option<i64> {
    next.filter(|next| *next > 0).map(|next| next - 1)
}

impl Reset {
    async fn run(&self, context: &Context) -> Result<(), Failure> {
        let target =
            Target::parse(&self.to, context.now_ms).map_err(|wrong| Failure::usage(format!("--to: {wrong}")))?;
        let (mut cluster, partitions) = self.place.open(context).await?;
        let groups = self.groups(&mut cluster).await?;
        let question = Question { groups: &groups, partitions: &partitions, target };
        let mut moves = survey(context, &mut cluster, &question).await?;
        let silent = if self.force { Silent::Override } else { Silent::Refuse };
        execute::check(&mut cluster, &moves, silent).await?;
        if self.execute {
            execute::execute(context, &mut cluster, &mut moves).await?;
        }
        let rows: Vec<Value> = moves.iter().map(survey::Planned::row).collect();
        context.output.show(&json!({"executed": self.execute, "partitions": rows}), || {
            let done = if self.execute { "Done." } else { "Nothing was changed; add --execute to do it." };
            format!("{}\n{}{done}\n", table(survey::COLUMNS, &rows), summary(&rows))
        })
    }

    async fn groups(&self, cluster: &mut Cluster) -> Result<Vec<String>, Failure> {
        if let Some(group) = &self.group {
            return Ok(vec![group.clone()]);
        }
        let topic = cluster.topic().to_owned();
        let mut groups = Vec::new();
        for listed in cluster.ask(async |client| client.list_groups().await).await? {
            let committed = cluster.ask(async |client| client.committed_everywhere(&listed.group).await).await?;
            if committed.keys().any(|(own, _)| *own == topic) {
                groups.push(listed.group);
            }
        }
        if groups.is_empty() {
            return Err(Failure::not_found(format!("no group has committed anything for the topic {topic}")));
        }
        Ok(groups)
    }
}

/// A sentence for each effect: how many records, of what time.
fn summary(rows: &[Value]) -> String {
    let mut text = String::new();
    for (effect, says) in [("skips", "will be skipped"), ("reads again", "will be read again")] {
        let of_effect: Vec<&Value> = rows.iter().filter(|row| row["effect"] == effect).collect();
        let records: i64 = of_effect.iter().filter_map(|row| row["records"].as_i64()).sum();
        if records == 0 {
            continue;
        }
        let first = of_effect.iter().filter_map(|row| row["first_record_time_ms"].as_i64()).min();
        let last = of_effect.iter().filter_map(|row| row["last_record_time_ms"].as_i64()).max();
        let span = first.zip(last).map(|(first, last)| {
            format!(", from {} to {} ({})", time::rfc3339(first), time::rfc3339(last), time::span(last - first))
        });
        let partitions = of_effect.len();
        text.push_str(&format!("{records} records of {partitions} partition(s) {says}{}.\n", span.unwrap_or_default()));
    }
    text
}
