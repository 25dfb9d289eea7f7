//! The chunk codec: appending a whole chunk, and reading it back into columns.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use model::Sample;
use tsdb::chunk::{SAMPLE_BYTES_MAX, XorAppender, decode_xor};

const SAMPLES: u32 = 120;

pub fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("chunk");
    group.throughput(Throughput::Elements(u64::from(SAMPLES)));
    // One of each kind of value, found by how it behaves.
    for (name, samples) in kinds() {
        let mut bytes = vec![0; SAMPLES as usize * SAMPLE_BYTES_MAX];
        group.bench_function(format!("append/{name}"), |bencher| {
            bencher.iter(|| {
                let mut appender = XorAppender::new();
                for sample in &samples {
                    appender.append(&mut bytes, *black_box(sample));
                }
                appender.byte_len()
            });
        });
        let encoded = tsdb::chunk::encode_xor(&samples);
        let (mut timestamps_ms, mut values) = (Vec::new(), Vec::new());
        group.bench_function(format!("decode/{name}"), |bencher| {
            bencher.iter(|| {
                timestamps_ms.clear();
                values.clear();
                decode_xor(black_box(&encoded), &mut timestamps_ms, &mut values).unwrap();
                values.len()
            });
        });
    }
    group.finish();
}

/// The samples of three series of the fleet: constant, gauge, counter.
fn kinds() -> [(&'static str, Vec<Sample>); 3] {
    let mut fleet = crate::fleet(200, SAMPLES);
    let mut all: Vec<Vec<Sample>> = vec![Vec::new(); fleet.len()];
    for _ in 0..SAMPLES {
        for (place, samples) in all.iter_mut().enumerate() {
            samples.push(fleet.sample(place));
        }
        fleet.next_round();
    }
    let is_constant = |samples: &[Sample]| samples.windows(2).all(|pair| pair[0].value == pair[1].value);
    let grows = |samples: &[Sample]| samples.is_sorted_by(|a, b| a.value <= b.value);
    let find = |wanted: &dyn Fn(&[Sample]) -> bool| all.iter().find(|samples| wanted(samples)).unwrap().clone();
    [
        ("constant", find(&is_constant)),
        ("gauge", find(&|samples| !grows(samples))),
        ("counter", find(&|samples| grows(samples) && !is_constant(samples))),
    ]
}
