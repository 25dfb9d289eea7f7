//! The broker as its clients meet it, over a socket.
//!
//! The same cases hold for Apache Kafka: with `WELLHEAD_TEST_KAFKA=host:port` they are put to that broker instead (one node, on which
//! `message.max.bytes=16000000`), under topic names that no other run has.

#![allow(clippy::unwrap_used)]

mod broker;
mod cluster;
mod configs;
mod delete_records;
mod embedded;
mod fetches;
mod group_admin;
mod groups;
mod membership;
mod offsets;
mod partitions;
mod producers;
mod records;
mod refusals;
mod topics;
mod wire;
