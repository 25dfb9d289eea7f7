//! Kafka batches by hand, slots of one thread, and a shard on a simulated disk.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use disk::SimDisk;
use futures_lite::future;
use model::{
    FingerprintKey, MatchOp, Matcher, Offset, PartitionId, Sample, ShardId, TenantId, TimeRange, encode_labels,
};
use tsdb::checkpoint::CheckpointOptions;
use tsdb::chunk::decode_xor;
use tsdb::head::HeadOptions;
use tsdb::read::{SelectRequest, SeriesSnapshot};
use tsdb::recovery::survey;
use tsdb::store::StoreOptions;
use tsdb::wal::{Generation, WalOptions};

use super::{
    BatchSource, Handed, RawBatch, ReadBudget, ReadError, ShardError, ShardHandle, ShardLoop, ShardOptions,
    shard_channel,
};

pub(super) const WAL_ROOT: &str = "/data/wal";
pub(super) const QUARANTINE_DIR: &str = "/data/quarantine";
pub(super) const EVER: TimeRange = TimeRange { min_ms: i64::MIN, max_ms: i64::MAX };

/// A record as a producer makes it.
#[derive(Clone, Debug)]
pub(super) struct MadeRecord {
    pub offset: i64,
    pub timestamp_ms: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub version: Option<Vec<u8>>,
}

impl MadeRecord {
    /// Version 1 of some series, each with one sample at the record's time.
    pub(super) fn of(offset: i64, tenant: &str, series: &[(&str, f64)]) -> Self {
        Self::at(offset, offset * 1000, tenant, series)
    }

    /// The same at a time.
    pub(super) fn at(offset: i64, timestamp_ms: i64, tenant: &str, series: &[(&str, f64)]) -> Self {
        let samples: Vec<_> =
            series.iter().map(|(name, value)| (*name, Sample { timestamp_ms, value: *value })).collect();
        Self {
            offset,
            timestamp_ms,
            key: Some(tenant.as_bytes().to_vec()),
            value: Some(write_request(&samples)),
            version: Some(1u32.to_be_bytes().to_vec()),
        }
    }
}

/// A `WriteRequest` with one `TimeSeries` for each sample, labels `__name__` and `job`.
pub(super) fn write_request(samples: &[(&str, Sample)]) -> Vec<u8> {
    let mut request = Vec::new();
    for (name, sample) in samples {
        let mut series = Vec::new();
        encode_labels([("__name__", *name), ("job", "test")].into_iter(), &mut series);
        let mut message = vec![0x09];
        message.extend_from_slice(&sample.value.to_bits().to_le_bytes());
        message.push(0x10);
        put_unsigned(sample.timestamp_ms as u64, &mut message);
        put_field(0x12, &message, &mut series);
        put_field(0x0a, &series, &mut request);
    }
    request
}

pub(super) fn put_field(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    put_unsigned(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn put_unsigned(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_signed(value: i64, out: &mut Vec<u8>) {
    put_unsigned(((value << 1) ^ (value >> 63)) as u64, out);
}

fn put_nullable(bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    put_signed(bytes.map_or(-1, |bytes| bytes.len() as i64), out);
    out.extend_from_slice(bytes.unwrap_or_default());
}

/// A batch (magic 2, uncompressed) that reaches up to `next`.
pub(super) fn batch(records: &[MadeRecord], next: i64) -> Vec<u8> {
    let base = records.first().map_or(next - 1, |record| record.offset);
    let base_ms = records.first().map_or(0, |record| record.timestamp_ms);
    let max_ms = records.iter().map(|record| record.timestamp_ms).max().unwrap_or(0);
    let mut checked = Vec::new();
    checked.extend_from_slice(&0u16.to_be_bytes());
    checked.extend_from_slice(&((next - 1 - base) as i32).to_be_bytes());
    checked.extend_from_slice(&base_ms.to_be_bytes());
    checked.extend_from_slice(&max_ms.to_be_bytes());
    checked.extend_from_slice(&[0xff; 14]);
    checked.extend_from_slice(&(records.len() as i32).to_be_bytes());
    for record in records {
        let mut body = vec![0];
        put_signed(record.timestamp_ms - base_ms, &mut body);
        put_signed(record.offset - base, &mut body);
        put_nullable(record.key.as_deref(), &mut body);
        put_nullable(record.value.as_deref(), &mut body);
        put_signed(i64::from(record.version.is_some()), &mut body);
        if let Some(version) = &record.version {
            put_nullable(Some(b"Version"), &mut body);
            put_nullable(Some(version), &mut body);
        }
        put_signed(body.len() as i64, &mut checked);
        checked.extend_from_slice(&body);
    }
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&base.to_be_bytes());
    bytes.extend_from_slice(&((checked.len() + 9) as i32).to_be_bytes());
    bytes.extend_from_slice(&[0, 0, 0, 0, 2]);
    bytes.extend_from_slice(&crc32c::crc32c(&checked).to_be_bytes());
    bytes.extend_from_slice(&checked);
    bytes
}

/// A piece of fetched batches.
pub(super) fn fetched(partition: PartitionId, expected: i64, next: i64, batches: &[Vec<u8>]) -> RawBatch {
    let handed = Handed::Records(Bytes::from(batches.concat()));
    let (expected, next) = (Offset(expected), Offset(next));
    RawBatch { partition, generation: Generation(1), expected, next, handed }
}

/// Slots without a limit, on one thread.
#[derive(Clone, Default)]
pub(super) struct LocalSlots(Rc<LocalShared>);

#[derive(Default)]
struct LocalShared {
    waiting: RefCell<VecDeque<(usize, RawBatch)>>,
    filled: tokio::sync::Notify,
}

impl LocalSlots {
    pub(super) fn put(&self, slot: usize, batch: RawBatch) {
        self.0.waiting.borrow_mut().push_back((slot, batch));
        self.0.filled.notify_one();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.waiting.borrow().is_empty()
    }
}

impl BatchSource for LocalSlots {
    async fn filled(&self) {
        if self.is_empty() {
            self.0.filled.notified().await;
        }
    }

    fn take(&mut self) -> Option<(usize, RawBatch)> {
        self.0.waiting.borrow_mut().pop_front()
    }
}

pub(super) fn options(wal_bytes_max: u64) -> ShardOptions {
    let wal =
        WalOptions { segment_bytes: 16 * 4096, reserve_segments: 1, part_bytes_max: 8192, bytes_max: wal_bytes_max };
    let head = HeadOptions { series_max: 1000, future_grace_ms: 60_000, out_of_order_window_ms: 0 };
    let checkpoint = CheckpointOptions { wal_bytes: 64 << 10, chunk_file_bytes: 16 << 10 };
    let store = StoreOptions {
        shard: ShardId(0),
        wal,
        checkpoint,
        key: FingerprintKey::new(5),
        head,
        memory_bytes_max: 1 << 30,
    };
    ShardOptions {
        store,
        wal_root: WAL_ROOT.into(),
        quarantine_dir: QUARANTINE_DIR.into(),
        quarantine_bytes_max: 1 << 20,
        turn_bytes_max: 4096,
        pause: Rc::new(|_| Box::pin(future::pending())),
    }
}

/// Opens a shard of the partitions `0..count`.
pub(super) async fn open(
    disk: &SimDisk,
    count: i32,
    options: ShardOptions,
) -> Result<(ShardHandle, LocalSlots, ShardLoop<SimDisk, LocalSlots>), ShardError> {
    let partitions: Vec<PartitionId> = (0..count).map(PartitionId).collect();
    let (handle, inbox) = shard_channel(ShardId(0), &partitions);
    let survey = survey(disk, Path::new(WAL_ROOT)).await.map_err(tsdb::store::StoreError::from)?;
    let slots = LocalSlots::default();
    let shard = ShardLoop::open(disk.clone(), &survey, inbox, slots.clone(), options).await?;
    Ok((handle, slots, shard))
}

/// Runs a shard beside what a test does to it, which ends with a shutdown.
pub(super) async fn beside<T>(shard: ShardLoop<SimDisk, LocalSlots>, test: impl Future<Output = T>) -> T {
    let (ended, value) = future::zip(shard.run(), test).await;
    ended.expect("the shard ends well");
    value
}

/// Waits until what is in the slots is durable, and nothing has moved for a while.
pub(super) async fn settle(handle: &ShardHandle, slots: &LocalSlots) {
    const QUIET_YIELDS: u32 = 100;
    let marks = || handle.partitions().iter().map(|state| (state.applied(), state.durable())).collect::<Vec<_>>();
    let (mut before, mut quiet) = (marks(), 0);
    while quiet < QUIET_YIELDS {
        future::yield_now().await;
        let now = marks();
        let is_durable =
            now.iter().all(|(applied, durable)| durable == applied || (*applied, *durable) == (Some(Offset(0)), None));
        quiet = if slots.is_empty() && is_durable && now == before { quiet + 1 } else { 0 };
        before = now;
    }
}

/// Starts partitions without progress at 0.
pub(super) async fn start_at_zero(handle: &ShardHandle) {
    let marks = handle.start_facts().unwrap().answer().await.unwrap().marks;
    let new = marks.iter().filter(|(_, marks)| marks.applied().is_none());
    let starts = new.map(|(partition, _)| (*partition, Offset(0))).collect();
    handle.start_at(starts).unwrap().answer().await.unwrap();
}

/// Samples by `name{labels}`.
pub(super) type Shown = BTreeMap<String, Vec<(i64, f64)>>;

pub(super) fn request(tenant: &str, op: MatchOp, pattern: &str) -> SelectRequest {
    let matchers: Arc<[Matcher]> = Arc::new([Matcher::new("__name__", op, pattern).unwrap()]);
    SelectRequest { tenant: TenantId::new(tenant).unwrap(), matchers, range: EVER }
}

/// Everything of a tenant.
pub(super) async fn read(handle: &ShardHandle, tenant: &str) -> Result<Shown, ReadError> {
    let mut stream = handle.select(request(tenant, MatchOp::Regex, ".+"), ReadBudget::new(1 << 30))?;
    let mut shown = Shown::new();
    while let Some(piece) = stream.next_piece_async().await? {
        for series in piece {
            let samples = shown.entry(series.labels.get("__name__").to_owned()).or_default();
            samples.extend(samples_of(&series));
        }
    }
    Ok(shown)
}

pub(super) fn samples_of(series: &SeriesSnapshot) -> Vec<(i64, f64)> {
    let (mut timestamps_ms, mut values) = (Vec::new(), Vec::new());
    for chunk in &series.chunks {
        decode_xor(&chunk.bytes, &mut timestamps_ms, &mut values).unwrap();
    }
    timestamps_ms.into_iter().zip(values).collect()
}
