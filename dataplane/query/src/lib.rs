//! The read path of one node: Prometheus' HTTP API as plain functions, the querier that joins what the shards hold, and the
//! threads that queries run on.
//!
//! Knows no HTTP library and no shard: requests come in as parameters, series through [`Storage`].

pub mod api;
mod concurrency;
mod querier;

pub use concurrency::{PoolCounters, PoolFull, PoolOptions, QueryPool, QueryTicket, Watch};
pub use querier::{Batches, NamesRequest, Querier, ReadError, ReadLimits, ReadScope, Storage};
