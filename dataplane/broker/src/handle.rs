//! The door to a running broker for other threads: the network's, and those of the process around it.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use uuid::Uuid;

use crate::counters::BrokerCounters;
use crate::error::Refusal;
use crate::limits;
use crate::log::request::{Change, CreateMode, NewTopic, Read, Request, TopicRef};
use crate::log::topic_configs::TopicConfigs;

/// Asks the log. Cheap to clone; the log ends when the last one is dropped.
#[derive(Clone, Debug)]
pub struct BrokerHandle {
    requests: mpsc::Sender<Request>,
    counters: Arc<BrokerCounters>,
    stopping: Arc<watch::Sender<bool>>,
}

/// The log's end of the door, for [`crate::BrokerLog::run`].
#[derive(Debug)]
pub struct Inbox {
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) counters: Arc<BrokerCounters>,
}

/// A topic as it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicDescription {
    pub name: Arc<str>,
    pub id: Uuid,
    pub partition_count: i32,
}

/// Where a partition begins and ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartitionOffsets {
    /// The first offset that is still there.
    pub start: i64,
    /// The offset after the last synced record.
    pub high_watermark: i64,
}

/// Makes the door before there is a log, so that its two ends can go to two threads.
#[must_use]
pub fn channel() -> (BrokerHandle, Inbox) {
    let (sender, receiver) = mpsc::channel(limits::INBOX_REQUESTS_MAX);
    let counters = Arc::new(BrokerCounters::default());
    let stopping = Arc::new(watch::Sender::new(false));
    (
        BrokerHandle { requests: sender, counters: Arc::clone(&counters), stopping },
        Inbox { requests: receiver, counters },
    )
}

impl BrokerHandle {
    /// Counters, readable at any time.
    #[must_use]
    pub fn counters(&self) -> &Arc<BrokerCounters> {
        &self.counters
    }

    /// Creates a topic, or finds it: an existing one keeps its number of partitions, which the answer tells.
    pub async fn create_topic(&self, name: &str, partition_count: i32) -> Result<TopicDescription, Refusal> {
        let new =
            NewTopic { name: name.into(), partition_count, configs: TopicConfigs::default(), mode: CreateMode::Ensure };
        self.ask(|answer| Request::Change(Change::CreateTopic(new, answer))).await?
    }

    /// Tells how far a partition may be forgotten: records below `offset` are not needed any more.
    pub async fn set_retention_floor(&self, topic: &str, partition: i32, offset: i64) -> Result<(), Refusal> {
        let topic = TopicRef::Name(topic.into());
        self.send(Request::Change(Change::RetentionFloor { topic, partition, offset })).await
    }

    /// Begin and end of each partition of each topic.
    pub async fn offsets(&self) -> Result<Vec<(String, Vec<PartitionOffsets>)>, Refusal> {
        self.ask(|answer| Request::Read(Read::Marks(answer))).await
    }

    /// Ends the broker: no new connection, answers on their way are sent, what was written is synced.
    pub async fn shutdown(&self) {
        self.stopping.send_replace(true);
        // A log that is gone already has nothing left to sync.
        let _ = self.ask(Request::Stop).await;
    }

    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    /// Sends a request; the answer comes through what it carries.
    pub(crate) async fn send(&self, request: Request) -> Result<(), Refusal> {
        self.requests.send(request).await.map_err(|_| Refusal::Stopping)
    }

    /// Sends a request and waits for the answer.
    pub(crate) async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, Refusal> {
        let (answer, answered) = oneshot::channel();
        self.send(request(answer)).await?;
        answered.await.map_err(|_| Refusal::Stopping)
    }
}

/// Memory for the answers to fetches, in KiB, shared by the log that reads and the network that sends.
pub(crate) fn memory_permits(bytes_max: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(bytes_max.div_ceil(1 << 10)))
}

/// The permits of [`memory_permits`] for so many bytes.
pub(crate) fn permits_of(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1 << 10)).expect("everything in memory is far smaller")
}
