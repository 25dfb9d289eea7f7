//! Checkpoints beside the turns: pieces are taken between two turns and written while the next one fills.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use disk::{Disk, DiskError};
use tsdb::checkpoint::{Checkpoint, is_out_of_space};
use tsdb::store::{CheckpointStep, ShardStore};

use super::shard::Pause;

/// How long a checkpoint waits for space on the disk before it tries again.
const RETRY: Duration = Duration::from_secs(5);

/// The checkpoint of a shard that is under way, if one is.
pub(super) struct Checkpointing<D: Disk> {
    state: State<D>,
    is_out_of_space: bool,
    published: u64,
}

type Running<D> = Pin<Box<dyn Future<Output = (Checkpoint<D>, Result<(), DiskError>)>>>;

enum State<D: Disk> {
    Idle,
    /// For a turn to be written.
    Waiting(Checkpoint<D>),
    Running(Running<D>),
    /// For space.
    Pausing(Pin<Box<dyn Future<Output = ()>>>, Option<Checkpoint<D>>),
}

impl<D: Disk> Checkpointing<D> {
    pub(super) fn new() -> Self {
        Self { state: State::Idle, is_out_of_space: false, published: 0 }
    }

    /// Goes on with the checkpoint, or begins one if one is wanted. Best called right after a turn was taken for the log.
    pub(super) fn advance(&mut self, store: &mut ShardStore<D>, is_wanted: bool) {
        let checkpoint = match std::mem::replace(&mut self.state, State::Idle) {
            State::Waiting(checkpoint) => Some(checkpoint),
            State::Idle if is_wanted => store.start_checkpoint(),
            State::Idle => None,
            busy => {
                self.state = busy;
                return;
            }
        };
        let Some(checkpoint) = checkpoint else { return };
        match store.advance_checkpoint(checkpoint) {
            CheckpointStep::Run(checkpoint) => self.state = State::Running(Box::pin(checkpoint.run())),
            CheckpointStep::Wait(checkpoint) => self.state = State::Waiting(checkpoint),
            CheckpointStep::Published => self.published += 1,
        }
    }

    /// Ready if a piece was written, so that the next can be taken.
    ///
    /// # Errors
    /// The disk failed: end the process. Having no space is no error; it is told, and tried again after a while.
    pub(super) fn poll(&mut self, context: &mut Context<'_>, pause: &Pause) -> Poll<Result<(), DiskError>> {
        match &mut self.state {
            State::Idle | State::Waiting(_) => Poll::Pending,
            State::Running(running) => {
                let Poll::Ready((checkpoint, result)) = running.as_mut().poll(context) else { return Poll::Pending };
                Poll::Ready(self.finish_run(checkpoint, result, pause))
            }
            State::Pausing(pausing, checkpoint) => {
                if pausing.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                let checkpoint = checkpoint.take().expect("put there with the pause");
                self.state = State::Running(Box::pin(checkpoint.run()));
                Poll::Ready(Ok(()))
            }
        }
    }

    fn finish_run(
        &mut self,
        checkpoint: Checkpoint<D>,
        result: Result<(), DiskError>,
        pause: &Pause,
    ) -> Result<(), DiskError> {
        match result {
            Ok(()) => {
                if std::mem::take(&mut self.is_out_of_space) {
                    tracing::info!("there is space for the checkpoint again");
                }
                self.state = State::Waiting(checkpoint);
                Ok(())
            }
            Err(error) if is_out_of_space(&error) => {
                if !std::mem::replace(&mut self.is_out_of_space, true) {
                    tracing::error!("no checkpoint, the write-ahead log grows meanwhile: {error}");
                }
                self.state = State::Pausing(pause(RETRY), Some(checkpoint));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Whether one is under way and gets on.
    pub(super) fn is_moving(&self) -> bool {
        !matches!(self.state, State::Idle | State::Pausing(..))
    }

    /// Whether none is under way.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Those that were finished.
    pub(super) fn published(&self) -> u64 {
        self.published
    }
}
