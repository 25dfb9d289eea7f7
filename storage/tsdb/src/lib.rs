//! The storage engine of one shard: chunks, heads, write-ahead log, recovery.
//!
//! Knows nothing of Kafka beyond "a partition has offsets", nothing of HTTP, nothing of tenants' limits. Runs on any
//! [`disk::Disk`]; reads no clock.

pub mod block;
pub mod checkpoint;
pub mod chunk;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod head;
pub mod read;
pub mod recovery;
pub mod store;
pub mod wal;
