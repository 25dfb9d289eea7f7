//! Records of a real Mimir, and bytes that are none.

use model::{CanonicalLabels, Sample};
use proptest::prelude::*;

use super::*;
use crate::{LabelLimits, WriteRequest, WriteRequestItem, canonicalize};

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
        if let WriteRequestItem::Series(series) = item {
            let _ = canonicalize(series.raw, &LabelLimits::NONE, &mut canonical);
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
