//! Configuration: one table of settings, read from flags, environment and a YAML file, turned into typed options once.
//!
//! Order of precedence: flag, environment (`WELLHEAD_` and the name in capitals), `--config.file`, default. The YAML tree is
//! the flag's name taken apart at its dots, dashes as underscores (Mimir's rule). Nothing here opens a socket or a folder.

mod command;
mod file;
mod foreign;
mod options;
mod settings;
mod value;

pub use command::load;
pub use options::*;
pub use settings::{environment_name, settings, yaml_path};

use std::collections::BTreeMap;
use std::fmt;

/// Where a value came from, for error messages and `/config`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Source {
    Default,
    File,
    Environment,
    Flag,
}

/// A setting's text and its origin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourcedValue {
    pub text: String,
    pub source: Source,
}

/// Every setting by name, defaults included.
pub type Values = BTreeMap<&'static str, SourcedValue>;

/// What was loaded: typed options, the table behind them, and sentences to log once logging runs.
#[derive(Debug)]
pub struct Loaded {
    pub options: Options,
    pub values: Values,
    pub warnings: Vec<String>,
    /// The process was only to check it.
    pub is_check: bool,
}

/// A configuration that cannot be used: says which key, what is wrong and what would be right.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError(pub String);

impl ConfigError {
    /// `problem` is what is wrong with the value of `name`, and what would be right.
    #[must_use]
    pub fn of_setting(name: &str, value: &SourcedValue, problem: &str) -> Self {
        let origin = match value.source {
            Source::Default => format!("the default of --{name}"),
            Source::File => format!("{} in the configuration file", yaml_path(name)),
            Source::Environment => format!("the environment variable {}", environment_name(name)),
            Source::Flag => format!("--{name}"),
        };
        Self(format!("{origin} is {:?}: {problem}", value.text))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod config_test;
