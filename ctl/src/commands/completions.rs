//! `wellctl completions`: the script that completes commands in a shell.

use clap_complete::Shell;

use crate::arguments;
use crate::context::Context;
use crate::failure::Failure;

/// Print the script that completes commands in a shell.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  wellctl completions bash > /etc/bash_completion.d/wellctl
  wellctl completions zsh > /usr/local/share/zsh/site-functions/_wellctl")]
pub struct Arguments {
    #[arg(value_enum)]
    shell: Shell,
}

impl Arguments {
    pub fn run(&self, context: &Context) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut arguments::command(), "wellctl", &mut script);
        context.output.raw(&String::from_utf8_lossy(&script))
    }
}
