//! Warnings and infos of one query: each sentence once, with a place in the query text.

use std::collections::BTreeMap;

use crate::Position;
use crate::calendar::rfc3339;
use crate::number::{general, general_digits};
use crate::text::quote;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    Warning,
    Info,
}

/// Notes of one query. Equal sentences are kept once, with the latest place, as Prometheus does.
#[derive(Clone, Default, Debug)]
pub struct Annotations {
    notes: BTreeMap<(Severity, String), Note>,
}

#[derive(Clone, Debug)]
struct Note {
    position: Position,
    correction: Option<BucketCorrection>,
}

/// What `histogram_quantile` had to bend; merged over steps and series.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BucketCorrection {
    pub samples: u64,
    pub timestamp_ms_min: i64,
    pub timestamp_ms_max: i64,
    pub bucket_min: f64,
    pub bucket_max: f64,
    pub difference_max: f64,
}

impl Annotations {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.notes.is_empty()
    }

    /// Sentences as the API shows them: `PromQL warning: ... (1:5)`.
    #[must_use]
    pub fn sentences(&self, severity: Severity, query: &str) -> Vec<String> {
        self.notes
            .iter()
            .filter(|((kind, _), _)| *kind == severity)
            .map(|((_, text), note)| note.sentence(severity, text, query))
            .collect()
    }

    pub(crate) fn warn(&mut self, position: Position, text: impl Into<String>) {
        self.notes.insert((Severity::Warning, text.into()), Note { position, correction: None });
    }

    pub(crate) fn info(&mut self, position: Position, text: impl Into<String>) {
        self.notes.insert((Severity::Info, text.into()), Note { position, correction: None });
    }

    /// Notes that cumulative buckets decreased; occurrences of one metric are merged into one note.
    pub(crate) fn correct_buckets(&mut self, position: Position, metric: &str, correction: BucketCorrection) {
        let mut text = "input to histogram_quantile needed to be fixed for monotonicity \
                        (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)"
            .to_owned();
        if !metric.is_empty() {
            text.push_str(&format!(" for metric name {}", quote(metric)));
        }
        let note = self.notes.entry((Severity::Info, text)).or_insert(Note { position, correction: None });
        note.position = position;
        note.correction = Some(note.correction.map_or(correction, |known| known.merge(&correction)));
    }
}

impl Note {
    fn sentence(&self, severity: Severity, text: &str, query: &str) -> String {
        let kind = match severity {
            Severity::Warning => "warning",
            Severity::Info => "info",
        };
        let detail = self.correction.map(|correction| correction.describe()).unwrap_or_default();
        format!("PromQL {kind}: {text}{detail} ({})", self.position.locate(query))
    }
}

impl BucketCorrection {
    fn merge(&self, other: &Self) -> Self {
        Self {
            samples: self.samples + other.samples,
            timestamp_ms_min: self.timestamp_ms_min.min(other.timestamp_ms_min),
            timestamp_ms_max: self.timestamp_ms_max.max(other.timestamp_ms_max),
            bucket_min: self.bucket_min.min(other.bucket_min),
            bucket_max: self.bucket_max.max(other.bucket_max),
            difference_max: self.difference_max.max(other.difference_max),
        }
    }

    fn describe(&self) -> String {
        format!(
            ", from buckets {} to {}, with a max diff of {}, over {} samples from {} to {}",
            general(self.bucket_min),
            general(self.bucket_max),
            general_digits(self.difference_max, 2),
            self.samples,
            rfc3339(self.timestamp_ms_min),
            rfc3339(self.timestamp_ms_max),
        )
    }
}
