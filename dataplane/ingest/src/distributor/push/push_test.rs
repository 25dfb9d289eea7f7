//! Pushes against a sink that remembers, read back with the record walk.

use std::cell::RefCell;
use std::rc::Rc;

use model::{CanonicalLabels, RejectReason, encode_labels};
use proptest::prelude::*;
use wire::{RecordSeries, RecordVersion, RecordVisitor, series_token, walk_record};

use super::*;
use crate::distributor::SinkError;

#[derive(Clone, Default)]
struct Remembered(Rc<RefCell<Vec<PartitionRecord>>>);

impl RecordSink for Remembered {
    async fn produce(&self, tenant: &TenantId, records: Vec<PartitionRecord>, _: i64) -> Result<(), SinkError> {
        assert!(tenant.as_str().starts_with("team-"));
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

fn options() -> DistributorOptions {
    DistributorOptions {
        labels: LabelLimits { labels_max: 5, name_bytes_max: 100, value_bytes_max: 100 },
        grace_ms: 1000,
        inflated_bytes_max: 10_000,
        record_bytes_max: 4096,
        cached_series_max: 100,
    }
}

fn distributor(sink: Remembered) -> Distributor<Remembered> {
    Distributor::new(options(), FingerprintKey::new(7), Arc::new(PartitionRing::new(4)), sink)
}

fn series(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_labels(labels.iter().copied(), &mut bytes);
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
    let counts: Vec<_> = outcome.refusals.iter().map(|one| (one.reason, one.series, one.samples)).collect();
    assert_eq!(counts, [(RejectReason::LabelsNotSorted, 1, 1), (RejectReason::MissingMetricName, 1, 2)]);
    assert_eq!(outcome.samples_accepted, 2);
    let text = outcome.refusal_text().unwrap();
    assert!(text.contains("err-mimir-labels-not-sorted") && text.contains("err-mimir-missing-metric-name"), "{text}");
    assert_eq!(shown, [format!("{{__name__=\"up\", job=\"a\"}} 1@{NOW_MS} 2@{}", NOW_MS + 1)]);
}

#[test]
fn samples_from_the_future_are_refused_one_by_one() {
    let mixed = series(&[("__name__", "up")], &[(NOW_MS, 1.0), (NOW_MS + 1001, 2.0), (NOW_MS + 1000, 3.0)]);
    let future = series(&[("__name__", "down")], &[(NOW_MS + 5000, 1.0)]);
    let (outcome, shown) = push(&[mixed, future]);
    let outcome = outcome.unwrap();
    let [refusal] = outcome.refusals.as_slice() else { panic!("{:?}", outcome.refusals) };
    assert_eq!((refusal.reason, refusal.series, refusal.samples), (RejectReason::TooFarInFuture, 2, 2));
    assert_eq!(outcome.samples_accepted, 2);
    assert_eq!(shown, [format!("{{__name__=\"up\"}} 1@{NOW_MS} 3@{}", NOW_MS + 1000)]);
}

#[test]
fn other_encodings_are_made_canonical() {
    // The value before the name, an empty label, and the sample between the labels.
    let label = |pair: &[(&str, &str)]| series(pair, &[]);
    let scattered =
        [label(&[("__name__", "up")]), series(&[], &[(NOW_MS, 1.0)]), label(&[("job", "a"), ("z", "")])].concat();
    let (outcome, shown) = push(&[scattered]);
    assert_eq!(outcome.unwrap(), PushOutcome { samples_accepted: 1, refusals: Vec::new() });
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
    encode_labels([("__name__", "up"), ("job", "a")].into_iter(), &mut canonical);
    let partition = PartitionRing::new(4).partition_of(series_token("team-a", &canonical));
    assert!(sink.0.borrow().iter().all(|record| record.partition == partition));
}

#[test]
fn what_was_refused_once_is_refused_again() {
    let sink = Remembered::default();
    let distributor = distributor(sink.clone());
    let tenant = TenantId::new("team-a").unwrap();
    let nameless = |job: &str| series(&[("job", job)], &[(NOW_MS, 1.0)]);
    let all = [nameless("a"), nameless("b"), nameless("c"), nameless("a")];
    for _ in 0..3 {
        let outcome = futures_lite::future::block_on(distributor.push(&tenant, &body(&all), NOW_MS)).unwrap();
        let [refusal] = outcome.refusals.as_slice() else { panic!("{:?}", outcome.refusals) };
        assert_eq!((refusal.reason, refusal.series, refusal.samples), (RejectReason::MissingMetricName, 4, 4));
        assert!(refusal.message.contains(r#"{job="a"}"#), "every answer shows an example: {}", refusal.message);
    }
    let counters = distributor.counters();
    // Three are checked once, the example again with every later request.
    assert_eq!((counters.cache_misses.get(), counters.cache_hits.get()), (3 + 2, 1 + 2 * 3));
    assert_eq!((counters.series_refused.get(), counters.rejected(RejectReason::MissingMetricName).get()), (12, 12));
    assert!(sink.0.borrow().is_empty());
}

#[test]
fn tenants_do_not_share_tokens() {
    let sink = Remembered::default();
    let distributor = distributor(sink.clone());
    let labels = |job: &str| [("__name__".to_owned(), "up".to_owned()), ("job".to_owned(), job.to_owned())];
    for tenant in ["team-a", "team-b"] {
        let tenant = TenantId::new(tenant).unwrap();
        for job in 0..50 {
            let labels = labels(&job.to_string());
            let pairs: Vec<_> = labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let body = body(&[series(&pairs, &[(NOW_MS, 1.0)])]);
            sink.0.borrow_mut().clear();
            futures_lite::future::block_on(distributor.push(&tenant, &body, NOW_MS)).unwrap();
            let token = series_token(tenant.as_str(), &series(&pairs, &[]));
            assert_eq!(sink.0.borrow()[0].partition, PartitionRing::new(4).partition_of(token));
        }
    }
    assert_eq!(distributor.counters().cache_hits.get(), 0);
}

#[test]
fn a_series_that_fits_no_record_does_not_sink_the_others() {
    let samples: Vec<_> = (0..300).map(|at| (NOW_MS - at, 1.0)).collect();
    let large = series(&[("__name__", "large")], &samples);
    let good = series(&[("__name__", "up")], &[(NOW_MS, 1.0)]);
    let (outcome, shown) = push(&[large, good]);
    let outcome = outcome.unwrap();
    let [refusal] = outcome.refusals.as_slice() else { panic!("{:?}", outcome.refusals) };
    assert_eq!((refusal.reason, refusal.samples, outcome.samples_accepted), (RejectReason::SeriesTooLarge, 300, 1));
    let text = outcome.refusal_text().unwrap();
    assert!(
        text.contains("err-mimir-distributor-max-write-request-data-item-size") && text.contains("large"),
        "{text}"
    );
    assert_eq!(shown, [format!("{{__name__=\"up\"}} 1@{NOW_MS}")]);
}

#[test]
fn histograms_stay_when_samples_are_refused() {
    let mut both = series(&[("__name__", "up")], &[(NOW_MS + 5000, 1.0)]);
    both.extend_from_slice(&[0x22, 2, 0x78, 1]);
    let (outcome, shown) = push(&[both]);
    assert_eq!(outcome.unwrap().refusals[0].samples, 1);
    assert_eq!(shown, [r#"{__name__="up"} "#]);
}

#[test]
fn scattered_labels_are_not_taken_for_their_beginning() {
    let sink = Remembered::default();
    let distributor = distributor(sink.clone());
    let tenant = TenantId::new("team-a").unwrap();
    let known = series(&[("__name__", "up")], &[(NOW_MS, 1.0)]);
    let scattered = [known.clone(), series(&[("job", "a")], &[])].concat();
    for all in [[known.clone(), scattered.clone()], [known, scattered]] {
        futures_lite::future::block_on(distributor.push(&tenant, &body(&all), NOW_MS)).unwrap();
    }
    let mut shown = Shown::default();
    for record in sink.0.borrow().iter() {
        walk_record(RecordVersion::V1, &record.value, &mut Vec::new(), &mut shown).unwrap();
        let mut written = wire::WriteRequest::new(&record.value);
        while let Some(wire::WriteRequestItem::Series(series)) = written.next_item().unwrap() {
            let token = series_token("team-a", series.labels);
            assert!(!series.labels_scattered && record.partition == PartitionRing::new(4).partition_of(token));
        }
    }
    shown.0.sort();
    let expected = [r#"{__name__="up", job="a"}"#, r#"{__name__="up"}"#].map(|labels| format!("{labels} 1@{NOW_MS}"));
    assert_eq!(shown.0, [&expected[0], &expected[0], &expected[1], &expected[1]].map(String::clone));
}

#[test]
fn metadata_goes_with_its_family() {
    let mut request = Vec::new();
    for family in [&b"up"[..], b"\xff"] {
        request.extend_from_slice(&[0x1a, family.len() as u8 + 2, 0x12, family.len() as u8]);
        request.extend_from_slice(family);
    }
    let sink = Remembered::default();
    let distributor = distributor(sink.clone());
    let tenant = TenantId::new("team-a").unwrap();
    let body = snap::raw::Encoder::new().compress_vec(&request).unwrap();
    futures_lite::future::block_on(distributor.push(&tenant, &body, NOW_MS)).unwrap();
    let records = sink.0.borrow();
    let partition = PartitionRing::new(4).partition_of(wire::metadata_token("team-a", "up"));
    assert_eq!(
        (records.len(), records[0].partition, &records[0].value[..]),
        (1, partition, &b"\x1a\x04\x12\x02up"[..])
    );
    let counters = distributor.counters();
    assert_eq!((counters.metadata_received.get(), counters.metadata_refused.get()), (2, 1));
}

#[test]
fn what_kafka_does_not_confirm_is_an_error() {
    struct Full;
    impl RecordSink for Full {
        async fn produce(&self, _: &TenantId, _: Vec<PartitionRecord>, _: i64) -> Result<(), SinkError> {
            Err(SinkError::BufferFull)
        }
    }
    let distributor = Distributor::new(options(), FingerprintKey::new(7), Arc::new(PartitionRing::new(4)), Full);
    let tenant = TenantId::new("team-a").unwrap();
    let body = body(&[series(&[("__name__", "up")], &[(NOW_MS, 1.0)])]);
    let error = futures_lite::future::block_on(distributor.push(&tenant, &body, NOW_MS)).unwrap_err();
    assert_eq!(error, PushError::Sink(SinkError::BufferFull));
    let counters = distributor.counters();
    assert_eq!((counters.samples_accepted.get(), counters.requests_failed.get()), (0, 1));
}

proptest! {
    /// Whatever comes, twice: no panic, and every sample is either in a record or refused.
    #[test]
    fn nothing_is_lost_between_request_and_records(
        picks in proptest::collection::vec((0usize..6, -2000i64..4000), 0..80),
        damage in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
    ) {
        let shapes: [&[(&str, &str)]; 6] = [
            &[("__name__", "up"), ("job", "a")], &[("__name__", "up"), ("job", "b")], &[("job", "a"), ("__name__", "up")],
            &[("job", "a")], &[("__name__", "up"), ("empty", "")], &[("__name__", "down")],
        ];
        let mut request = Vec::new();
        for (shape, at) in picks {
            let series = series(shapes[shape], &[(NOW_MS + at, 1.0), (NOW_MS, 2.0)]);
            request.push(0x0a);
            put_varint(series.len() as u64, &mut request);
            request.extend_from_slice(&series);
        }
        if let Some((at, byte)) = damage && !request.is_empty() {
            let at = at.index(request.len());
            request[at] = byte;
        }
        let body = snap::raw::Encoder::new().compress_vec(&request).unwrap();
        let sink = Remembered::default();
        let distributor = distributor(sink.clone());
        let tenant = TenantId::new("team-a").unwrap();
        let counters = distributor.counters();
        for round in 1..3 {
            let before = counters.samples_received.get();
            sink.0.borrow_mut().clear();
            let outcome = futures_lite::future::block_on(distributor.push(&tenant, &body, NOW_MS));
            let mut stored = 0;
            for record in sink.0.borrow().iter() {
                let mut counted = Counted(0);
                walk_record(RecordVersion::V1, &record.value, &mut Vec::new(), &mut counted).unwrap();
                stored += counted.0;
            }
            match outcome {
                Ok(outcome) => {
                    let refused: u64 = outcome.refusals.iter().map(|refusal| refusal.samples).sum();
                    prop_assert_eq!(stored, outcome.samples_accepted);
                    prop_assert_eq!(stored + refused, counters.samples_received.get() - before, "round {}", round);
                }
                Err(PushError::Malformed(_)) => prop_assert_eq!(stored, 0),
                Err(error) => prop_assert!(false, "{}", error),
            }
        }
    }
}

/// Counts samples of series with canonical labels; others have no business in a record.
struct Counted(u64);

impl RecordVisitor for Counted {
    fn series(&mut self, series: RecordSeries<'_>) {
        let mut labels = CanonicalLabels::new(series.labels);
        assert!(labels.by_ref().count() > 0 && labels.is_clean());
        self.0 += u64::from(series.sample_count);
    }
}

#[test]
fn what_cannot_be_read_stores_nothing() {
    let truncated = {
        let mut request = series(&[("__name__", "up")], &[(NOW_MS, 1.0)]);
        request.insert(0, request.len() as u8 + 5);
        request.insert(0, 0x0a);
        snap::raw::Encoder::new().compress_vec(&request).unwrap()
    };
    let large = snap::raw::Encoder::new().compress_vec(&[0; 10_001]).unwrap();
    let cases = [
        (b"no snappy".to_vec(), "snappy"),
        (truncated, "malformed protobuf"),
        (large, "the limit is 10000 (err-mimir-distributor-max-write-message-size)"),
    ];
    for (body, expected) in cases {
        let sink = Remembered::default();
        let distributor = distributor(sink.clone());
        let tenant = TenantId::new("team-a").unwrap();
        let error = futures_lite::future::block_on(distributor.push(&tenant, &body, NOW_MS)).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(sink.0.borrow().is_empty() && distributor.counters().requests_failed.get() == 1);
    }
}
