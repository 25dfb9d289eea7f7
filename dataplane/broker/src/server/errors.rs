//! Kafka's error codes and which of our refusals each one stands for.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::batch::BatchRefusal;
use crate::counters::RefusalReason;
use crate::error::Refusal;
use crate::log::request::TopicRef;

pub(super) const NONE: i16 = 0;
pub(super) const INVALID_REQUEST: i16 = 42;
pub(super) const UNSUPPORTED_VERSION: i16 = 35;
pub(super) const ILLEGAL_SASL_STATE: i16 = 34;
pub(super) const INVALID_REQUIRED_ACKS: i16 = 21;
pub(super) const UNSUPPORTED_COMPRESSION_TYPE: i16 = 76;
pub(super) const FETCH_SESSION_ID_NOT_FOUND: i16 = 70;
pub(super) const INVALID_FETCH_SESSION_EPOCH: i16 = 71;
pub(super) const INVALID_GROUP_ID: i16 = 24;
pub(super) const ILLEGAL_GENERATION: i16 = 22;
pub(super) const OFFSET_METADATA_TOO_LARGE: i16 = 12;
pub(super) const COORDINATOR_NOT_AVAILABLE: i16 = 15;
pub(super) const INVALID_REPLICATION_FACTOR: i16 = 38;
pub(super) const INVALID_REPLICA_ASSIGNMENT: i16 = 39;
pub(super) const INVALID_CONFIG: i16 = 40;
pub(super) const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
pub(super) const TRANSACTIONAL_ID_AUTHORIZATION_FAILED: i16 = 53;
pub(super) const INVALID_SESSION_TIMEOUT: i16 = 26;
pub(super) const GROUP_MAX_SIZE_REACHED: i16 = 81;
pub(super) const UNKNOWN_MEMBER_ID: i16 = 25;
pub(super) const NON_EMPTY_GROUP: i16 = 68;
pub(super) const INCONSISTENT_GROUP_PROTOCOL: i16 = 23;
pub(super) const MEMBER_ID_REQUIRED: i16 = 79;
pub(super) const FENCED_INSTANCE_ID: i16 = 82;
pub(super) const REBALANCE_IN_PROGRESS: i16 = 27;
pub(super) const GROUP_SUBSCRIBED_TO_TOPIC: i16 = 86;
pub(super) const GROUP_ID_NOT_FOUND: i16 = 69;
pub(super) const MISMATCHED_ENDPOINT_TYPE: i16 = 114;
pub(super) const UNSUPPORTED_ENDPOINT_TYPE: i16 = 115;

/// The code of a refusal of the log.
pub(super) fn code(refusal: Refusal) -> i16 {
    match refusal {
        Refusal::UnknownTopic | Refusal::UnknownPartition => ResponseError::UnknownTopicOrPartition,
        Refusal::UnknownTopicId => ResponseError::UnknownTopicId,
        Refusal::OffsetOutOfRange => ResponseError::OffsetOutOfRange,
        // Retriable, and nothing that a client takes for its own fault.
        Refusal::NoSpace => ResponseError::KafkaStorageError,
        Refusal::Damaged => ResponseError::CorruptMessage,
        Refusal::OldLeaderEpoch => ResponseError::FencedLeaderEpoch,
        Refusal::NewLeaderEpoch => ResponseError::UnknownLeaderEpoch,
        Refusal::TopicExists => ResponseError::TopicAlreadyExists,
        Refusal::TopicName => ResponseError::InvalidTopicException,
        Refusal::PartitionCount | Refusal::PartitionsNotMore => ResponseError::InvalidPartitions,
        Refusal::PartitionAssignment => ResponseError::InvalidReplicaAssignment,
        Refusal::MessageTooLarge => ResponseError::MessageTooLarge,
        Refusal::OutOfOrderSequence => ResponseError::OutOfOrderSequenceNumber,
        Refusal::OldProducerEpoch => ResponseError::InvalidProducerEpoch,
        Refusal::UnknownGroup => ResponseError::GroupIdNotFound,
        Refusal::TooMany => ResponseError::PolicyViolation,
        Refusal::Stopping => ResponseError::NotLeaderOrFollower,
    }
    .code()
}

/// The code of a refusal of the log for what a group's coordinator does.
pub(super) fn group_code(refusal: Refusal) -> i16 {
    match refusal {
        // The one that makes a client try again.
        Refusal::NoSpace => COORDINATOR_NOT_AVAILABLE,
        other => code(other),
    }
}

/// The code of a refused batch and what to say about it.
pub(super) fn batch_code(refusal: BatchRefusal) -> (i16, &'static str) {
    let (error, sentence) = match refusal {
        BatchRefusal::TooLarge => (ResponseError::MessageTooLarge, "a record batch has at most 16000000 bytes"),
        BatchRefusal::Corrupt => (ResponseError::CorruptMessage, "the checksum or the size of the batch is wrong"),
        BatchRefusal::Invalid(sentence) => (ResponseError::InvalidRecord, sentence),
        BatchRefusal::Compression => (ResponseError::UnsupportedCompressionType, "no such compression"),
        BatchRefusal::TimestampType => (ResponseError::InvalidTimestamp, "records carry the time of their creation"),
    };
    (error.code(), sentence)
}

/// How a refused batch is counted.
pub(super) fn batch_reason(refusal: BatchRefusal) -> RefusalReason {
    match refusal {
        BatchRefusal::TooLarge => RefusalReason::MessageTooLarge,
        BatchRefusal::Corrupt => RefusalReason::CorruptBatch,
        BatchRefusal::Invalid(_) | BatchRefusal::Compression | BatchRefusal::TimestampType => {
            RefusalReason::InvalidBatch
        }
    }
}

/// How a refusal of the log is counted, where it is.
pub(super) fn reason(refusal: Refusal) -> Option<RefusalReason> {
    match refusal {
        Refusal::UnknownTopic | Refusal::UnknownTopicId | Refusal::UnknownPartition => {
            Some(RefusalReason::UnknownTopic)
        }
        Refusal::OffsetOutOfRange => Some(RefusalReason::OffsetOutOfRange),
        Refusal::NoSpace => Some(RefusalReason::NoSpace),
        Refusal::MessageTooLarge => Some(RefusalReason::MessageTooLarge),
        _ => None,
    }
}

/// Versions that know topic ids name topics by them only.
pub(super) fn topic_ref(name: &StrBytes, id: Uuid, is_by_id: bool) -> TopicRef {
    if is_by_id { TopicRef::Id(id) } else { TopicRef::Name(text(name)) }
}

pub(super) fn text(text: &StrBytes) -> Arc<str> {
    Arc::from(text.as_str())
}

pub(super) fn str_bytes(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_kafkas() {
        let named = [
            (INVALID_REQUEST, ResponseError::InvalidRequest),
            (UNSUPPORTED_VERSION, ResponseError::UnsupportedVersion),
            (ILLEGAL_SASL_STATE, ResponseError::IllegalSaslState),
            (INVALID_REQUIRED_ACKS, ResponseError::InvalidRequiredAcks),
            (UNSUPPORTED_COMPRESSION_TYPE, ResponseError::UnsupportedCompressionType),
            (FETCH_SESSION_ID_NOT_FOUND, ResponseError::FetchSessionIdNotFound),
            (INVALID_FETCH_SESSION_EPOCH, ResponseError::InvalidFetchSessionEpoch),
            (INVALID_GROUP_ID, ResponseError::InvalidGroupId),
            (ILLEGAL_GENERATION, ResponseError::IllegalGeneration),
            (OFFSET_METADATA_TOO_LARGE, ResponseError::OffsetMetadataTooLarge),
            (COORDINATOR_NOT_AVAILABLE, ResponseError::CoordinatorNotAvailable),
            (INVALID_REPLICATION_FACTOR, ResponseError::InvalidReplicationFactor),
            (INVALID_REPLICA_ASSIGNMENT, ResponseError::InvalidReplicaAssignment),
            (INVALID_CONFIG, ResponseError::InvalidConfig),
            (UNKNOWN_TOPIC_OR_PARTITION, ResponseError::UnknownTopicOrPartition),
            (TRANSACTIONAL_ID_AUTHORIZATION_FAILED, ResponseError::TransactionalIdAuthorizationFailed),
            (INVALID_SESSION_TIMEOUT, ResponseError::InvalidSessionTimeout),
            (GROUP_MAX_SIZE_REACHED, ResponseError::GroupMaxSizeReached),
            (UNKNOWN_MEMBER_ID, ResponseError::UnknownMemberId),
            (NON_EMPTY_GROUP, ResponseError::NonEmptyGroup),
            (INCONSISTENT_GROUP_PROTOCOL, ResponseError::InconsistentGroupProtocol),
            (MEMBER_ID_REQUIRED, ResponseError::MemberIdRequired),
            (FENCED_INSTANCE_ID, ResponseError::FencedInstanceId),
            (REBALANCE_IN_PROGRESS, ResponseError::RebalanceInProgress),
            (GROUP_SUBSCRIBED_TO_TOPIC, ResponseError::GroupSubscribedToTopic),
            (GROUP_ID_NOT_FOUND, ResponseError::GroupIdNotFound),
            (MISMATCHED_ENDPOINT_TYPE, ResponseError::MismatchedEndpointType),
            (UNSUPPORTED_ENDPOINT_TYPE, ResponseError::UnsupportedEndpointType),
        ];
        for (code, error) in named {
            assert_eq!(code, error.code(), "{error:?}");
        }
        assert!(ResponseError::KafkaStorageError.is_retriable());
    }
}
