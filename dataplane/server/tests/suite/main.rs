//! Tests of the whole node and of the workspace's own rules. One binary; the node runs as a process, as a user has it.

// A test that unwraps fails at the right line.
#![allow(clippy::unwrap_used)]

mod client;
mod crash;
mod edges;
mod growth;
mod node;
mod reset;
mod start;
mod tidy;
