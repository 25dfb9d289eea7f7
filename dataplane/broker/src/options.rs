//! What can be chosen when the broker starts.

use std::sync::Arc;
use std::time::Duration;

use crate::limits;

/// The broker's knobs; [`Default`] is what the embedded broker runs with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BrokerOptions {
    /// Partitions of a topic that is created without a number.
    pub default_partitions: i32,
    /// Whether asking for an unknown topic's metadata creates it.
    pub auto_create: AutoCreate,
    /// A segment file is closed before it grows beyond this; one larger batch still fits.
    pub segment_bytes_max: u64,
    /// What may be deleted, and when.
    pub retention: Retention,
    /// Space for all logs together. At the limit produce is refused and reads go on.
    pub log_budget: LogBudget,
    /// Connections at one time; further ones are closed at once.
    pub connections_max: usize,
    /// A connection without a request for so long is closed.
    pub idle_max: Duration,
    /// A frame or an answer that moves slower than this closes its connection.
    pub transfer_max: Duration,
    /// Memory of all requests that are being read or worked on.
    pub request_memory_bytes_max: usize,
    /// Memory of all answers to fetches that are not sent yet.
    pub fetch_memory_bytes_max: usize,
}

/// What an unknown topic's name in a metadata request does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AutoCreate {
    Off,
    /// Creates it with the default number of partitions, if the client asks for that.
    On,
}

/// Deletes whole segments, oldest first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Retention {
    /// Deletes segments whose newest record is older; `None` keeps.
    pub age: Option<Duration>,
    /// Deletes the oldest segments while a partition without them has at least so many bytes; `None` keeps.
    pub partition_bytes: Option<u64>,
    pub floor: RetentionFloor,
}

/// What retention never passes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RetentionFloor {
    /// The mark given by [`crate::BrokerHandle::set_retention_floor`]; all is kept until one was given.
    Given,
    /// The same for the topic of this name; nothing for others.
    GivenFor(Arc<str>),
    /// Nothing: for topics that nobody of ours consumes.
    Free,
}

/// Space for the segments of all partitions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogBudget {
    /// Percent of the file system's size.
    FileSystemPercent(u8),
    Bytes(u64),
}

impl Default for BrokerOptions {
    fn default() -> Self {
        Self {
            default_partitions: 1,
            auto_create: AutoCreate::Off,
            segment_bytes_max: 128 << 20,
            retention: Retention { age: None, partition_bytes: None, floor: RetentionFloor::Given },
            log_budget: LogBudget::FileSystemPercent(20),
            connections_max: 512,
            idle_max: Duration::from_secs(600),
            transfer_max: Duration::from_secs(60),
            request_memory_bytes_max: 256 << 20,
            fetch_memory_bytes_max: 256 << 20,
        }
    }
}

impl BrokerOptions {
    /// Says which option cannot hold, in words for a user.
    pub fn check(&self) -> Result<(), String> {
        let partitions = 1..=limits::PARTITIONS_MAX as i32;
        let checks = [
            (partitions.contains(&self.default_partitions), "default_partitions must be between 1 and 10000"),
            (self.segment_bytes_max >= 1 << 10, "segment_bytes_max must be at least 1 KiB"),
            (self.connections_max > 0, "connections_max must not be 0"),
            (self.request_memory_bytes_max >= limits::FRAME_BYTES_MAX, "request_memory_bytes_max must hold one frame"),
            (self.fetch_memory_bytes_max >= limits::FETCH_BYTES_MAX, "fetch_memory_bytes_max must hold one answer"),
            (self.budget_is_sane(), "log_budget must be between 1 and 100 percent"),
        ];
        checks.into_iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, sentence)| Err(sentence.to_owned()))
    }

    fn budget_is_sane(&self) -> bool {
        !matches!(self.log_budget, LogBudget::FileSystemPercent(percent) if !(1..=100).contains(&percent))
    }
}
