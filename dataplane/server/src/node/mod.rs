//! A node: what all its threads share, and how it is put together, watched and stopped.
//!
//! `start` is the order of assembly, `embedded` the broker inside, `shard` one core's two threads, `stop` the way down.

mod broker_only;
mod companion;
mod embedded;
mod readiness;
mod shard;
mod slots;
mod start;
mod storage;
mod topic_watch;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use broker::BrokerHandle;
use ingest::consumer::ShardHandle;
use ingest::distributor::DistributorCounters;
use kafka::{ProducerCounters, TopicInfo};
use query::QueryPool;
use query::api::ApiOptions;

use crate::config::{Options, Values};
use crate::inflight::Budget;
use crate::logging::LogLevel;
use crate::metrics::Latencies;

pub use broker_only::BrokerNode;
pub use start::run;

use storage::NodeStorage;
use topic_watch::SeenPartitions;

/// Shared by all threads of a node; everything in it may be read at any time.
pub struct Node {
    pub options: Options,
    pub values: Values,
    pub log_level: LogLevel,
    pub topic: TopicInfo,
    pub http_address: SocketAddr,
    /// Where Kafka is: the embedded broker, or the configured seeds.
    pub kafka_address: String,
    pub broker: Option<BrokerHandle>,
    pub shards: Vec<ShardHandle>,
    pub cores: Vec<Core>,
    pub queries: QueryPool,
    pub storage: NodeStorage,
    pub api: ApiOptions,
    pub inflight: Budget,
    /// One order to move partitions at a time.
    pub resets: tokio::sync::Mutex<()>,
    pub started_unix_ms: i64,
    pub data_dir: PathBuf,
    /// The name by which its commits are known.
    pub node_id: String,
    seen_partitions: SeenPartitions,
    was_ready: AtomicBool,
    is_stopping: AtomicBool,
}

/// What one companion counts.
#[derive(Clone)]
pub struct Core {
    pub cpu: usize,
    pub distributor: Arc<DistributorCounters>,
    pub producer: Arc<ProducerCounters>,
    pub latencies: Arc<Latencies>,
}

impl Node {
    /// From here on `/ready` is red, so that load balancers look elsewhere.
    pub fn begin_stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
    }

    /// Why queries are not answered: an answer of a part would pass for the whole. A node that was ready once goes on
    /// answering through outages; `/ready` and the metrics tell.
    #[must_use]
    pub fn query_refusal(&self) -> Option<String> {
        if !self.was_ready.load(Ordering::Acquire) {
            let reason = self.unready_reasons().into_iter().next();
            return Some(format!("the node is not ready yet: {}", reason.as_deref().unwrap_or("it is starting")));
        }
        self.missing_partitions()
    }

    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }
}
