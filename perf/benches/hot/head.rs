//! A head that fits no cache: finding the series of a record, and appending its samples.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use model::{Fingerprint, FingerprintKey, Sample, SeriesRef};
use tsdb::head::{Head, HeadOptions, Horizon, Reading, Symbols};

/// One step on from the sample before, whatever the round.
const STEP_MS: i64 = 15_000;

pub fn benches(criterion: &mut Criterion) {
    let key = FingerprintKey::new(7);
    let mut symbols = Symbols::new(key.clone());
    let mut head = Head::new(HeadOptions { series_max: u32::MAX, future_grace_ms: 0, out_of_order_window_ms: 0 });
    let mut fleet = crate::fleet(crate::HEAD_SERIES, 1);
    let mut series: Vec<(Fingerprint, SeriesRef, f64)> = Vec::new();
    for place in 0..fleet.len() {
        let labels = fleet.labels(place);
        let fingerprint = key.fingerprint(labels);
        let found = head.define(&mut symbols, fingerprint, labels).unwrap();
        series.push((fingerprint, found, fleet.sample(place).value));
    }
    let mut group = criterion.benchmark_group("head");
    group.throughput(Throughput::Elements(u64::from(crate::HEAD_SERIES)));
    group.sample_size(20);
    let fingerprints: Vec<Fingerprint> = series.iter().map(|(fingerprint, ..)| *fingerprint).collect();
    let mut found = Vec::new();
    group.bench_function("find", |bencher| {
        bencher.iter(|| {
            for record in black_box(&fingerprints).chunks(crate::RECORD_SERIES as usize) {
                head.find(record, &mut found);
                black_box(&found);
            }
        });
    });
    let (mut items, mut outcomes): (Vec<(SeriesRef, Sample)>, _) = (Vec::new(), Vec::new());
    let mut timestamp_ms = 1_700_000_000_000;
    group.bench_function("append", |bencher| {
        bencher.iter(|| {
            timestamp_ms += STEP_MS;
            for record in series.chunks_mut(crate::RECORD_SERIES as usize) {
                items.clear();
                items.extend(record.iter_mut().map(|(_, series, value)| {
                    *value += f64::from(series.0 % 7);
                    (*series, Sample { timestamp_ms, value: *value })
                }));
                head.append_batch(&items, Horizon::NONE, Reading::First, &mut outcomes);
                assert!(outcomes.iter().all(Result::is_ok), "later samples are in order");
            }
        });
    });
    group.finish();
}
