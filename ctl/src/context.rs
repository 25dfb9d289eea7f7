//! What a command knows about where to ask: the node, Kafka, the topic. Found out when first needed.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kafka::KafkaOptions;
use serde::Deserialize;

use crate::arguments::Global;
use crate::cluster::Cluster;
use crate::failure::{Failure, Kind};
use crate::node::{Node, NodeStatus};
use crate::output::Output;
use crate::time;

const NODE_DEFAULT: &str = "http://127.0.0.1:8080";

pub struct Context {
    pub output: Output,
    pub now_ms: i64,
    data_dir: Option<PathBuf>,
    /// None where the data folder says that no node runs: not everything needs one.
    node: Result<Node, Failure>,
    /// Given, or told by node.json.
    kafka_addresses: Vec<String>,
    timeout: Duration,
    status: OnceCell<Result<NodeStatus, Failure>>,
}

/// What a node tells about itself in its data folder.
#[derive(Deserialize)]
struct NodeFile {
    http: String,
    kafka: String,
}

impl Context {
    /// # Errors
    /// A value that cannot be used.
    pub fn new(global: Global) -> Result<Self, Failure> {
        let timeout_ms = time::parse_duration_ms(&global.timeout)
            .ok()
            .filter(|ms| *ms > 0)
            .ok_or_else(|| Failure::usage(format!("--timeout {:?} is no duration: write 10s", global.timeout)))?;
        let timeout = Duration::from_millis(timeout_ms as u64);
        let mut kafka_addresses = global.kafka_address;
        if let Some(wrong) = kafka_addresses.iter().find(|address| !is_address(address)) {
            return Err(Failure::usage(format!("--kafka-address {wrong:?} is no address: write HOST:PORT")));
        }
        let file = global.data_dir.as_deref().map(read_node_file);
        if let (Some(Ok(file)), true) = (&file, kafka_addresses.is_empty()) {
            kafka_addresses = file.kafka.split(',').map(str::to_owned).collect();
        }
        let node = match (file, global.node) {
            (Some(Err(failure)), _) => Err(failure),
            (Some(Ok(file)), _) => Ok(Node::new(&file.http, timeout)?),
            (None, url) => Ok(Node::new(url.as_deref().unwrap_or(NODE_DEFAULT), timeout)?),
        };
        Ok(Self {
            output: Output { format: global.output },
            now_ms: time::now_ms(),
            data_dir: global.data_dir,
            node,
            kafka_addresses,
            timeout,
            status: OnceCell::new(),
        })
    }

    /// # Errors
    /// No node runs on the data folder.
    pub fn node(&self) -> Result<&Node, Failure> {
        self.node.as_ref().map_err(Clone::clone)
    }

    pub fn data_dir(&self) -> Option<&Path> {
        self.data_dir.as_deref()
    }

    /// What the node says about itself, asked once.
    ///
    /// # Errors
    /// It does not answer.
    pub fn status(&self) -> Result<&NodeStatus, Failure> {
        self.status.get_or_init(|| self.node()?.status()).as_ref().map_err(Clone::clone)
    }

    /// The topic: as given, else the node's.
    ///
    /// # Errors
    /// Neither is there.
    pub fn topic(&self, given: Option<&str>) -> Result<String, Failure> {
        match given {
            Some(topic) => Ok(topic.to_owned()),
            None => self.status().map(|status| status.kafka.topic.clone()).map_err(|failure| {
                Failure::new(failure.kind, format!("{}; say which topic with --topic", failure.message))
            }),
        }
    }

    /// Kafka, with one topic in view.
    ///
    /// # Errors
    /// Its address is not given, and the node cannot be asked for it.
    pub fn cluster(&self, topic: &str) -> Result<Cluster, Failure> {
        Ok(Cluster::new(self.kafka_options(topic)?))
    }

    fn kafka_options(&self, topic: &str) -> Result<KafkaOptions, Failure> {
        let addresses = if self.kafka_addresses.is_empty() {
            let status = self.status().map_err(|failure| match failure.kind {
                Kind::Unreachable => Failure::unreachable(format!(
                    "{}; say where Kafka is with --kafka-address, or where the node is with --node or --data-dir",
                    failure.message
                )),
                _ => failure,
            })?;
            status.kafka.address.split(',').map(str::to_owned).collect()
        } else {
            self.kafka_addresses.clone()
        };
        Ok(KafkaOptions {
            addresses,
            client_id: "wellctl".to_owned(),
            topic: topic.to_owned(),
            dial_timeout: self.timeout.min(Duration::from_secs(5)),
            request_timeout: self.timeout,
        })
    }
}

fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn read_node_file(data_dir: &Path) -> Result<NodeFile, Failure> {
    let path = data_dir.join("node.json");
    let bytes = std::fs::read(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Failure::unreachable(format!("no ready node runs on {}: there is no node.json", data_dir.display()))
        }
        _ => Failure::failed(format!("cannot read {}: {error}", path.display())),
    })?;
    serde_json::from_slice(&bytes).map_err(|error| Failure::failed(format!("cannot read {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_port() {
        for (text, expected) in
            [("a:9092", true), ("[::1]:9092", true), ("a", false), (":1", false), ("a:0", false), ("a:x", false)]
        {
            assert_eq!(is_address(text), expected, "{text}");
        }
    }
}
