//! The node's Kafka as another client sees it: rskafka reads the records of a run back, or writes a backlog of them.
//!
//! Counts by itself what the node should have, so that a node which counts wrongly is found out. rskafka has no timeouts of its
//! own and retries for hours, hence the timeout around every call.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use rskafka::client::partition::{Compression, OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use rskafka::record::Record;
use wire::{RecordSeries, RecordVersion, RecordVisitor, VERSION_HEADER, walk_record};

use crate::failure::Failure;
use crate::fleet::RUN_LABEL;

const TIMEOUT: Duration = Duration::from_secs(30);
const FETCH_BYTES_MAX: i32 = 8 << 20;
const FETCH_WAIT_MS: i32 = 500;
/// The tenant of a node without tenants.
const TENANT: &[u8] = b"anonymous";

/// A topic and its partitions.
pub struct Topic {
    runtime: tokio::runtime::Runtime,
    partitions: BTreeMap<i32, PartitionClient>,
}

/// The next offset of each partition.
pub type Offsets = BTreeMap<i32, i64>;

/// What lies between two marks of a topic.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Found {
    pub records: u64,
    /// Of records as they are before compression: keys, values and headers.
    pub record_bytes: u64,
    /// Samples of the run's series.
    pub samples: u64,
}

impl Topic {
    /// # Errors
    /// Nobody answers there, or it has no such topic.
    pub fn connect(address: &str, name: &str) -> Result<Self, Failure> {
        let runtime = runtime(address)?;
        let partitions = runtime.block_on(async {
            let client = within(address, ClientBuilder::new(vec![address.to_owned()]).build()).await?;
            partitions_of(&client, address, name).await
        })?;
        if partitions.is_empty() {
            return Err(Failure::not_found(format!("the Kafka at {address} has no topic {name}")));
        }
        Ok(Self { runtime, partitions })
    }

    /// The first offset that any partition may have.
    pub fn starts(&self) -> Offsets {
        self.partitions.keys().map(|partition| (*partition, 0)).collect()
    }

    /// Where each partition ends now.
    ///
    /// # Errors
    /// Kafka does not answer.
    pub fn ends(&self) -> Result<Offsets, Failure> {
        let mut ends = Offsets::new();
        for (partition, client) in &self.partitions {
            let end = self.runtime.block_on(within("an offset", client.get_offset(OffsetAt::Latest)))?;
            ends.insert(*partition, end);
        }
        Ok(ends)
    }

    /// Reads everything between two marks and counts the samples of a run's series.
    ///
    /// # Errors
    /// Kafka does not answer, or has a record that cannot be decoded.
    pub fn count(&self, from: &Offsets, to: &Offsets, run: &str) -> Result<Found, Failure> {
        let mut counter = Counter { run: run_label_bytes(run), samples: 0 };
        let (mut found, mut scratch) = (Found::default(), Vec::new());
        for (partition, client) in &self.partitions {
            let end = to.get(partition).copied().unwrap_or(0);
            let mut next = from.get(partition).copied().unwrap_or(0);
            while next < end {
                let fetched = client.fetch_records(next, 1..FETCH_BYTES_MAX, FETCH_WAIT_MS);
                let (records, _) = self.runtime.block_on(within("a fetch", fetched))?;
                if records.is_empty() {
                    return Err(Failure::failed(format!(
                        "partition {partition} gives nothing at {next}, before its end {end}"
                    )));
                }
                for record in records.iter().filter(|record| (next..end).contains(&record.offset)) {
                    found.records += 1;
                    found.record_bytes += record.record.approximate_size() as u64;
                    let value = record.record.value.as_deref().unwrap_or_default();
                    let header = record.record.headers.get(VERSION_HEADER).map(Vec::as_slice);
                    let walked = RecordVersion::from_header(header)
                        .and_then(|version| walk_record(version, value, &mut scratch, &mut counter));
                    walked.map_err(|error| {
                        Failure::failed(format!("partition {partition}, offset {}: {error}", record.offset))
                    })?;
                }
                next = records.last().map_or(end, |last| last.offset + 1);
            }
        }
        found.samples = counter.samples;
        Ok(found)
    }

    /// Numbers of the partitions, in order.
    pub fn partitions(&self) -> Vec<i32> {
        self.partitions.keys().copied().collect()
    }

    /// Writes records of version 1 as one batch.
    ///
    /// # Errors
    /// Kafka does not take them.
    pub fn produce(&self, partition: i32, values: Vec<Vec<u8>>) -> Result<(), Failure> {
        let client = self.partitions.get(&partition).ok_or_else(|| Failure::not_found("no such partition"))?;
        let header = RecordVersion::V1.header().expect("version 1 has a header").to_vec();
        let timestamp = chrono::DateTime::from_timestamp_millis(now_ms()).unwrap_or_default();
        let records = values.into_iter().map(|value| Record {
            key: Some(TENANT.to_vec()),
            value: Some(value),
            headers: [(VERSION_HEADER.to_owned(), header.clone())].into(),
            timestamp,
        });
        let produced = client.produce(records.collect(), Compression::Snappy);
        self.runtime.block_on(within("a produce request", produced)).map(drop)
    }
}

/// Makes a topic with one replica.
///
/// # Errors
/// Kafka does not answer, or refuses.
pub fn create_topic(address: &str, name: &str, partitions: u32) -> Result<(), Failure> {
    runtime(address)?.block_on(async {
        let client = within(address, ClientBuilder::new(vec![address.to_owned()]).build()).await?;
        let controller =
            client.controller_client().map_err(|error| Failure::failed(format!("Kafka fails: {error}")))?;
        let timeout_ms = TIMEOUT.as_millis() as i32;
        within("creating a topic", controller.create_topic(name, partitions as i32, 1, timeout_ms)).await
    })
}

/// A runtime of this thread, for a Kafka that is there.
fn runtime(address: &str) -> Result<tokio::runtime::Runtime, Failure> {
    // rskafka would try a closed port again until the timeout.
    std::net::TcpStream::connect(address)
        .map_err(|error| Failure::unreachable(format!("cannot reach the Kafka at {address}: {error}")))?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start a thread's runtime: {error}")))
}

async fn partitions_of(client: &Client, address: &str, name: &str) -> Result<BTreeMap<i32, PartitionClient>, Failure> {
    let topics = within(address, client.list_topics()).await?;
    let mut partitions = BTreeMap::new();
    for topic in topics.into_iter().filter(|topic| topic.name == name) {
        for partition in topic.partitions.iter().copied() {
            let connected = client.partition_client(name, partition, UnknownTopicHandling::Error);
            partitions.insert(partition, within(address, connected).await?);
        }
    }
    Ok(partitions)
}

/// Waits, but not for ever.
async fn within<T, E: std::fmt::Display>(what: &str, future: impl Future<Output = Result<T, E>>) -> Result<T, Failure> {
    match tokio::time::timeout(TIMEOUT, future).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Failure::failed(format!("Kafka fails ({what}): {error}"))),
        Err(_) => Err(Failure::unreachable(format!("Kafka does not answer within {} s ({what})", TIMEOUT.as_secs()))),
    }
}

/// Counts the samples of series that have the run's label.
struct Counter {
    run: Vec<u8>,
    samples: u64,
}

impl RecordVisitor for Counter {
    fn series(&mut self, series: RecordSeries<'_>) {
        if series.labels.windows(self.run.len()).any(|window| window == self.run) {
            self.samples += u64::from(series.sample_count);
        }
    }
}

/// The bytes of the run's label, as they stand among a series' labels.
fn run_label_bytes(run: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    model::encode_labels([(RUN_LABEL, run)].into_iter(), &mut bytes);
    bytes
}

pub fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("the clock is behind 1970").as_millis() as i64
}
