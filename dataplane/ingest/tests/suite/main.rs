//! The consumer against the real embedded broker, both on one thread: from a produced record to an answer, over restarts,
//! other logs, outages and retention.

#![allow(clippy::unwrap_used)]

mod consume;
mod orders;
mod world;
