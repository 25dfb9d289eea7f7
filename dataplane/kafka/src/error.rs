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
    #[error("the topic {topic} does not exist")]
    UnknownTopic { topic: String },
    /// A partition has no leader now.
    #[error("partition {partition} of the topic has no leader")]
    NoLeader { partition: i32 },
}

impl KafkaError {
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
