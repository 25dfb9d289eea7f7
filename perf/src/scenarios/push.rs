//! `wellperf run push`: the whole way of a sample, from an HTTP push to a query that shows it.

use std::time::{Duration, Instant};

use serde_json::json;

use super::count::{check_samples, wait_until_durable};
use crate::accounts::Process;
use crate::calibration::{Calibration, CalibrationOptions};
use crate::failure::Failure;
use crate::files::used_bytes;
use crate::fleet::FleetOptions;
use crate::http::Http;
use crate::load::{LoadOptions, Sent, send};
use crate::report::{Check, Report};
use crate::target::{Status, Target, TargetOptions};
use crate::topic::{Found, Offsets, Topic};

/// Pushes over HTTP, waits until all is durable and queryable, counts
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  wellperf run push --series 200000 --rounds 10\n  wellperf run push --rate 100000 --rounds 50 --html push.html\n  wellperf run push --url http://127.0.0.1:8080 --pid 4711 --series 50000"
)]
pub struct Push {
    #[command(flatten)]
    pub load: LoadOptions,
    #[command(flatten)]
    pub target: TargetOptions,
    #[command(flatten)]
    pub calibration: CalibrationOptions,
}

impl Push {
    pub fn run(&self) -> Result<Report, Failure> {
        let target = Target::open(&self.target)?;
        let calibration = Calibration::run(self.calibration);
        let mut report = Report::new("push", self.load.settings());
        report.describe(&target);
        let fleet = self.load.shape.fleet();
        let pushed = push_all(&self.load, &fleet, &target)?;
        pushed.tell(&fleet, &mut report);
        let http = Http::default();
        let begin = Instant::now();
        report.checks.push(check_samples(&http, &target.endpoints, &fleet)?);
        report.figure("count_query_seconds", json!(begin.elapsed().as_secs_f64()));
        report.calibrate(calibration.as_ref());
        Ok(report)
    }
}

/// Everything that was noted about a load until the node had made it durable.
pub struct Pushed {
    sent: Sent,
    /// From the first request until all was durable.
    durable_after: Duration,
    before: Marks,
    after: Marks,
    found: Found,
    own_cpu_seconds: f64,
}

/// The state of a node at one moment.
struct Marks {
    status: Status,
    account: Option<crate::accounts::Account>,
    wal_bytes: Option<u64>,
    kafka_bytes: Option<u64>,
    ends: Offsets,
}

impl Marks {
    fn take(target: &Target, topic: &Topic, http: &Http) -> Result<Self, Failure> {
        // Accounts first: looking at files takes time.
        let account = target.process.map(Process::account).transpose()?;
        let status = target.status(http)?;
        let data_dir = target.data_dir.as_deref();
        let wal_bytes = data_dir.map(|folder| used_bytes(&folder.join("wal"), "wal")).transpose()?;
        let broker = data_dir.filter(|_| status.kafka.embedded).map(|folder| folder.join("broker"));
        let kafka_bytes = broker.map(|folder| used_bytes(&folder, "log")).transpose()?;
        Ok(Self { status, account, wal_bytes, kafka_bytes, ends: topic.ends()? })
    }
}

/// Sends all of a fleet to a node and waits until it is durable there; reads it back from Kafka as well.
///
/// # Errors
/// The node or its Kafka fails.
pub fn push_all(load: &LoadOptions, fleet: &FleetOptions, target: &Target) -> Result<Pushed, Failure> {
    let http = Http::default();
    let topic = Topic::connect(&target.kafka, &target.topic)?;
    let own = Process(std::process::id());
    let own_before = own.account()?;
    let before = Marks::take(target, &topic, &http)?;
    let begin = Instant::now();
    let sent = send(load, fleet, &target.endpoints, target.process)?;
    wait_until_durable(&target.url, &http)?;
    let durable_after = begin.elapsed();
    let own_cpu_seconds = own.account()?.since(&own_before).cpu_seconds();
    let after = Marks::take(target, &topic, &http)?;
    let found = topic.count(&before.ends, &after.ends, &fleet.run)?;
    Ok(Pushed { sent, durable_after, before, after, found, own_cpu_seconds })
}

impl Pushed {
    /// Writes its figures into a report.
    pub fn tell(&self, fleet: &FleetOptions, report: &mut Report) {
        let sent = &self.sent;
        let samples = sent.samples as f64;
        let series = f64::from(fleet.series);
        report.figure("samples", json!(sent.samples));
        report.figure("requests", json!(sent.requests));
        report.figure("samples_per_second", json!(samples / self.durable_after.as_secs_f64()));
        report.figure("acknowledged_samples_per_second", json!(samples / sent.took.as_secs_f64()));
        report.figure("seconds_until_durable", json!(self.durable_after.as_secs_f64()));
        if let (Some(before), Some(after)) = (&self.before.account, &self.after.account) {
            let spent = after.since(before);
            report.spent(&spent, sent.samples);
            let grown = after.resident_bytes.saturating_sub(before.resident_bytes) as f64;
            report.figure("resident_bytes_before", json!(before.resident_bytes));
            report.figure("resident_bytes", json!(after.resident_bytes));
            report.figure("resident_bytes_max", json!(after.resident_bytes_max));
            report.figure("resident_bytes_per_series", json!(grown / series));
        }
        let grown = |before: Option<u64>, after: Option<u64>| Some(after?.saturating_sub(before?) as f64);
        let stored = grown(self.before.status.memory_bytes(), self.after.status.memory_bytes());
        report.figure("stored_bytes_per_series", json!(stored.map(|bytes| bytes / series)));
        let wal = grown(self.before.wal_bytes, self.after.wal_bytes);
        report.figure("wal_bytes_per_sample", json!(wal.map(|bytes| bytes / samples)));
        let kafka = grown(self.before.kafka_bytes, self.after.kafka_bytes);
        report.figure("kafka_bytes_per_sample", json!(kafka.map(|bytes| bytes / samples)));
        report.figure("record_bytes_per_sample", json!(self.found.record_bytes as f64 / samples));
        report.figure("push_bytes_per_sample", json!(sent.body_bytes as f64 / samples));
        report.figure("records", json!(self.found.records));
        report.figure("own_cpu_seconds", json!(self.own_cpu_seconds));
        report.latencies.push(sent.push.row("push"));
        if sent.queryable.count() > 0 {
            report.latencies.push(sent.queryable.row("push_to_queryable"));
        }
        report.timeline(&sent.timeline);
        report.checks.push(Check {
            name: "samples_in_kafka".to_owned(),
            expected: fleet.samples(),
            found: self.found.samples,
        });
    }
}
