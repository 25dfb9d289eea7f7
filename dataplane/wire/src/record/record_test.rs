//! Records of a real Mimir, and bytes that are none.

use model::{CanonicalLabels, Sample};
use proptest::prelude::*;

use super::*;
use crate::fields::put_varint;
use crate::{Inflater, LabelLimits, WriteRequest, WriteRequestItem, canonicalize};

/// Collects a record as text: `labels: value@ms ... +histograms +exemplars`.
#[derive(Default)]
struct Shown(Vec<String>);

impl RecordVisitor for Shown {
    fn series(&mut self, series: RecordSeries<'_>) {
        let labels = CanonicalLabels::new(series.labels).to_labels();
        let samples: Vec<String> =
            series.samples.clone().map(|Sample { timestamp_ms, value }| format!("{value}@{timestamp_ms}")).collect();
        assert_eq!(samples.len(), series.sample_count as usize);
        let noted = format!("{}h{}e", series.noted.histograms, series.noted.exemplars);
        self.0.push(format!("{labels} {} {noted}", samples.join(" ")));
    }
}

fn vectors() -> impl Iterator<Item = (&'static str, RecordVersion, Vec<u8>)> {
    let lines = include_str!("../../vectors/records.txt").lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| {
        let [name, version, hex] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let version = match version {
            "v0" => RecordVersion::V0,
            "v1" => RecordVersion::V1,
            _ => RecordVersion::V2,
        };
        let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
        (name, version, bytes)
    })
}

#[test]
fn records_of_mimir_are_read() {
    let up = r#"{__name__="up", job="node"}"#;
    let mut count = 0;
    for (name, version, value) in vectors() {
        let mut shown = Shown::default();
        walk_record(version, &value, &mut Vec::new(), &mut shown).unwrap();
        let metadata_only = r#"{__name__="other_total"}  0h0e"#.to_owned();
        let mut expected = match name {
            "up" | "up+meta" => vec![format!("{up} 1.5@1700000000000 0h0e")],
            "hist+exemplar" => vec![format!("{up} 1@1700000000000 -2.25@1700000015000 1h1e")],
            "common-symbols" => vec![
                r#"{__name__="x", cluster="c1", namespace="kube-system"} 7@1700000000001 0h0e"#.to_owned(),
                r#"{__name__="x", cluster="c2", le="+Inf"} 8@1700000000001 0h0e"#.to_owned(),
            ],
            other => panic!("an unknown vector {other}"),
        };
        if name == "up+meta" && version == RecordVersion::V2 {
            expected.push(metadata_only);
        }
        assert_eq!(shown.0, expected, "{name} {version:?}");
        count += 1;
    }
    assert_eq!(count, 12);
}

#[test]
fn versions_come_from_the_header() {
    assert_eq!(RecordVersion::from_header(None), Ok(RecordVersion::V0));
    assert_eq!(RecordVersion::from_header(Some(&[0, 0, 0, 2])), Ok(RecordVersion::V2));
    assert_eq!(RecordVersion::from_header(Some(&[0, 0, 0, 3])), Err(RecordError::UnknownVersion { version: 3 }));
    assert_eq!(RecordVersion::from_header(Some(&[1])), Err(RecordError::BadVersionHeader { bytes: 1 }));
}

#[test]
fn versions_are_not_mixed() {
    for (_, version, value) in vectors() {
        let other = if version == RecordVersion::V2 { RecordVersion::V1 } else { RecordVersion::V2 };
        assert!(walk_record(other, &value, &mut Vec::new(), &mut Shown::default()).is_err());
    }
}

#[test]
fn what_is_not_series_is_noted() {
    for (name, version, value) in vectors() {
        let notes = walk_record(version, &value, &mut Vec::new(), &mut Quiet).unwrap();
        let expected = match name {
            "up+meta" => RecordNotes { metadata: 2, ..RecordNotes::default() },
            "common-symbols" => RecordNotes { source: Source::Rule, ..RecordNotes::default() },
            _ => RecordNotes::default(),
        };
        assert_eq!(notes, expected, "{name} {version:?}");
    }
}

#[test]
fn written_records_have_the_bytes_of_mimir() {
    for (name, _, value) in vectors().filter(|(_, version, _)| *version == RecordVersion::V1) {
        let mut written = Vec::new();
        let mut request = WriteRequest::new(&value);
        while let Some(item) = request.next_item().unwrap() {
            let before = written.len();
            let (raw, tag) = match item {
                WriteRequestItem::Series(series) => {
                    let rest = &series.raw[series.labels.len()..];
                    RecordWriter(&mut written).series(&[series.labels, rest]);
                    (series.raw, 0x0a)
                }
                WriteRequestItem::Metadata { raw, .. } => {
                    RecordWriter(&mut written).metadata(raw);
                    (raw, 0x1a)
                }
            };
            assert_eq!((written.len() - before, written[before]), (field_bytes(raw.len()), tag));
        }
        // The source is a field of its own, which a distributor does not write: what it stands for is the default.
        let expected = value.strip_suffix(&[0x10, 0x01]).filter(|_| name == "common-symbols").unwrap_or(&value);
        assert_eq!(written, expected, "{name}");
    }
    assert_eq!(RecordVersion::V1.header(), Some([0, 0, 0, 1]));
}

/// A version 2 record of one empty symbol and `symbols`, and a series for each list of references.
fn record_v2(symbols: &[&str], series: &[&[u8]]) -> Vec<u8> {
    let mut value = vec![0x22, 0];
    for symbol in symbols {
        value.push(0x22);
        put_varint(symbol.len() as u64, &mut value);
        value.extend_from_slice(symbol.as_bytes());
    }
    for references in series {
        let mut message = vec![0x0a];
        put_varint(references.len() as u64, &mut message);
        message.extend_from_slice(references);
        value.push(0x2a);
        put_varint(message.len() as u64, &mut value);
        value.extend_from_slice(&message);
    }
    value
}

#[test]
fn references_are_checked() {
    #[track_caller]
    fn check(references: &[u8], expected: Result<&str, &str>) {
        let mut shown = Shown::default();
        let value = record_v2(&["up"], &[references]);
        let result = walk_record(RecordVersion::V2, &value, &mut Vec::new(), &mut shown);
        match expected {
            Ok(labels) => assert_eq!((result, &shown.0[0][..labels.len()]), (Ok(RecordNotes::default()), labels)),
            Err(text) => assert!(result.unwrap_err().to_string().contains(text)),
        }
    }
    check(&[1, 65], Ok(r#"{__name__="up"}"#));
    check(&[35, 35], Ok(r#"{default/kubernetes="default/kubernetes"}"#));
    check(&[1, 36], Err("beyond the table"));
    check(&[1, 63], Err("beyond the table"));
    check(&[1, 66], Err("beyond the table"));
    check(&[1], Err("odd number"));
    check(&[1, 0xff], Err("does not end"));
    check(&[1, 0xff, 0xff, 0xff, 0xff, 0x7f], Err("too large"));
    // One number outside a packed list.
    let unpacked = [0x22, 0, 0x2a, 2, 0x08, 1];
    assert!(walk_record(RecordVersion::V2, &unpacked, &mut Vec::new(), &mut Quiet).is_err());
    let no_empty_symbol = [0x22, 1, b'x'];
    assert!(walk_record(RecordVersion::V2, &no_empty_symbol, &mut Vec::new(), &mut Quiet).is_err());
}

#[test]
fn small_records_cannot_stand_for_much() {
    let long = "x".repeat(100_000);
    let ten: &[u8] = &[65; 10];
    let value = record_v2(&[&long], &[&[65; 12]]);
    let mut scratch = Vec::new();
    let error = walk_record(RecordVersion::V2, &value, &mut scratch, &mut Quiet).unwrap_err();
    assert!(error.to_string().contains("labels of a series") && scratch.capacity() < 4 << 20, "{error}");
    let value = record_v2(&[&long], &vec![ten; 1200]);
    let error = walk_record(RecordVersion::V2, &value, &mut scratch, &mut Quiet).unwrap_err();
    assert!(error.to_string().contains("all series together"), "{error}");
    let value = record_v2(&vec![""; 1 << 20], &[]);
    let error = walk_record(RecordVersion::V2, &value, &mut scratch, &mut Quiet).unwrap_err();
    assert!(error.to_string().contains("too many symbols"), "{error}");
}

#[test]
fn scattered_labels_are_gathered() {
    let label = |name: &str, value: &str| {
        let mut bytes = Vec::new();
        model::encode_labels([(name, value)].into_iter(), &mut bytes);
        bytes
    };
    let sample = [0x12, 0x09, 0x09, 0, 0, 0, 0, 0, 0, 0, 0];
    let series = [label("__name__", "up"), sample.to_vec(), label("job", "x")].concat();
    let value = [&[0x0a, series.len() as u8][..], &series].concat();
    let mut shown = Shown::default();
    walk_record(RecordVersion::V1, &value, &mut Vec::new(), &mut shown).unwrap();
    assert_eq!(shown.0, [r#"{__name__="up", job="x"} 0@0 0h0e"#]);
}

/// Walks everything that walks; only that nothing panics is at stake.
fn walk_all(bytes: &[u8]) {
    for version in [RecordVersion::V1, RecordVersion::V2] {
        let _ = walk_record(version, bytes, &mut Vec::new(), &mut Quiet);
    }
    let mut request = WriteRequest::new(bytes);
    let mut canonical = Vec::new();
    while let Ok(Some(item)) = request.next_item() {
        if let WriteRequestItem::Series(series) = item
            && canonicalize(series.raw, &LabelLimits::NONE, &mut canonical).is_ok()
        {
            let mut labels = CanonicalLabels::new(&canonical);
            assert!(labels.by_ref().count() > 0 && labels.is_clean());
            let mut again = Vec::new();
            assert_eq!((canonicalize(&canonical, &LabelLimits::NONE, &mut again), &again), (Ok(()), &canonical));
        }
    }
}

struct Quiet;

impl RecordVisitor for Quiet {
    fn series(&mut self, series: RecordSeries<'_>) {
        assert_eq!(series.samples.count(), series.sample_count as usize);
    }
}

proptest! {
    #[test]
    fn arbitrary_bodies_stay_within_the_limit(body in proptest::collection::vec(any::<u8>(), 0..200), bytes_max in 0usize..5000) {
        if let Ok(inflated) = Inflater::default().inflate(&body, bytes_max) {
            prop_assert!(inflated.len() <= bytes_max);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        walk_all(&bytes);
    }

    #[test]
    fn damaged_records_never_panic(pick in 0usize..12, at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let (_, _, mut value) = vectors().nth(pick).unwrap();
        let at = at.index(value.len());
        value[at] = byte;
        walk_all(&value);
        value.truncate(cut.index(value.len()));
        walk_all(&value);
    }
}
