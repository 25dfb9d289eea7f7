//! Records that can be made again from (partition, offset), and what a store must show after some of them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use disk::Disk;
use model::{
    Fingerprint, FingerprintKey, MatchOp, Matcher, Offset, PartitionId, Sample, ShardId, TenantId, TimeRange,
    encode_labels,
};

use super::{Applied, RecordBatch, ShardStore, StoreOptions};
use crate::checkpoint::CheckpointOptions;
use crate::chunk::decode_xor;
use crate::head::HeadOptions;
use crate::read::{SelectRequest, SeriesSnapshot};
use crate::wal::{RecordIdentity, WalOptions};

pub(crate) const ROOT: &str = "/wal";
/// Between two records of a partition: chunks are sealed every 18 of them.
pub(crate) const STEP_MS: i64 = 400_000;

/// Late samples come this much behind the one before them.
const LATE_BY_MS: i64 = STEP_MS * 5 / 2;

/// Samples by `tenant labels`.
pub(crate) type Shown = BTreeMap<String, Vec<(i64, f64)>>;

pub(crate) fn options() -> StoreOptions {
    let wal = WalOptions { segment_bytes: 16 * 4096, reserve_segments: 1, part_bytes_max: 8192, bytes_max: 1 << 30 };
    let head = HeadOptions { series_max: 1000, future_grace_ms: 60_000, out_of_order_window_ms: LATE_BY_MS };
    let checkpoint = CheckpointOptions { wal_bytes: 1 << 20, chunk_file_bytes: 8192 };
    StoreOptions { shard: ShardId(0), wal, checkpoint, key: FingerprintKey::new(11), head, memory_bytes_max: 1 << 30 }
}

pub(crate) fn partitions_of(shard: ShardId, shard_count: u16, partitions: i32) -> Vec<PartitionId> {
    (0..partitions).filter(|partition| *partition as u16 % shard_count == shard.0).map(PartitionId).collect()
}

pub(crate) fn labels_of(partition: PartitionId, series: u32) -> Vec<u8> {
    let (partition, series) = (partition.to_string(), series.to_string());
    let mut bytes = Vec::new();
    encode_labels([("__name__", "m"), ("p", partition.as_str()), ("s", series.as_str())].into_iter(), &mut bytes);
    bytes
}

pub(crate) fn tenant_of(offset: i64) -> TenantId {
    TenantId::new(&format!("t{}", offset % 2)).unwrap()
}

/// The series and samples of a record. Every seventh sample comes twice, and once more with another value. Behind every fifth
/// comes a late one, twice, and one that is too late.
pub(crate) fn samples_of(partition: PartitionId, offset: i64) -> Vec<(u32, Sample)> {
    let mut samples = Vec::new();
    for series in (0..20).filter(|series| (i64::from(*series) + offset) % 3 != 0) {
        let value = f64::from(partition.0) * 1000.0 + offset as f64 + f64::from(series) / 100.0;
        let sample = Sample { timestamp_ms: offset * STEP_MS, value };
        samples.push((series, sample));
        if (offset + i64::from(series)) % 7 == 0 {
            samples.push((series, sample));
            samples.push((series, Sample { value: -1.0, ..sample }));
        }
        if (offset + i64::from(series)) % 5 == 0 {
            let late = Sample { timestamp_ms: sample.timestamp_ms - LATE_BY_MS, value: -value };
            let too_late = Sample { timestamp_ms: late.timestamp_ms - 1, ..late };
            samples.extend([(series, late), (series, late), (series, too_late)]);
        }
    }
    samples
}

/// Applies the records of a range of offsets and advances the partition over it.
pub(crate) fn fill<D: Disk>(store: &mut ShardStore<D>, partition: PartitionId, offsets: Range<i64>) -> Applied {
    let mut total = Applied::default();
    let key = options().key;
    for offset in offsets.clone() {
        let samples = samples_of(partition, offset);
        let labels: Vec<Vec<u8>> = (0..20).map(|series| labels_of(partition, series)).collect();
        let fingerprints: Vec<Fingerprint> = labels.iter().map(|labels| key.fingerprint(labels)).collect();
        let tenant = tenant_of(offset);
        let record_timestamp_ms = offset * STEP_MS;
        let batch = RecordBatch {
            tenant: &tenant,
            partition,
            record_timestamp_ms,
            fingerprints: &fingerprints,
            samples: &samples,
        };
        let applied = store.apply(&batch, &mut |place, out| {
            out.extend_from_slice(&labels[place]);
            Ok(fingerprints[place])
        });
        total.stored += applied.stored;
        total.equal += applied.equal;
        total.rejected += applied.rejected;
    }
    let last = RecordIdentity { offset: Offset(offsets.end - 1), timestamp_ms: offsets.end * STEP_MS, batch_crc: 7 };
    store.advance(partition, Offset(offsets.start), Offset(offsets.end), Some(last));
    total
}

/// A sample that a store takes, and the offset of its record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) offset: i64,
    pub(crate) timestamp_ms: i64,
    pub(crate) value: f64,
}

/// What the records below `next` leave in a store.
pub(crate) fn expected_samples(partition: PartitionId, next: i64, shown: &mut Shown) {
    for (name, taken) in expected_taken(partition, next) {
        shown.insert(name, taken.into_iter().map(|taken| (taken.timestamp_ms, taken.value)).collect());
    }
}

/// The same with where it came from, by `tenant labels`.
pub(crate) fn expected_taken(partition: PartitionId, next: i64) -> BTreeMap<String, Vec<Taken>> {
    let mut shown: BTreeMap<String, Vec<Taken>> = BTreeMap::new();
    for offset in 0..next {
        for (series, sample) in samples_of(partition, offset) {
            let name = format!(r#"{} {{__name__="m", p="{partition}", s="{series}"}}"#, tenant_of(offset));
            let samples = shown.entry(name).or_default();
            let last_ms = samples.last().map_or(i64::MIN, |last| last.timestamp_ms);
            let place = samples.partition_point(|there| there.timestamp_ms < sample.timestamp_ms);
            let is_there = samples.get(place).is_some_and(|there| there.timestamp_ms == sample.timestamp_ms);
            if !is_there && last_ms.saturating_sub(sample.timestamp_ms) <= LATE_BY_MS {
                let Sample { timestamp_ms, value } = sample;
                samples.insert(place, Taken { offset, timestamp_ms, value });
            }
        }
    }
    shown
}

/// Sorted by time.
pub(crate) fn decoded(series: &SeriesSnapshot) -> Vec<(i64, f64)> {
    let (mut timestamps_ms, mut values) = (Vec::new(), Vec::new());
    for chunk in &series.chunks {
        decode_xor(&chunk.bytes, &mut timestamps_ms, &mut values).unwrap();
    }
    let mut samples: Vec<(i64, f64)> = timestamps_ms.into_iter().zip(values).collect();
    samples.sort_by_key(|sample| sample.0);
    samples
}

/// Everything, the way a query reads it.
pub(crate) fn read_all<D: Disk>(store: &ShardStore<D>) -> Shown {
    let mut shown = Shown::new();
    for tenant in store.tenants() {
        let matchers: Arc<[Matcher]> = Arc::new([Matcher::new("__name__", MatchOp::Equal, "m").unwrap()]);
        let range = TimeRange { min_ms: i64::MIN, max_ms: i64::MAX };
        let mut walk = store.select(&SelectRequest { tenant: tenant.clone(), matchers, range });
        let mut found = Vec::new();
        while !walk.is_done() {
            assert!(walk.remaining() > 0);
            store.select_step(&mut walk, 7, &mut found);
        }
        for series in found {
            let samples = decoded(&series);
            assert!(shown.insert(format!("{tenant} {}", series.labels), samples).is_none(), "each series once");
        }
    }
    shown
}
