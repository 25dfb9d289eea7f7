//! Series in memory, for scripts and tests.

use std::collections::{BTreeMap, HashMap};

use model::{Labels, METRIC_NAME};

use super::{Load, Point};
use crate::{Select, SelectError, SelectRequest, Series};

/// Samples by series. Selecting walks over everything.
#[derive(Clone, Default, Debug)]
pub struct MemoryStorage {
    /// In the order of labels, so that results are repeatable.
    series: BTreeMap<Labels, Stored>,
}

#[derive(Clone, Default, Debug)]
struct Stored {
    floats: BTreeMap<i64, f64>,
    histogram_times: Vec<i64>,
    has_start_timestamps: bool,
}

impl MemoryStorage {
    /// Adds a sample; the later of two at one time wins.
    pub fn add(&mut self, labels: Labels, timestamp_ms: i64, value: f64) {
        self.series.entry(labels).or_default().floats.insert(timestamp_ms, value);
    }

    pub(super) fn load(&mut self, load: &Load) {
        let mut custom_buckets: HashMap<Labels, Vec<i64>> = HashMap::new();
        for series in &load.series {
            let stored = self.series.entry(series.labels.clone()).or_default();
            stored.has_start_timestamps |= series.has_start_timestamps;
            let times = (0..).map(|index| index * load.step_ms);
            for (time_ms, point) in times.zip(&series.points) {
                match point {
                    Point::Omitted => {}
                    Point::Float(value) => {
                        stored.floats.insert(time_ms, *value);
                    }
                    Point::Histogram => stored.histogram_times.push(time_ms),
                }
            }
            if let Some(labels) = histogram_labels(&series.labels).filter(|_| load.with_custom_buckets) {
                custom_buckets.entry(labels).or_default().extend(stored.floats.keys());
            }
        }
        for (labels, times) in custom_buckets {
            self.series.entry(labels).or_default().histogram_times.extend(times);
        }
    }
}

/// The labels of the native histogram that a series of a classic one belongs to.
fn histogram_labels(labels: &Labels) -> Option<Labels> {
    let metric = labels.get(METRIC_NAME);
    let base = ["_bucket", "_count", "_sum"].iter().find_map(|suffix| metric.strip_suffix(suffix))?;
    let others = labels.iter().filter(|label| !matches!(&*label.name, METRIC_NAME | "le")).cloned();
    Some(Labels::new(others.chain([model::Label::new(METRIC_NAME, base)]).collect()))
}

impl Select for MemoryStorage {
    fn select(&self, request: &SelectRequest<'_>) -> Result<Vec<Series>, SelectError> {
        let range = request.range;
        let mut selected = Vec::new();
        let mut samples = 0;
        for (labels, stored) in &self.series {
            if !request.matchers.iter().all(|matcher| matcher.matches(labels.get(&matcher.name))) {
                continue;
            }
            if stored.histogram_times.iter().any(|time_ms| range.contains(*time_ms)) {
                return Err(SelectError::Unsupported { what: "native histograms" });
            }
            let uses_start = matches!(request.hints.function, Some("rate" | "irate" | "increase" | "resets"));
            if stored.has_start_timestamps && uses_start {
                return Err(SelectError::Unsupported { what: "start timestamps" });
            }
            let found = stored.floats.range(range.min_ms..=range.max_ms);
            let (timestamps_ms, values): (Vec<i64>, Vec<f64>) = found.map(|(time, value)| (*time, *value)).unzip();
            samples += values.len() as u64;
            if samples > request.samples_max {
                return Err(SelectError::TooManySamples);
            }
            if !values.is_empty() {
                selected.push(Series::floats(labels.clone(), timestamps_ms, values));
            }
        }
        Ok(selected)
    }
}
