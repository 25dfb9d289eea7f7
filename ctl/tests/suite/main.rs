//! `wellctl` as operators meet it: the real binary against a real node with its embedded broker.

#![allow(clippy::unwrap_used, reason = "in tests, an unwrap is an assertion")]

mod blocks;
mod moving;
mod node;
mod refusals;
mod seeing;
mod shell;
mod tool;
mod wal;
