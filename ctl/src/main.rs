//! `wellctl`: sees and moves what a wellhead node and its Kafka do. Thin: every fact comes from the node's HTTP, Kafka's
//! protocol or the machine; nothing is kept here.

mod arguments;
mod cluster;
mod commands;
mod context;
mod failure;
mod host;
mod liveness;
mod node;
mod output;
mod progress;
mod records;
mod reset;
mod time;

use std::process::ExitCode;

use crate::context::Context;
use crate::failure::Failure;

fn main() -> ExitCode {
    let arguments = match arguments::parse(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let format = arguments.global.output;
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(format),
    }
}

fn run(arguments: arguments::Arguments) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start: {error}")))?;
    let context = Context::new(arguments.global)?;
    runtime.block_on(arguments.command.run(&context))
}
