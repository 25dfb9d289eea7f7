//! Classic histograms: quantiles and fractions over series with an `le` label.

use std::collections::HashMap;

use model::{Labels, METRIC_NAME};

use super::column::{Row, Scalars, Steps, absent, is_absent, push_key, retain, with_label, without_metric};
use super::quantile::is_quantile;
use super::sort::literal;
use super::{Evaluated, Evaluator};
use crate::Position;
use crate::annotations::BucketCorrection;
use crate::ast::Call;
use crate::engine::NameRemoval;
use crate::number::parse_float;
use crate::text::quote;

const BUCKET_LABEL: &str = "le";

/// Relative differences between neighbouring buckets that are taken for rounding.
const SMALL_DELTA: f64 = 1e-12;

/// Everything at most `upper` was counted.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Bucket {
    upper: f64,
    count: f64,
}

/// The series of one histogram.
struct Histogram {
    /// With the name, without `le`.
    labels: Labels,
    /// Bound and row of each bucket.
    buckets: Vec<(f64, usize)>,
}

impl Evaluator<'_> {
    /// `histogram_quantile(q, buckets)`
    pub(super) fn histogram_quantile(&mut self, call: &Call, steps: Steps) -> Evaluated<Vec<Row>> {
        let q = self.scalars(&call.args[0], steps)?;
        let rows = self.vector(&call.args[1], steps)?;
        self.warn_quantiles(call.args[0].position(), &q, steps);
        let place = call.args[1].position();
        let histograms = self.histograms(&rows, place);
        let mut results = Vec::with_capacity(histograms.len());
        for histogram in &histograms {
            results.push(self.quantile_row(histogram, &rows, &q, steps, place));
        }
        self.unique(results, steps)
    }

    /// `histogram_quantiles(buckets, label, q...)`
    pub(super) fn histogram_quantiles(&mut self, call: &Call, steps: Steps) -> Evaluated<Vec<Row>> {
        let rows = self.vector(&call.args[0], steps)?;
        let label = literal(&call.args[1]).unwrap_or_default();
        let place = call.args[0].position();
        let histograms = self.histograms(&rows, place);
        let mut results = Vec::new();
        for arg in &call.args[2..] {
            let q = self.scalars(arg, steps)?;
            self.warn_quantiles(arg.position(), &q, steps);
            let text = open_metrics(q.at(0));
            for histogram in &histograms {
                let mut row = self.quantile_row(histogram, &rows, &q, steps, place);
                row.labels = with_label(&row.labels, label, &text);
                results.push(row);
            }
        }
        self.unique(results, steps)
    }

    /// `histogram_fraction(lower, upper, buckets)`
    pub(super) fn histogram_fraction(&mut self, call: &Call, steps: Steps) -> Evaluated<Vec<Row>> {
        let (lower, upper) = (self.scalars(&call.args[0], steps)?, self.scalars(&call.args[1], steps)?);
        let rows = self.vector(&call.args[2], steps)?;
        let histograms = self.histograms(&rows, call.args[2].position());
        let mut results = Vec::with_capacity(histograms.len());
        for histogram in &histograms {
            self.check_interrupt()?;
            let mut row = self.result_row(histogram, steps);
            for (step, cell) in row.cells.iter_mut().enumerate() {
                let buckets = histogram.buckets_at(&rows, step);
                *cell = if buckets.is_empty() {
                    absent()
                } else {
                    bucket_fraction(lower.at(step), upper.at(step), buckets)
                };
            }
            results.push(row);
        }
        self.unique(results, steps)
    }

    fn warn_quantiles(&mut self, place: Position, q: &Scalars, steps: Steps) {
        for q in q.iter(steps.count).filter(|q| !is_quantile(*q)) {
            self.warn_quantile(place, q);
        }
    }

    /// Groups rows by all labels but `le`. Buckets of one histogram are sorted by bound.
    fn histograms(&mut self, rows: &[Row], place: Position) -> Vec<Histogram> {
        let mut histograms: Vec<Histogram> = Vec::new();
        let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut key = Vec::new();
        for (index, row) in rows.iter().enumerate() {
            let text = row.labels.get(BUCKET_LABEL);
            let Some(upper) = parse_float(text) else {
                self.warn_bucket(row, text, place);
                continue;
            };
            key.clear();
            push_key(row.labels.iter().filter(|label| &*label.name != BUCKET_LABEL), &mut key);
            let place = *places.entry(key.clone()).or_insert_with(|| {
                let labels = retain(&row.labels, |label| &*label.name != BUCKET_LABEL);
                histograms.push(Histogram { labels, buckets: Vec::new() });
                histograms.len() - 1
            });
            histograms[place].buckets.push((upper, index));
        }
        for histogram in &mut histograms {
            histogram.buckets.sort_by(|left, right| left.0.total_cmp(&right.0));
        }
        histograms
    }

    fn warn_bucket(&mut self, row: &Row, text: &str, place: Position) {
        let mut sentence =
            format!("bucket label {} is missing or has a malformed value of {}", quote(BUCKET_LABEL), quote(text));
        let metric = self.shown_name(&row.labels);
        if !metric.is_empty() {
            sentence.push_str(&format!(" for metric name {}", quote(metric)));
        }
        self.annotations.warn(place, sentence);
    }

    /// The name, where messages show it: Prometheus leaves it out unless removal is delayed.
    fn shown_name<'l>(&self, labels: &'l Labels) -> &'l str {
        match self.options.name_removal {
            NameRemoval::Immediate => "",
            NameRemoval::Delayed => labels.get(METRIC_NAME),
        }
    }

    fn result_row(&self, histogram: &Histogram, steps: Steps) -> Row {
        let labels = match self.options.name_removal {
            NameRemoval::Immediate => without_metric(&histogram.labels),
            NameRemoval::Delayed => histogram.labels.clone(),
        };
        Row { drop_name: true, ..Row::empty(labels, steps.count) }
    }

    fn quantile_row(&mut self, histogram: &Histogram, rows: &[Row], q: &Scalars, steps: Steps, place: Position) -> Row {
        let mut row = self.result_row(histogram, steps);
        for (step, cell) in row.cells.iter_mut().enumerate() {
            let buckets = histogram.buckets_at(rows, step);
            if buckets.is_empty() {
                continue;
            }
            let (value, forced) = bucket_quantile(q.at(step), buckets);
            *cell = value;
            if let Some(forced) = forced {
                let time_ms = steps.time_ms(step);
                let correction = BucketCorrection {
                    samples: 1,
                    timestamp_ms_min: time_ms,
                    timestamp_ms_max: time_ms,
                    bucket_min: forced.bucket_min,
                    bucket_max: forced.bucket_max,
                    difference_max: forced.difference_max,
                };
                let metric = self.shown_name(&histogram.labels).to_owned();
                self.annotations.correct_buckets(place, &metric, correction);
            }
        }
        row
    }
}

impl Histogram {
    /// The buckets that have a value, by bound.
    fn buckets_at(&self, rows: &[Row], step: usize) -> Vec<Bucket> {
        let cells = self.buckets.iter().map(|(upper, row)| Bucket { upper: *upper, count: rows[*row].cells[step] });
        cells.filter(|bucket| !is_absent(bucket.count)).collect()
    }
}

/// Where counts went down although bounds went up.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Forced {
    bucket_min: f64,
    bucket_max: f64,
    difference_max: f64,
}

/// Linear within a bucket; the second-highest bound for what lies in the highest bucket; 0 is the lower bound of the first
/// bucket unless its upper bound is not above 0.
fn bucket_quantile(q: f64, mut buckets: Vec<Bucket>) -> (f64, Option<Forced>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if buckets.last().is_none_or(|bucket| bucket.upper != f64::INFINITY) {
        return (f64::NAN, None);
    }
    merge_equal_bounds(&mut buckets);
    let forced = force_monotonic(&mut buckets);
    let last = buckets.len() - 1;
    let observations = buckets[last].count;
    if last == 0 || observations == 0.0 {
        return (f64::NAN, forced);
    }
    let rank = q * observations;
    // The counts may hold NaN, so this is the search that Prometheus makes and no other.
    let found = search(last, |index| buckets[index].count >= rank);
    let value = if found == last {
        buckets[last - 1].upper
    } else if found == 0 && buckets[0].upper <= 0.0 {
        buckets[0].upper
    } else {
        let below = if found == 0 { Bucket { upper: 0.0, count: 0.0 } } else { buckets[found - 1] };
        let (start, end) = (below.upper, buckets[found].upper);
        start + (end - start) * ((rank - below.count) / (buckets[found].count - below.count))
    };
    (value, forced)
}

/// Share of observations between the bounds.
fn bucket_fraction(lower: f64, upper: f64, mut buckets: Vec<Bucket>) -> f64 {
    if buckets.last().is_none_or(|bucket| bucket.upper != f64::INFINITY) {
        return f64::NAN;
    }
    merge_equal_bounds(&mut buckets);
    let count = buckets[buckets.len() - 1].count;
    if count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let rank = |value: f64| bucket_rank(value, &buckets).filter(|rank| *rank <= count).unwrap_or(count);
    (rank(upper) - rank(lower)) / count
}

/// How many observations lie below `value`; `None` above all bounds.
fn bucket_rank(value: f64, buckets: &[Bucket]) -> Option<f64> {
    let mut start = if buckets[0].upper <= 0.0 { f64::NEG_INFINITY } else { 0.0 };
    let mut rank = 0.0;
    for bucket in buckets {
        if start >= value {
            return Some(rank);
        }
        if bucket.upper > value {
            // Nothing is known within a bucket without a lower end.
            return Some(if start == f64::NEG_INFINITY {
                bucket.count
            } else {
                rank + (bucket.count - rank) * (value - start) / (bucket.upper - start)
            });
        }
        rank = bucket.count;
        start = bucket.upper;
    }
    None
}

fn merge_equal_bounds(buckets: &mut Vec<Bucket>) {
    buckets.dedup_by(|next, kept| {
        let is_equal = next.upper == kept.upper;
        if is_equal {
            kept.count += next.count;
        }
        is_equal
    });
}

/// Takes out decreases, and tiny differences that rounding explains.
fn force_monotonic(buckets: &mut [Bucket]) -> Option<Forced> {
    let mut forced: Option<Forced> = None;
    let mut previous = buckets[0].count;
    for bucket in &mut buckets[1..] {
        let count = bucket.count;
        if count == previous {
            continue;
        }
        if is_almost_equal(previous, count, SMALL_DELTA) {
            bucket.count = previous;
        } else if count < previous {
            bucket.count = previous;
            let (upper, difference) = (bucket.upper, previous - count);
            let known = forced.unwrap_or(Forced { bucket_min: upper, bucket_max: upper, difference_max: difference });
            forced = Some(Forced {
                bucket_min: known.bucket_min.min(upper),
                bucket_max: known.bucket_max.max(upper),
                difference_max: known.difference_max.max(difference),
            });
        } else {
            previous = count;
        }
    }
    forced
}

/// Equal within a share of the sum of both; NaN equals NaN.
pub(crate) fn is_almost_equal(left: f64, right: f64, tolerance: f64) -> bool {
    if is_absent(left) || is_absent(right) {
        return is_absent(left) && is_absent(right);
    }
    if left == right || left.is_nan() && right.is_nan() {
        return true;
    }
    let sum = left.abs() + right.abs();
    let difference = (left - right).abs();
    if left == 0.0 || right == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < tolerance * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < tolerance
}

/// The first index below `count` for which the condition holds, by halving; `count` if there is none.
fn search(count: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low.midpoint(high);
        if holds(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// A float as OpenMetrics writes it: with a decimal point or an exponent.
fn open_metrics(value: f64) -> String {
    let text = crate::number::general(value);
    if text.contains(['.', 'e', 'N', 'I']) { text } else { format!("{text}.0") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(pairs: &[(f64, f64)]) -> Vec<Bucket> {
        pairs.iter().map(|(upper, count)| Bucket { upper: *upper, count: *count }).collect()
    }

    #[test]
    fn quantiles_of_buckets() {
        let even = [(1.0, 10.0), (2.0, 20.0), (f64::INFINITY, 20.0)];
        let cases = [(0.5, 1.0), (0.25, 0.5), (0.75, 1.5), (1.0, 2.0), (-1.0, f64::NEG_INFINITY)];
        for (q, expected) in cases {
            assert_eq!(bucket_quantile(q, buckets(&even)), (expected, None), "{q}");
        }
        assert!(bucket_quantile(0.5, buckets(&even[..2])).0.is_nan());
        assert!(bucket_quantile(0.5, buckets(&even[2..])).0.is_nan());
        let (value, forced) = bucket_quantile(0.5, buckets(&[(1.0, 10.0), (2.0, 5.0), (f64::INFINITY, 10.0)]));
        assert_eq!(value, 0.5);
        assert_eq!(forced, Some(Forced { bucket_min: 2.0, bucket_max: 2.0, difference_max: 5.0 }));
    }

    #[test]
    fn fractions_of_buckets() {
        let even = [(1.0, 10.0), (2.0, 20.0), (f64::INFINITY, 20.0)];
        let cases = [(0.0, 1.0, 0.5), (0.5, 1.5, 0.5), (2.0, 5.0, 0.0), (1.0, 0.0, 0.0)];
        for (lower, upper, expected) in cases {
            assert_eq!(bucket_fraction(lower, upper, buckets(&even)), expected, "{lower} {upper}");
        }
    }
}
