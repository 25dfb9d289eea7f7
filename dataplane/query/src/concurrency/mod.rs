//! How many queries run at a time, how long each may take, and how one is given up.

mod pool;
mod watch;

#[cfg(test)]
mod pool_test;

pub use pool::{PoolCounters, PoolFull, PoolOptions, QueryPool, QueryTicket};
pub use watch::Watch;
