//! Orders to partitions that are being consumed: how they are asked for, and why they are refused.
//!
//! Whoever asks sits on another thread; the companion of the shard holds the partition, has the reset synced and goes on. How
//! that is done: [`super::steward`].

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use model::{Offset, PartitionId};
use tokio::sync::{mpsc, oneshot};
use tsdb::store::ResetDone;

use super::Reply;

/// Why a partition is not moved. Nothing was changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ResetRefusal {
    #[error("partition {partition} is not consumed here")]
    UnknownPartition { partition: PartitionId },
    #[error("partition {partition} cannot go on at offset {to}: its log holds the offsets from {start} up to {end}")]
    OutOfLog { partition: PartitionId, to: Offset, start: Offset, end: Offset },
    #[error("partition {partition} is named twice")]
    NamedTwice { partition: PartitionId },
    #[error("consuming has not started yet")]
    NotStarted,
    #[error("another reset is under way")]
    UnderWay,
    #[error("Kafka does not tell the bounds of the log: {reason}")]
    Kafka { reason: String },
    #[error("the shard is stopping")]
    Stopped,
}

/// Partitions and the next offset that each is to go on at.
pub(super) type Targets = Vec<(PartitionId, Offset)>;

/// What the companion is asked for.
#[derive(Debug)]
pub(super) enum Asked {
    Check(Targets, oneshot::Sender<Result<(), ResetRefusal>>),
    Reset(Targets, oneshot::Sender<Result<Vec<ResetDone>, ResetRefusal>>),
}

/// The way to the companion: one order at a time.
#[derive(Debug)]
pub(super) struct ResetDesk {
    sender: mpsc::Sender<Asked>,
    receiver: Mutex<Option<mpsc::Receiver<Asked>>>,
    is_open: AtomicBool,
}

impl Default for ResetDesk {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(1);
        Self { sender, receiver: Mutex::new(Some(receiver)), is_open: AtomicBool::new(false) }
    }
}

impl ResetDesk {
    /// The companion's end, once; from then on orders are taken.
    pub(super) fn open(&self) -> mpsc::Receiver<Asked> {
        let receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.is_open.store(true, Ordering::Release);
        receiver.expect("a shard has one companion")
    }

    pub(super) fn ask<T>(
        &self,
        asked: impl FnOnce(oneshot::Sender<Result<T, ResetRefusal>>) -> Asked,
    ) -> Result<Reply<Result<T, ResetRefusal>>, ResetRefusal> {
        if !self.is_open.load(Ordering::Acquire) {
            return Err(ResetRefusal::NotStarted);
        }
        let (sender, reply) = Reply::channel();
        self.sender.try_send(asked(sender)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ResetRefusal::UnderWay,
            mpsc::error::TrySendError::Closed(_) => ResetRefusal::Stopped,
        })?;
        Ok(reply)
    }
}
