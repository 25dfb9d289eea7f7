//! `wellctl man`: a manual page for each command.

use std::path::PathBuf;

use crate::arguments;
use crate::context::Context;
use crate::failure::Failure;

/// Write manual pages into a folder.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  wellctl man /usr/local/share/man/man1")]
pub struct Arguments {
    /// Made where it is missing.
    dir: PathBuf,
}

impl Arguments {
    pub fn run(&self, context: &Context) -> Result<(), Failure> {
        let failed = |error: std::io::Error| {
            Failure::failed(format!("cannot write manual pages into {}: {error}", self.dir.display()))
        };
        std::fs::create_dir_all(&self.dir).map_err(failed)?;
        clap_mangen::generate_to(arguments::command(), &self.dir).map_err(failed)?;
        context
            .output
            .show(&serde_json::json!({"dir": self.dir}), || format!("manual pages are in {}\n", self.dir.display()))
    }
}
