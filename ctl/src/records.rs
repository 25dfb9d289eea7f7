//! Records of our topics as rows: decoded, and chosen by tenant and matchers.

use kafka::batch::Record;
use model::{CanonicalLabels, Labels, Matcher};
use serde_json::{Map, Value, json};
use wire::{RecordNotes, RecordSeries, RecordVersion, RecordVisitor, Source, VERSION_HEADER, walk_record};

/// Which series to show.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    pub tenant: Option<String>,
    pub matchers: Vec<Matcher>,
}

impl Choice {
    fn takes_tenant(&self, tenant: &str) -> bool {
        self.tenant.as_ref().is_none_or(|own| own == tenant)
    }

    fn takes_labels(&self, labels: &Labels) -> bool {
        self.matchers.iter().all(|matcher| matcher.matches(labels.get(&matcher.name)))
    }
}

/// Decodes records; keeps its scratch from one to the next.
#[derive(Default)]
pub struct Decoder {
    scratch: Vec<u8>,
}

/// Gathers the series of one record.
struct Rows<'a> {
    choice: &'a Choice,
    series: Vec<Value>,
}

impl RecordVisitor for Rows<'_> {
    fn series(&mut self, series: RecordSeries<'_>) {
        let labels = CanonicalLabels::new(series.labels).to_labels();
        if !self.choice.takes_labels(&labels) {
            return;
        }
        let samples: Vec<Value> = series
            .samples
            .clone()
            .map(|sample| json!({"timestamp_ms": sample.timestamp_ms, "value": value_text(sample.value)}))
            .collect();
        let map: Map<String, Value> =
            labels.iter().map(|label| (label.name.to_string(), label.value.to_string().into())).collect();
        self.series.push(json!({
            "series": labels.to_string(),
            "labels": map,
            "samples": samples,
            "histograms": series.noted.histograms,
            "exemplars": series.noted.exemplars,
        }));
    }
}

impl Decoder {
    /// A row for each series of the record that is chosen. A record that cannot be read is one row that says why, unless
    /// matchers ask for series only.
    pub fn rows(&mut self, partition: i32, record: &Record<'_>, choice: &Choice) -> Vec<Value> {
        let tenant = String::from_utf8_lossy(record.key.unwrap_or_default()).into_owned();
        if !choice.takes_tenant(&tenant) {
            return Vec::new();
        }
        let mut rows = Rows { choice, series: Vec::new() };
        let version = RecordVersion::from_header(record.header(VERSION_HEADER));
        let value = record.value.unwrap_or_default();
        let walked = version.and_then(|version| {
            walk_record(version, value, &mut self.scratch, &mut rows).map(|notes| (version, notes))
        });
        let head = |version: Option<RecordVersion>, notes: RecordNotes| {
            json!({
                "partition": partition,
                "offset": record.offset,
                "record_time_ms": record.timestamp_ms,
                "tenant": tenant,
                "version": version.map(|version| match version {
                    RecordVersion::V0 => 0,
                    RecordVersion::V1 => 1,
                    RecordVersion::V2 => 2,
                }),
                "source": if notes.source == Source::Rule { "rule" } else { "api" },
                "error": null,
            })
        };
        match walked {
            Ok((version, notes)) => {
                let head = head(Some(version), notes);
                rows.series.into_iter().map(|series| joined(&head, series)).collect()
            }
            Err(error) if choice.matchers.is_empty() => {
                let mut row = head(None, RecordNotes::default());
                row["error"] = json!(error.to_string());
                vec![row]
            }
            Err(_) => Vec::new(),
        }
    }
}

fn joined(head: &Value, series: Value) -> Value {
    let mut row = head.clone();
    if let (Value::Object(row), Value::Object(series)) = (&mut row, series) {
        row.extend(series);
    }
    row
}

/// As Prometheus writes a value: JSON knows no NaN.
pub fn value_text(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    value.to_string()
}

#[cfg(test)]
mod tests {
    use kafka::batch::{BatchReader, Batches};
    use model::{MatchOp, Sample};

    use super::*;

    /// A batch of one record, as a broker would give it, without a checksum that anybody looks at here.
    fn batch(key: &[u8], value: &[u8]) -> Vec<u8> {
        let zigzag = |value: usize, out: &mut Vec<u8>| {
            let mut value = (value as u64) << 1;
            while value >= 0x80 {
                out.push((value & 0x7f) as u8 | 0x80);
                value >>= 7;
            }
            out.push(value as u8);
        };
        let mut body = vec![0, 0, 0];
        for bytes in [key, value] {
            zigzag(bytes.len(), &mut body);
            body.extend_from_slice(bytes);
        }
        body.push(0);
        let mut records = Vec::new();
        zigzag(body.len(), &mut records);
        records.extend_from_slice(&body);
        let mut bytes = 7i64.to_be_bytes().to_vec();
        bytes.extend_from_slice(&(49 + records.len() as i32).to_be_bytes());
        bytes.extend_from_slice(&[0, 0, 0, 0, 2]);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&[0; 6]);
        bytes.extend_from_slice(&1000i64.to_be_bytes());
        bytes.extend_from_slice(&1000i64.to_be_bytes());
        bytes.extend_from_slice(&[0xff; 14]);
        bytes.extend_from_slice(&1i32.to_be_bytes());
        bytes.extend_from_slice(&records);
        let crc = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    fn value() -> Vec<u8> {
        let mut value = Vec::new();
        for (job, sample) in [("a", 1.5), ("b", f64::NAN)] {
            let mut series = Vec::new();
            model::encode_labels([("__name__", "up"), ("job", job)].into_iter(), &mut series);
            wire::encode_sample(Sample { timestamp_ms: 5000, value: sample }, &mut series);
            wire::RecordWriter(&mut value).series(&[&series]);
        }
        value
    }

    #[track_caller]
    fn check(value: &[u8], choice: &Choice, expected: &[&str]) {
        let bytes = batch(b"team", value);
        let batch = Batches::new(&bytes).next_batch().unwrap().unwrap();
        let mut reader = BatchReader::new();
        let record = reader.open(&batch).unwrap().next_record().unwrap().unwrap();
        let rows = Decoder::default().rows(3, &record, choice);
        let shown: Vec<String> = rows
            .iter()
            .map(|row| {
                assert_eq!((&row["partition"], &row["offset"], &row["tenant"]), (&json!(3), &json!(7), &json!("team")));
                match row["error"].as_str() {
                    Some(error) => error.to_owned(),
                    None => format!("{} {}", row["labels"]["job"].as_str().unwrap(), row["samples"][0]["value"]),
                }
            })
            .collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn series_are_chosen() {
        let by = |op, value| Choice { tenant: None, matchers: vec![Matcher::new("job", op, value).unwrap()] };
        let tenant = |name: &str| Choice { tenant: Some(name.to_owned()), matchers: vec![] };
        check(&value(), &Choice::default(), &["a \"1.5\"", "b \"NaN\""]);
        check(&value(), &by(MatchOp::Regex, "[b-z]"), &["b \"NaN\""]);
        check(&value(), &by(MatchOp::Equal, "x"), &[]);
        check(&value(), &tenant("team"), &["a \"1.5\"", "b \"NaN\""]);
        check(&value(), &tenant("other"), &[]);
        check(b"\xff", &Choice::default(), &["malformed protobuf: a varint does not end"]);
        check(b"\xff", &by(MatchOp::Equal, "a"), &[]);
    }

    #[test]
    fn values_are_written_as_prometheus_does() {
        let shown: Vec<String> = [1.0, -0.5, f64::INFINITY, f64::NEG_INFINITY, f64::NAN].map(value_text).into();
        assert_eq!(shown, ["1", "-0.5", "+Inf", "-Inf", "NaN"]);
    }
}
