//! A broker and a node's shard on simulated disks, in one tokio `LocalSet`; each can be stopped and started again.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use broker::{BrokerHandle, BrokerLog, BrokerOptions, LogBudget, Retention, RetentionFloor};
use bytes::Bytes;
use disk::SimDisk;
use ingest::consumer::{
    BatchSink, BatchSource, FetchOptions, Fetching, FetchingError, RawBatch, ReadBudget, ShardHandle, ShardLoop,
    ShardOptions, StartPosition, shard_channel,
};
use kafka::{
    Client, CommitStamp, CommittedOffset, Compression, KafkaOptions, OffsetAt, OffsetFound, ProduceRecord, Producer,
    ProducerOptions,
};
use model::{FingerprintKey, MatchOp, Matcher, PartitionId, Sample, ShardId, TenantId, TimeRange, encode_labels};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, LocalSet};
use tsdb::checkpoint::CheckpointOptions;
use tsdb::chunk::decode_xor;
use tsdb::head::HeadOptions;
use tsdb::read::SelectRequest;
use tsdb::recovery::survey;
use tsdb::store::StoreOptions;
use tsdb::wal::WalOptions;

pub const TOPIC: &str = "ingest";
pub const GROUP: &str = "node-<partition>";
pub const PARTITIONS: i32 = 2;
/// The node in its stamps.
const WRITER: &str = "node_a";
/// Nothing here waits for a time; this only ends a test that would hang.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a test on a thread of its own kind.
pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bounded = async { tokio::time::timeout(2 * PATIENCE, test).await.expect("the test does not end") };
    LocalSet::new().block_on(&runtime, bounded);
}

/// Samples at whole seconds with their second as value.
pub fn seconds(range: std::ops::Range<i64>) -> Vec<(i64, f64)> {
    range.map(|second| (second * 1000, second as f64)).collect()
}

/// Waits until something holds.
pub async fn until(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "this never came: {what}");
}

pub struct Broker {
    pub address: String,
    pub handle: BrokerHandle,
    log: JoinHandle<()>,
    server: JoinHandle<()>,
}

impl Broker {
    /// Starts on a disk; `address` of a former life, or none for any port.
    pub async fn start(disk: &SimDisk, address: Option<&str>) -> Self {
        Self::start_with_floor(disk, address, None).await
    }

    /// Starts, and lets retention remove what lies below `floor` in partition 0 at once: it runs when serving begins.
    pub async fn start_with_floor(disk: &SimDisk, address: Option<&str>, floor: Option<i64>) -> Self {
        // Each record has a segment of its own, and retention keeps one of them.
        let retention = Retention { age: None, partition_bytes: Some(1), floor: RetentionFloor::Given };
        let options = BrokerOptions {
            retention,
            segment_bytes_max: 1 << 10,
            log_budget: LogBudget::Bytes(1 << 30),
            ..BrokerOptions::default()
        };
        let (handle, inbox) = broker::channel();
        let log = BrokerLog::open(disk.clone(), "/broker".into(), &options, inbox).await.unwrap();
        let log = tokio::task::spawn_local(async move { log.run().await.unwrap() });
        handle.create_topic(TOPIC, PARTITIONS).await.unwrap();
        if let Some(floor) = floor {
            handle.set_retention_floor(TOPIC, 0, floor).await.unwrap();
        }
        let listener = TcpListener::bind(address.unwrap_or("127.0.0.1:0")).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = handle.clone();
        let server = tokio::task::spawn_local(async move { broker::serve(listener, server, options).await.unwrap() });
        Self { address, handle, log, server }
    }

    pub async fn stop(self) {
        self.handle.shutdown().await;
        drop(self.handle);
        self.server.await.unwrap();
        self.log.await.unwrap();
    }

    pub fn kafka(&self) -> KafkaOptions {
        KafkaOptions {
            addresses: vec![self.address.clone()],
            client_id: "test".to_owned(),
            topic: TOPIC.to_owned(),
            dial_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(2),
        }
    }

    /// Produces records of version 1, one after another: each is a batch.
    pub async fn produce(&self, partition: i32, records: &[(i64, f64)]) {
        self.produce_metric(partition, "up", records).await;
    }

    /// The same of another metric.
    pub async fn produce_metric(&self, partition: i32, name: &str, records: &[(i64, f64)]) {
        for (timestamp_ms, value) in records {
            let sample = Sample { timestamp_ms: *timestamp_ms, value: *value };
            self.produce_raw(partition, &b"a"[..], write_request(name, sample), *timestamp_ms).await;
        }
    }

    pub async fn produce_raw(&self, partition: i32, key: &'static [u8], value: Vec<u8>, timestamp_ms: i64) {
        let options = ProducerOptions {
            linger: Duration::ZERO,
            compression: Compression::Snappy,
            buffered_bytes_max: 1 << 20,
            batch_bytes_max: 1 << 20,
            timeout: PATIENCE,
        };
        let headers = vec![("Version", Bytes::from_static(&[0, 0, 0, 1]))];
        let record = ProduceRecord { partition, key: key.into(), value: value.into(), headers, timestamp_ms };
        Producer::new(self.kafka(), options).produce(vec![record]).await.unwrap();
    }

    pub async fn committed(&self, partition: i32) -> Option<CommittedOffset> {
        let group = GROUP.replace("<partition>", &partition.to_string());
        Client::new(self.kafka()).committed(&group, &[partition]).await.unwrap().remove(&partition)
    }

    pub async fn log_start(&self, partition: i32) -> i64 {
        match Client::new(self.kafka()).offset_at(partition, OffsetAt::Start).await.unwrap() {
            OffsetFound::At(offset) => offset,
            OffsetFound::NoRecordThatLate => panic!("every log has a start"),
        }
    }

    /// Waits until the group holds a commit of a node.
    pub async fn stamped(&self, partition: i32, offset: i64, generation: u32) {
        let wait = async {
            loop {
                let found = self.committed(partition).await;
                let stamp = found.as_ref().and_then(|found| CommitStamp::parse(&found.metadata));
                if found.is_some_and(|found| found.offset == offset)
                    && stamp.is_some_and(|stamp| stamp.writer == WRITER && stamp.generation == generation)
                {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "no commit of {offset} in generation {generation}");
    }

    /// Writes into the group as any tool may.
    pub async fn commit(&self, partition: i32, offset: i64, metadata: &str) {
        let group = GROUP.replace("<partition>", &partition.to_string());
        let position = kafka::CommitPosition { partition, offset, metadata: metadata.to_owned() };
        Client::new(self.kafka()).commit(&group, &[position]).await.unwrap();
    }
}

pub fn write_request(name: &str, sample: Sample) -> Vec<u8> {
    let mut series = Vec::new();
    encode_labels([("__name__", name)].into_iter(), &mut series);
    let mut message = vec![0x09];
    message.extend_from_slice(&sample.value.to_bits().to_le_bytes());
    message.push(0x10);
    put_varint(sample.timestamp_ms as u64, &mut message);
    put_field(0x12, &message, &mut series);
    let mut request = Vec::new();
    put_field(0x0a, &series, &mut request);
    request
}

fn put_field(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    put_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A node: one shard that owns all partitions.
pub struct Node {
    pub handle: ShardHandle,
    stop: watch::Sender<bool>,
    fetching: JoinHandle<Result<(), FetchingError>>,
    shard: JoinHandle<()>,
}

impl Node {
    pub async fn start(disk: &SimDisk, kafka: KafkaOptions, position: StartPosition) -> Self {
        let partitions: Vec<PartitionId> = (0..PARTITIONS).map(PartitionId).collect();
        let (handle, inbox) = shard_channel(ShardId(0), &partitions);
        let slots = OneSlotEach::default();
        let wal =
            WalOptions { segment_bytes: 64 * 4096, reserve_segments: 1, part_bytes_max: 64 << 10, bytes_max: 1 << 30 };
        let head = HeadOptions { series_max: 1000, future_grace_ms: 60_000, out_of_order_window_ms: 0 };
        let key = FingerprintKey::new(1);
        let checkpoint = CheckpointOptions { wal_bytes: 64 << 10, chunk_file_bytes: 16 << 10 };
        let store = StoreOptions { shard: ShardId(0), wal, checkpoint, key, head, memory_bytes_max: 1 << 30 };
        let options = ShardOptions {
            store,
            wal_root: "/node/wal".into(),
            quarantine_dir: "/node/quarantine".into(),
            quarantine_bytes_max: 1 << 20,
            turn_bytes_max: 1 << 20,
            pause: Rc::new(|time| Box::pin(tokio::time::sleep(time))),
        };
        let survey = survey(disk, Path::new("/node/wal")).await.unwrap();
        let shard = ShardLoop::open(disk.clone(), &survey, inbox, slots.clone(), options).await.unwrap();
        let shard = tokio::task::spawn_local(async move { shard.run().await.unwrap() });
        let options = FetchOptions {
            kafka,
            group: GROUP.to_owned(),
            writer: "node a".to_owned(),
            position,
            fetch_bytes_max: 1 << 20,
            fetch_wait_max: Duration::from_millis(100),
            commit_interval: Duration::from_millis(20),
            recommit_interval: Duration::from_millis(200),
            start_timeout: Duration::from_millis(500),
            caught_up_age_max: Duration::from_secs(15),
        };
        let (stop, stopped) = watch::channel(false);
        let fetching = tokio::task::spawn_local(Fetching::new(handle.clone(), slots, options).run(stopped));
        Self { handle, stop, fetching, shard }
    }

    pub async fn caught_up(&self) {
        until("all partitions ready", || self.handle.partitions().iter().all(|state| state.ready().is_ok())).await;
    }

    pub async fn applied(&self, partition: i32, offset: i64) {
        let state = self.handle.partition(PartitionId(partition)).unwrap();
        until("an applied offset", || state.applied().is_some_and(|applied| applied.0 >= offset)).await;
    }

    pub async fn stop(self) {
        self.stop.send(true).unwrap();
        self.fetching.await.unwrap().unwrap();
        self.shard.await.unwrap();
    }

    /// The error with which fetching refuses to go on.
    pub async fn refusal(self) -> FetchingError {
        let error = self.fetching.await.unwrap().expect_err("it refuses");
        self.handle.shutdown().unwrap().answer().await.unwrap();
        self.shard.await.unwrap();
        error
    }

    /// The samples of the metric `up`, whatever its partition.
    pub async fn up(&self) -> Vec<(i64, f64)> {
        self.samples("up").await
    }

    /// The samples of any metric.
    pub async fn samples(&self, name: &str) -> Vec<(i64, f64)> {
        let matchers = [Matcher::new("__name__", MatchOp::Equal, name).unwrap()].into();
        let range = TimeRange { min_ms: i64::MIN, max_ms: i64::MAX };
        let request = SelectRequest { tenant: TenantId::new("a").unwrap(), matchers, range };
        let mut stream = self.handle.select(request, ReadBudget::new(1 << 20)).unwrap();
        let mut samples = Vec::new();
        while let Some(piece) = stream.next_piece_async().await.unwrap() {
            for chunk in piece.iter().flat_map(|series| &series.chunks) {
                let (mut timestamps_ms, mut values) = (Vec::new(), Vec::new());
                decode_xor(&chunk.bytes, &mut timestamps_ms, &mut values).unwrap();
                samples.extend(timestamps_ms.into_iter().zip(values));
            }
        }
        samples.sort_by_key(|sample| sample.0);
        samples
    }
}

/// Slots of one thread, one place each.
#[derive(Clone, Default)]
struct OneSlotEach(Rc<Places>);

#[derive(Default)]
struct Places {
    full: RefCell<BTreeMap<usize, RawBatch>>,
    order: RefCell<VecDeque<usize>>,
    filled: Notify,
    freed: Notify,
}

impl BatchSink for OneSlotEach {
    async fn room(&self, slot: usize) {
        while self.0.full.borrow().contains_key(&slot) {
            self.0.freed.notified().await;
            // Another slot may have been meant.
            self.0.freed.notify_waiters();
        }
    }

    fn put(&self, slot: usize, _bytes: usize, batch: RawBatch) -> Result<(), RawBatch> {
        if self.0.full.borrow().contains_key(&slot) {
            return Err(batch);
        }
        self.0.full.borrow_mut().insert(slot, batch);
        self.0.order.borrow_mut().push_back(slot);
        self.0.filled.notify_one();
        Ok(())
    }
}

impl BatchSource for OneSlotEach {
    async fn filled(&self) {
        if self.0.order.borrow().is_empty() {
            self.0.filled.notified().await;
        }
    }

    fn take(&mut self) -> Option<(usize, RawBatch)> {
        let slot = self.0.order.borrow_mut().pop_front()?;
        let batch = self.0.full.borrow_mut().remove(&slot).expect("a slot in order is full");
        self.0.freed.notify_waiters();
        Some((slot, batch))
    }
}
