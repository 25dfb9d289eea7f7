//! The node's own HTTP: what it says about itself, and moving its partitions. Unknown fields are let pass: a newer node says more.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::failure::{Failure, Kind};

const ANSWER_BYTES_MAX: u64 = 64 << 20;

pub struct Node {
    url: String,
    agent: ureq::Agent,
}

/// `GET /wellhead/status`, as far as this tool looks into it.
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct NodeStatus {
    pub node: String,
    pub ready: bool,
    pub kafka: NodeKafka,
    pub partitions: Vec<NodePartition>,
    /// The document as it came.
    #[serde(skip)]
    pub document: Value,
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct NodeKafka {
    pub address: String,
    pub topic: String,
    pub cluster_id: String,
    /// With `<partition>` where each partition has a group of its own.
    pub group: String,
}

#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct NodePartition {
    pub partition: i32,
    /// The next offset that a synced frame does not cover yet.
    pub durable: Option<i64>,
    pub lag_records: Option<i64>,
    pub lag_seconds: Option<f64>,
}

/// Where a partition was put, as the node tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub struct Moved {
    pub partition: i32,
    pub from: Option<i64>,
    pub to: i64,
    pub generation: Option<u64>,
}

impl NodeStatus {
    /// # Errors
    /// It is not the document of a node.
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let document: Value = serde_json::from_slice(bytes)?;
        let mut status = Self::deserialize(&document)?;
        status.document = document;
        Ok(status)
    }

    /// Does the node commit this partition's progress under this group?
    pub fn owns(&self, group: &str, partition: i32) -> bool {
        self.kafka.group.replace("<partition>", &partition.to_string()) == group
            && self.partitions.iter().any(|own| own.partition == partition)
    }

    pub fn durable(&self, partition: i32) -> Option<i64> {
        self.partitions.iter().find(|own| own.partition == partition)?.durable
    }
}

impl Node {
    /// # Errors
    /// No URL.
    pub fn new(url: &str, timeout: Duration) -> Result<Self, Failure> {
        let url = url.trim_end_matches('/');
        let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        if !url.starts_with("http://") || url.len() == "http://".len() {
            return Err(Failure::usage(format!("--node {url:?} cannot be used: write http://HOST:PORT")));
        }
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(timeout))
            .timeout_connect(Some(timeout.min(Duration::from_secs(5))))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent(concat!("wellctl/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self { url, agent: config.into() })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// # Errors
    /// It does not answer, or something else does.
    pub fn status(&self) -> Result<NodeStatus, Failure> {
        let path = "/wellhead/status";
        let answer = self.agent.get(format!("{}{path}", self.url)).call();
        let (status, body) = self.read(path, answer)?;
        if status != 200 {
            return Err(Failure::failed(format!("{} answers {path} with {status}: it is no wellhead node", self.url)));
        }
        NodeStatus::parse(&body)
            .map_err(|error| Failure::failed(format!("{} answers {path} with something unreadable: {error}", self.url)))
    }

    /// Holds, resets and resumes partitions; each `to` is the next offset to consume.
    ///
    /// # Errors
    /// What the node says; nothing was changed then.
    pub fn reset(&self, moves: &[(i32, i64)]) -> Result<Vec<Moved>, Failure> {
        #[derive(Deserialize)]
        struct Done {
            partitions: Vec<Moved>,
        }
        let path = "/wellhead/partitions/reset";
        let partitions: Vec<Value> =
            moves.iter().map(|(partition, to)| json!({"partition": partition, "to": to})).collect();
        let request = self.agent.post(format!("{}{path}", self.url)).header("Content-Type", "application/json");
        let answer = request.send(json!({"partitions": partitions}).to_string());
        let (status, body) = self.read(path, answer)?;
        if status == 200 {
            let done: Result<Done, _> = serde_json::from_slice(&body);
            return done.map(|done| done.partitions).map_err(|error| {
                Failure::failed(format!("{} answers {path} with something unreadable: {error}", self.url))
            });
        }
        Err(refusal(&self.url, status, &body))
    }

    fn read(
        &self,
        path: &str,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<(u16, Vec<u8>), Failure> {
        let unreachable = |error: ureq::Error| {
            let reason = match error {
                ureq::Error::Io(error) => error.to_string(),
                other => other.to_string(),
            };
            Failure::unreachable(format!("cannot reach the node {}{path}: {reason}", self.url))
        };
        let mut answer = answer.map_err(unreachable)?;
        let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec().map_err(unreachable)?;
        Ok((answer.status().as_u16(), body))
    }
}

/// What a refusing answer means for us.
fn refusal(url: &str, status: u16, body: &[u8]) -> Failure {
    let document: Value = serde_json::from_slice(body).unwrap_or_default();
    let said = document["error"].as_str().map(str::to_owned);
    let said = said.unwrap_or_else(|| String::from_utf8_lossy(body).trim().chars().take(200).collect());
    let (kind, message) = match status {
        400 | 409 => (Kind::Refused, format!("the node {url} refuses: {said}")),
        404 if document["error"].is_null() => {
            (Kind::Failed, format!("the node {url} cannot be asked for this, it may be of an older release: {said}"))
        }
        404 => (Kind::NotFound, format!("the node {url} does not know it: {said}")),
        503 => (Kind::Unreachable, format!("the node {url} is not ready for this: {said}")),
        _ => (Kind::Failed, format!("the node {url} answers {status}: {said}")),
    };
    Failure::new(kind, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = r#"{"version":"0.1.0","pid":7,"node":"wellhead-0","target":"all","ready":true,"reason":null,
        "started_at_ms":1,"data_dir":"/d","kafka":{"address":"127.0.0.1:9092","embedded":true,"topic":"wellhead-ingest",
        "cluster_id":"c","topic_id":"t","group":"g-<partition>"},"partition_count":2,"shards":[],"partitions":[
        {"partition":1,"shard":0,"state":"consuming","reason":null,"generation":1,"log_start":0,"fetched":9,"applied":9,
        "durable":9,"committed_next":null,"committed_last_consumed":null,"high_watermark":9,"lag_records":0,"lag_seconds":0.0}]}"#;

    #[test]
    fn the_agreed_document_is_read() {
        let status = NodeStatus::parse(STATUS.as_bytes()).unwrap();
        assert_eq!((status.node.as_str(), status.ready, status.durable(1)), ("wellhead-0", true, Some(9)));
        assert_eq!(status.document["pid"], 7);
        for (group, partition, expected) in
            [("g-1", 1, true), ("g-2", 1, false), ("g-<partition>", 1, false), ("g-2", 2, false)]
        {
            assert_eq!(status.owns(group, partition), expected, "{group} {partition}");
        }
    }

    #[test]
    fn refusals_have_their_exit_code() {
        for (status, kind) in [
            (400, Kind::Refused),
            (409, Kind::Refused),
            (404, Kind::NotFound),
            (503, Kind::Unreachable),
            (500, Kind::Failed),
        ] {
            let failure = refusal("http://n", status, br#"{"error":"one sentence"}"#);
            assert_eq!(failure.kind, kind);
            assert!(failure.message.contains("one sentence"), "{}", failure.message);
        }
        assert!(refusal("http://n", 502, b"<html>").message.contains("<html>"));
    }
}
