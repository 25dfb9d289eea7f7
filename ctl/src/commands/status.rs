//! `wellctl status`: a running node, its cores, and the marks of its partitions.

use serde_json::Value;

use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::output::{Column, cell, table};

/// Readiness, cores, partitions and lag of a running node.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
All offsets are the next to do, except LAST CONSUMED, which is what the group stores.

Examples:
  wellctl status
  wellctl --data-dir /var/lib/wellhead status --require-ready
  wellctl -o json --node http://10.0.0.7:8080 status")]
pub struct Arguments {
    /// Exit with 6 where the node is not ready.
    #[arg(long)]
    require_ready: bool,
}

const SHARDS: &[Column] = &[
    Column("SHARD", "shard"),
    Column("CPU", "cpu"),
    Column("SERIES", "series"),
    Column("MEMORY", "memory_bytes"),
    Column("WAL", "wal_bytes"),
    Column("DURABLE LSN", "durable_lsn"),
];

const PARTITIONS: &[Column] = &[
    Column("PARTITION", "partition"),
    Column("SHARD", "shard"),
    Column("STATE", "state"),
    Column("GENERATION", "generation"),
    Column("LOG START", "log_start"),
    Column("LAST CONSUMED", "committed_last_consumed"),
    Column("COMMITTED", "committed_next"),
    Column("DURABLE", "durable"),
    Column("APPLIED", "applied"),
    Column("FETCHED", "fetched"),
    Column("HIGH WATERMARK", "high_watermark"),
    Column("LAG", "lag_records"),
    Column("LAG SECONDS", "lag_seconds"),
    Column("REASON", "reason"),
];

impl Arguments {
    pub fn run(&self, context: &Context) -> Result<(), Failure> {
        let status = context.status()?;
        context.output.show(&status.document, || text(&status.document))?;
        if self.require_ready && !status.ready {
            let reason = status.document["reason"].as_str().unwrap_or("it gives no reason");
            return Err(Failure::new(Kind::CheckSaysNo, format!("the node {} is not ready: {reason}", status.node)));
        }
        Ok(())
    }
}

fn text(document: &Value) -> String {
    let shown = |key: &str| cell(key, &document[key]);
    let kafka = |key: &str| cell(key, &document["kafka"][key]);
    let readiness = match document["ready"].as_bool() {
        Some(true) => "ready".to_owned(),
        _ => format!("NOT READY: {}", shown("reason")),
    };
    let embedded = if document["kafka"]["embedded"] == true { ", embedded" } else { "" };
    let mut text = format!(
        "node {} (wellhead {}, pid {}, target {}) is {readiness}\nstarted {}, data in {}\n\
         Kafka {}{embedded}: topic {}, {} partitions, group {}\n",
        shown("node"),
        shown("version"),
        shown("pid"),
        shown("target"),
        shown("started_at_ms"),
        shown("data_dir"),
        kafka("address"),
        kafka("topic"),
        shown("partition_count"),
        kafka("group"),
    );
    for (name, columns) in [("shards", SHARDS), ("partitions", PARTITIONS)] {
        let rows = document[name].as_array().cloned().unwrap_or_default();
        text.push_str(&format!("\n{}", table(columns, &rows)));
    }
    text
}
