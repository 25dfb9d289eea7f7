//! `wellperf run ingest`: the heart alone, by one definition.
//!
//! A backlog of version 1 records is written to a topic by another Kafka client; then a node starts on it with nothing, and the
//! CPU time of its whole process (start, fetch, decompression, head and log) from its start until all is durable is divided by
//! the samples. The broker is another process, so that its work is not the node's. Nothing is pushed over HTTP.

use std::time::{Duration, Instant};

use serde_json::json;
use wire::{RecordWriter, encode_sample};

use super::count::{check_samples, wait_until_durable};
use crate::accounts::Process;
use crate::calibration::{Calibration, CalibrationOptions};
use crate::failure::Failure;
use crate::files::used_bytes;
use crate::fleet::{Fleet, FleetOptions};
use crate::http::Http;
use crate::load::Shape;
use crate::progress::Progress;
use crate::report::{Check, Report};
use crate::target::{Target, TargetOptions};
use crate::topic::{Topic, create_topic};

/// Records of about this size go into one Kafka batch.
const KAFKA_BATCH_BYTES: usize = 1 << 20;

/// Starts a node on a backlog of records in Kafka: the cost of ingesting alone
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  wellperf run ingest --series 200000 --rounds 20\n  wellperf run ingest --kafka 127.0.0.1:9092 --partitions 4"
)]
pub struct Ingest {
    /// A Kafka that runs already, HOST:PORT; otherwise the broker of a second node is used.
    #[arg(long, value_name = "ADDRESS")]
    kafka: Option<String>,
    /// Partitions of the backlog's topic.
    #[arg(long, value_name = "COUNT", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000))]
    partitions: u32,
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    target: TargetOptions,
    #[command(flatten)]
    calibration: CalibrationOptions,
}

impl Ingest {
    pub fn run(&self) -> Result<Report, Failure> {
        if self.target.url.is_some() {
            return Err(Failure::usage("ingesting is measured from the start of a node: leave --url away"));
        }
        let calibration = Calibration::run(self.calibration);
        let broker = match self.kafka {
            Some(_) => None,
            None => Some(Target::start(&self.target, &[])?),
        };
        let kafka = self.kafka.clone().or_else(|| broker.as_ref().map(|broker| broker.kafka.clone()));
        let kafka = kafka.expect("either was given or started");
        let fleet = self.shape.fleet();
        let name = format!("wellperf-{}", fleet.run);
        create_topic(&kafka, &name, self.partitions)?;
        let topic = Topic::connect(&kafka, &name)?;
        fill(&self.shape, &fleet, &topic)?;
        let mut report = Report::new("ingest", self.shape.settings());
        self.consume(&kafka, &name, &fleet, &mut report)?;
        let found = topic.count(&topic.starts(), &topic.ends()?, &fleet.run)?;
        report.figure("records", json!(found.records));
        report.figure("record_bytes_per_sample", json!(found.record_bytes as f64 / fleet.samples() as f64));
        let expected = fleet.samples();
        report.checks.push(Check { name: "samples_in_kafka".to_owned(), expected, found: found.samples });
        report.calibrate(calibration.as_ref());
        Ok(report)
    }

    /// Starts the node that is measured and waits until it has everything.
    fn consume(&self, kafka: &str, topic: &str, fleet: &FleetOptions, report: &mut Report) -> Result<(), Failure> {
        let flags = [
            format!("--ingest-storage.kafka.address={kafka}"),
            format!("--ingest-storage.kafka.topic={topic}"),
            format!("--ingest-storage.kafka.consumer-group={topic}"),
            "--ingest-storage.kafka.consume-from-position-at-startup=start".to_owned(),
        ];
        let begin = Instant::now();
        let target = Target::start(&self.target, &flags)?;
        let http = Http::default();
        let status = wait_until_durable(&target.url, &http)?;
        let took: Duration = begin.elapsed();
        report.describe(&target);
        let samples = fleet.samples();
        report.figure("samples", json!(samples));
        report.figure("samples_per_second", json!(samples as f64 / took.as_secs_f64()));
        report.figure("seconds_until_durable", json!(took.as_secs_f64()));
        if let Some(account) = target.process.map(Process::account).transpose()? {
            report.spent(&account, samples);
            report.figure("resident_bytes", json!(account.resident_bytes));
            report.figure("resident_bytes_max", json!(account.resident_bytes_max));
        }
        let stored = status.memory_bytes().map(|bytes| bytes as f64 / f64::from(fleet.series));
        report.figure("stored_bytes_per_series", json!(stored));
        if let Some(folder) = &target.data_dir {
            let wal = used_bytes(&folder.join("wal"), "wal")?;
            report.figure("wal_bytes_per_sample", json!(wal as f64 / samples as f64));
        }
        report.checks.push(check_samples(&http, &target.endpoints, fleet)?);
        Ok(())
    }
}

/// Writes the whole fleet, round after round; a batch of series always goes to the same partition.
fn fill(shape: &Shape, fleet: &FleetOptions, topic: &Topic) -> Result<(), Failure> {
    let partitions = topic.partitions();
    let progress = Progress::new("writing the backlog", fleet.samples());
    let mut waiting: Vec<(usize, Vec<Vec<u8>>)> = vec![(0, Vec::new()); partitions.len()];
    let part = |batch| {
        let (first, end) = shape.batch_range(batch);
        Fleet::new(fleet, first, end)
    };
    let mut batches: Vec<Fleet> = (0..shape.batches()).map(part).collect();
    let (mut sample, mut written) = (Vec::new(), 0);
    for _ in 0..fleet.rounds {
        for (index, batch) in batches.iter_mut().enumerate() {
            let mut value = Vec::new();
            for place in 0..batch.len() {
                sample.clear();
                encode_sample(batch.sample(place), &mut sample);
                RecordWriter(&mut value).series(&[batch.labels(place), &sample]);
            }
            batch.next_round();
            written += batch.len() as u64;
            let slot = index % partitions.len();
            let (bytes, values) = &mut waiting[slot];
            *bytes += value.len();
            values.push(value);
            if *bytes >= KAFKA_BATCH_BYTES {
                topic.produce(partitions[slot], std::mem::take(values))?;
                *bytes = 0;
            }
        }
        progress.set(written);
    }
    for (slot, (_, values)) in waiting.into_iter().enumerate().filter(|(_, (_, values))| !values.is_empty()) {
        topic.produce(partitions[slot], values)?;
    }
    Ok(())
}
