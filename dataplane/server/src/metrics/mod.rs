//! The text exposition of everything the node counts. Components keep plain counters; only this folder knows metric names.

mod broker;
mod exposition;
mod latency;
mod page;
mod process;

pub use broker::expose as expose_broker;
pub use exposition::{Exposition, Kind, Line};
pub use latency::Latencies;
pub use process::expose as expose_process;
