//! `wellperf compare`: the same stream to several remote write receivers in turn, the same queries afterwards.
//!
//! The first pass makes the series, the others only add samples; both are told apart. Every pass begins with another target, and
//! ratios are taken within a pass, so that a machine that gets slower meanwhile does not decide. Answers are compared as well:
//! who answers something else has not done the same work.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::count::{count_samples, wait_until_durable};
use super::questions::{questions, same_answer};
use crate::accounts::Process;
use crate::failure::Failure;
use crate::fleet::{FleetOptions, STEP_MS};
use crate::http::{self, Endpoints, Http};
use crate::load::{LoadOptions, Shape, send};
use crate::report::{Check, Report, round};

const QUERYABLE_WITHIN: Duration = Duration::from_secs(120);
const ASK_AGAIN: Duration = Duration::from_millis(300);

/// Sends the same to several receivers and shows ratios to the first
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  wellperf compare --target wellhead=http://127.0.0.1:8080,pid=4711 --target prometheus=http://127.0.0.1:9090,pid=4712\n  wellperf compare --target a=http://127.0.0.1:8080 --target mimir=http://127.0.0.1:8081,push=/api/v1/push,api=/prometheus/api/v1"
)]
pub struct Compare {
    /// NAME=URL[,pid=N][,push=PATH][,api=PATH]; two or more. Paths are those of a wellhead node where one answers, and of
    /// Prometheus elsewhere.
    #[arg(long = "target", value_name = "TARGET", required = true)]
    targets: Vec<Receiver>,
    /// Passes after the one that makes the series.
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    passes: u32,
    /// How often each query is asked in a pass.
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    repeats: u32,
    /// Requests under way at a time.
    #[arg(long, value_name = "COUNT", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=512))]
    connections: u32,
    #[command(flatten)]
    shape: Shape,
}

/// A receiver as the command line names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Receiver {
    name: String,
    url: String,
    process: Option<Process>,
    push: Option<String>,
    api: Option<String>,
}

impl FromStr for Receiver {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no target: write NAME=URL[,pid=N][,push=PATH][,api=PATH]");
        let (name, rest) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(wrong)?;
        let mut parts = rest.split(',');
        let url = http::base(parts.next().unwrap_or_default()).map_err(|failure| failure.message)?;
        let mut receiver = Self { name: name.to_owned(), url, process: None, push: None, api: None };
        for part in parts {
            match part.split_once('=') {
                Some(("pid", pid)) => receiver.process = Some(Process(pid.parse().map_err(|_| wrong())?)),
                Some(("push", path)) if path.starts_with('/') => receiver.push = Some(path.to_owned()),
                Some(("api", path)) if path.starts_with('/') => receiver.api = Some(path.to_owned()),
                _ => return Err(wrong()),
            }
        }
        Ok(receiver)
    }
}

/// A receiver that answers.
struct Target<'a> {
    receiver: &'a Receiver,
    endpoints: Endpoints,
    /// It can tell how far it is.
    is_node: bool,
    resident_before: Option<u64>,
}

/// What one target has done, by figure, pass after pass.
type Measured = BTreeMap<String, Vec<f64>>;

impl Compare {
    /// # Errors
    /// A target does not answer, or refuses.
    pub fn run(&self) -> Result<Report, Failure> {
        let mut names: Vec<&str> = self.targets.iter().map(|target| target.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        if names.len() < 2 || names.len() < self.targets.len() {
            return Err(Failure::usage("a comparison needs two --target or more, each with a name of its own"));
        }
        let http = Http::default();
        let targets: Vec<Target<'_>> =
            self.targets.iter().map(|receiver| Target::open(receiver, &http)).collect::<Result<_, _>>()?;
        let mut settings = self.shape.settings();
        settings["passes"] = json!(self.passes);
        settings["connections"] = json!(self.connections);
        settings["targets"] = json!(self.targets.iter().map(|target| &target.name).collect::<Vec<_>>());
        let mut report = Report::new("compare", settings);
        let mut measured: Vec<Measured> = vec![Measured::new(); targets.len()];
        let (mut missing, mut others) = (0, BTreeMap::<&str, u64>::new());
        let last = self.shape.fleet();
        for pass in 0..=self.passes {
            let fleet = self.pass_of(&last, pass);
            let mut answers: Vec<Vec<Value>> = vec![Vec::new(); targets.len()];
            for turn in 0..targets.len() {
                let index = (turn + pass as usize) % targets.len();
                let target = &targets[index];
                missing += self.write(pass, &fleet, target, &http, &mut measured[index])?;
                answers[index] = self.ask(&fleet, target, &http, &mut measured[index])?;
            }
            for (place, question) in questions(&fleet).iter().enumerate() {
                let same = |of_one: &&Vec<Value>| same_answer(&of_one[place], &answers[0][place]);
                let differing = answers.iter().skip(1).filter(|of_one| !same(of_one)).count();
                *others.entry(question.name).or_default() += differing as u64;
            }
        }
        report.comparison = rows(&self.targets, &measured);
        report.checks.push(Check { name: "missing_samples".to_owned(), expected: 0, found: missing });
        for (question, found) in others {
            report.checks.push(Check { name: format!("other_answers_to_{question}"), expected: 0, found });
        }
        Ok(report)
    }

    /// The same series in every pass, each pass later than the one before, the last one now.
    fn pass_of(&self, last: &FleetOptions, pass: u32) -> FleetOptions {
        let back_ms = i64::from(self.passes - pass) * i64::from(self.shape.rounds) * STEP_MS;
        FleetOptions { end_ms: last.end_ms - back_ms, ..last.clone() }
    }

    /// Sends a pass and gives the samples that are missing afterwards.
    fn write(
        &self,
        pass: u32,
        fleet: &FleetOptions,
        target: &Target<'_>,
        http: &Http,
        measured: &mut Measured,
    ) -> Result<u64, Failure> {
        let process = target.receiver.process;
        let before = process.map(Process::account).transpose()?;
        let load =
            LoadOptions { shape: self.shape.clone(), connections: self.connections, rate: None, probe_every_ms: 0 };
        let begin = Instant::now();
        let sent = send(&load, fleet, &target.endpoints, process)?;
        if target.is_node {
            wait_until_durable(&target.receiver.url, http)?;
        }
        let took = begin.elapsed();
        // Who takes pushes and stores them later has that CPU time booked as well; a count that comes too early is, too.
        let (mut after, mut found);
        loop {
            after = process.map(Process::account).transpose()?;
            found = count_samples(http, &target.endpoints, fleet)?;
            if found == sent.samples || begin.elapsed() > QUERYABLE_WITHIN {
                break;
            }
            std::thread::sleep(ASK_AGAIN);
        }
        let kind = if pass == 0 { "new_series" } else { "steady" };
        let mut note = |figure: &str, value: f64| measured.entry(format!("{kind}_{figure}")).or_default().push(value);
        note("samples_per_second", sent.samples as f64 / took.as_secs_f64());
        note("push_p99_ms", sent.push.quantile_ms(0.99));
        if let Some((after, before)) = after.zip(before) {
            note("cpu_ns_per_sample", after.since(&before).cpu_seconds() * 1e9 / sent.samples as f64);
            let grown = after.resident_bytes.saturating_sub(target.resident_before.unwrap_or(0));
            note("resident_bytes_per_series", grown as f64 / f64::from(fleet.series));
        }
        Ok(sent.samples.abs_diff(found))
    }

    fn ask(
        &self,
        fleet: &FleetOptions,
        target: &Target<'_>,
        http: &Http,
        measured: &mut Measured,
    ) -> Result<Vec<Value>, Failure> {
        let mut answers = Vec::new();
        for question in questions(fleet) {
            let asked = question.ask(http, &target.endpoints, target.receiver.process, self.repeats)?;
            let mut note = |unit: &str, value: f64| {
                measured.entry(format!("{}_{unit}", question.name)).or_default().push(value);
            };
            note("p50_ms", asked.latency.quantile_ms(0.5));
            if let Some(cpu_ms) = asked.cpu_ms_each {
                note("cpu_ms", cpu_ms);
            }
            answers.push(asked.answer);
        }
        Ok(answers)
    }
}

impl<'a> Target<'a> {
    fn open(receiver: &'a Receiver, http: &Http) -> Result<Self, Failure> {
        let is_node = crate::target::status_of(http, &receiver.url).is_ok();
        let (push, api) = if is_node { (http::PUSH_PATH, http::QUERY_PATH) } else { ("/api/v1/write", "/api/v1") };
        let path = |given: &Option<String>, usual: &str| {
            format!("{}{}", receiver.url, given.as_deref().unwrap_or(usual).trim_end_matches('/'))
        };
        let endpoints = Endpoints { push: path(&receiver.push, push), api: path(&receiver.api, api) };
        // Better now than after the first load.
        http.instant(&endpoints, "1", crate::topic::now_ms())?;
        let account = receiver.process.map(Process::account).transpose()?;
        Ok(Self { receiver, endpoints, is_node, resident_before: account.map(|account| account.resident_bytes) })
    }
}

/// A row for each figure and target: the middle of all passes, its spread, and the same for the ratio to the first target.
fn rows(receivers: &[Receiver], measured: &[Measured]) -> Vec<Value> {
    let mut rows = Vec::new();
    for (figure, base) in &measured[0] {
        for (receiver, own) in receivers.iter().zip(measured) {
            let Some(values) = own.get(figure) else { continue };
            let (median, min, max) = spread(values);
            let ratios: Vec<f64> =
                values.iter().zip(base).filter(|(_, base)| **base > 0.0).map(|(own, base)| own / base).collect();
            let mut row = json!({
                "figure": figure, "target": receiver.name, "passes": values.len(),
                "median": round(median), "min": round(min), "max": round(max),
            });
            if !ratios.is_empty() {
                let (median, min, max) = spread(&ratios);
                row["ratio"] = json!(round(median));
                row["ratio_min"] = json!(round(min));
                row["ratio_max"] = json!(round(max));
            }
            rows.push(row);
        }
    }
    rows
}

/// Middle, least and largest of some numbers.
fn spread(values: &[f64]) -> (f64, f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let median =
        if sorted.len().is_multiple_of(2) { (sorted[middle - 1] + sorted[middle]) / 2.0 } else { sorted[middle] };
    (median, sorted[0], sorted[sorted.len() - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read() {
        let read: Receiver = "a=127.0.0.1:9/,pid=7,push=/x,api=/y/v1".parse().unwrap();
        let expected = Receiver {
            name: "a".to_owned(),
            url: "http://127.0.0.1:9".to_owned(),
            process: Some(Process(7)),
            push: Some("/x".to_owned()),
            api: Some("/y/v1".to_owned()),
        };
        assert_eq!(read, expected);
        for bad in ["a", "=http://b", "a=https://b", "a=http://b,pid=x", "a=http://b,push=x", "a=http://b,more"] {
            assert!(bad.parse::<Receiver>().is_err(), "{bad}");
        }
    }

    #[test]
    fn ratios_are_taken_within_a_pass() {
        let receivers: Vec<Receiver> = ["a=http://a", "b=http://b"].iter().map(|text| text.parse().unwrap()).collect();
        let of = |values: &[f64]| Measured::from([("cpu".to_owned(), values.to_vec())]);
        let rows = rows(&receivers, &[of(&[1.0, 10.0, 100.0]), of(&[2.0, 30.0, 200.0])]);
        assert_eq!(rows[1]["median"], 30.0);
        assert_eq!(
            (&rows[1]["ratio"], &rows[1]["ratio_min"], &rows[1]["ratio_max"]),
            (&json!(2.0), &json!(2.0), &json!(3.0))
        );
        assert_eq!(rows[0]["ratio_max"], 1.0);
        assert_eq!(spread(&[4.0, 1.0]), (2.5, 1.0, 4.0));
    }
}
