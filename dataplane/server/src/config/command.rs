//! Flags by clap, made from the table of settings; joined with environment and file into one set of values.

use std::collections::BTreeMap;
use std::ffi::OsString;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::file::read_yaml;
use super::foreign::{Foreign, foreign_key};
use super::settings::{environment_name, setting, settings, yaml_path};
use super::{ConfigError, Loaded, Options, Source, SourcedValue, Values};

const CONFIG_FILE: &str = "config.file";
const CONFIG_CHECK: &str = "config.check";

const ABOUT: &str = "A metrics data plane: Prometheus remote write in, Kafka as the durable log, PromQL out.";

const AFTER_HELP: &str = "\
Every setting can also be given in the YAML file of --config.file (the name taken apart at its dots, dashes as
underscores) or as an environment variable (WELLHEAD_ and the name in capitals, dots and dashes as underscores).
A flag wins over the environment, the environment over the file.

Examples:
  wellhead
      A whole system on this machine: embedded broker, data below ./wellhead-data, API on http://127.0.0.1:8080
  wellhead --data-dir /var/lib/wellhead --server.http-listen-address 0.0.0.0
      The same as a service that others can reach
  wellhead --ingest-storage.kafka.address kafka-1:9092,kafka-2:9092 --ingest-storage.kafka.topic ingest
      With a real Kafka as the log
  WELLHEAD_LOG_LEVEL=debug wellhead --config.file wellhead.yaml
      From a file, with one setting changed
  wellhead --config.file wellhead.yaml --config.check
      Before a restart: can this file be used?";

/// Loads the configuration from the process's arguments and environment. Prints help or version and ends the process where
/// that was asked for; usage errors end it with status 2.
///
/// # Errors
/// A key or value that cannot be used.
pub fn load(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Loaded, ConfigError> {
    let mut warnings = Vec::new();
    let arguments = own_arguments(arguments, &mut warnings)?;
    let matches = command().get_matches_from(arguments);
    let environment: BTreeMap<String, String> = environment.into_iter().collect();
    let mut values = defaults();
    let file = matches.get_one::<String>(CONFIG_FILE).or_else(|| environment.get(&environment_name(CONFIG_FILE)));
    if let Some(path) = file {
        apply_file(&read_yaml(path.as_ref())?, &mut values, &mut warnings)?;
    }
    apply_environment(&environment, &mut values)?;
    apply_flags(&matches, &mut values);
    let options = Options::from_values(&values)?;
    let is_check = matches.get_flag(CONFIG_CHECK);
    Ok(Loaded { options, values, warnings, is_check })
}

fn command() -> Command {
    let file = Arg::new(CONFIG_FILE)
        .long(CONFIG_FILE)
        .value_name("FILE")
        .env(environment_name(CONFIG_FILE))
        .hide_env(true)
        .help("YAML file with any of the settings below.");
    let check = Arg::new(CONFIG_CHECK).long(CONFIG_CHECK).action(ArgAction::SetTrue).help(
        "Only say whether the configuration can be used: status 0 if it can, 2 if not. Touches no folder and no port.",
    );
    settings().iter().fold(
        Command::new("wellhead")
            .version(env!("CARGO_PKG_VERSION"))
            .about(ABOUT)
            .after_help(AFTER_HELP)
            .max_term_width(120)
            .next_line_help(true)
            // As in Go programs, the last of several wins: wrappers append their own.
            .args_override_self(true)
            .arg(file)
            .arg(check),
        |command, setting| {
            let help = match setting.default {
                "" => setting.help.to_owned(),
                default => format!("{} [default: {default}]", setting.help),
            };
            // As in Go programs: a boolean takes its value after `=` only, and alone it means true.
            let is_bool = setting.placeholder == "BOOL";
            command.arg(
                Arg::new(setting.name)
                    .long(setting.name)
                    .value_name(setting.placeholder)
                    .help_heading(setting.group)
                    .action(ArgAction::Set)
                    .num_args(if is_bool { 0..=1 } else { 1..=1 })
                    .require_equals(is_bool)
                    .default_missing_value("true")
                    .allow_negative_numbers(true)
                    .help(help),
            )
        },
    )
}

/// Go programs take one dash before a long name, and Mimir's operators type it so: `-target=all` becomes `--target=all`. Flags
/// of Mimir that mean nothing here are taken out, with a warning.
fn own_arguments(
    arguments: impl IntoIterator<Item = OsString>,
    warnings: &mut Vec<String>,
) -> Result<Vec<OsString>, ConfigError> {
    let mut own = Vec::new();
    let mut arguments = arguments.into_iter().peekable();
    own.extend(arguments.next());
    while let Some(argument) = arguments.next() {
        let Some(text) = argument.to_str().filter(|text| text.starts_with('-') && text.len() > 2) else {
            own.push(argument);
            continue;
        };
        let flag = text.trim_start_matches('-');
        let name = flag.split('=').next().unwrap_or(flag);
        if setting(name).is_none() && name != CONFIG_FILE && name != CONFIG_CHECK && name.contains('.') {
            match foreign_key(name) {
                Some(Foreign::Ignored) => {
                    warnings.push(format!("--{name} is a setting of Mimir that has no meaning here; it is ignored"));
                    let has_value = arguments.peek().is_some_and(|next| !next.to_string_lossy().starts_with('-'));
                    if !flag.contains('=') && has_value {
                        arguments.next();
                    }
                    continue;
                }
                Some(Foreign::Refused(reason)) => {
                    return Err(ConfigError(format!("--{name} cannot be ignored: {reason}")));
                }
                None => {}
            }
        }
        own.push(format!("--{flag}").into());
    }
    Ok(own)
}

fn defaults() -> Values {
    settings()
        .iter()
        .map(|setting| (setting.name, SourcedValue { text: setting.default.to_owned(), source: Source::Default }))
        .collect()
}

fn apply_file(leaves: &[(String, String)], values: &mut Values, warnings: &mut Vec<String>) -> Result<(), ConfigError> {
    for (path, text) in leaves {
        let known = settings().iter().find(|setting| yaml_path(setting.name) == *path);
        // Mimir has this one key at the root of its file, though the flag has a prefix.
        let known = if path == "multitenancy_enabled" { setting("auth.multitenancy-enabled") } else { known };
        let name = path.replace('_', "-");
        match (known, foreign_key(&name)) {
            (Some(setting), _) => {
                values.insert(setting.name, SourcedValue { text: text.clone(), source: Source::File });
            }
            (None, Some(Foreign::Ignored)) => {
                warnings.push(format!(
                    "{path} in the configuration file is a setting of Mimir that has no meaning here; it is ignored"
                ));
            }
            (None, Some(Foreign::Refused(reason))) => {
                return Err(ConfigError(format!("{path} in the configuration file cannot be ignored: {reason}")));
            }
            (None, None) => {
                let near = nearest(path, settings().iter().map(|setting| yaml_path(setting.name)));
                return Err(ConfigError(format!("{path} in the configuration file is no setting of wellhead{near}")));
            }
        }
    }
    Ok(())
}

fn apply_environment(environment: &BTreeMap<String, String>, values: &mut Values) -> Result<(), ConfigError> {
    for (variable, text) in environment.iter().filter(|(variable, _)| variable.starts_with("WELLHEAD_")) {
        if *variable == environment_name(CONFIG_FILE) || RESERVED_VARIABLES.iter().any(|own| variable.starts_with(own))
        {
            continue;
        }
        let Some(setting) = settings().iter().find(|setting| environment_name(setting.name) == *variable) else {
            let near = nearest(variable, settings().iter().map(|setting| environment_name(setting.name)));
            return Err(ConfigError(format!("the environment variable {variable} is no setting of wellhead{near}")));
        };
        values.insert(setting.name, SourcedValue { text: text.clone(), source: Source::Environment });
    }
    Ok(())
}

/// Variables with our prefix that belong to the tools and tests around the node.
const RESERVED_VARIABLES: &[&str] = &["WELLHEAD_NODE", "WELLHEAD_TEST_"];

fn apply_flags(matches: &ArgMatches, values: &mut Values) {
    for setting in settings() {
        if let Some(text) = matches.get_one::<String>(setting.name) {
            values.insert(setting.name, SourcedValue { text: text.clone(), source: Source::Flag });
        }
    }
}

/// "; did you mean X?" for a misspelt key.
fn nearest(key: &str, candidates: impl Iterator<Item = String>) -> String {
    candidates
        .map(|candidate| (distance(key, &candidate), candidate))
        .min()
        .filter(|(distance, _)| *distance <= 3)
        .map_or_else(
            || "; `wellhead --help` lists all".to_owned(),
            |(_, candidate)| format!("; did you mean {candidate}?"),
        )
}

/// Levenshtein's distance, in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
