//! Now and then one sample is pushed and asked for until it shows: the time from push to queryable, under the load.
//!
//! Planned times that pass while a probe is under way are not made up for by a burst; each of them is recorded with what it would
//! have waited for the probe that blocked it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use model::{METRIC_NAME, Sample};
use wire::{RecordWriter, encode_sample};

use crate::failure::Failure;
use crate::fleet::{FleetOptions, RUN_LABEL};
use crate::http::{Endpoints, Http, scalar};
use crate::latency::Latency;
use crate::topic::now_ms;

const METRIC: &str = "perf_probe";
/// Between two queries for the same sample; also how exact the latency is.
const ASK_AGAIN: Duration = Duration::from_millis(1);
const GIVE_UP: Duration = Duration::from_secs(60);

pub struct Prober {
    http: Http,
    endpoints: Endpoints,
    /// Not the run's own: its samples are counted apart.
    run: String,
    every: Duration,
}

impl Prober {
    pub fn new(fleet: &FleetOptions, endpoints: &Endpoints, every: Duration) -> Self {
        Self { http: Http::default(), endpoints: endpoints.clone(), run: format!("probe-of-{}", fleet.run), every }
    }

    /// Probes until the load is over, at least once.
    pub fn run(&self, is_over: &AtomicBool) -> Result<Latency, Failure> {
        let mut latency = Latency::default();
        let (mut number, mut last_ms) = (0, 0);
        let mut planned = Instant::now();
        loop {
            last_ms = now_ms().max(last_ms + 1);
            number += 1;
            self.probe(Sample { timestamp_ms: last_ms, value: f64::from(number) })?;
            let took = planned.elapsed();
            latency.record(took);
            planned += self.every;
            while let Some(waited) = Instant::now().checked_duration_since(planned) {
                latency.record(waited);
                planned += self.every;
            }
            while Instant::now() < planned && !is_over.load(Ordering::Relaxed) {
                std::thread::sleep((planned - Instant::now().min(planned)).min(Duration::from_millis(10)));
            }
            if is_over.load(Ordering::Relaxed) {
                return Ok(latency);
            }
        }
    }

    fn probe(&self, sample: Sample) -> Result<(), Failure> {
        let (mut series, mut request) = (Vec::new(), Vec::new());
        model::encode_labels([(METRIC_NAME, METRIC), (RUN_LABEL, &self.run)].into_iter(), &mut series);
        encode_sample(sample, &mut series);
        RecordWriter(&mut request).series(&[&series]);
        let body = snap::raw::Encoder::new().compress_vec(&request).expect("one series fits");
        self.http.push(&self.endpoints.push, &body)?;
        let query = format!("{METRIC}{{{RUN_LABEL}=\"{}\"}}", self.run);
        let begin = Instant::now();
        loop {
            let data = self.http.instant(&self.endpoints, &query, sample.timestamp_ms)?;
            if scalar(&data).is_some_and(|value| value >= sample.value) {
                return Ok(());
            }
            if begin.elapsed() > GIVE_UP {
                let seconds = GIVE_UP.as_secs();
                return Err(Failure::check_says_no(format!("a pushed sample is not there after {seconds} s")));
            }
            std::thread::sleep(ASK_AGAIN);
        }
    }
}
