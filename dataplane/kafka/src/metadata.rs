//! Which topic, with which id, in which cluster, led by whom.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{CreateTopicsRequest, MetadataRequest, TopicName};
use kafka_protocol::protocol::StrBytes;

use crate::{Client, KafkaError};

/// Kafka 3.9's versions: later ones changed the meaning of fields that we rely on.
pub(crate) const METADATA_CAP: i16 = 12;
pub(crate) const CREATE_TOPICS_CAP: i16 = 7;

/// The topic as the cluster describes it now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicInfo {
    pub cluster_id: String,
    pub topic_id: [u8; 16],
    pub partitions: u32,
    pub leaders: BTreeMap<i32, PartitionLeader>,
    pub controller_address: Option<String>,
}

/// Who leads a partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartitionLeader {
    pub address: String,
}

impl Client {
    /// Asks the cluster for the topic, and remembers the answer for requests to leaders.
    ///
    /// # Errors
    /// No broker answers, or the topic does not exist.
    pub async fn topic_info(&mut self) -> Result<TopicInfo, KafkaError> {
        let name = self.options.topic.clone();
        let (answer, _) = self
            .call_any(METADATA_CAP, |_| {
                let topic = MetadataRequestTopic::default().with_name(Some(topic_name(&name)));
                MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(false)
            })
            .await?;
        let addresses: BTreeMap<i32, String> = answer
            .brokers
            .iter()
            .map(|broker| (broker.node_id.0, format!("{}:{}", broker.host, broker.port)))
            .collect();
        let topic = answer.topics.into_iter().find(|topic| topic.name.as_ref().is_some_and(|own| own.0 == *name));
        let Some(topic) = topic else { return Err(KafkaError::UnknownTopic { topic: name }) };
        if topic.error_code == ResponseError::UnknownTopicOrPartition.code() {
            return Err(KafkaError::UnknownTopic { topic: name });
        }
        KafkaError::check("Metadata", topic.error_code)?;
        let leaders = topic.partitions.iter().filter_map(|partition| {
            let address = addresses.get(&partition.leader_id.0)?.clone();
            Some((partition.partition_index, PartitionLeader { address }))
        });
        let info = TopicInfo {
            cluster_id: answer.cluster_id.map(|id| id.to_string()).unwrap_or_default(),
            topic_id: topic.topic_id.into_bytes(),
            partitions: topic.partitions.len() as u32,
            leaders: leaders.collect(),
            controller_address: addresses.get(&answer.controller_id.0).cloned(),
        };
        self.topic = Some(info.clone());
        Ok(info)
    }

    /// The topic, made where it is missing, once every partition has a leader.
    ///
    /// `partitions` -1 leaves their number to the broker; replication is always the broker's.
    ///
    /// # Errors
    /// No broker answers, the topic cannot be made, or partitions have no leader within `timeout`.
    pub async fn ensure_topic(&mut self, create: Option<i32>, timeout: Duration) -> Result<TopicInfo, KafkaError> {
        const PAUSE: Duration = Duration::from_millis(100);
        let begin = Instant::now();
        let mut was_created = false;
        loop {
            let refusal = match self.topic_info().await {
                Ok(info) if info.leaders.len() == info.partitions as usize && info.partitions > 0 => return Ok(info),
                Ok(info) => {
                    let leaderless = (0..info.partitions as i32).find(|id| !info.leaders.contains_key(id));
                    KafkaError::NoLeader { partition: leaderless.unwrap_or(0) }
                }
                Err(error @ KafkaError::UnknownTopic { .. }) => match create {
                    Some(partitions) if !was_created => {
                        self.create_topic(partitions).await?;
                        was_created = true;
                        continue;
                    }
                    Some(_) => error,
                    None => return Err(error),
                },
                Err(error) => return Err(error),
            };
            if begin.elapsed() > timeout {
                return Err(refusal);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn create_topic(&mut self, partitions: i32) -> Result<(), KafkaError> {
        let name = self.options.topic.clone();
        let timeout_ms = self.options.request_timeout.as_millis() as i32;
        let (answer, _) = self
            .call_any(CREATE_TOPICS_CAP, |_| {
                let topic = CreatableTopic::default()
                    .with_name(topic_name(&name))
                    .with_num_partitions(partitions)
                    .with_replication_factor(-1);
                CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(timeout_ms)
            })
            .await?;
        let code = answer.topics.first().map_or(0, |topic| topic.error_code);
        // Another node may have been faster.
        if code == ResponseError::TopicAlreadyExists.code() { Ok(()) } else { KafkaError::check("CreateTopics", code) }
    }

    /// The address of a partition's leader.
    pub(crate) async fn leader(&mut self, partition: i32) -> Result<String, KafkaError> {
        if self.topic.is_none() {
            self.topic_info().await?;
        }
        let leader = self.topic.as_ref().and_then(|topic| topic.leaders.get(&partition));
        leader.map(|leader| leader.address.clone()).ok_or(KafkaError::NoLeader { partition })
    }
}

pub(crate) fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}
