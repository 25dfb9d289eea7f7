//! `wellperf run query`: how long a node takes for what dashboards and alerts ask, and what an answer costs.

use serde_json::json;

use super::push::push_all;
use super::questions::{count_series, questions};
use crate::calibration::{Calibration, CalibrationOptions};
use crate::failure::Failure;
use crate::http::Http;
use crate::load::{LoadOptions, Shape};
use crate::progress::Progress;
use crate::report::{Check, Report};
use crate::target::{Target, TargetOptions};

/// Pushes, then asks some queries again and again
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  wellperf run query --series 200000 --rounds 40\n  wellperf run query --repeats 200 --html query.html"
)]
pub struct Query {
    /// How often each query is asked.
    #[arg(long, value_name = "COUNT", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    repeats: u32,
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    target: TargetOptions,
    #[command(flatten)]
    calibration: CalibrationOptions,
}

impl Query {
    pub fn run(&self) -> Result<Report, Failure> {
        let target = Target::open(&self.target)?;
        let calibration = Calibration::run(self.calibration);
        let mut settings = self.shape.settings();
        settings["repeats"] = json!(self.repeats);
        let mut report = Report::new("query", settings);
        report.describe(&target);
        let fleet = self.shape.fleet();
        let load = LoadOptions { shape: self.shape.clone(), connections: 2, rate: None, probe_every_ms: 0 };
        push_all(&load, &fleet, &target)?.tell(&fleet, &mut report);
        let http = Http::default();
        let all = questions(&fleet);
        let progress = Progress::new("asking", all.len() as u64);
        let mut empty = 0;
        for (index, question) in all.iter().enumerate() {
            let asked = question.ask(&http, &target.endpoints, target.process, self.repeats)?;
            empty += u64::from(asked.answer["result"].as_array().is_none_or(Vec::is_empty));
            report.latencies.push(asked.row(question.name));
            progress.set(index as u64 + 1);
        }
        report.checks.push(Check { name: "empty_answers".to_owned(), expected: 0, found: empty });
        let found = count_series(&http, &target.endpoints, &fleet)?;
        report.checks.push(Check { name: "series_by_query".to_owned(), expected: u64::from(fleet.series), found });
        report.calibrate(calibration.as_ref());
        Ok(report)
    }
}
