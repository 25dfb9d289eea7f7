//! The series that are sent: those of a fleet of hosts, made from a seed alone, so that a run can be repeated sample by sample.
//!
//! Each host has 500 series; only the labels `instance` and `pod` grow with the hosts. Of the series 10 % are constant, 20 % a
//! noisy gauge and 70 % a counter with a random step. With 12 labels they are about 250 bytes of text.

use model::{Sample, encode_labels};

/// Series that one host has.
pub const SERIES_PER_HOST: u32 = 500;
/// Metric names; each host has every one of them in ten variants.
pub const NAMES: u32 = 50;
pub const LABELS_MIN: u32 = 4;
pub const LABELS_MAX: u32 = 30;
/// Time between two samples of a series.
pub const STEP_MS: i64 = 15_000;
/// The label that tells one run's series from another's.
pub const RUN_LABEL: &str = "cluster";

/// What a fleet is like.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FleetOptions {
    /// The value of [`RUN_LABEL`].
    pub run: String,
    pub seed: u64,
    pub series: u32,
    /// Labels of each series, the metric name among them.
    pub labels: u32,
    pub rounds: u32,
    /// Time of the last round.
    pub end_ms: i64,
}

/// Some of a fleet's series with their present values; rounds come in order.
pub struct Fleet {
    options: FleetOptions,
    first: u32,
    series: Vec<State>,
    round: u32,
}

struct State {
    /// The `labels` fields of a remote write 1 series.
    labels: Box<[u8]>,
    kind: ValueKind,
    value: f64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ValueKind {
    Constant,
    Gauge,
    Counter,
}

impl FleetOptions {
    pub fn samples(&self) -> u64 {
        u64::from(self.series) * u64::from(self.rounds)
    }

    pub fn time_ms(&self, round: u32) -> i64 {
        self.end_ms - i64::from(self.rounds - 1 - round) * STEP_MS
    }

    /// From the first sample to the last, both within.
    pub fn span_ms(&self) -> i64 {
        i64::from(self.rounds - 1) * STEP_MS
    }
}

/// A value of [`RUN_LABEL`]: other for another seed, size or time, always of the same length.
pub fn run_name(seed: u64, series: u32, time_ms: i64) -> String {
    format!("perf-{:08x}", hash(seed, time_ms as u64, u64::from(series)) as u32)
}

/// The metric name of a series.
pub fn metric_name(name: u32) -> String {
    const SUBJECTS: [&str; 10] =
        ["cpu", "memory", "disk_io", "network", "filesystem", "http_request", "queue", "cache", "scheduler", "runtime"];
    const ASPECTS: [&str; 5] = ["operations_total", "usage_bytes", "wait_seconds", "errors_total", "active_count"];
    let subject = SUBJECTS[(name % 10) as usize];
    let aspect = ASPECTS[(name / 10 % 5) as usize];
    format!("perf_{subject}_{aspect}")
}

impl Fleet {
    /// The series `first..end` of a fleet, before their first round.
    pub fn new(options: &FleetOptions, first: u32, end: u32) -> Self {
        let series = (first..end).map(|index| State::new(options, index)).collect();
        Self { options: options.clone(), first, series, round: 0 }
    }

    pub fn len(&self) -> usize {
        self.series.len()
    }

    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// The label bytes of a series, by its place in this part of the fleet.
    pub fn labels(&self, place: usize) -> &[u8] {
        &self.series[place].labels
    }

    /// The round whose samples come next.
    pub fn round(&self) -> u32 {
        self.round
    }

    pub fn time_ms(&self) -> i64 {
        self.options.time_ms(self.round)
    }

    /// The sample of a series in the present round. Once a round and series: counters count.
    pub fn sample(&mut self, place: usize) -> Sample {
        let timestamp_ms = self.time_ms();
        let random = hash(self.options.seed, u64::from(self.first) + place as u64, 1000 + u64::from(self.round));
        let state = &mut self.series[place];
        state.value = match state.kind {
            ValueKind::Constant => state.value,
            ValueKind::Gauge => 20.0 + (random % 100_000) as f64 / 1000.0,
            ValueKind::Counter => state.value + (random % 1000) as f64,
        };
        Sample { timestamp_ms, value: state.value }
    }

    pub fn next_round(&mut self) {
        self.round += 1;
    }
}

impl State {
    fn new(options: &FleetOptions, index: u32) -> Self {
        let random = hash(options.seed, u64::from(index), 0);
        let kind = match random % 10 {
            0 => ValueKind::Constant,
            1 | 2 => ValueKind::Gauge,
            _ => ValueKind::Counter,
        };
        let value = (random >> 32) as f64 % 1e6;
        Self { labels: labels_of(options.labels, &options.run, index).into(), kind, value }
    }
}

fn labels_of(count: u32, run: &str, index: u32) -> Vec<u8> {
    let (host, place) = (index / SERIES_PER_HOST, index % SERIES_PER_HOST);
    let (name, variant) = (place % NAMES, place / NAMES);
    let mut labels: Vec<(String, String)> = [
        ("__name__", metric_name(name)),
        (RUN_LABEL, run.to_owned()),
        ("instance", format!("10.{}.{}.{}:9100", host >> 16, host >> 8 & 255, host & 255)),
        ("variant", format!("variant-{variant}")),
        ("pod", format!("exporter-5f7c9d-{host:06}")),
        ("job", "kubernetes-pods".to_owned()),
        ("namespace", "platform-monitoring".to_owned()),
        ("region", "europe-west-4".to_owned()),
        ("zone", format!("europe-west-4{}", ['a', 'b', 'c'][(variant % 3) as usize])),
        ("container", "node-exporter".to_owned()),
        ("service", "node-exporter-metrics".to_owned()),
        ("team", "infrastructure".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    labels.truncate(count as usize);
    labels.extend((12..count).map(|extra| (format!("extra_{extra:02}"), format!("constant-{extra:02}"))));
    labels.sort();
    let mut bytes = Vec::with_capacity(340);
    encode_labels(labels.iter().map(|(name, value)| (name.as_str(), value.as_str())), &mut bytes);
    bytes
}

/// Three numbers to one that looks like chance (the finalizer of splitmix64, chained).
pub fn hash(a: u64, b: u64, c: u64) -> u64 {
    let mut mixed = 0;
    for part in [a, b, c] {
        let mut z = (mixed ^ part).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed = z ^ (z >> 31);
    }
    mixed
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn options(labels: u32) -> FleetOptions {
        FleetOptions { run: run_name(7, 2000, 5), seed: 7, series: 2000, labels, rounds: 3, end_ms: 1_700_000_000_000 }
    }

    #[test]
    fn every_series_is_another_and_the_parts_make_the_whole() {
        for labels in [LABELS_MIN, 12, LABELS_MAX] {
            let options = options(labels);
            let mut whole = Fleet::new(&options, 0, 2000);
            let mut part = Fleet::new(&options, 1500, 2000);
            let distinct: BTreeSet<&[u8]> = (0..whole.len()).map(|place| whole.labels(place)).collect();
            assert_eq!(distinct.len(), 2000, "{labels} labels");
            let count = model::CanonicalLabels::new(whole.labels(0)).count();
            assert_eq!(count, labels as usize);
            for _ in 0..options.rounds {
                for place in 0..500 {
                    assert_eq!(part.labels(place), whole.labels(1500 + place));
                    assert_eq!(part.sample(place), whole.sample(1500 + place));
                }
                part.next_round();
                whole.next_round();
            }
        }
    }

    #[test]
    fn the_data_is_what_the_figures_are_told_for() {
        let fleet = Fleet::new(&options(12), 0, 2000);
        let text: usize =
            model::CanonicalLabels::new(fleet.labels(0)).map(|(name, value)| name.len() + value.len()).sum();
        assert!((230..=270).contains(&text), "{text} bytes of text");
        let share = |kind| fleet.series.iter().filter(|state| state.kind == kind).count() as f64 / 2000.0;
        for (kind, expected) in [(ValueKind::Constant, 0.1), (ValueKind::Gauge, 0.2), (ValueKind::Counter, 0.7)] {
            assert!((share(kind) - expected).abs() < 0.03, "{kind:?}: {}", share(kind));
        }
    }

    #[test]
    fn the_last_round_is_at_the_end() {
        let options = options(12);
        assert_eq!(options.time_ms(2), options.end_ms);
        assert_eq!(options.time_ms(0) + options.span_ms(), options.end_ms);
        assert_ne!(options.run, run_name(8, 2000, 5));
    }
}
