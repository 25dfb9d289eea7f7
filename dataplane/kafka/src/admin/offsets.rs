//! Offsets of many partitions at once, and taking committed ones away.

use std::collections::BTreeMap;

use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::{BrokerId, ListOffsetsRequest, OffsetDeleteRequest, OffsetFetchRequest};

use super::groups::group_id;
use crate::groups::{LIST_OFFSETS_CAP, OFFSET_FETCH_CAP, OFFSET_FETCH_GROUPS_FIRST};
use crate::metadata::topic_name;
use crate::{Client, CommittedOffset, KafkaError, OffsetAt, OffsetFound};

const OFFSET_DELETE_CAP: i16 = 0;

impl Client {
    /// An offset of each of these partitions of the topic; one request a leader.
    ///
    /// # Errors
    /// A leader cannot be asked, or refuses one of them.
    pub async fn offsets_at(
        &mut self,
        partitions: &[i32],
        at: OffsetAt,
    ) -> Result<BTreeMap<i32, OffsetFound>, KafkaError> {
        let mut by_leader: BTreeMap<String, Vec<i32>> = BTreeMap::new();
        for &partition in partitions {
            by_leader.entry(self.leader(partition).await?).or_default().push(partition);
        }
        let name = self.options.topic.clone();
        let mut offsets = BTreeMap::new();
        for (leader, partitions) in by_leader {
            let make = |_| {
                let asked = partitions.iter().map(|&partition| {
                    ListOffsetsPartition::default().with_partition_index(partition).with_timestamp(at.as_timestamp())
                });
                let topic = ListOffsetsTopic::default().with_name(topic_name(&name)).with_partitions(asked.collect());
                ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic])
            };
            let answer = self.call(&leader, LIST_OFFSETS_CAP, self.options.request_timeout, make).await;
            let (answer, _) = answer.inspect_err(|_| self.topic = None)?;
            for found in answer.topics.into_iter().flat_map(|topic| topic.partitions) {
                if found.error_code != 0 {
                    self.topic = None;
                }
                KafkaError::check("ListOffsets", found.error_code)?;
                offsets.insert(found.partition_index, OffsetFound::from_answer(found.offset));
            }
        }
        match partitions.iter().find(|partition| !offsets.contains_key(partition)) {
            Some(&partition) => Err(KafkaError::NoLeader { partition }),
            None => Ok(offsets),
        }
    }

    /// All that a group has committed, in whatever topics.
    ///
    /// # Errors
    /// The coordinator cannot be asked, refuses, or is too old to be asked for all topics.
    pub async fn committed_everywhere(
        &mut self,
        group: &str,
    ) -> Result<BTreeMap<(String, i32), CommittedOffset>, KafkaError> {
        const REQUEST: &str = "OffsetFetch";
        let coordinator = self.coordinator(group).await?;
        let make = |version: i16| {
            if version < OFFSET_FETCH_GROUPS_FIRST {
                return OffsetFetchRequest::default().with_group_id(group_id(group)).with_topics(None);
            }
            let group = OffsetFetchRequestGroup::default().with_group_id(group_id(group)).with_topics(None);
            OffsetFetchRequest::default().with_groups(vec![group])
        };
        let (answer, _) = self.call(&coordinator, OFFSET_FETCH_CAP, self.options.request_timeout, make).await?;
        KafkaError::check(REQUEST, answer.error_code)?;
        let mut committed = BTreeMap::new();
        let mut keep = |topic: &str, partition: i32, offset: i64, metadata: String, code: i16| {
            KafkaError::check(REQUEST, code)?;
            if offset >= 0 {
                committed.insert((topic.to_owned(), partition), CommittedOffset { offset, metadata });
            }
            Ok::<_, KafkaError>(())
        };
        for topic in answer.topics {
            for found in topic.partitions {
                let metadata = found.metadata.map(|text| text.to_string()).unwrap_or_default();
                keep(&topic.name, found.partition_index, found.committed_offset, metadata, found.error_code)?;
            }
        }
        for group in answer.groups {
            KafkaError::check(REQUEST, group.error_code)?;
            for topic in group.topics {
                for found in topic.partitions {
                    let metadata = found.metadata.map(|text| text.to_string()).unwrap_or_default();
                    keep(&topic.name, found.partition_index, found.committed_offset, metadata, found.error_code)?;
                }
            }
        }
        Ok(committed)
    }

    /// Takes away what a group committed for partitions of the topic: by our convention "nothing was consumed yet".
    ///
    /// # Errors
    /// The coordinator cannot be asked, or refuses: the group has members that read the topic, or does not exist.
    pub async fn delete_offsets(&mut self, group: &str, partitions: &[i32]) -> Result<(), KafkaError> {
        const REQUEST: &str = "OffsetDelete";
        let coordinator = self.coordinator(group).await?;
        let name = self.options.topic.clone();
        let make = |_| {
            let partitions = partitions
                .iter()
                .map(|&partition| OffsetDeleteRequestPartition::default().with_partition_index(partition));
            let topic =
                OffsetDeleteRequestTopic::default().with_name(topic_name(&name)).with_partitions(partitions.collect());
            OffsetDeleteRequest::default().with_group_id(group_id(group)).with_topics(vec![topic])
        };
        let (answer, _) = self.call(&coordinator, OFFSET_DELETE_CAP, self.options.request_timeout, make).await?;
        KafkaError::check(REQUEST, answer.error_code)?;
        for partition in answer.topics.iter().flat_map(|topic| &topic.partitions) {
            KafkaError::check(REQUEST, partition.error_code)?;
        }
        Ok(())
    }
}
