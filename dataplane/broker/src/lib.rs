//! The embedded Kafka-protocol broker: partition logs and group offsets behind `Disk`, and a network in front of them.
//!
//! [`BrokerLog`] runs on an executor thread and owns the files; [`serve`] runs on tokio and owns the sockets; a [`BrokerHandle`]
//! joins them. It is one node without replicas or transactions. Knows nothing of samples.

mod batch;
mod counters;
mod error;
mod handle;
pub mod limits;
mod log;
mod options;
mod server;

pub use counters::{BrokerCounters, CounterValues, RefusalReason};
pub use error::{BrokerError, Refusal};
pub use handle::{BrokerHandle, Inbox, PartitionOffsets, TopicDescription, channel};
pub use log::BrokerLog;
pub use options::{AutoCreate, BrokerOptions, LogBudget, Retention, RetentionFloor};
pub use server::serve;
