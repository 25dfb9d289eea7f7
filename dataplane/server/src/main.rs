//! `wellhead`: loads the configuration, starts the node, waits for a signal. Everything it starts stands in [`node`].

mod config;
mod data_dir;
mod logging;
mod metrics;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let loaded = match config::load(std::env::args_os(), std::env::vars()) {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("wellhead: {error}");
            std::process::exit(2);
        }
    };
    let _level = logging::start(&loaded.options.log);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
}
