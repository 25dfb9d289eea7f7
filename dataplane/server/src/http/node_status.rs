//! `GET /wellhead/status`: the node, its shards and its partitions as one JSON document, for tools. Flat snake_case names; offsets
//! are the next to do, except where the name says otherwise; what is not known is null.

use hyper::StatusCode;
use ingest::consumer::{PartitionSnapshot, ShardReport};
use model::ShardId;
use serde_json::{Value, json};

use super::answer::{self, Answer};
use crate::clock::now_ms;
use crate::node::Node;

pub async fn answer(node: &Node) -> Answer {
    let reports = node.reports().await;
    answer::of(StatusCode::OK, "application/json", document(node, &reports).to_string())
}

fn document(node: &Node, reports: &[ShardReport]) -> Value {
    let mut reasons = node.unready_reasons();
    let is_ready = reasons.is_empty();
    reasons.extend(node.missing_partitions());
    let options = &node.options.kafka;
    let shards = node.shards.iter().enumerate().map(|(index, handle)| {
        let report = reports.iter().find(|report| report.shard == ShardId(index as u16));
        json!({
            "shard": index,
            "cpu": node.cores[index].cpu,
            "durable_lsn": handle.durable_lsn(),
            "series": report.map(|report| report.store.series),
            "memory_bytes": report.map(|report| report.store.bytes.stored()),
            "wal_bytes": report.and_then(|report| report.store.wal_file_bytes),
        })
    });
    let mut partitions: Vec<(usize, PartitionSnapshot)> = Vec::new();
    for (shard, handle) in node.shards.iter().enumerate() {
        partitions.extend(handle.partitions().iter().map(|state| (shard, state.snapshot())));
    }
    partitions.sort_by_key(|(_, snapshot)| snapshot.partition);
    let now_ms = now_ms();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "node": node.node_id,
        "target": node.values["target"].text,
        "ready": is_ready,
        "reason": reasons.first(),
        "started_at_ms": node.started_unix_ms,
        "data_dir": node.data_dir,
        "kafka": {
            "address": node.kafka_address,
            "embedded": node.broker.is_some(),
            "topic": options.topic,
            "cluster_id": node.topic.cluster_id,
            "topic_id": uuid::Uuid::from_bytes(node.topic.topic_id).to_string(),
            "group": options.group,
        },
        "partition_count": node.topic.partitions,
        "shards": shards.collect::<Vec<_>>(),
        "partitions": partitions.iter().map(|(shard, snapshot)| partition(*shard, snapshot, now_ms)).collect::<Vec<_>>(),
    })
}

fn partition(shard: usize, snapshot: &PartitionSnapshot, now_ms: i64) -> Value {
    let offset = |mark: Option<model::Offset>| mark.map(|offset| offset.0);
    // Nothing to read: no lag, however old the last record is.
    let lag_seconds = match snapshot.lag {
        Some(0) => Some(0.0),
        _ => snapshot.last_record_ms.map(|last_ms| (now_ms - last_ms).max(0) as f64 / 1000.0),
    };
    json!({
        "partition": snapshot.partition.0,
        "shard": shard,
        "state": snapshot.health.as_label(),
        "reason": snapshot.health.reason(),
        "generation": snapshot.generation,
        "log_start": offset(snapshot.log_start),
        "fetched": offset(snapshot.fetched),
        "applied": offset(snapshot.applied),
        "durable": offset(snapshot.durable),
        "committed_next": offset(snapshot.committed),
        "committed_last_consumed": snapshot.committed.filter(|next| next.0 > 0).map(|next| next.0 - 1),
        "high_watermark": offset(snapshot.high_watermark),
        "lag_records": snapshot.lag,
        "lag_seconds": lag_seconds,
    })
}
