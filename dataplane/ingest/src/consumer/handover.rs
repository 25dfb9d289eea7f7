//! What passes from the companion to the executor, and the two ends of the way as this crate sees them.
//!
//! The ends are traits because the slots belong to the runtime, which this crate may not know. Order within a partition is the
//! order of the slots; that is why a hole in the log is handed over like a batch.

use bytes::Bytes;
use model::{Offset, PartitionId};
use tsdb::wal::Generation;

/// A fetched piece of one partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RawBatch {
    pub partition: PartitionId,
    /// The partition's generation when it was fetched: what was fetched before an order moved the partition is dropped.
    pub generation: Generation,
    /// Where the partition stood: the first offset that is not applied when everything handed over before is.
    pub expected: Offset,
    /// Where it stands behind this piece.
    pub next: Offset,
    pub handed: Handed,
}

/// What the log had for `expected..next`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Handed {
    /// Kafka record batches as they lie in the log; whole ones up to `next`, perhaps a part of one behind them. The first may
    /// begin before `expected`.
    Records(Bytes),
    /// Nothing any more: the log begins later.
    Gone,
    /// Bytes without the frame of a batch: nothing in them can be found, and the next offset is tried.
    Unframed(Bytes),
}

impl RawBatch {
    /// What counts against the budget of the slots. Never 0: an empty piece takes a place as well.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.handed {
            Handed::Records(bytes) | Handed::Unframed(bytes) => bytes.len() + size_of::<Self>(),
            Handed::Gone => size_of::<Self>(),
        }
    }
}

/// The companion's end: one slot per partition, in the order of the shard's partitions.
#[allow(async_fn_in_trait)]
pub trait BatchSink: Clone + 'static {
    /// Waits until the slot is empty and the budget of the shard has room: only then it is worth fetching.
    async fn room(&self, slot: usize);

    /// Puts a batch of that many bytes into a slot that has room.
    ///
    /// # Errors
    /// The slot is full: the batch comes back.
    fn put(&self, slot: usize, bytes: usize, batch: RawBatch) -> Result<(), RawBatch>;
}

/// The executor's end.
#[allow(async_fn_in_trait)]
pub trait BatchSource: 'static {
    /// Waits until [`BatchSource::take`] may have something. May wake without reason. Dropping the future loses nothing.
    async fn filled(&self);

    /// Takes a batch, slot by slot in turn.
    fn take(&mut self) -> Option<(usize, RawBatch)>;
}
