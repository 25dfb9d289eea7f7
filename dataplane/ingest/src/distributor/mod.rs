//! The write path up to Kafka: inflate, walk, check, choose partitions, produce, answer.
//!
//! One distributor per companion thread, without locks. What it learns of a series (its token, that it is valid) it keeps,
//! so that checks happen once per series and not once per sample.

mod cache;
mod counters;
mod outcome;
mod push;
mod records;
mod ring;
mod sink;
mod split;

pub use counters::DistributorCounters;
pub use outcome::{PushError, PushOutcome, Refusal};
pub use push::{Distributor, DistributorOptions};
pub use records::{PartitionRecord, RECORD_BYTES_MAX};
pub use ring::PartitionRing;
pub use sink::{RecordSink, SinkError};
