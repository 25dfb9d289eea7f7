//! The yardstick: the bare loop that no ingester can do without, on this machine and now.
//!
//! Decompress a version 1 record, walk it, fingerprint the raw label bytes, find the series, append to its chunk; in batches of 64
//! whose cache misses are all under way at once. No offsets, no log, no limits, one thread. It shares no code with the node, so
//! a figure in its terms gets better only if the node does. Machines differ by half, ratios to this by much less.

mod chunk;
mod table;

use serde_json::{Value, json};
use wire::{RecordWriter, encode_sample};

use crate::accounts::own_thread_ns;
use crate::fleet::{Fleet, FleetOptions};
use crate::progress::Progress;

use chunk::{Chunks, OpenChunk};
use table::Table;

/// Look-ups under way at a time.
const BATCH: usize = 64;
const RECORD_SERIES: u32 = 1000;
const LABELS: u32 = 12;
/// Rounds before the measured ones: the first defines all series, the second fills caches and branches.
const WARM_UP: u32 = 2;

/// How large the yardstick is.
#[derive(clap::Args, Clone, Copy, PartialEq, Eq, Debug)]
pub struct CalibrationOptions {
    /// Series of the bare loop that figures are given in terms of; 0: none.
    #[arg(long, value_name = "COUNT", default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(0..=5_000_000))]
    pub calibration_series: u32,
    /// Its rounds; the middle one counts.
    #[arg(long, value_name = "COUNT", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub calibration_rounds: u32,
}

/// What the bare loop takes on this machine.
#[derive(Clone, PartialEq, Debug)]
pub struct Calibration {
    pub series: u32,
    pub samples: u64,
    /// CPU time of each round by sample, sorted.
    round_ns: Vec<f64>,
    /// Of that, decompression alone.
    inflate_ns: Vec<f64>,
    /// Samples that are in chunks: proof that the loop has done its work.
    pub appended: u64,
}

impl Calibration {
    /// Runs the bare loop; `None` where none is wanted.
    pub fn run(options: CalibrationOptions) -> Option<Self> {
        let CalibrationOptions { calibration_series: series, calibration_rounds: rounds } = options;
        if series == 0 {
            return None;
        }
        let total = WARM_UP + rounds;
        let fleet_options = fleet_of(series, total);
        let mut fleet = Fleet::new(&fleet_options, 0, series);
        let mut heart = Heart::new(series as usize);
        let progress = Progress::new("calibrating", u64::from(total));
        let (mut round_ns, mut inflate_ns, mut inflated) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..total {
            let records = records_of(&mut fleet);
            let begin = own_thread_ns();
            for record in &records {
                inflate(record, &mut inflated);
                std::hint::black_box(&inflated);
            }
            let between = own_thread_ns();
            for record in &records {
                inflate(record, &mut inflated);
                heart.take(&inflated);
            }
            if round >= WARM_UP {
                inflate_ns.push((between - begin) as f64 / f64::from(series));
                round_ns.push((own_thread_ns() - between) as f64 / f64::from(series));
            }
            progress.set(u64::from(round) + 1);
        }
        round_ns.sort_by(f64::total_cmp);
        inflate_ns.sort_by(f64::total_cmp);
        let samples = u64::from(series) * u64::from(total);
        Some(Self { series, samples, round_ns, inflate_ns, appended: heart.appended })
    }

    /// The middle round.
    pub fn ns_per_sample(&self) -> f64 {
        self.round_ns[self.round_ns.len() / 2]
    }

    /// Figures of a report.
    pub fn figures(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("calibration_ns_per_sample", json!(self.ns_per_sample())),
            ("calibration_ns_per_sample_min", json!(self.round_ns[0])),
            ("calibration_ns_per_sample_max", json!(self.round_ns[self.round_ns.len() - 1])),
            ("calibration_inflate_ns_per_sample", json!(self.inflate_ns[self.inflate_ns.len() / 2])),
        ]
    }
}

fn fleet_of(series: u32, rounds: u32) -> FleetOptions {
    // Always the same bytes: a yardstick.
    let (run, end_ms) = ("perf-00000000".to_owned(), 1_700_000_000_000);
    FleetOptions { run, seed: 1, series, labels: LABELS, rounds, end_ms }
}

/// A round of the fleet as compressed version 1 records.
fn records_of(fleet: &mut Fleet) -> Vec<Vec<u8>> {
    let (mut plain, mut sample, mut records) = (Vec::new(), Vec::new(), Vec::new());
    for first in (0..fleet.len()).step_by(RECORD_SERIES as usize) {
        plain.clear();
        for place in first..(first + RECORD_SERIES as usize).min(fleet.len()) {
            sample.clear();
            encode_sample(fleet.sample(place), &mut sample);
            RecordWriter(&mut plain).series(&[fleet.labels(place), &sample]);
        }
        records.push(snap::raw::Encoder::new().compress_vec(&plain).expect("a record is far below 4 GiB"));
    }
    fleet.next_round();
    records
}

fn inflate(record: &[u8], out: &mut Vec<u8>) {
    let len = snap::raw::decompress_len(record).expect("we have compressed it");
    out.resize(len, 0);
    let written = snap::raw::Decoder::new().decompress(record, out).expect("we have compressed it");
    assert_eq!(written, len);
}

/// All series with their open chunks.
struct Heart {
    table: Table,
    open: Vec<OpenChunk>,
    chunks: Chunks,
    appended: u64,
}

/// One series of a batch: what was read of it, and what was found.
#[derive(Clone, Copy, Default)]
struct Item {
    fingerprint: u128,
    timestamp_ms: i64,
    value_bits: u64,
    series: u32,
}

impl Heart {
    fn new(series: usize) -> Self {
        Self { table: Table::new(series), open: Vec::with_capacity(series), chunks: Chunks::new(series), appended: 0 }
    }

    /// A record, in batches.
    fn take(&mut self, mut record: &[u8]) {
        let mut batch = [Item::default(); BATCH];
        while !record.is_empty() {
            let mut len = 0;
            while len < BATCH && !record.is_empty() {
                let (series, rest) = message(record);
                batch[len] = read(series);
                record = rest;
                len += 1;
            }
            self.append(&mut batch[..len]);
        }
    }

    /// Three passes; each only touches what the next one needs, so that its misses wait for each other and not one by one.
    fn append(&mut self, batch: &mut [Item]) {
        let touched = batch.iter().fold(0, |sum: u64, item| sum ^ self.table.touch(item.fingerprint));
        std::hint::black_box(touched);
        for item in &mut *batch {
            item.series = self.table.find(item.fingerprint).unwrap_or_else(|| {
                self.open.push(OpenChunk::default());
                self.table.insert(item.fingerprint, self.open.len() as u32 - 1)
            });
        }
        let touched = batch.iter().fold(0, |sum: u64, item| sum ^ self.open[item.series as usize].touch());
        std::hint::black_box(touched);
        let touched = batch
            .iter()
            .fold(0, |sum: u64, item| sum ^ self.chunks.touch(item.series, &self.open[item.series as usize]));
        std::hint::black_box(touched);
        for item in &*batch {
            let open = &mut self.open[item.series as usize];
            open.append(self.chunks.of(item.series), item.timestamp_ms, item.value_bits);
        }
        self.appended += batch.len() as u64;
    }
}

/// The bytes of a field with a length, and what follows it. Only for records that were made here.
fn message(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (len, start) = match (bytes[1], bytes[2]) {
        (low @ 0..0x80, _) => (usize::from(low), 2),
        (low, high) => (usize::from(low & 0x7f) | usize::from(high) << 7, 3),
    };
    bytes[start..].split_at(len)
}

/// A series with one sample: its labels are passed over and hashed as they are.
fn read(series: &[u8]) -> Item {
    let mut rest = series;
    while rest[0] == 0x0a {
        rest = message(rest).1;
    }
    let labels = &series[..series.len() - rest.len()];
    let (sample, _) = message(rest);
    let value: [u8; 8] = sample[1..9].try_into().expect("eight bytes");
    let time = sample[10..].iter().rev().fold(0, |time, byte| time << 7 | i64::from(byte & 0x7f));
    Item {
        fingerprint: xxhash_rust::xxh3::xxh3_128(labels),
        timestamp_ms: time,
        value_bits: u64::from_le_bytes(value),
        series: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loop_does_its_work() {
        let options = fleet_of(1500, 60);
        let (mut fleet, mut expected) = (Fleet::new(&options, 0, 1500), Fleet::new(&options, 0, 1500));
        let mut heart = Heart::new(1500);
        let mut inflated = Vec::new();
        for _ in 0..options.rounds {
            for record in records_of(&mut fleet) {
                inflate(&record, &mut inflated);
                heart.take(&inflated);
            }
            for place in 0..expected.len() {
                let sample = expected.sample(place);
                let fingerprint = xxhash_rust::xxh3::xxh3_128(expected.labels(place));
                let series = heart.table.find(fingerprint).unwrap();
                let open = &heart.open[series as usize];
                assert_eq!(open.last(), (sample.timestamp_ms, sample.value.to_bits()), "series {place}");
            }
            expected.next_round();
        }
        assert_eq!((heart.open.len(), heart.appended), (1500, 90_000));
    }

    #[test]
    fn figures_come_out() {
        let none = CalibrationOptions { calibration_series: 0, calibration_rounds: 1 };
        assert_eq!(Calibration::run(none), None);
        let some = CalibrationOptions { calibration_series: 2000, calibration_rounds: 3 };
        let calibration = Calibration::run(some).unwrap();
        assert_eq!((calibration.appended, calibration.samples), (10_000, 10_000));
        assert_eq!(calibration.round_ns.len(), 3);
    }
}
