//! Everything that speaks Kafka as a client: produce, topics, raw fetch, group offsets, and the record batch format.
//!
//! Knows nothing of samples: a record is a key, a value and headers.

pub mod admin;
pub mod batch;

mod client;
mod connection;
mod error;
mod fetch;
mod groups;
mod metadata;
mod options;
mod produce;
mod stamp;

pub use client::Client;
pub use error::{KafkaError, KafkaErrorKind};
pub use fetch::{FetchError, FetchLimits, FetchPosition, FetchedPartition, Fetcher};
pub use groups::{CommitPosition, CommittedOffset, OffsetAt, OffsetFound};
pub use metadata::{PartitionLeader, TopicInfo};
pub use options::{Compression, KafkaOptions};
pub use produce::{ProduceError, ProduceRecord, Producer, ProducerCounters, ProducerOptions};
pub use stamp::{CommitMeaning, CommitStamp, OrderStamp};
