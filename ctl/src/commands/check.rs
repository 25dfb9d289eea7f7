//! `wellctl check`: is a machine fit for a node.

use std::path::Path;

use clap::Subcommand;
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::host::{self, Verdict};
use crate::output::{Column, table};

/// Check what a node needs.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// This machine: kernel, io_uring, locked memory, open files, disk sync, clock.
    #[command(after_help = "\
Exits with 6 where a check fails; a warning is none. Writes 800 KiB into --data-dir (or the current folder) and removes
them.

Examples:
  wellctl check host
  wellctl check host --data-dir /var/lib/wellhead --shards 8")]
    Host {
        /// Shards that the node is to run; one for each CPU unless given.
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
        shards: Option<u16>,
    },
}

const COLUMNS: &[Column] =
    &[Column("CHECK", "check"), Column("VERDICT", "verdict"), Column("FOUND", "found"), Column("REMEDY", "remedy")];

impl Arguments {
    pub fn run(&self, context: &Context) -> Result<(), Failure> {
        let Command::Host { shards } = &self.command;
        let shards = shards.map_or_else(|| runtime::usable_cpus().len(), usize::from);
        let checks = host::checks(context.data_dir().unwrap_or(Path::new(".")), shards, context.now_ms);
        let rows: Vec<Value> = checks.iter().map(host::Check::row).collect();
        let failed: Vec<&str> =
            checks.iter().filter(|check| check.verdict == Verdict::Fail).map(|check| check.name).collect();
        context.output.show(&json!({"fit": failed.is_empty(), "checks": rows}), || table(COLUMNS, &rows))?;
        if failed.is_empty() {
            return Ok(());
        }
        Err(Failure::new(Kind::CheckSaysNo, format!("this machine is not fit: {}", failed.join(", "))))
    }
}
