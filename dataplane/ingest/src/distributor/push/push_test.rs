//! Pushes against a sink that remembers, read back with the record walk.

use std::cell::RefCell;
use std::rc::Rc;

use model::CanonicalLabels;
use wire::{RecordSeries, RecordVersion, RecordVisitor, walk_record};

use super::*;
use crate::distributor::SinkError;

#[derive(Clone, Default)]
struct Remembered(Rc<RefCell<Vec<PartitionRecord>>>);

impl RecordSink for Remembered {
    async fn produce(&self, tenant: &str, records: Vec<PartitionRecord>, _: i64) -> Result<(), SinkError> {
        assert_eq!(tenant, "team-a");
        self.0.borrow_mut().extend(records);
        Ok(())
    }
}

/// The record's series as `labels: value@ms ...`.
#[derive(Default)]
struct Shown(Vec<String>);

impl RecordVisitor for Shown {
    fn series(&mut self, series: RecordSeries<'_>) {
        let labels = CanonicalLabels::new(series.labels).to_labels();
        let samples: Vec<_> =
            series.samples.map(|sample| format!("{}@{}", sample.value, sample.timestamp_ms)).collect();
        self.0.push(format!("{labels} {}", samples.join(" ")));
    }
}

const NOW_MS: i64 = 1_700_000_000_000;

fn distributor(sink: Remembered) -> Distributor<Remembered> {
    let options = DistributorOptions {
        labels: LabelLimits { labels_max: 5, name_bytes_max: 100, value_bytes_max: 100 },
        grace_ms: 1000,
        inflated_bytes_max: 10_000,
        record_bytes_max: 4096,
        cached_series_max: 100,
    };
    Distributor::new(options, FingerprintKey::new(7), Arc::new(PartitionRing::new(4)), 4, sink)
}

fn series(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    model::encode_labels(labels.iter().copied(), &mut bytes);
    for (timestamp_ms, value) in samples {
        let mut sample = vec![0x09];
        sample.extend_from_slice(&value.to_le_bytes());
        sample.push(0x10);
        put_varint(*timestamp_ms as u64, &mut sample);
        bytes.extend_from_slice(&[0x12, sample.len() as u8]);
        bytes.extend_from_slice(&sample);
    }
    bytes
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn body(all: &[Vec<u8>]) -> Vec<u8> {
    let mut request = Vec::new();
    for series in all {
        request.push(0x0a);
        put_varint(series.len() as u64, &mut request);
        request.extend_from_slice(series);
    }
    snap::raw::Encoder::new().compress_vec(&request).unwrap()
}

/// Pushes, and gives the outcome with what the records hold, sorted.
fn push(all: &[Vec<u8>]) -> (Result<PushOutcome, PushError>, Vec<String>) {
    let sink = Remembered::default();
    let distributor = distributor(sink.clone());
    let tenant = TenantId::new("team-a").unwrap();
    let outcome = futures_lite::future::block_on(distributor.push(&tenant, &body(all), NOW_MS));
    let mut shown = Shown::default();
    for record in sink.0.borrow().iter() {
        walk_record(RecordVersion::V1, &record.value, &mut Vec::new(), &mut shown).unwrap();
    }
    shown.0.sort();
    (outcome, shown.0)
}

#[test]
fn good_series_go_on_and_bad_ones_are_told() {
    let good = series(&[("__name__", "up"), ("job", "a")], &[(NOW_MS, 1.0), (NOW_MS + 1, 2.0)]);
    let unsorted = series(&[("job", "a"), ("__name__", "up")], &[(NOW_MS, 1.0)]);
    let nameless = series(&[("job", "a")], &[(NOW_MS, 1.0), (NOW_MS, 1.0)]);
    let (outcome, shown) = push(&[good, unsorted, nameless]);
    let outcome = outcome.unwrap();
    let refusal = outcome.refusal.unwrap();
    assert_eq!((outcome.samples_accepted, refusal.samples, refusal.reason), (2, 3, RejectReason::LabelsNotSorted));
    assert!(refusal.message.contains("__name__"), "{}", refusal.message);
    assert_eq!(shown, [format!("{{__name__=\"up\", job=\"a\"}} 1@{NOW_MS} 2@{}", NOW_MS + 1)]);
}

#[test]
fn samples_from_the_future_are_refused_one_by_one() {
    let mixed = series(&[("__name__", "up")], &[(NOW_MS, 1.0), (NOW_MS + 1001, 2.0), (NOW_MS + 1000, 3.0)]);
    let future = series(&[("__name__", "down")], &[(NOW_MS + 5000, 1.0)]);
    let (outcome, shown) = push(&[mixed, future]);
    let outcome = outcome.unwrap();
    let refusal = outcome.refusal.unwrap();
    assert_eq!((outcome.samples_accepted, refusal.samples, refusal.reason), (2, 2, RejectReason::TooFarInFuture));
    assert_eq!(shown, [format!("{{__name__=\"up\"}} 1@{NOW_MS} 3@{}", NOW_MS + 1000)]);
}

#[test]
fn other_encodings_are_made_canonical() {
    // The value before the name, an empty label, and the sample between the labels.
    let label = |pair: &[(&str, &str)]| series(pair, &[]);
    let scattered =
        [label(&[("__name__", "up")]), series(&[], &[(NOW_MS, 1.0)]), label(&[("job", "a"), ("z", "")])].concat();
    let (outcome, shown) = push(&[scattered]);
    assert_eq!(outcome.unwrap(), PushOutcome { samples_accepted: 1, refusal: None });
    assert_eq!(shown, [format!("{{__name__=\"up\", job=\"a\"}} 1@{NOW_MS}")]);
}

#[test]
fn the_second_push_of_a_series_finds_its_token() {
    let sink = Remembered::default();
    let distributor = distributor(sink.clone());
    let tenant = TenantId::new("team-a").unwrap();
    for at in 0..3 {
        let body = body(&[series(&[("__name__", "up"), ("job", "a")], &[(NOW_MS + at, 1.0)])]);
        futures_lite::future::block_on(distributor.push(&tenant, &body, NOW_MS)).unwrap();
    }
    let counters = distributor.counters();
    assert_eq!((counters.cache_hits.get(), counters.cache_misses.get(), counters.samples_accepted.get()), (2, 1, 3));
    let mut canonical = Vec::new();
    model::encode_labels([("__name__", "up"), ("job", "a")].into_iter(), &mut canonical);
    let partition = PartitionRing::new(4).partition_of(series_token("team-a", &canonical));
    assert!(sink.0.borrow().iter().all(|record| record.partition == partition));
}

#[test]
fn what_cannot_be_read_stores_nothing() {
    let truncated = {
        let mut request = series(&[("__name__", "up")], &[(NOW_MS, 1.0)]);
        request.insert(0, request.len() as u8 + 5);
        request.insert(0, 0x0a);
        snap::raw::Encoder::new().compress_vec(&request).unwrap()
    };
    for (body, expected) in [(b"no snappy".to_vec(), "snappy"), (truncated, "malformed protobuf")] {
        let sink = Remembered::default();
        let distributor = distributor(sink.clone());
        let tenant = TenantId::new("team-a").unwrap();
        let error = futures_lite::future::block_on(distributor.push(&tenant, &body, NOW_MS)).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(sink.0.borrow().is_empty() && distributor.counters().requests_failed.get() == 1);
    }
}
