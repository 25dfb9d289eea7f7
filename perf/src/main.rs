//! `wellperf`: reads the command line, runs, shows the report, and ends with what its checks say.

use std::process::ExitCode;

use perf::arguments::{self, Arguments, Command, Format};
use perf::failure::Failure;
use perf::interrupt;

fn main() -> ExitCode {
    let arguments = match arguments::parse(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(arguments.output.output == Format::Json),
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    interrupt::watch()?;
    let report = match &arguments.command {
        Command::Run { scenario } => scenario.run()?,
        Command::Compare(compare) => compare.run()?,
        Command::Calibrate(calibrate) => calibrate.run()?,
    };
    report.show(&arguments.output)?;
    report.verdict()
}
