//! Logs on stderr, as logfmt or JSON, with a level that can be changed while the node runs.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::config::LogOptions;

/// Changes the level of a running process.
#[derive(Clone, Debug)]
pub struct LogLevel(reload::Handle<Targets, Registry>);

impl LogLevel {
    /// Sets `error`, `warn`, `info`, `debug` or `trace`.
    ///
    /// # Errors
    /// The text is no level.
    pub fn set(&self, level: &str) -> Result<(), String> {
        let filter =
            parse_level(level).ok_or_else(|| format!("{level:?} is no level: error, warn, info, debug or trace"))?;
        self.0.reload(targets(filter)).map_err(|error| error.to_string())
    }

    /// The level in force.
    #[must_use]
    pub fn get(&self) -> String {
        let level = self.0.clone_current().and_then(|targets| targets.default_level());
        level.map_or_else(String::new, |level| level.to_string())
    }
}

/// Starts logging. Call once.
pub fn start(options: &LogOptions) -> LogLevel {
    let filter = parse_level(&options.level).unwrap_or(LevelFilter::INFO);
    let (filter, handle) = reload::Layer::new(targets(filter));
    let lines = if options.is_json {
        tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(std::io::stderr).boxed()
    } else {
        tracing_logfmt::builder().with_target(false).layer().with_writer(std::io::stderr).boxed()
    };
    tracing_subscriber::registry().with(filter).with(lines).init();
    LogLevel(handle)
}

/// The Kafka client tells of every connection at `info`, and retries are told by us.
fn targets(level: LevelFilter) -> Targets {
    Targets::new().with_default(level).with_target("rskafka", level.min(LevelFilter::WARN))
}

fn parse_level(level: &str) -> Option<LevelFilter> {
    match level {
        "error" => Some(LevelFilter::ERROR),
        "warn" => Some(LevelFilter::WARN),
        "info" => Some(LevelFilter::INFO),
        "debug" => Some(LevelFilter::DEBUG),
        "trace" => Some(LevelFilter::TRACE),
        _ => None,
    }
}
