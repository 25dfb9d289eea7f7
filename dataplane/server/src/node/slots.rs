//! Joins the runtime's slots with the consumer's idea of them: neither crate may know the other.

use ingest::consumer::{BatchSink, BatchSource, RawBatch};
use runtime::{SlotSender, Slots};

/// The companion's end.
#[derive(Clone)]
pub struct SlotSink(pub SlotSender<RawBatch>);

/// The executor's end.
pub struct SlotSource(pub Slots<RawBatch>);

impl BatchSink for SlotSink {
    async fn room(&self, slot: usize) {
        self.0.room(slot).await;
    }

    fn put(&self, slot: usize, bytes: usize, batch: RawBatch) -> Result<(), RawBatch> {
        self.0.put(slot, bytes, batch)
    }
}

impl BatchSource for SlotSource {
    async fn filled(&self) {
        self.0.filled().await;
    }

    fn take(&mut self) -> Option<(usize, RawBatch)> {
        self.0.take()
    }
}
