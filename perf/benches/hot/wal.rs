//! A turn of the log: putting its frame together, and writing and syncing it on a plain file of this machine's disk.

use std::time::Duration;

use criterion::{Criterion, Throughput};
use disk::PlainDisk;
use futures_lite::future::block_on;
use model::{PartitionId, Sample, SeriesRef, ShardId, TenantId};
use tsdb::wal::{Epoch, Turn, Wal, WalOptions};

const SAMPLES: u32 = 10_000;

pub fn benches(criterion: &mut Criterion) {
    let tenant = TenantId::new("anonymous").unwrap();
    let mut timestamp_ms = 1_700_000_000_000;
    let mut fill = |turn: &mut Turn| {
        timestamp_ms += 15_000;
        turn.begin(&tenant, PartitionId(3), Epoch(1));
        for series in 0..SAMPLES {
            turn.sample(SeriesRef(series), Sample { timestamp_ms, value: f64::from(series) * 1.5 });
        }
    };
    let mut group = criterion.benchmark_group("wal");
    group.throughput(Throughput::Elements(u64::from(SAMPLES)));
    let mut turn = Turn::new();
    group.bench_function("fill_turn", |bencher| {
        bencher.iter(|| {
            turn.clear();
            fill(&mut turn);
            turn.byte_len()
        });
    });
    turn.clear();
    let folder = tempfile::tempdir().unwrap();
    let options = WalOptions { bytes_max: 1 << 40, ..WalOptions::default() };
    let mut wal = block_on(Wal::create(PlainDisk, &folder.path().join("wal"), ShardId(0), options)).unwrap();
    // The log gives nothing back: a second of it is some hundred megabytes.
    group.sample_size(10).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(1));
    group.bench_function("write_frame", |bencher| {
        bencher.iter(|| {
            fill(&mut turn);
            block_on(wal.append(&mut turn)).unwrap();
            block_on(wal.replenish()).unwrap();
            turn.clear();
        });
    });
    group.finish();
}
