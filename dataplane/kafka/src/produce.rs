//! Producing through rskafka with acks=all, batched by partition.
//!
//! Local to one companion. One produce per partition is in flight, so that a retry can never overtake; what arrives
//! meanwhile waits and goes together. rskafka 0.6 keeps a stale leader and a half-open connection, so after NOT_LEADER, a
//! time-out or a broken connection its client is dropped and built anew.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rskafka::BackoffConfig;
use rskafka::client::error::{Error as RsError, ProtocolError};
use rskafka::client::partition::{PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client as RsClient, ClientBuilder};
use rskafka::record::Record;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::{Compression, KafkaOptions};

/// A record to produce.
#[derive(Clone, Debug)]
pub struct ProduceRecord {
    pub partition: i32,
    pub key: Bytes,
    pub value: Bytes,
    pub headers: Vec<(&'static str, Bytes)>,
    pub timestamp_ms: i64,
}

/// How records are gathered and how long they may take.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProducerOptions {
    /// How long a record waits for company.
    pub linger: Duration,
    pub compression: Compression,
    /// Bytes waiting for an acknowledgement.
    pub buffered_bytes_max: u64,
    /// Bytes of one produce request; a single larger record still goes alone.
    pub batch_bytes_max: usize,
    /// From hand-over to acknowledgement, retries included.
    pub timeout: Duration,
}

/// Why records were not acknowledged.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProduceError {
    /// Nothing was sent.
    #[error("too much is waiting for Kafka already")]
    BufferFull,
    /// The broker takes no message of this size.
    #[error("Kafka refuses a message of this size; its message.max.bytes must be at least 16000000")]
    TooLarge,
    /// Time ran out; the records may or may not be stored.
    #[error("Kafka did not confirm within {timeout_ms} ms: {last}")]
    TimedOut { timeout_ms: u64, last: String },
    /// Kafka refuses for good.
    #[error("Kafka refuses to store: {0}")]
    Refused(String),
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopping,
}

/// All since the start, gauges where named. Written by one thread, read by any.
#[derive(Default, Debug)]
pub struct ProducerCounters {
    pub records: AtomicU64,
    pub bytes: AtomicU64,
    pub requests: AtomicU64,
    pub failures: AtomicU64,
    pub retries: AtomicU64,
    pub refused_full: AtomicU64,
    /// Gauge.
    pub buffered_bytes: AtomicU64,
}

/// Cheap to clone; all clones share one thread's buffers.
#[derive(Clone)]
pub struct Producer(Rc<Shared>);

struct Shared {
    kafka: KafkaOptions,
    options: ProducerOptions,
    counters: Arc<ProducerCounters>,
    partitions: RefCell<HashMap<i32, Rc<Queue>>>,
    client: RefCell<Option<Rc<RsClient>>>,
    buffered_bytes: Cell<u64>,
}

/// Records that wait for one partition.
#[derive(Default)]
struct Queue {
    waiting: RefCell<Vec<Waiting>>,
    is_busy: Cell<bool>,
    client: RefCell<Option<Rc<PartitionClient>>>,
}

struct Waiting {
    record: Record,
    bytes: usize,
    deadline: Instant,
    done: oneshot::Sender<Result<(), ProduceError>>,
}

impl Producer {
    /// Connects at the first record. Must be used inside a tokio `LocalSet`.
    #[must_use]
    pub fn new(kafka: KafkaOptions, options: ProducerOptions) -> Self {
        Self(Rc::new(Shared {
            kafka,
            options,
            counters: Arc::default(),
            partitions: RefCell::default(),
            client: RefCell::default(),
            buffered_bytes: Cell::new(0),
        }))
    }

    #[must_use]
    pub fn counters(&self) -> Arc<ProducerCounters> {
        self.0.counters.clone()
    }

    /// Resolves when Kafka has confirmed every record.
    ///
    /// # Errors
    /// See [`ProduceError`]: the first that any record met. Other records of the call may have been stored.
    pub async fn produce(&self, records: Vec<ProduceRecord>) -> Result<(), ProduceError> {
        let shared = &self.0;
        let bytes: u64 = records.iter().map(|record| size_of_record(record) as u64).sum();
        let buffered = shared.buffered_bytes.get();
        // A single call larger than the buffer may pass when nothing else waits: it could never pass otherwise.
        if buffered > 0 && buffered + bytes > shared.options.buffered_bytes_max {
            shared.counters.refused_full.fetch_add(1, Ordering::Relaxed);
            return Err(ProduceError::BufferFull);
        }
        let deadline = Instant::now() + shared.options.timeout;
        let confirmations: Vec<_> =
            records.into_iter().map(|record| shared.clone().enqueue(record, deadline)).collect();
        let mut result = Ok(());
        for confirmation in confirmations {
            let confirmed = confirmation.await.unwrap_or(Err(ProduceError::Stopping));
            result = result.and(confirmed);
        }
        result
    }
}

fn size_of_record(record: &ProduceRecord) -> usize {
    record.key.len() + record.value.len() + 64
}

impl Shared {
    fn enqueue(
        self: Rc<Self>,
        record: ProduceRecord,
        deadline: Instant,
    ) -> oneshot::Receiver<Result<(), ProduceError>> {
        let (done, confirmation) = oneshot::channel();
        let bytes = size_of_record(&record);
        let partition = record.partition;
        self.count_buffered(bytes as i64);
        let queue = self.partitions.borrow_mut().entry(partition).or_default().clone();
        let record = Record {
            key: Some(record.key.into()),
            value: Some(record.value.into()),
            headers: record
                .headers
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect::<BTreeMap<_, _>>(),
            timestamp: chrono::DateTime::from_timestamp_millis(record.timestamp_ms).unwrap_or_default(),
        };
        queue.waiting.borrow_mut().push(Waiting { record, bytes, deadline, done });
        if !queue.is_busy.replace(true) {
            tokio::task::spawn_local(async move { self.drain(partition, &queue).await });
        }
        confirmation
    }

    fn count_buffered(&self, change: i64) {
        let bytes = self.buffered_bytes.get().saturating_add_signed(change);
        self.buffered_bytes.set(bytes);
        self.counters.buffered_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Sends what waits, batch after batch, until nothing does.
    async fn drain(&self, partition: i32, queue: &Queue) {
        loop {
            tokio::time::sleep(self.options.linger).await;
            let batch = self.take_batch(queue);
            if batch.is_empty() {
                queue.is_busy.set(false);
                return;
            }
            let bytes: usize = batch.iter().map(|waiting| waiting.bytes).sum();
            let result = self.send(partition, queue, &batch).await;
            self.counters.records.fetch_add(batch.len() as u64, Ordering::Relaxed);
            self.counters.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
            if result.is_err() {
                self.counters.failures.fetch_add(1, Ordering::Relaxed);
            }
            self.count_buffered(-(bytes as i64));
            for waiting in batch {
                let _ = waiting.done.send(result.clone());
            }
        }
    }

    fn take_batch(&self, queue: &Queue) -> Vec<Waiting> {
        let mut waiting = queue.waiting.borrow_mut();
        let mut bytes = 0;
        let fitting = waiting
            .iter()
            .take_while(|record| {
                bytes += record.bytes;
                bytes <= self.options.batch_bytes_max
            })
            .count();
        let count = fitting.max(1).min(waiting.len());
        waiting.drain(..count).collect()
    }

    /// Retries until the batch's earliest deadline. The partition's queue waits meanwhile, so nothing overtakes.
    async fn send(&self, partition: i32, queue: &Queue, batch: &[Waiting]) -> Result<(), ProduceError> {
        const PAUSE_MAX: Duration = Duration::from_secs(1);
        let deadline = batch.iter().map(|waiting| waiting.deadline).min().expect("a batch has records");
        let mut pause = Duration::from_millis(20);
        let mut last = "no attempt was made in time".to_owned();
        while Instant::now() < deadline {
            self.counters.requests.fetch_add(1, Ordering::Relaxed);
            let records: Vec<Record> = batch.iter().map(|waiting| waiting.record.clone()).collect();
            let attempt = tokio::time::timeout_at(deadline, self.attempt(partition, queue, records)).await;
            match attempt {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(Failure::Final(error))) => return Err(error),
                Ok(Err(Failure::Retry(reason))) => last = reason,
                Err(_) => last = "the broker did not answer".to_owned(),
            }
            // Whatever it was: the next attempt finds leaders and connections anew.
            *queue.client.borrow_mut() = None;
            *self.client.borrow_mut() = None;
            self.counters.retries.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep_until((Instant::now() + pause).min(deadline)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        Err(ProduceError::TimedOut { timeout_ms: self.options.timeout.as_millis() as u64, last })
    }

    async fn attempt(&self, partition: i32, queue: &Queue, records: Vec<Record>) -> Result<(), Failure> {
        use rskafka::client::partition::Compression as Rs;
        let compression = match self.options.compression {
            Compression::None => Rs::NoCompression,
            Compression::Gzip => Rs::Gzip,
            Compression::Snappy => Rs::Snappy,
            Compression::Lz4 => Rs::Lz4,
            Compression::Zstd => Rs::Zstd,
        };
        let client = self.partition_client(partition, queue).await?;
        let produced = tokio::time::timeout(self.kafka.request_timeout, client.produce(records, compression)).await;
        produced.map_err(|_| Failure::Retry("the broker did not answer".to_owned()))?.map(|_| ()).map_err(Failure::from)
    }

    async fn partition_client(&self, partition: i32, queue: &Queue) -> Result<Rc<PartitionClient>, Failure> {
        if let Some(client) = queue.client.borrow().clone() {
            return Ok(client);
        }
        let client = self.rs_client().await?;
        let topic = self.kafka.topic.clone();
        let made = client.partition_client(topic, partition, UnknownTopicHandling::Error);
        let made = tokio::time::timeout(self.kafka.request_timeout, made).await;
        let made = made.map_err(|_| Failure::Retry("the broker did not answer".to_owned()))?.map_err(Failure::from)?;
        let made = Rc::new(made);
        *queue.client.borrow_mut() = Some(made.clone());
        Ok(made)
    }

    async fn rs_client(&self) -> Result<Rc<RsClient>, Failure> {
        if let Some(client) = self.client.borrow().clone() {
            return Ok(client);
        }
        // One short attempt: the loop in `send` is the one owner of retries, and rskafka's own would never end.
        let backoff = BackoffConfig {
            init_backoff: Duration::from_millis(10),
            max_backoff: Duration::from_millis(100),
            base: 2.0,
            deadline: Some(self.kafka.dial_timeout),
        };
        let build = ClientBuilder::new(self.kafka.addresses.clone())
            .client_id(self.kafka.client_id.clone())
            .max_message_size(self.options.batch_bytes_max + (1 << 20))
            .backoff_config(backoff)
            .build();
        let built = tokio::time::timeout(self.kafka.dial_timeout, build).await;
        let client =
            built.map_err(|_| Failure::Retry("no broker can be reached".to_owned()))?.map_err(Failure::from)?;
        let client = Rc::new(client);
        *self.client.borrow_mut() = Some(client.clone());
        Ok(client)
    }
}

enum Failure {
    Retry(String),
    Final(ProduceError),
}

impl From<RsError> for Failure {
    fn from(error: RsError) -> Self {
        match &error {
            RsError::ServerError { protocol_error, .. } => match protocol_error {
                ProtocolError::MessageTooLarge | ProtocolError::RecordListTooLarge => {
                    Self::Final(ProduceError::TooLarge)
                }
                ProtocolError::CorruptMessage
                | ProtocolError::InvalidRecord
                | ProtocolError::TopicAuthorizationFailed
                | ProtocolError::ClusterAuthorizationFailed => Self::Final(ProduceError::Refused(error.to_string())),
                _ => Self::Retry(error.to_string()),
            },
            _ => Self::Retry(error.to_string()),
        }
    }
}
