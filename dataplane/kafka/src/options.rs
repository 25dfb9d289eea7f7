//! The one configuration of every connection to Kafka.

use std::time::Duration;

/// Where the brokers are and how patient to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KafkaOptions {
    /// Seed brokers, `HOST:PORT`.
    pub addresses: Vec<String>,
    pub client_id: String,
    pub topic: String,
    pub dial_timeout: Duration,
    /// For each request but a fetch, which may take its wait longer.
    pub request_timeout: Duration,
}

/// How record batches are compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compression {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Compression {
    /// From the configured name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "none" => Self::None,
            "gzip" => Self::Gzip,
            "snappy" => Self::Snappy,
            "lz4" => Self::Lz4,
            "zstd" => Self::Zstd,
            _ => return None,
        })
    }
}
