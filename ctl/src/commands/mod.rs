//! The commands, a file each. A new one is its file, a line in the enum and in `run`, and its name in a group.

mod blocks;
mod check;
mod completions;
mod groups;
mod lag;
mod man;
mod offsets;
mod records;
mod status;
mod topics;
mod wal;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Failure;

#[derive(Subcommand, Debug)]
pub enum Command {
    Status(status::Arguments),
    Lag(lag::Arguments),
    Offsets(offsets::Arguments),
    Groups(groups::Arguments),
    Topics(topics::Arguments),
    Records(records::Arguments),
    Wal(wal::Arguments),
    Blocks(blocks::Arguments),
    Check(check::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
}

/// How help shows them.
pub const GROUPS: &[(&str, &[&str])] = &[
    ("See how it is", &["status", "lag"]),
    ("See and move progress", &["offsets", "groups"]),
    ("Look into Kafka", &["topics", "records"]),
    ("Look into a data folder", &["wal", "blocks"]),
    ("Prepare a machine", &["check", "completions", "man"]),
];

impl Command {
    /// # Errors
    /// What the command could not do.
    pub async fn run(&self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Status(arguments) => arguments.run(context),
            Self::Lag(arguments) => arguments.run(context).await,
            Self::Offsets(arguments) => arguments.run(context).await,
            Self::Groups(arguments) => arguments.run(context).await,
            Self::Topics(arguments) => arguments.run(context).await,
            Self::Records(arguments) => arguments.run(context).await,
            Self::Wal(arguments) => arguments.run(context).await,
            Self::Blocks(arguments) => arguments.run(context).await,
            Self::Check(arguments) => arguments.run(context),
            Self::Completions(arguments) => arguments.run(context),
            Self::Man(arguments) => arguments.run(context),
        }
    }
}
