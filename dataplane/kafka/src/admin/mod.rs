//! What an operator asks of a cluster: groups, topics, offsets of many partitions at once. For tools, not for the way of a sample.
//!
//! As everywhere in [`Client`](crate::Client): nothing is retried here, every failure goes to the caller.

mod brokers;
mod groups;
mod offsets;
mod topics;

pub use groups::{GroupDescription, GroupListing, GroupMember};
pub use topics::{ConfigEntry, PartitionDescription, TopicDescription, TopicListing, TopicPlan, Validation};
