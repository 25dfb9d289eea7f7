//! `wellperf` as its users meet it: the real binary against a real node, with tiny loads. Counts are checked, never times.

#![allow(clippy::unwrap_used, reason = "in tests, an unwrap is an assertion")]

mod push;
mod refusals;
mod scenarios;
mod targets;
mod tool;
