//! From a client's push to a Kafka record, and from a fetched record batch to durable progress.
//!
//! Knows nothing of PromQL and nothing of HTTP: `distributor` is given bytes and gives back what became of them.

pub mod consumer;
pub mod distributor;
