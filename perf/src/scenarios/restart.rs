//! `wellperf run restart`: how soon a node that was killed is ready again, and is everything there?

use std::time::Duration;

use serde_json::json;

use super::count::{check_samples, wait_until_durable};
use super::push::push_all;
use crate::accounts::Process;
use crate::calibration::{Calibration, CalibrationOptions};
use crate::failure::Failure;
use crate::http::Http;
use crate::latency::Latency;
use crate::load::LoadOptions;
use crate::report::{Check, Report};
use crate::target::{Target, TargetOptions};

/// Pushes, kills the node with SIGKILL, starts it again, counts again
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  wellperf run restart --series 1000000 --rounds 3\n  wellperf run restart --kills 5 -o json"
)]
pub struct Restart {
    /// How often the node is killed and started again.
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    kills: u32,
    #[command(flatten)]
    load: LoadOptions,
    #[command(flatten)]
    target: TargetOptions,
    #[command(flatten)]
    calibration: CalibrationOptions,
}

impl Restart {
    pub fn run(&self) -> Result<Report, Failure> {
        if self.target.url.is_some() {
            return Err(Failure::usage("only a node that wellperf has started itself is killed: leave --url away"));
        }
        let mut target = Target::open(&self.target)?;
        let calibration = Calibration::run(self.calibration);
        let mut report = Report::new("restart", self.load.settings());
        report.describe(&target);
        let fleet = self.load.shape.fleet();
        push_all(&self.load, &fleet, &target)?.tell(&fleet, &mut report);
        let http = Http::default();
        let (mut ready, mut longest) = (Latency::default(), Duration::ZERO);
        for kill in 1..=self.kills {
            let took = target.kill_and_restart()?;
            ready.record(took);
            longest = longest.max(took);
            wait_until_durable(&target.url, &http)?;
            if kill == self.kills {
                let account = target.process.map(Process::account).transpose()?.unwrap_or_default();
                report.figure("restart_cpu_seconds", json!(account.cpu_seconds()));
                report.figure("restart_resident_bytes", json!(account.resident_bytes));
                report.figure("restart_resident_bytes_max", json!(account.resident_bytes_max));
            }
            let found = check_samples(&http, &target.endpoints, &fleet)?;
            report.checks.push(Check { name: format!("samples_after_kill_{kill}"), ..found });
        }
        let seconds = ready.quantile_ms(0.5) / 1000.0;
        report.figure("ready_seconds", json!(seconds));
        report.figure("ready_seconds_max", json!(longest.as_secs_f64()));
        report.figure("ready_seconds_per_million_series", json!(seconds * 1e6 / f64::from(self.load.shape.series)));
        report.latencies.push(ready.row("kill_to_ready"));
        report.calibrate(calibration.as_ref());
        Ok(report)
    }
}
