//! Micro-benchmarks of what is hot: one part each, with the data of the fleet, so that a change of one part can be seen before
//! `wellperf run ingest` shows what it is worth. Not figures to be told: those are wellperf's.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up has to end")]

mod chunk;
mod head;
mod record;
mod wal;

use criterion::{criterion_group, criterion_main};
use perf::fleet::{Fleet, FleetOptions};

/// Series of one record, and of a head that fits no cache.
const RECORD_SERIES: u32 = 1000;
const HEAD_SERIES: u32 = 100_000;

/// A fleet's first series, before their first round.
fn fleet(series: u32, rounds: u32) -> Fleet {
    let (run, end_ms) = ("perf-00000000".to_owned(), 1_700_000_000_000);
    Fleet::new(&FleetOptions { run, seed: 1, series, labels: 12, rounds, end_ms }, 0, series)
}

criterion_group!(hot, chunk::benches, record::benches, head::benches, wal::benches);
criterion_main!(hot);
