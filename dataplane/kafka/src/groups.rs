//! Offsets: those of a log (first, end, by time), and those that a group committed. No membership of groups.

use std::collections::BTreeMap;

use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::{
    BrokerId, FindCoordinatorRequest, GroupId, ListOffsetsRequest, OffsetCommitRequest, OffsetFetchRequest,
};
use kafka_protocol::protocol::StrBytes;

use crate::metadata::topic_name;
use crate::{Client, KafkaError};

/// Kafka 3.9's versions. OffsetCommit 10 of Kafka 4.2 names topics by id, which broke others' commits.
pub(crate) const LIST_OFFSETS_CAP: i16 = 9;
const COMMIT_CAP: i16 = 9;
pub(crate) const OFFSET_FETCH_CAP: i16 = 9;
const COORDINATOR_CAP: i16 = 6;
/// From here on, requests name several groups or keys.
pub(crate) const OFFSET_FETCH_GROUPS_FIRST: i16 = 8;
const COORDINATOR_KEYS_FIRST: i16 = 4;

/// Which offset of a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OffsetAt {
    /// The first that is still there.
    Start,
    /// The next to be written.
    End,
    /// The first record with this timestamp or a later one.
    Time { unix_ms: i64 },
}

impl OffsetAt {
    /// As ListOffsets encodes it.
    pub(crate) fn as_timestamp(self) -> i64 {
        match self {
            Self::Start => -2,
            Self::End => -1,
            Self::Time { unix_ms } => unix_ms,
        }
    }
}

/// The answer to [`Client::offset_at`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OffsetFound {
    At(i64),
    /// No record is that late. Not the same as the end of the log: taking it for that has lost data elsewhere.
    NoRecordThatLate,
}

impl OffsetFound {
    pub(crate) fn from_answer(offset: i64) -> Self {
        if offset < 0 { Self::NoRecordThatLate } else { Self::At(offset) }
    }
}

/// What a group committed for a partition, as stored: by our convention the last consumed record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommittedOffset {
    pub offset: i64,
    pub metadata: String,
}

/// What to commit for a partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommitPosition {
    pub partition: i32,
    pub offset: i64,
    pub metadata: String,
}

impl Client {
    /// An offset of a partition's log.
    ///
    /// # Errors
    /// The leader cannot be asked, or refuses.
    pub async fn offset_at(&mut self, partition: i32, at: OffsetAt) -> Result<OffsetFound, KafkaError> {
        let leader = self.leader(partition).await?;
        let name = self.options.topic.clone();
        let make = |_| {
            let partition =
                ListOffsetsPartition::default().with_partition_index(partition).with_timestamp(at.as_timestamp());
            let topic = ListOffsetsTopic::default().with_name(topic_name(&name)).with_partitions(vec![partition]);
            ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic])
        };
        let result = self.call(&leader, LIST_OFFSETS_CAP, self.options.request_timeout, make).await;
        let found = match result {
            Ok((answer, _)) => answer.topics.into_iter().flat_map(|topic| topic.partitions).next(),
            Err(error) => {
                self.topic = None;
                return Err(error);
            }
        };
        let found = found.ok_or(KafkaError::NoLeader { partition })?;
        if found.error_code != 0 {
            self.topic = None;
        }
        KafkaError::check("ListOffsets", found.error_code)?;
        Ok(OffsetFound::from_answer(found.offset))
    }

    /// What a group has committed for partitions of the topic; partitions without a commit are absent.
    ///
    /// # Errors
    /// The coordinator cannot be asked, or refuses.
    pub async fn committed(
        &mut self,
        group: &str,
        partitions: &[i32],
    ) -> Result<BTreeMap<i32, CommittedOffset>, KafkaError> {
        let coordinator = self.coordinator(group).await?;
        let name = self.options.topic.clone();
        let make = |version| committed_request(version, group, &name, partitions);
        let (answer, _) = self.call(&coordinator, OFFSET_FETCH_CAP, self.options.request_timeout, make).await?;
        KafkaError::check("OffsetFetch", answer.error_code)?;
        let mut committed = BTreeMap::new();
        let mut keep = |partition: i32, offset: i64, metadata: Option<StrBytes>, code: i16| {
            KafkaError::check("OffsetFetch", code)?;
            if offset >= 0 {
                let metadata = metadata.map(|text| text.to_string()).unwrap_or_default();
                committed.insert(partition, CommittedOffset { offset, metadata });
            }
            Ok::<_, KafkaError>(())
        };
        for found in answer.topics.into_iter().flat_map(|topic| topic.partitions) {
            keep(found.partition_index, found.committed_offset, found.metadata, found.error_code)?;
        }
        for group in answer.groups {
            KafkaError::check("OffsetFetch", group.error_code)?;
            for found in group.topics.into_iter().flat_map(|topic| topic.partitions) {
                keep(found.partition_index, found.committed_offset, found.metadata, found.error_code)?;
            }
        }
        Ok(committed)
    }

    /// Commits positions of a group that has no members.
    ///
    /// # Errors
    /// The coordinator cannot be asked, or refuses one of them.
    pub async fn commit(&mut self, group: &str, positions: &[CommitPosition]) -> Result<(), KafkaError> {
        let coordinator = self.coordinator(group).await?;
        let name = self.options.topic.clone();
        let make = |_| {
            let partitions = positions.iter().map(|position| {
                OffsetCommitRequestPartition::default()
                    .with_partition_index(position.partition)
                    .with_committed_offset(position.offset)
                    .with_committed_leader_epoch(-1)
                    .with_committed_metadata(Some(StrBytes::from_string(position.metadata.clone())))
            });
            let topic =
                OffsetCommitRequestTopic::default().with_name(topic_name(&name)).with_partitions(partitions.collect());
            OffsetCommitRequest::default()
                .with_group_id(GroupId(StrBytes::from_string(group.to_owned())))
                .with_generation_id_or_member_epoch(-1)
                .with_topics(vec![topic])
        };
        let (answer, _) = self.call(&coordinator, COMMIT_CAP, self.options.request_timeout, make).await?;
        for partition in answer.topics.iter().flat_map(|topic| &topic.partitions) {
            KafkaError::check("OffsetCommit", partition.error_code)?;
        }
        Ok(())
    }

    /// The broker that keeps a group's offsets.
    pub(crate) async fn coordinator(&mut self, group: &str) -> Result<String, KafkaError> {
        let (answer, version) = self
            .call_any(COORDINATOR_CAP, |version| {
                let key = StrBytes::from_string(group.to_owned());
                if version >= COORDINATOR_KEYS_FIRST {
                    FindCoordinatorRequest::default().with_coordinator_keys(vec![key])
                } else {
                    FindCoordinatorRequest::default().with_key(key)
                }
            })
            .await?;
        if version >= COORDINATOR_KEYS_FIRST {
            let Some(found) = answer.coordinators.first() else {
                return Err(KafkaError::Refused {
                    request: "FindCoordinator",
                    error: kafka_protocol::error::ResponseError::CoordinatorNotAvailable,
                });
            };
            KafkaError::check("FindCoordinator", found.error_code)?;
            return Ok(format!("{}:{}", found.host, found.port));
        }
        KafkaError::check("FindCoordinator", answer.error_code)?;
        Ok(format!("{}:{}", answer.host, answer.port))
    }
}

fn committed_request(version: i16, group: &str, topic: &str, partitions: &[i32]) -> OffsetFetchRequest {
    let group = GroupId(StrBytes::from_string(group.to_owned()));
    if version < OFFSET_FETCH_GROUPS_FIRST {
        let topic =
            OffsetFetchRequestTopic::default().with_name(topic_name(topic)).with_partition_indexes(partitions.to_vec());
        return OffsetFetchRequest::default().with_group_id(group).with_topics(Some(vec![topic]));
    }
    let topic =
        OffsetFetchRequestTopics::default().with_name(topic_name(topic)).with_partition_indexes(partitions.to_vec());
    let group = OffsetFetchRequestGroup::default().with_group_id(group).with_topics(Some(vec![topic]));
    OffsetFetchRequest::default().with_groups(vec![group])
}
