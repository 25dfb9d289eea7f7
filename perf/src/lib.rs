//! What `wellperf` is made of: seeded series, a node to send them to, the kernel's accounts, and reports.
//!
//! Measures from outside: a process, its HTTP, its Kafka, its files. Nothing of the node's own code runs in a measurement but
//! the encoders of the wire formats.

pub mod failure;

pub mod accounts;
pub mod files;
pub mod fleet;
pub mod http;
pub mod interrupt;
pub mod latency;
pub mod progress;
pub mod target;
pub mod topic;

pub mod report;

pub mod calibration;
pub mod load;
pub mod scenarios;

pub mod arguments;
