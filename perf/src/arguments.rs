//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use serde_json::json;

use crate::calibration::{Calibration, CalibrationOptions};
use crate::failure::{Failure, Kind};
use crate::report::{Check, Report};
use crate::scenarios::Scenario;
use crate::scenarios::compare::Compare;

const AFTER_HELP: &str = "\
Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 refused, 5 unreachable, 6 a check says no (samples are missing or there
twice).

Examples:
  wellperf run push --series 200000 --rounds 10
      Starts a node, pushes 2 million samples, counts them by query
  wellperf run push --url http://127.0.0.1:8080 --pid 4711 -o json
      The same on a node that runs already";

/// Measures a wellhead node: what it takes, what that costs, and whether all of it is there.
#[derive(Parser, Debug)]
#[command(name = "wellperf", version, after_help = AFTER_HELP, max_term_width = 120, disable_help_subcommand = true)]
pub struct Arguments {
    #[command(flatten)]
    pub output: OutputOptions,
    #[command(subcommand)]
    pub command: Command,
}

/// Where a report goes.
#[derive(clap::Args, Clone, Default, Debug)]
pub struct OutputOptions {
    /// How to show the report on stdout.
    #[arg(short, long, value_enum, default_value = "table", global = true)]
    pub output: Format,
    /// Also write it as JSON.
    #[arg(long, value_name = "FILE", global = true)]
    pub out: Option<PathBuf>,
    /// Also write it as one HTML page with plots.
    #[arg(long, value_name = "FILE", global = true)]
    pub html: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, clap::ValueEnum)]
pub enum Format {
    #[default]
    Table,
    Json,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Measures one scenario
    Run {
        #[command(subcommand)]
        scenario: Scenario,
    },
    Compare(Compare),
    Calibrate(Calibrate),
}

/// Runs the bare loop that all figures are given in terms of
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  wellperf calibrate\n  wellperf calibrate --calibration-series 1000000 -o json")]
pub struct Calibrate {
    #[command(flatten)]
    pub options: CalibrationOptions,
}

impl Calibrate {
    /// # Errors
    /// No series are wanted.
    pub fn run(&self) -> Result<Report, Failure> {
        let none = || Failure::usage("--calibration-series must be 1 or more");
        let calibration = Calibration::run(self.options).ok_or_else(none)?;
        let CalibrationOptions { calibration_series, calibration_rounds } = self.options;
        let settings = json!({"calibration_series": calibration_series, "calibration_rounds": calibration_rounds});
        let mut report = Report::new("calibrate", settings);
        report.calibrate(Some(&calibration));
        let (expected, found) = (calibration.samples, calibration.appended);
        report.checks.push(Check { name: "samples_appended".to_owned(), expected, found });
        Ok(report)
    }
}

/// Reads the arguments. Help, version and usage errors are said here; the error is the exit code then.
///
/// # Errors
/// What the process ends with.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Arguments, ExitCode> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    Arguments::try_parse_from(&arguments).map_err(|error| {
        if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
            // A closed pipe is no failure of ours.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        if wants_json(&arguments) {
            let text = error.render().to_string();
            let first = text.lines().next().unwrap_or_default();
            let message = first.strip_prefix("error: ").unwrap_or(first).to_owned();
            return Failure::new(Kind::Usage, message).tell(true);
        }
        let _ = error.print();
        ExitCode::from(Kind::Usage as u8)
    })
}

/// The arguments could not be read, so this looks for the one that says how to complain.
fn wants_json(arguments: &[OsString]) -> bool {
    let text = |index: usize| arguments.get(index).and_then(|argument| argument.to_str()).unwrap_or_default();
    (0..arguments.len()).any(|index| match text(index) {
        "-o" | "--output" => text(index + 1) == "json",
        "-ojson" | "-o=json" | "--output=json" => true,
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_holds_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_example_parses() {
        let mut examples = Vec::new();
        let mut stack = vec![Arguments::command()];
        while let Some(command) = stack.pop() {
            let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            examples
                .extend(text.lines().map(str::trim).filter(|line| line.starts_with("wellperf ")).map(str::to_owned));
            let is_leaf = command.get_subcommands().next().is_none();
            assert!(!is_leaf || text.contains("wellperf "), "{} has no example", command.get_name());
            stack.extend(command.get_subcommands().cloned());
        }
        for example in examples {
            assert!(Arguments::try_parse_from(example.split_whitespace()).is_ok(), "{example}");
        }
    }
}
