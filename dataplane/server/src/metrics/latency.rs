//! Latencies of one core, in histograms of two significant digits; merged over cores for the metrics page.

use std::sync::Mutex;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::Exposition;

/// Upper bounds of the classic buckets that are shown, in seconds.
const BOUNDS_S: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const HIGHEST_US: u64 = 600_000_000;

/// Written by one core's companion, read when somebody scrapes: the lock is never waited for on the way of a push.
#[derive(Debug)]
pub struct Latencies {
    pushes_us: Mutex<(Histogram<u64>, u64)>,
    queries_us: Mutex<(Histogram<u64>, u64)>,
}

impl Default for Latencies {
    fn default() -> Self {
        let empty = || {
            let histogram = Histogram::new_with_bounds(1, HIGHEST_US, 2).expect("bounds that make sense");
            Mutex::new((histogram, 0))
        };
        Self { pushes_us: empty(), queries_us: empty() }
    }
}

impl Latencies {
    pub fn record_push(&self, elapsed: Duration) {
        record(&self.pushes_us, elapsed);
    }

    pub fn record_query(&self, elapsed: Duration) {
        record(&self.queries_us, elapsed);
    }

    /// Writes the merged histograms of all cores.
    pub fn expose<'a>(cores: impl Iterator<Item = &'a Self> + Clone, page: &mut Exposition) {
        let name = "cortex_request_duration_seconds";
        page.family(name, super::Kind::Histogram, "Time from a request's head to its answer.");
        expose_one(cores.clone().map(|core| &core.pushes_us), "api_v1_push", page);
        expose_one(cores.map(|core| &core.queries_us), "prometheus_api_v1_query", page);
    }
}

fn record(histogram: &Mutex<(Histogram<u64>, u64)>, elapsed: Duration) {
    let us = u64::try_from(elapsed.as_micros()).unwrap_or(HIGHEST_US).clamp(1, HIGHEST_US);
    if let Ok(mut histogram) = histogram.lock() {
        histogram.0.saturating_record(us);
        histogram.1 += us;
    }
}

fn expose_one<'a>(cores: impl Iterator<Item = &'a Mutex<(Histogram<u64>, u64)>>, route: &str, page: &mut Exposition) {
    let mut merged: Option<Histogram<u64>> = None;
    let mut sum_us = 0;
    for core in cores {
        let Ok(core) = core.lock() else { continue };
        sum_us += core.1;
        match &mut merged {
            None => merged = Some(core.0.clone()),
            Some(merged) => merged.add(&core.0).expect("all have the same bounds"),
        }
    }
    let Some(merged) = merged else { return };
    let buckets: Vec<(f64, u64)> =
        BOUNDS_S.iter().map(|bound| (*bound, merged.count_between(0, (bound * 1e6) as u64))).collect();
    page.histogram(&[("route", route)], &buckets, sum_us as f64 / 1e6, merged.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_merged() {
        let cores = [Latencies::default(), Latencies::default()];
        cores[0].record_push(Duration::from_micros(300));
        cores[1].record_push(Duration::from_millis(40));
        cores[1].record_push(Duration::from_secs(3600));
        let mut page = Exposition::default();
        Latencies::expose(cores.iter(), &mut page);
        let text = page.to_text();
        for expected in [
            "cortex_request_duration_seconds_bucket{route=\"api_v1_push\",le=\"0.0005\"} 1\n",
            "cortex_request_duration_seconds_bucket{route=\"api_v1_push\",le=\"0.05\"} 2\n",
            "cortex_request_duration_seconds_bucket{route=\"api_v1_push\",le=\"+Inf\"} 3\n",
            "cortex_request_duration_seconds_count{route=\"prometheus_api_v1_query\"} 0\n",
        ] {
            assert!(text.contains(expected), "{expected} in {text}");
        }
    }
}
