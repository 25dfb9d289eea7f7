//! What a run has found: one document, shown as a table, as JSON and as a page with plots.

mod page;
mod plot;
mod table;

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::accounts::Account;
use crate::arguments::{Format, OutputOptions};
use crate::calibration::Calibration;
use crate::failure::Failure;
use crate::load::Point;
use crate::target::Target;
use crate::topic::now_ms;

/// The figures of one run.
#[derive(Clone, Debug)]
pub struct Report {
    scenario: String,
    settings: Value,
    target: Value,
    figures: Map<String, Value>,
    /// CPU seconds by kind of thread.
    threads: Vec<Value>,
    pub latencies: Vec<Value>,
    timeline: Vec<Value>,
    /// Rows of figure, target, median, spread and ratio.
    pub comparison: Vec<Value>,
    pub checks: Vec<Check>,
}

/// A number that is known in advance.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Check {
    pub name: String,
    pub expected: u64,
    pub found: u64,
}

impl Check {
    pub fn holds(&self) -> bool {
        self.expected == self.found
    }
}

impl Report {
    pub fn new(scenario: &str, settings: Value) -> Self {
        Self {
            scenario: scenario.to_owned(),
            settings,
            target: Value::Null,
            figures: Map::new(),
            threads: Vec::new(),
            latencies: Vec::new(),
            timeline: Vec::new(),
            comparison: Vec::new(),
            checks: Vec::new(),
        }
    }

    /// Notes which node is measured.
    pub fn describe(&mut self, target: &Target) {
        self.target = json!({
            "url": target.url,
            "pid": target.process.map(|process| process.0),
            "version": target.version,
            "is_started": target.is_started(),
        });
    }

    /// A figure; its name ends in its unit. Numbers that nobody can read to the end are rounded.
    pub fn figure(&mut self, name: &str, value: Value) {
        let rounded = value.as_f64().filter(|_| value.is_f64()).map(round);
        self.figures.insert(name.to_owned(), rounded.map_or(value, |number| json!(number)));
    }

    /// CPU time that some samples took.
    pub fn spent(&mut self, spent: &Account, samples: u64) {
        let seconds = spent.cpu_seconds();
        self.figure("cpu_seconds", json!(seconds));
        self.figure("cpu_user_seconds", json!(spent.user_seconds));
        self.figure("cpu_system_seconds", json!(spent.system_seconds));
        // Ticks of 10 ms: fewer than one say nothing.
        let is_known = seconds > 0.0;
        self.figure("samples_per_cpu_second", json!(is_known.then(|| samples as f64 / seconds)));
        self.figure("cpu_ns_per_sample", json!(is_known.then(|| seconds * 1e9 / samples as f64)));
        let mut threads: Vec<(&String, f64)> =
            spent.thread_seconds.iter().map(|(name, seconds)| (name, *seconds)).collect();
        threads.sort_by(|a, b| b.1.total_cmp(&a.1));
        let ns = |seconds: f64| round(seconds * 1e9 / samples.max(1) as f64);
        self.threads = threads
            .into_iter()
            .map(|(name, seconds)| {
                json!({"thread": name, "cpu_seconds": round(seconds), "cpu_ns_per_sample": ns(seconds)})
            })
            .collect();
    }

    /// Gives the CPU time in terms of the bare loop on this machine as well.
    pub fn calibrate(&mut self, calibration: Option<&Calibration>) {
        let Some(calibration) = calibration else { return };
        for (name, value) in calibration.figures() {
            self.figure(name, value);
        }
        let spent = self.figures.get("cpu_ns_per_sample").and_then(Value::as_f64);
        let ratio = spent.map(|spent| spent / calibration.ns_per_sample());
        self.figure("cpu_to_calibration_ratio", json!(ratio));
    }

    /// The course of a load: rates between its points.
    pub fn timeline(&mut self, points: &[Point]) {
        self.timeline = points
            .windows(2)
            .map(|pair| {
                let seconds = (pair[1].at - pair[0].at).as_secs_f64().max(1e-9);
                let spent = pair[1].account.as_ref().zip(pair[0].account.as_ref()).map(|(now, then)| now.since(then));
                let cores = |spent: &Account| {
                    let shares = spent.thread_seconds.iter();
                    shares.map(|(name, busy)| (name.clone(), json!(round(busy / seconds)))).collect::<Map<_, _>>()
                };
                json!({
                    "at_seconds": round(pair[1].at.as_secs_f64()),
                    "samples_per_second": round((pair[1].samples - pair[0].samples) as f64 / seconds),
                    "resident_bytes": spent.as_ref().map(|spent| spent.resident_bytes),
                    "cores": spent.as_ref().map(cores),
                })
            })
            .collect();
    }

    /// The whole document.
    pub fn document(&self) -> Value {
        json!({
            "wellperf": env!("CARGO_PKG_VERSION"),
            "scenario": self.scenario,
            "at_ms": now_ms(),
            "machine": machine(),
            "settings": self.settings,
            "target": self.target,
            "figures": self.figures,
            "checks": self.checks.iter().map(|check| json!({
                "check": check.name, "expected": check.expected, "found": check.found, "holds": check.holds(),
            })).collect::<Vec<_>>(),
            "latencies": self.latencies,
            "threads": self.threads,
            "comparison": self.comparison,
            "timeline": self.timeline,
        })
    }

    /// Shows it on stdout and writes the files that were asked for.
    ///
    /// # Errors
    /// One of them cannot be written.
    pub fn show(&self, options: &OutputOptions) -> Result<(), Failure> {
        use std::io::Write;
        let document = self.document();
        if let Some(path) = &options.out {
            write(path, &format!("{document:#}\n"))?;
        }
        if let Some(path) = &options.html {
            write(path, &page::render(&document))?;
        }
        let text = match options.output {
            Format::Table => table::render(&document),
            Format::Json => format!("{document:#}\n"),
        };
        let mut stdout = std::io::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            // Who read our output has seen enough.
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                Err(Failure::failed(format!("cannot write to stdout: {error}")))
            }
            _ => Ok(()),
        }
    }

    /// # Errors
    /// A check does not hold.
    pub fn verdict(&self) -> Result<(), Failure> {
        match self.checks.iter().find(|check| !check.holds()) {
            None => Ok(()),
            Some(Check { name, expected, found }) => {
                Err(Failure::check_says_no(format!("{name} should be {expected} and is {found}")))
            }
        }
    }
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))
}

/// Five significant digits.
pub fn round(number: f64) -> f64 {
    if number == 0.0 || !number.is_finite() {
        return number;
    }
    let scale = 10f64.powi(4 - number.abs().log10().floor() as i32);
    (number * scale).round() / scale
}

fn machine() -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    json!({
        "cpu": model.map(|(_, name)| name.trim()),
        "cores": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "is_optimized": !cfg!(debug_assertions),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;

    fn sample() -> Report {
        let mut report = Report::new("push", json!({"series": 10}));
        let account = |seconds: f64| Account {
            user_seconds: seconds,
            thread_seconds: BTreeMap::from([("<shard>".to_owned(), seconds)]),
            ..Account::default()
        };
        report.spent(&account(2.0), 1_000_000);
        let point =
            |at, samples| Point { at: Duration::from_secs(at), samples, account: Some(account(at as f64 / 2.0)) };
        report.timeline(&[point(0, 0), point(1, 400_000), point(2, 1_000_000)]);
        report.checks.push(Check { name: "samples".to_owned(), expected: 5, found: 5 });
        report.latencies.push(crate::latency::Latency::default().row("push"));
        report
    }

    #[test]
    fn figures_follow_from_the_accounts() {
        let document = sample().document();
        assert_eq!(document["figures"]["samples_per_cpu_second"], 500_000.0);
        assert_eq!(document["figures"]["cpu_ns_per_sample"], 2000.0);
        assert_eq!(document["timeline"][1]["samples_per_second"], 600_000.0);
        assert_eq!(document["timeline"][1]["cores"]["<shard>"], 0.5);
    }

    #[test]
    fn a_wrong_count_is_no_success() {
        let mut report = sample();
        assert!(report.verdict().is_ok());
        report.checks.push(Check { name: "more".to_owned(), expected: 5, found: 4 });
        assert_eq!(report.verdict().unwrap_err().message, "more should be 5 and is 4");
    }

    #[test]
    fn the_page_stands_alone_and_escapes() {
        let page = page::render(&sample().document());
        assert!(page.contains("<svg") && page.contains("&lt;shard&gt;"), "{page}");
        for foreign in ["<script", "<link", "src=", "<shard>", "@import"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
    }

    #[test]
    fn the_table_shows_what_is_known() {
        let text = table::render(&sample().document());
        for line in ["cpu_ns_per_sample", "<shard>", "ok"] {
            assert!(text.contains(line), "{line}:\n{text}");
        }
    }

    #[test]
    fn five_digits_are_kept() {
        for (number, expected) in [(123_456.7, 123_460.0), (0.001_234_567, 0.001_234_6), (0.0, 0.0), (-1.0, -1.0)] {
            assert!((round(number) - expected).abs() < 1e-12, "{number}");
        }
    }
}
