//! Sends a fleet's samples to a receiver over some connections and notes what came of it.
//!
//! Each connection owns its batches of series and sends them round after round, so a series' samples keep their order. With a
//! rate, requests have a planned time and their latency counts from it; without one the next follows the answer.

mod probe;
mod sender;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::accounts::{Account, Process};
use crate::failure::Failure;
use crate::fleet::{FleetOptions, LABELS_MAX, LABELS_MIN, run_name};
use crate::http::Endpoints;
use crate::latency::Latency;
use crate::progress::Progress;
use crate::topic::now_ms;

use probe::Prober;
use sender::{Plan, Sender};

const TIMELINE_STEP: Duration = Duration::from_millis(200);
/// Older points are thinned out beyond this.
const TIMELINE_POINTS_MAX: usize = 2000;

/// Which samples there are, as the command line says it.
#[derive(clap::Args, Clone, PartialEq, Eq, Debug)]
pub struct Shape {
    /// Series of the fleet; 500 are a host.
    #[arg(long, value_name = "COUNT", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=50_000_000))]
    pub series: u32,
    /// Samples of each series, one a round.
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rounds: u32,
    /// Labels of each series, the metric name among them.
    #[arg(long, value_name = "COUNT", default_value_t = 12, value_parser = clap::value_parser!(u32).range(i64::from(LABELS_MIN)..=i64::from(LABELS_MAX)))]
    pub labels: u32,
    /// Series of one request or record.
    #[arg(long, value_name = "COUNT", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub batch: u32,
    /// Decides labels and values.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
}

/// How they are sent.
#[derive(clap::Args, Clone, PartialEq, Eq, Debug)]
pub struct LoadOptions {
    #[command(flatten)]
    pub shape: Shape,
    /// Requests under way at a time.
    #[arg(long, value_name = "COUNT", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=512))]
    pub connections: u32,
    /// Samples per second to send; without it as many as are taken.
    #[arg(long, value_name = "SAMPLES", value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: Option<u32>,
    /// Milliseconds between two samples that are pushed and then waited for by query; 0: none.
    #[arg(long, value_name = "MS", default_value_t = 250)]
    pub probe_every_ms: u64,
}

impl Shape {
    /// The fleet whose last round is now.
    pub fn fleet(&self) -> FleetOptions {
        let Self { series, rounds, labels, seed, .. } = *self;
        let end_ms = now_ms();
        FleetOptions { run: run_name(seed, series, end_ms), seed, series, labels, rounds, end_ms }
    }

    /// Batches of a round.
    pub fn batches(&self) -> u32 {
        self.series.div_ceil(self.batch)
    }

    /// The series of a batch: first and end.
    pub fn batch_range(&self, batch: u32) -> (u32, u32) {
        let first = batch * self.batch;
        (first, first.saturating_add(self.batch).min(self.series))
    }

    /// For a report.
    pub fn settings(&self) -> Value {
        json!({
            "series": self.series, "rounds": self.rounds, "labels": self.labels, "batch": self.batch, "seed": self.seed,
        })
    }
}

impl LoadOptions {
    /// For a report.
    pub fn settings(&self) -> Value {
        let mut settings = self.shape.settings();
        settings["connections"] = json!(self.connections);
        settings["rate"] = json!(self.rate);
        settings["probe_every_ms"] = json!(self.probe_every_ms);
        settings
    }
}

/// What came of a load that was taken whole.
#[derive(Clone, Debug)]
pub struct Sent {
    pub samples: u64,
    pub requests: u64,
    /// As compressed on the wire, without headers.
    pub body_bytes: u64,
    pub took: Duration,
    /// From the planned time (with a rate) or the start of a request to its answer.
    pub push: Latency,
    /// From the start of a push to the first query that shows its sample.
    pub queryable: Latency,
    pub timeline: Vec<Point>,
}

/// What was true at one moment of a load.
#[derive(Clone, PartialEq, Debug)]
pub struct Point {
    pub at: Duration,
    /// Acknowledged so far.
    pub samples: u64,
    pub account: Option<Account>,
}

/// Sends all of a fleet.
///
/// # Errors
/// A request was not answered, or refused.
pub fn send(
    load: &LoadOptions,
    fleet: &FleetOptions,
    endpoints: &Endpoints,
    process: Option<Process>,
) -> Result<Sent, Failure> {
    let plan = Arc::new(Plan::new(load));
    let acknowledged = Arc::new(AtomicU64::new(0));
    let is_over = Arc::new(AtomicBool::new(false));
    let mut senders: Vec<Sender> = (0..load.connections)
        .map(|connection| Sender::new(connection, load, fleet, endpoints, &acknowledged, &is_over))
        .collect();
    senders.retain(|sender| !sender.is_empty());
    let progress = Progress::new("sending", fleet.samples());
    let begin = Instant::now();
    let mut timeline = vec![Point { at: Duration::ZERO, samples: 0, account: account_of(process) }];
    let (ended, probed) = std::thread::scope(|scope| {
        let handles: Vec<_> = senders
            .into_iter()
            .map(|sender| {
                let plan = plan.clone();
                scope.spawn(move || sender.run(&plan, begin))
            })
            .collect();
        let prober = (load.probe_every_ms > 0).then(|| {
            let prober = Prober::new(fleet, endpoints, Duration::from_millis(load.probe_every_ms));
            let is_over = is_over.clone();
            scope.spawn(move || prober.run(&is_over))
        });
        while handles.iter().any(|handle| !handle.is_finished()) {
            wait_for(TIMELINE_STEP, || handles.iter().all(std::thread::ScopedJoinHandle::is_finished));
            let samples = acknowledged.load(Ordering::Relaxed);
            progress.set(samples);
            timeline.push(Point { at: begin.elapsed(), samples, account: account_of(process) });
            thin_out(&mut timeline);
        }
        is_over.store(true, Ordering::Relaxed);
        let ended: Vec<_> = handles.into_iter().map(|handle| handle.join().expect("a sender does not panic")).collect();
        let probed = prober.map(|handle| handle.join().expect("the prober does not panic"));
        (ended, probed)
    });
    let mut sent = Sent {
        samples: 0,
        requests: 0,
        body_bytes: 0,
        took: Duration::ZERO,
        push: Latency::default(),
        queryable: probed.transpose()?.unwrap_or_default(),
        timeline,
    };
    for one in ended {
        let one = one?;
        sent.samples += one.samples;
        sent.requests += one.push.count();
        sent.body_bytes += one.body_bytes;
        sent.took = sent.took.max(one.ended_at);
        sent.push.add(&one.push);
    }
    Ok(sent)
}

fn account_of(process: Option<Process>) -> Option<Account> {
    process.and_then(|process| process.account().ok())
}

fn wait_for(at_most: Duration, mut is_over: impl FnMut() -> bool) {
    let begin = Instant::now();
    while begin.elapsed() < at_most && !is_over() {
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Every second point goes when there are too many; the first stays.
fn thin_out(timeline: &mut Vec<Point>) {
    if timeline.len() > TIMELINE_POINTS_MAX {
        let mut index = 0;
        timeline.retain(|_| {
            index += 1;
            index % 2 == 1
        });
    }
}
