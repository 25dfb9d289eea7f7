//! The text exposition of everything the node counts. Components keep plain counters; only this folder knows metric names.

mod exposition;

pub use exposition::{Exposition, Kind};
