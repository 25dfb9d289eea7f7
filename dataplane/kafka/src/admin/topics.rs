//! Topics: which there are, how they are laid out and configured, making and growing them.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{CreatePartitionsRequest, CreateTopicsRequest, DescribeConfigsRequest, MetadataRequest};
use kafka_protocol::protocol::StrBytes;

use crate::metadata::{CREATE_TOPICS_CAP, METADATA_CAP, topic_name};
use crate::{Client, KafkaError};

const CREATE_PARTITIONS_CAP: i16 = 3;
const DESCRIBE_CONFIGS_CAP: i16 = 4;
const RESOURCE_TOPIC: i8 = 2;
/// Source of a value that somebody set for this topic.
const SOURCE_TOPIC: i8 = 1;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicListing {
    pub topic: String,
    /// All zero where the broker knows no ids.
    pub topic_id: [u8; 16],
    pub partitions: u32,
    pub replicas: u32,
    pub is_internal: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicDescription {
    pub listing: TopicListing,
    pub cluster_id: String,
    pub partitions: Vec<PartitionDescription>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartitionDescription {
    pub partition: i32,
    /// None where nobody leads it now.
    pub leader: Option<i32>,
    pub replicas: Vec<i32>,
    pub in_sync: Vec<i32>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigEntry {
    pub name: String,
    /// None for what the broker keeps to itself.
    pub value: Option<String>,
    /// Set for this topic, rather than the broker's default.
    pub is_own: bool,
}

/// Do it, or only say whether it could be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Validation {
    Execute,
    Only,
}

/// A topic to make.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicPlan {
    pub topic: String,
    /// None leaves it to the broker.
    pub partitions: Option<i32>,
    /// None leaves it to the broker.
    pub replicas: Option<i16>,
    pub configs: Vec<(String, String)>,
}

impl Client {
    /// All topics by name, the cluster's own included.
    ///
    /// # Errors
    /// No broker answers.
    pub async fn list_topics(&mut self) -> Result<Vec<TopicListing>, KafkaError> {
        let (answer, _) = self.call_any(METADATA_CAP, |_| MetadataRequest::default().with_topics(None)).await?;
        let mut topics: Vec<TopicListing> =
            answer.topics.iter().filter(|topic| topic.error_code == 0).map(listing).collect();
        topics.sort_by(|a, b| a.topic.cmp(&b.topic));
        Ok(topics)
    }

    /// One topic and its partitions.
    ///
    /// # Errors
    /// No broker answers, or there is no such topic.
    pub async fn describe_topic(&mut self, topic: &str) -> Result<TopicDescription, KafkaError> {
        let (answer, _) = self
            .call_any(METADATA_CAP, |_| {
                let topic = MetadataRequestTopic::default().with_name(Some(topic_name(topic)));
                MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(false)
            })
            .await?;
        let unknown = || KafkaError::UnknownTopic { topic: topic.to_owned() };
        let found = answer.topics.into_iter().next().ok_or_else(unknown)?;
        if found.error_code == ResponseError::UnknownTopicOrPartition.code() {
            return Err(unknown());
        }
        KafkaError::check("Metadata", found.error_code)?;
        let ids = |nodes: &[kafka_protocol::messages::BrokerId]| nodes.iter().map(|node| node.0).collect();
        let partitions = found.partitions.iter().map(|partition| PartitionDescription {
            partition: partition.partition_index,
            leader: Some(partition.leader_id.0).filter(|leader| *leader >= 0),
            replicas: ids(&partition.replica_nodes),
            in_sync: ids(&partition.isr_nodes),
        });
        let mut partitions: Vec<PartitionDescription> = partitions.collect();
        partitions.sort_by_key(|partition| partition.partition);
        let cluster_id = answer.cluster_id.map(|id| id.to_string()).unwrap_or_default();
        Ok(TopicDescription { listing: listing(&found), cluster_id, partitions })
    }

    /// Makes a topic.
    ///
    /// # Errors
    /// It is there already, the plan is refused (with the broker's reason), or no broker answers.
    pub async fn create_topic_as(&mut self, plan: &TopicPlan, validation: Validation) -> Result<(), KafkaError> {
        let timeout_ms = self.options.request_timeout.as_millis() as i32;
        let (answer, _) = self
            .call_any(CREATE_TOPICS_CAP, |_| {
                let configs = plan.configs.iter().map(|(name, value)| {
                    CreatableTopicConfig::default()
                        .with_name(StrBytes::from_string(name.clone()))
                        .with_value(Some(StrBytes::from_string(value.clone())))
                });
                let topic = CreatableTopic::default()
                    .with_name(topic_name(&plan.topic))
                    .with_num_partitions(plan.partitions.unwrap_or(-1))
                    .with_replication_factor(plan.replicas.unwrap_or(-1))
                    .with_configs(configs.collect());
                CreateTopicsRequest::default()
                    .with_topics(vec![topic])
                    .with_timeout_ms(timeout_ms)
                    .with_validate_only(validation == Validation::Only)
            })
            .await?;
        let Some(result) = answer.topics.first() else { return Ok(()) };
        KafkaError::check_explained("CreateTopics", result.error_code, result.error_message.as_deref())
    }

    /// Grows a topic to `partitions` in all.
    ///
    /// # Errors
    /// There is no such topic, it has as many already (with the broker's reason), or no broker answers.
    pub async fn expand_topic(
        &mut self,
        topic: &str,
        partitions: i32,
        validation: Validation,
    ) -> Result<(), KafkaError> {
        let timeout_ms = self.options.request_timeout.as_millis() as i32;
        let (answer, _) = self
            .call_any(CREATE_PARTITIONS_CAP, |_| {
                let topic = CreatePartitionsTopic::default()
                    .with_name(topic_name(topic))
                    .with_count(partitions)
                    .with_assignments(None);
                CreatePartitionsRequest::default()
                    .with_topics(vec![topic])
                    .with_timeout_ms(timeout_ms)
                    .with_validate_only(validation == Validation::Only)
            })
            .await?;
        self.topic = None;
        let Some(result) = answer.results.first() else { return Ok(()) };
        KafkaError::check_explained("CreatePartitions", result.error_code, result.error_message.as_deref())
    }

    /// The configuration of a topic in force, by name.
    ///
    /// # Errors
    /// There is no such topic, or no broker answers.
    pub async fn topic_configs(&mut self, topic: &str) -> Result<Vec<ConfigEntry>, KafkaError> {
        let (answer, _) = self
            .call_any(DESCRIBE_CONFIGS_CAP, |_| {
                let resource = DescribeConfigsResource::default()
                    .with_resource_type(RESOURCE_TOPIC)
                    .with_resource_name(StrBytes::from_string(topic.to_owned()))
                    .with_configuration_keys(None);
                DescribeConfigsRequest::default().with_resources(vec![resource])
            })
            .await?;
        let Some(result) = answer.results.into_iter().next() else { return Ok(Vec::new()) };
        KafkaError::check_explained("DescribeConfigs", result.error_code, result.error_message.as_deref())?;
        let entries = result.configs.into_iter().map(|config| ConfigEntry {
            name: config.name.to_string(),
            value: config.value.map(|value| value.to_string()),
            is_own: config.config_source == SOURCE_TOPIC,
        });
        let mut entries: Vec<ConfigEntry> = entries.collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }
}

fn listing(topic: &MetadataResponseTopic) -> TopicListing {
    TopicListing {
        topic: topic.name.as_ref().map(|name| name.to_string()).unwrap_or_default(),
        topic_id: topic.topic_id.into_bytes(),
        partitions: topic.partitions.len() as u32,
        replicas: topic.partitions.iter().map(|partition| partition.replica_nodes.len()).max().unwrap_or(0) as u32,
        is_internal: topic.is_internal,
    }
}
