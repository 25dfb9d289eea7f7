//! Two kinds of no: a [`BrokerError`] ends the log, a [`Refusal`] answers one request.

use std::path::{Path, PathBuf};

use disk::DiskError;

/// The log cannot start or go on.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BrokerError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("{} is damaged at byte {position}: {what}", path.display())]
    Damaged { path: PathBuf, position: u64, what: String },
    #[error("{} was written in format {found}, this version reads up to format {known}; start the newer version again", path.display())]
    TooNew { path: PathBuf, found: u32, known: u32 },
    #[error("broker: {0}")]
    Options(String),
}

impl BrokerError {
    pub(crate) fn damaged(path: &Path, position: u64, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), position, what: what.into() }
    }
}

/// Why a request, or one partition of it, got no.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    #[error("no such topic")]
    UnknownTopic,
    #[error("no topic has this id")]
    UnknownTopicId,
    #[error("the topic has no such partition")]
    UnknownPartition,
    #[error("the offset is not in the log")]
    OffsetOutOfRange,
    #[error("the log has no space left")]
    NoSpace,
    #[error("stored bytes of the partition are damaged")]
    Damaged,
    #[error("the leader epoch is older than the broker's")]
    OldLeaderEpoch,
    #[error("the leader epoch is newer than the broker's")]
    NewLeaderEpoch,
    #[error("the topic exists already")]
    TopicExists,
    #[error("not a valid topic name")]
    TopicName,
    #[error("the number of partitions must be at least 1")]
    PartitionCount,
    #[error("the topic has as many partitions already")]
    PartitionsNotMore,
    #[error("there must be an assignment for each new partition")]
    PartitionAssignment,
    #[error("the record batch is larger than the topic's max.message.bytes")]
    MessageTooLarge,
    #[error("the sequence does not follow the producer's last one")]
    OutOfOrderSequence,
    #[error("the producer has a newer epoch")]
    OldProducerEpoch,
    #[error("no such group")]
    UnknownGroup,
    #[error("the broker has as many topics, partitions or offsets as it keeps")]
    TooMany,
    #[error("the broker is stopping")]
    Stopping,
}
