//! What ends a node: a signal from outside, or one of its own parts giving up.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// Why the node stops.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ending {
    /// SIGTERM or SIGINT: drain, sync, commit.
    Asked(&'static str),
    /// A part that must not end has ended, with its last sentence.
    Failed { part: String, reason: String },
}

/// Told by the threads of the node when they end before they were asked to.
#[derive(Clone)]
pub struct Obituaries(mpsc::UnboundedSender<(String, String)>);

impl Obituaries {
    /// `part` cannot go on.
    pub fn tell(&self, part: &str, reason: &str) {
        let _ = self.0.send((part.to_owned(), reason.to_owned()));
    }
}

/// Waits for endings.
pub struct Endings {
    term: Signal,
    interrupt: Signal,
    obituaries: mpsc::UnboundedReceiver<(String, String)>,
}

impl Endings {
    /// Takes over SIGTERM and SIGINT.
    ///
    /// # Errors
    /// The handlers cannot be set.
    pub fn new() -> std::io::Result<(Self, Obituaries)> {
        let (sender, obituaries) = mpsc::unbounded_channel();
        let term = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        Ok((Self { term, interrupt, obituaries }, Obituaries(sender)))
    }

    pub async fn next(&mut self) -> Ending {
        tokio::select! {
            _ = self.term.recv() => Ending::Asked("SIGTERM"),
            _ = self.interrupt.recv() => Ending::Asked("SIGINT"),
            Some((part, reason)) = self.obituaries.recv() => Ending::Failed { part, reason },
        }
    }
}
