//! The read side of Kafka: from fetched batches to durable progress in a shard's store, and the answers of that store.
//!
//! Two threads a shard. The companion ([`Fetching`], tokio) finds out where to start, fetches raw batches, hands them over one
//! slot per partition, and tells Kafka how far the log on disk is. The executor ([`ShardLoop`], any [`disk::Disk`]) decodes,
//! applies, writes samples and progress in one frame, and serves reads between steps. They share [`PartitionState`]s, which
//! the server shows. Does not know threads, sockets or HTTP; the slots themselves come from the runtime.

mod handover;
pub use handover::{BatchSink, BatchSource, Handed, RawBatch};

mod state;
#[cfg(test)]
mod state_test;
pub use state::{Health, LoopCounters, NotReady, PartitionSnapshot, PartitionState};

mod resets;
pub use resets::ResetRefusal;

mod reply;
pub use reply::{NamesRequest, ReadBudget, ReadError, Reply, SeriesStream};

mod cuts;
#[cfg(test)]
mod cuts_test;
pub use cuts::{CutOrder, CutOutcome, HeadFacts};

mod handle;
pub use handle::{ShardHandle, ShardInbox, ShardReport, StartFacts, TenantReport, shard_channel};

mod checkpointing;
mod columns;
mod decode;
mod quarantine;
#[cfg(test)]
mod quarantine_test;
mod reads;
mod shard;
#[cfg(test)]
mod shard_fixture;
#[cfg(test)]
mod shard_test;
#[cfg(test)]
mod story_test;
pub use quarantine::{QuarantineReader, Quarantined, quarantine_path};
pub use shard::{Pause, ShardError, ShardLoop, ShardOptions};

mod commits;
mod fetching;
mod orders;
#[cfg(test)]
mod orders_test;
mod partition;
mod start;
#[cfg(test)]
mod start_test;
mod steward;
mod watcher;
pub use fetching::{FetchOptions, Fetching, FetchingError};
pub use orders::OrderBeyondEnd;
pub use start::{LogMismatch, NoSuchTime, StartPosition};
