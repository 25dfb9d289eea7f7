//! Latencies with three significant digits, whatever their size.
//!
//! Who has a plan of when to send records from the planned time on: a receiver that is stuck then counts for every request that
//! should have been sent meanwhile, not only for the one that waited (no coordinated omission).

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// Everything longer counts as this.
const LONGEST: Duration = Duration::from_secs(3600);

#[derive(Clone, Debug)]
pub struct Latency {
    /// In microseconds.
    histogram: Histogram<u64>,
}

impl Default for Latency {
    fn default() -> Self {
        let longest_us = LONGEST.as_micros() as u64;
        Self { histogram: Histogram::new_with_bounds(1, longest_us, 3).expect("the bounds are constants that fit") }
    }
}

impl Latency {
    pub fn record(&mut self, took: Duration) {
        let took_us = took.min(LONGEST).as_micros() as u64;
        self.histogram.saturating_record(took_us);
    }

    pub fn add(&mut self, other: &Self) {
        self.histogram.add(&other.histogram).expect("all have the same bounds");
    }

    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// Milliseconds below which that share of all lies.
    pub fn quantile_ms(&self, quantile: f64) -> f64 {
        self.histogram.value_at_quantile(quantile) as f64 / 1000.0
    }

    /// A row of a report; `percentiles` are the points of its plot.
    pub fn row(&self, name: &str) -> Value {
        let curve = [0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999, 1.0];
        let percentiles: Vec<Value> =
            curve.iter().map(|share| json!({"percentile": share * 100.0, "ms": self.quantile_ms(*share)})).collect();
        json!({
            "latency": name,
            "count": self.count(),
            "p50_ms": self.quantile_ms(0.5),
            "p90_ms": self.quantile_ms(0.9),
            "p99_ms": self.quantile_ms(0.99),
            "p999_ms": self.quantile_ms(0.999),
            "max_ms": self.histogram.max() as f64 / 1000.0,
            "percentiles": percentiles,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_is_told() {
        let (mut one, mut other) = (Latency::default(), Latency::default());
        for ms in 1..=99 {
            one.record(Duration::from_millis(ms));
        }
        other.record(Duration::from_secs(1_000_000));
        one.add(&other);
        assert_eq!(one.count(), 100);
        assert!((one.quantile_ms(0.5) - 50.0).abs() < 0.1, "{}", one.quantile_ms(0.5));
        assert!((one.row("push")["max_ms"].as_f64().unwrap() / 3.6e6 - 1.0).abs() < 0.01);
    }
}
