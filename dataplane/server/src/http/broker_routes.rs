//! What a process with `--target=broker` answers: that it is there, its metrics, its configuration. Everything else is refused
//! with the reason.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use serde_json::json;

use super::answer::{self, Answer, text};
use super::status::config_yaml;
use crate::node::BrokerNode;

/// Answers one request.
pub async fn answer_broker(node: Arc<BrokerNode>, request: Request<Incoming>) -> Answer {
    let path = request.uri().path();
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    match path {
        _ if !is_read => refuse(path),
        "/" => text(
            StatusCode::OK,
            "wellhead as a broker only\n\nGET  /ready\nGET  /-/healthy\nGET  /metrics\nGET  /config\nGET  /wellhead/status",
        ),
        "/healthy" | "/-/healthy" => text(StatusCode::OK, "wellhead is alive"),
        "/ready" | "/-/ready" => {
            let address = &node.kafka_address;
            text(
                StatusCode::OK,
                &format!("ready\n\nkafka      {address} topic {}\nroles      broker", node.options.kafka.topic),
            )
        }
        "/metrics" => answer::of(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", node.metrics().to_text()),
        "/config" => answer::of(StatusCode::OK, "application/yaml", config_yaml(&node.values)),
        "/wellhead/status" => answer::of(StatusCode::OK, "application/json", status(&node).to_string()),
        _ => refuse(path),
    }
}

fn refuse(path: &str) -> Answer {
    text(
        StatusCode::NOT_FOUND,
        &format!("{path} is not answered by a broker only (--target=broker); start the node without that"),
    )
}

/// The form of a node's document, without shards and partitions: nobody consumes.
fn status(node: &BrokerNode) -> serde_json::Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "node": node.node_id,
        "target": "broker",
        "ready": true,
        "reason": null,
        "started_at_ms": node.started_unix_ms,
        "data_dir": node.data_dir,
        "kafka": {
            "address": node.kafka_address,
            "embedded": true,
            "topic": node.options.kafka.topic,
            "cluster_id": node.topic.cluster_id,
            "topic_id": uuid::Uuid::from_bytes(node.topic.topic_id).to_string(),
            "group": node.options.kafka.group,
        },
        "partition_count": node.topic.partitions,
        "shards": [],
        "partitions": [],
    })
}
