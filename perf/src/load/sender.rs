//! One connection's part of a load: makes requests from its batches of series, sends them, times the answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use wire::{RecordWriter, encode_sample};

use super::LoadOptions;
use crate::failure::Failure;
use crate::fleet::{Fleet, FleetOptions};
use crate::http::{Endpoints, Http};
use crate::latency::Latency;

/// When each request should go.
pub struct Plan {
    batches_per_round: u64,
    /// Between two requests of the whole load; `None`: as soon as the one before is answered.
    gap: Option<Duration>,
}

impl Plan {
    pub fn new(load: &LoadOptions) -> Self {
        let gap = load.rate.map(|rate| Duration::from_secs_f64(f64::from(load.shape.batch) / f64::from(rate)));
        Self { batches_per_round: u64::from(load.shape.batches()), gap }
    }

    /// After the start of the load.
    fn time_of(&self, round: u32, batch: u32) -> Option<Duration> {
        let number = u64::from(round) * self.batches_per_round + u64::from(batch);
        self.gap.map(|gap| Duration::from_secs_f64(gap.as_secs_f64() * number as f64))
    }
}

/// The batches of one connection.
pub struct Sender {
    batches: Vec<(u32, Fleet)>,
    rounds: u32,
    url: String,
    acknowledged: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
}

/// What a sender has sent.
pub struct SenderEnd {
    pub samples: u64,
    pub body_bytes: u64,
    pub push: Latency,
    /// After the start of the load.
    pub ended_at: Duration,
}

impl Sender {
    pub fn new(
        connection: u32,
        load: &LoadOptions,
        fleet: &FleetOptions,
        endpoints: &Endpoints,
        acknowledged: &Arc<AtomicU64>,
        is_over: &Arc<AtomicBool>,
    ) -> Self {
        let own = (connection..load.shape.batches()).step_by(load.connections as usize);
        let batches = own.map(|batch| {
            let (first, end) = load.shape.batch_range(batch);
            (batch, Fleet::new(fleet, first, end))
        });
        Self {
            batches: batches.collect(),
            rounds: fleet.rounds,
            url: endpoints.push.clone(),
            acknowledged: acknowledged.clone(),
            is_over: is_over.clone(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Sends every round of every batch. The first failure ends the whole load.
    pub fn run(mut self, plan: &Plan, begin: Instant) -> Result<SenderEnd, Failure> {
        let http = Http::default();
        let mut request = Request::default();
        let mut end = SenderEnd { samples: 0, body_bytes: 0, push: Latency::default(), ended_at: Duration::ZERO };
        for round in 0..self.rounds {
            for (batch, fleet) in &mut self.batches {
                let body = request.fill(fleet);
                let start = match plan.time_of(round, *batch) {
                    Some(planned) => {
                        std::thread::sleep(planned.saturating_sub(begin.elapsed()));
                        planned
                    }
                    None => begin.elapsed(),
                };
                if self.is_over.load(Ordering::Relaxed) {
                    return Err(Failure::failed("another connection has failed"));
                }
                let pushed = http.push(&self.url, body);
                if pushed.is_err() {
                    self.is_over.store(true, Ordering::Relaxed);
                }
                pushed?;
                end.ended_at = begin.elapsed();
                end.push.record(end.ended_at.saturating_sub(start));
                end.body_bytes += body.len() as u64;
                end.samples += fleet.len() as u64;
                self.acknowledged.fetch_add(fleet.len() as u64, Ordering::Relaxed);
            }
        }
        Ok(end)
    }
}

/// The buffers of a request.
#[derive(Default)]
pub struct Request {
    plain: Vec<u8>,
    sample: Vec<u8>,
    compressed: Vec<u8>,
}

impl Request {
    /// The compressed request of a fleet's present round, which is over then.
    pub fn fill(&mut self, fleet: &mut Fleet) -> &[u8] {
        self.plain.clear();
        for place in 0..fleet.len() {
            self.sample.clear();
            encode_sample(fleet.sample(place), &mut self.sample);
            RecordWriter(&mut self.plain).series(&[fleet.labels(place), &self.sample]);
        }
        fleet.next_round();
        self.compressed.resize(snap::raw::max_compress_len(self.plain.len()), 0);
        let len = snap::raw::Encoder::new().compress(&self.plain, &mut self.compressed);
        let len = len.expect("a request of at most 100,000 series is below the format's 4 GiB");
        &self.compressed[..len]
    }
}

#[cfg(test)]
mod tests {
    use super::super::Shape;
    use super::*;

    #[test]
    fn a_rate_plans_every_request() {
        let shape = Shape { series: 2500, rounds: 2, labels: 12, batch: 1000, seed: 1 };
        let load = LoadOptions { shape, connections: 2, rate: Some(10_000), probe_every_ms: 0 };
        let plan = Plan::new(&load);
        for (round, batch, expected_ms) in [(0, 0, 0), (0, 2, 200), (1, 0, 300), (1, 2, 500)] {
            let planned = plan.time_of(round, batch).unwrap();
            assert!(
                (planned.as_secs_f64() * 1e3 - f64::from(expected_ms)).abs() < 1e-6,
                "{round} {batch}: {planned:?}"
            );
        }
        assert_eq!(Plan::new(&LoadOptions { rate: None, ..load }).time_of(1, 1), None);
    }
}
