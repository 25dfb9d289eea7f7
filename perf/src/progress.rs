//! A bar on a terminal, for what takes longer than two seconds; nothing at all for what is faster, or where stderr is a file.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const QUIET: Duration = Duration::from_secs(2);

/// Shared by the threads of a run.
pub struct Progress {
    bar: ProgressBar,
    begin: Instant,
}

impl Progress {
    /// `total` steps of something called `what`.
    pub fn new(what: &str, total: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}")
            .expect("the template is a constant that a test has drawn");
        bar.set_style(style);
        bar.set_message(what.to_owned());
        Self { bar, begin: Instant::now() }
    }

    /// Shows how far it is; called now and then by one thread.
    pub fn set(&self, position: u64) {
        self.bar.set_position(position);
        if self.bar.is_hidden() && self.begin.elapsed() >= QUIET {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_one() {
        let progress = Progress::new("reading", 3);
        progress.set(2);
        assert_eq!(progress.bar.position(), 2);
    }
}
