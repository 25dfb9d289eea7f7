//! `wellhead`: loads the configuration, starts the node, waits for a signal. Everything it starts stands in [`node`].

mod clock;
mod config;
mod data_dir;
mod http;
mod inflight;
mod logging;
mod metrics;
mod node;
mod plan;
mod self_scrape;
mod signals;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Status 2 is a configuration that cannot be used, 1 a node that could not start or failed.
fn main() -> ExitCode {
    let loaded = match config::load(std::env::args_os(), std::env::vars()) {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("wellhead: {error}");
            return ExitCode::from(2);
        }
    };
    if loaded.is_check {
        loaded.warnings.iter().for_each(|warning| eprintln!("wellhead: warning: {warning}"));
        println!("the configuration can be used");
        return ExitCode::SUCCESS;
    }
    let level = logging::start(&loaded.options.log);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    match node::run(loaded, level) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            tracing::error!("{reason}");
            eprintln!("wellhead: {reason}");
            ExitCode::FAILURE
        }
    }
}
