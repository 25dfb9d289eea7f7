//! `wellctl topics`: which topics there are, how they are laid out and configured, making and growing them.

use clap::Subcommand;
use kafka::admin::{TopicListing, TopicPlan, Validation};
use serde_json::{Value, json};

use crate::cluster::{Bounds, Cluster};
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::output::{Column, table};

/// A producer of ours sends records of up to this many bytes.
const MESSAGE_BYTES: &str = "16000000";

/// Topics: list, describe, create, expand.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// All topics.
    #[command(after_help = "\
Examples:
  wellctl topics list
  wellctl --kafka-address kafka-1:9092 topics list --internal")]
    List {
        /// The cluster's own topics as well.
        #[arg(long)]
        internal: bool,
    },
    /// A topic: partitions, offsets and configuration.
    #[command(after_help = "\
Examples:
  wellctl topics describe wellhead-ingest
  wellctl topics describe wellhead-ingest --all-configs -o yaml")]
    Describe {
        topic: String,
        /// Values that are only defaults of the broker as well.
        #[arg(long)]
        all_configs: bool,
    },
    /// Make a topic that can hold our records (messages of 16 MB).
    #[command(after_help = "\
Examples:
  wellctl topics create ingest --partitions 12
  wellctl topics create ingest --partitions 12 --replicas 3 --config retention.ms=86400000 --dry-run")]
    Create {
        topic: String,
        /// The broker's default unless given.
        #[arg(long, value_parser = clap::value_parser!(i32).range(1..=100_000))]
        partitions: Option<i32>,
        /// The broker's default unless given.
        #[arg(long, value_parser = clap::value_parser!(i16).range(1..=100))]
        replicas: Option<i16>,
        /// A value of its configuration; may be given several times.
        #[arg(long, value_name = "NAME=VALUE")]
        config: Vec<String>,
        /// Only ask whether it could be done.
        #[arg(long)]
        dry_run: bool,
    },
    /// Give a topic more partitions. There is no way back, and series move to other partitions.
    #[command(after_help = "\
Examples:
  wellctl topics expand ingest --partitions 24 --dry-run
  wellctl topics expand ingest --partitions 24")]
    Expand {
        topic: String,
        /// How many there are to be in all.
        #[arg(long, value_parser = clap::value_parser!(i32).range(1..=100_000))]
        partitions: i32,
        /// Only ask whether it could be done.
        #[arg(long)]
        dry_run: bool,
    },
}

const LIST: &[Column] = &[
    Column("TOPIC", "topic"),
    Column("PARTITIONS", "partitions"),
    Column("REPLICAS", "replicas"),
    Column("INTERNAL", "internal"),
    Column("ID", "topic_id"),
];

const PARTITIONS: &[Column] = &[
    Column("PARTITION", "partition"),
    Column("LEADER", "leader"),
    Column("REPLICAS", "replicas"),
    Column("IN SYNC", "in_sync"),
    Column("LOG START", "log_start"),
    Column("LOG END", "log_end"),
    Column("RECORDS", "records"),
];

const CONFIGS: &[Column] = &[Column("CONFIG", "name"), Column("VALUE", "value"), Column("SET HERE", "own")];

impl Arguments {
    pub async fn run(&self, context: &Context) -> Result<(), Failure> {
        match &self.command {
            Command::List { internal } => list(context, *internal).await,
            Command::Describe { topic, all_configs } => describe(context, topic, *all_configs).await,
            Command::Create { topic, partitions, replicas, config, dry_run } => {
                let configs = parse_configs(config)?;
                let plan = TopicPlan { topic: topic.clone(), partitions: *partitions, replicas: *replicas, configs };
                create(context, &plan, validation(*dry_run)).await
            }
            Command::Expand { topic, partitions, dry_run } => {
                expand(context, topic, *partitions, validation(*dry_run)).await
            }
        }
    }
}

fn validation(is_dry_run: bool) -> Validation {
    if is_dry_run { Validation::Only } else { Validation::Execute }
}

fn parse_configs(given: &[String]) -> Result<Vec<(String, String)>, Failure> {
    let mut configs = Vec::new();
    for text in given {
        let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
        let (name, value) =
            pair.ok_or_else(|| Failure::usage(format!("--config {text:?} cannot be used: write NAME=VALUE")))?;
        configs.push((name.to_owned(), value.to_owned()));
    }
    if !configs.iter().any(|(name, _)| name == "max.message.bytes") {
        configs.push(("max.message.bytes".to_owned(), MESSAGE_BYTES.to_owned()));
    }
    Ok(configs)
}

fn row(listing: &TopicListing) -> Value {
    let id = listing.topic_id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    json!({
        "topic": listing.topic,
        "partitions": listing.partitions,
        "replicas": listing.replicas,
        "internal": listing.is_internal,
        "topic_id": Some(id).filter(|_| listing.topic_id != [0; 16]),
    })
}

async fn list(context: &Context, with_internal: bool) -> Result<(), Failure> {
    let topics = context.cluster("")?.ask(async |client| client.list_topics().await).await?;
    let rows: Vec<Value> = topics.iter().filter(|topic| with_internal || !topic.is_internal).map(row).collect();
    context.output.show(&json!({"topics": rows}), || table(LIST, &rows))
}

async fn describe(context: &Context, topic: &str, with_defaults: bool) -> Result<(), Failure> {
    let mut cluster = context.cluster(topic)?;
    let found = cluster.ask(async |client| client.describe_topic(topic).await).await?;
    let led: Vec<i32> =
        found.partitions.iter().filter(|partition| partition.leader.is_some()).map(|own| own.partition).collect();
    let bounds = cluster.bounds(&led).await?;
    let partitions: Vec<Value> = found
        .partitions
        .iter()
        .map(|partition| {
            let bounds: Option<&Bounds> = bounds.get(&partition.partition);
            json!({
                "partition": partition.partition,
                "leader": partition.leader,
                "replicas": partition.replicas,
                "in_sync": partition.in_sync,
                "log_start": bounds.map(|bounds| bounds.start),
                "log_end": bounds.map(|bounds| bounds.end),
                "records": bounds.map(|bounds| bounds.end - bounds.start),
            })
        })
        .collect();
    let configs: Vec<Value> = configs(&mut cluster, topic)
        .await?
        .into_iter()
        .filter(|(_, _, is_own)| with_defaults || *is_own)
        .map(|(name, value, is_own)| json!({"name": name, "value": value, "own": is_own}))
        .collect();
    let mut document = row(&found.listing);
    document["cluster_id"] = json!(found.cluster_id);
    document["partition_list"] = json!(partitions);
    document["configs"] = json!(configs);
    context.output.show(&document, || {
        let mut text = format!("{}\n{}", table(LIST, &[row(&found.listing)]), table(PARTITIONS, &partitions));
        if !configs.is_empty() {
            text.push_str(&format!("\n{}", table(CONFIGS, &configs)));
        }
        text
    })
}

/// Name, value, set for this topic. Brokers that tell none have none to show.
async fn configs(cluster: &mut Cluster, topic: &str) -> Result<Vec<(String, Option<String>, bool)>, Failure> {
    let entries = cluster.ask(async |client| match client.topic_configs(topic).await {
        Err(kafka::KafkaError::Unsupported { .. }) => Ok(Vec::new()),
        other => other,
    });
    Ok(entries.await?.into_iter().map(|entry| (entry.name, entry.value, entry.is_own)).collect())
}

async fn create(context: &Context, plan: &TopicPlan, validation: Validation) -> Result<(), Failure> {
    let mut cluster = context.cluster(&plan.topic)?;
    cluster.ask(async |client| client.create_topic_as(plan, validation).await).await?;
    let is_created = validation == Validation::Execute;
    context.output.show(&json!({"topic": plan.topic, "created": is_created}), || {
        let done = if is_created { "was created" } else { "can be created" };
        format!("topic {} {done}\n", plan.topic)
    })
}

async fn expand(context: &Context, topic: &str, partitions: i32, validation: Validation) -> Result<(), Failure> {
    let mut cluster = context.cluster(topic)?;
    let before = cluster.ask(async |client| client.describe_topic(topic).await).await?.listing.partitions;
    if i64::from(partitions) <= i64::from(before) {
        return Err(Failure::new(
            Kind::Refused,
            format!("topic {topic} has {before} partitions; it can only grow, not go to {partitions}"),
        ));
    }
    cluster.ask(async |client| client.expand_topic(topic, partitions, validation).await).await?;
    let is_expanded = validation == Validation::Execute;
    let document =
        json!({"topic": topic, "partitions_before": before, "partitions": partitions, "expanded": is_expanded});
    context.output.show(&document, || {
        let done = if is_expanded { "was expanded" } else { "can be expanded" };
        format!("topic {topic} {done} from {before} to {partitions} partitions\n")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_take_our_records_unless_told_otherwise() {
        let pairs = |given: &[&str]| parse_configs(&given.iter().map(ToString::to_string).collect::<Vec<_>>());
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(pairs(&[]).unwrap(), [pair("max.message.bytes", MESSAGE_BYTES)]);
        assert_eq!(pairs(&["max.message.bytes=5"]).unwrap(), [pair("max.message.bytes", "5")]);
        assert_eq!(pairs(&["a=b=c"]).unwrap()[0], pair("a", "b=c"));
        for wrong in ["", "a", "=b"] {
            assert_eq!(pairs(&[wrong]).unwrap_err().kind, Kind::Usage, "{wrong}");
        }
    }
}
