//! How a request to Kafka fails.

use kafka_protocol::error::ResponseError;

/// The failure of one request, with what was asked and of whom.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KafkaError {
    /// No connection, or it broke.
    #[error("cannot reach the broker {address}: {reason}")]
    Unreachable { address: String, reason: String },
    #[error("the broker {address} did not answer {request} within {timeout_ms} ms")]
    TimedOut { address: String, request: &'static str, timeout_ms: u64 },
    /// Bytes that are no answer to what was asked.
    #[error("the broker {address} gave an answer to {request} that cannot be read: {reason}")]
    Malformed { address: String, request: &'static str, reason: String },
    /// The broker speaks no version of the request that we speak.
    #[error("the broker {address} does not speak a version of {request} that this release knows")]
    Unsupported { address: String, request: &'static str },
    /// An error code of Kafka.
    #[error("Kafka refuses {request}: {error} ({})", error.code())]
    Refused { request: &'static str, error: ResponseError },
    /// The same with the broker's own words.
    #[error("Kafka refuses {request}: {reason} ({}, {error})", error.code())]
    Explained { request: &'static str, error: ResponseError, reason: String },
    #[error("the topic {topic} does not exist")]
    UnknownTopic { topic: String },
    /// A partition has no leader now.
    #[error("partition {partition} of the topic has no leader")]
    NoLeader { partition: i32 },
}

/// What a failure means for whoever asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KafkaErrorKind {
    /// Nobody answered.
    Unreachable,
    /// It may well work a moment later: a leader or coordinator is just changing.
    Passing,
    /// There is no such topic, partition or group.
    NotFound,
    /// It is there and in the way: a topic that exists, a group that has members.
    Conflict,
    /// Anything else that does not go away by itself.
    Final,
}

impl KafkaError {
    /// Sorts the failure.
    #[must_use]
    pub fn kind(&self) -> KafkaErrorKind {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } => KafkaErrorKind::Unreachable,
            Self::Malformed { .. } | Self::Unsupported { .. } => KafkaErrorKind::Final,
            Self::UnknownTopic { .. } => KafkaErrorKind::NotFound,
            Self::NoLeader { .. } => KafkaErrorKind::Passing,
            Self::Refused { error, .. } | Self::Explained { error, .. } => match error {
                ResponseError::UnknownTopicOrPartition
                | ResponseError::UnknownTopicId
                | ResponseError::GroupIdNotFound => KafkaErrorKind::NotFound,
                ResponseError::TopicAlreadyExists
                | ResponseError::NonEmptyGroup
                | ResponseError::GroupSubscribedToTopic
                | ResponseError::UnknownMemberId
                | ResponseError::InvalidPartitions
                | ResponseError::InvalidReplicationFactor
                | ResponseError::InvalidTopicException
                | ResponseError::InvalidConfig
                | ResponseError::PolicyViolation => KafkaErrorKind::Conflict,
                error if error.is_retriable() => KafkaErrorKind::Passing,
                _ => KafkaErrorKind::Final,
            },
        }
    }

    /// Turns an error code and the broker's words into an error.
    ///
    /// # Errors
    /// The code is not 0.
    pub(crate) fn check_explained(request: &'static str, code: i16, reason: Option<&str>) -> Result<(), Self> {
        match (ResponseError::try_from_code(code), reason) {
            (None, _) => Ok(()),
            (Some(error), Some(reason)) if !reason.is_empty() => {
                Err(Self::Explained { request, error, reason: reason.trim_end_matches('.').to_owned() })
            }
            (Some(error), _) => Err(Self::Refused { request, error }),
        }
    }

    /// Turns an error code of an answer into an error.
    ///
    /// # Errors
    /// The code is not 0.
    pub(crate) fn check(request: &'static str, code: i16) -> Result<(), Self> {
        match ResponseError::try_from_code(code) {
            None => Ok(()),
            Some(error) => Err(Self::Refused { request, error }),
        }
    }
}
