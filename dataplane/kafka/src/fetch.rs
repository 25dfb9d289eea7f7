//! Fetching raw record batches. The unit is bytes as they lie in the log: nobody here looks into them.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::{BrokerId, FetchRequest};

use crate::metadata::topic_name;
use crate::{Client, KafkaError, KafkaOptions, TopicInfo};

/// Kafka 3.x since 3.1; 13 names topics by id, so a topic made anew is noticed.
const FETCH_CAP: i16 = 13;
const BY_ID_FIRST: i16 = 13;

/// Where to read on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FetchPosition {
    pub partition: i32,
    pub offset: i64,
}

/// How much one fetch may bring and how long the broker may wait for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FetchLimits {
    pub bytes_max: i32,
    pub wait_max: Duration,
}

/// What a partition had.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FetchedPartition {
    pub partition: i32,
    pub high_watermark: i64,
    pub log_start: i64,
    /// Raw batches; the last may be cut off. Empty at the end of the log.
    pub records: Bytes,
}

/// Why a partition gave nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FetchError {
    /// The log does not hold the offset: it begins later, or ends earlier.
    #[error("offset {offset} is not in the log of partition {partition}")]
    OffsetOutOfRange { partition: i32, offset: i64 },
    /// The topic is gone or was made anew under its name.
    #[error("the topic is unknown to the broker, or has another id than before")]
    UnknownTopic,
    /// Another broker leads now; leaders are asked for anew by the next fetch.
    #[error("the leader of partition {partition} has changed")]
    LeaderChanged { partition: i32 },
    #[error("{0}")]
    Kafka(#[from] KafkaError),
}

/// Fetches one partition at a time from its leader.
pub struct Fetcher {
    client: Client,
}

impl Fetcher {
    #[must_use]
    pub fn new(options: KafkaOptions) -> Self {
        Self { client: Client::new(options) }
    }

    /// The topic that the last successful fetch was of; none before it and after a failure.
    #[must_use]
    pub fn topic(&self) -> Option<&TopicInfo> {
        self.client.topic.as_ref()
    }

    /// Reads on from a position; waits at the log's end for `wait_max` at most.
    ///
    /// # Errors
    /// See [`FetchError`]. After any error the next call connects anew where that can help.
    pub async fn fetch(
        &mut self,
        position: FetchPosition,
        limits: FetchLimits,
    ) -> Result<FetchedPartition, FetchError> {
        let result = self.fetch_once(position, limits).await;
        if result.as_ref().is_err_and(|error| !matches!(error, FetchError::OffsetOutOfRange { .. })) {
            self.client.reset();
        }
        result
    }

    async fn fetch_once(
        &mut self,
        position: FetchPosition,
        limits: FetchLimits,
    ) -> Result<FetchedPartition, FetchError> {
        let leader = self.client.leader(position.partition).await?;
        let topic_id = self.client.topic.as_ref().map(|topic| topic.topic_id).unwrap_or_default();
        let name = self.client.options.topic.clone();
        let timeout = self.client.options.request_timeout + limits.wait_max;
        let make = |version: i16| {
            let partition = FetchPartition::default()
                .with_partition(position.partition)
                .with_fetch_offset(position.offset)
                .with_partition_max_bytes(limits.bytes_max);
            let mut topic = FetchTopic::default().with_partitions(vec![partition]);
            if version >= BY_ID_FIRST {
                topic = topic.with_topic_id(uuid::Uuid::from_bytes(topic_id));
            } else {
                topic = topic.with_topic(topic_name(&name));
            }
            FetchRequest::default()
                .with_replica_id(BrokerId(-1))
                .with_max_wait_ms(limits.wait_max.as_millis() as i32)
                .with_min_bytes(1)
                .with_max_bytes(limits.bytes_max)
                .with_session_epoch(-1)
                .with_topics(vec![topic])
        };
        let (answer, _) = self.client.call(&leader, FETCH_CAP, timeout, make).await?;
        check(position, answer.error_code)?;
        let partition = answer.responses.into_iter().flat_map(|topic| topic.partitions).next();
        let Some(found) = partition.filter(|found| found.partition_index == position.partition) else {
            let reason = "it holds another partition than asked for".to_owned();
            return Err(KafkaError::Malformed { address: leader, request: "Fetch", reason }.into());
        };
        check(position, found.error_code)?;
        Ok(FetchedPartition {
            partition: position.partition,
            high_watermark: found.high_watermark,
            log_start: found.log_start_offset,
            records: found.records.unwrap_or_default(),
        })
    }
}

fn check(position: FetchPosition, code: i16) -> Result<(), FetchError> {
    let FetchPosition { partition, offset } = position;
    match ResponseError::try_from_code(code) {
        None => Ok(()),
        Some(ResponseError::OffsetOutOfRange) => Err(FetchError::OffsetOutOfRange { partition, offset }),
        Some(
            ResponseError::UnknownTopicOrPartition | ResponseError::UnknownTopicId | ResponseError::InconsistentTopicId,
        ) => Err(FetchError::UnknownTopic),
        Some(
            ResponseError::NotLeaderOrFollower
            | ResponseError::FencedLeaderEpoch
            | ResponseError::UnknownLeaderEpoch
            | ResponseError::ReplicaNotAvailable
            | ResponseError::LeaderNotAvailable,
        ) => Err(FetchError::LeaderChanged { partition }),
        Some(error) => Err(KafkaError::Refused { request: "Fetch", error }.into()),
    }
}
