//! From a record's bytes to fingerprints: decompression, the walk, the hash.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use model::FingerprintKey;
use wire::{RecordSeries, RecordVersion, RecordVisitor, RecordWriter, encode_sample, walk_record};

/// Looks at every sample, so that nothing can be left out.
#[derive(Default)]
struct Sum(i64);

impl RecordVisitor for Sum {
    fn series(&mut self, series: RecordSeries<'_>) {
        self.0 += series.samples.map(|sample| sample.timestamp_ms).sum::<i64>();
    }
}

pub fn benches(criterion: &mut Criterion) {
    let mut fleet = crate::fleet(crate::RECORD_SERIES, 1);
    let (mut record, mut sample) = (Vec::new(), Vec::new());
    for place in 0..fleet.len() {
        sample.clear();
        encode_sample(fleet.sample(place), &mut sample);
        RecordWriter(&mut record).series(&[fleet.labels(place), &sample]);
    }
    let mut group = criterion.benchmark_group("record");
    group.throughput(Throughput::Elements(u64::from(crate::RECORD_SERIES)));
    let mut scratch = Vec::new();
    group.bench_function("decode", |bencher| {
        bencher.iter(|| {
            let mut sum = Sum::default();
            walk_record(RecordVersion::V1, black_box(&record), &mut scratch, &mut sum).unwrap();
            sum.0
        });
    });
    let compressed = snap::raw::Encoder::new().compress_vec(&record).unwrap();
    let mut inflated = vec![0; record.len()];
    group.bench_function("inflate_snappy", |bencher| {
        bencher.iter(|| snap::raw::Decoder::new().decompress(black_box(&compressed), &mut inflated).unwrap());
    });
    let key = FingerprintKey::new(7);
    group.bench_function("fingerprint", |bencher| {
        bencher.iter(|| (0..fleet.len()).fold(0, |all, place| all ^ key.fingerprint(black_box(fleet.labels(place))).0));
    });
    group.finish();
}
