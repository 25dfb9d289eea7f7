//! The command line: what every command takes, and help whose commands stand in groups.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser};

use crate::commands::{Command, GROUPS};
use crate::failure::{Failure, Kind};
use crate::output::Format;

const AFTER_HELP: &str = "\
Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 refused, 5 unreachable, 6 a check says no.

Examples:
  wellctl status
      The node on this machine: is it ready, how far is each partition
  wellctl --node http://10.0.0.7:8080 lag --max 30s
      Fails with 6 where a partition is more than 30 seconds behind
  wellctl offsets reset --group wellhead-0 --to time:-10m
      Shows what reading the last ten minutes again would mean; --execute does it";

/// Sees and moves what a wellhead node and its Kafka do.
#[derive(Parser, Debug)]
#[command(name = "wellctl", version, after_help = AFTER_HELP, max_term_width = 120, disable_help_subcommand = true)]
pub struct Arguments {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(clap::Args, Clone, Debug)]
pub struct Global {
    /// The node's address. Kafka's is asked from it unless given.
    #[arg(long, value_name = "URL", env = "WELLHEAD_NODE", global = true)]
    pub node: Option<String>,
    /// Data folder of a node on this machine: its addresses are read from node.json there.
    #[arg(long, value_name = "DIR", global = true, conflicts_with = "node")]
    pub data_dir: Option<PathBuf>,
    /// Kafka brokers, HOST:PORT, several with commas. Without it the node is asked.
    #[arg(long, value_name = "ADDRESSES", global = true, value_delimiter = ',')]
    pub kafka_address: Vec<String>,
    /// How long one request may take, as in 10s.
    #[arg(long, value_name = "DURATION", default_value = "10s", global = true)]
    pub timeout: String,
    /// How to show the result. JSON is one document; errors are JSON as well then.
    #[arg(short, long, value_enum, default_value = "table", global = true)]
    pub output: Format,
}

/// The command with its help grouped.
pub fn command() -> clap::Command {
    let command = Arguments::command();
    let about = |name: &str| {
        let found = command.get_subcommands().find(|sub| sub.get_name() == name);
        found.and_then(|sub| sub.get_about()).map(ToString::to_string).unwrap_or_default()
    };
    let mut groups = String::new();
    for (group, names) in GROUPS {
        groups.push_str(&format!("{group}:\n"));
        for name in *names {
            groups.push_str(&format!("  {name:<13}{}\n", about(name)));
        }
        groups.push('\n');
    }
    let template = format!(
        "{{about}}\n\n{{usage-heading}} {{usage}}\n\n{groups}Options of every command:\n{{options}}{{after-help}}"
    );
    command.help_template(template)
}

/// Reads the arguments. Help, version and usage errors are said here; the error is the exit code then.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Arguments, ExitCode> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let parsed = command().try_get_matches_from(&arguments).and_then(|matches| Arguments::from_arg_matches(&matches));
    parsed.map_err(|error| {
        if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
            // A closed pipe is no failure of ours.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        if wants_json(&arguments) {
            let text = error.render().to_string();
            let first = text.lines().next().unwrap_or_default();
            let message = first.strip_prefix("error: ").unwrap_or(first).to_owned();
            return Failure::new(Kind::Usage, message).tell(Format::Json);
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
    use super::*;

    /// Every command that does something, with its path.
    fn leaves(command: &clap::Command, path: &str, found: &mut Vec<(String, clap::Command)>) {
        let path = format!("{path}{}", command.get_name());
        if command.get_subcommands().next().is_none() {
            found.push((path.clone(), command.clone()));
        }
        for sub in command.get_subcommands() {
            leaves(sub, &format!("{path} "), found);
        }
    }

    #[test]
    fn the_definition_holds_together() {
        command().debug_assert();
    }

    #[test]
    fn every_command_stands_in_one_group() {
        let mut grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let command = Arguments::command();
        let mut known: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
        grouped.sort_unstable();
        known.sort_unstable();
        assert_eq!(grouped, known);
    }

    #[test]
    fn every_command_shows_an_example_that_parses() {
        let mut found = Vec::new();
        leaves(&command(), "", &mut found);
        assert!(found.len() > 10);
        for (path, leaf) in found {
            let help = leaf.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples: Vec<&str> = help.lines().filter(|line| line.trim().starts_with("wellctl ")).collect();
            assert!(!examples.is_empty(), "{path} has no example");
            for example in examples {
                let words = words_of(example.trim());
                if let Err(error) = command().try_get_matches_from(&words) {
                    panic!("{path}: {words:?}: {error}");
                }
                assert!(example.contains(path.trim_start_matches("wellctl ")), "{path}: {example}");
            }
        }
    }

    /// Words of a shell line, up to a redirection; single quotes hold blanks together.
    fn words_of(line: &str) -> Vec<String> {
        let line = line.split(" > ").next().unwrap_or(line);
        let mut words = Vec::new();
        for (index, part) in line.split('\'').enumerate() {
            if index % 2 == 1 {
                words.push(part.to_owned());
            } else {
                words.extend(part.split_whitespace().map(str::to_owned));
            }
        }
        words
    }
}
