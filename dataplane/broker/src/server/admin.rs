//! CreateTopics, DeleteTopics, DescribeConfigs.
//!
//! Settings of a topic are not stored: one that asks for what holds anyway is taken, any other is refused by name.

use std::collections::HashMap;

use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use kafka_protocol::messages::create_topics_response::{CreatableTopicResult, CreateTopicsResponse};
use kafka_protocol::messages::delete_topics_request::DeleteTopicsRequest;
use kafka_protocol::messages::delete_topics_response::{DeletableTopicResult, DeleteTopicsResponse};
use kafka_protocol::messages::describe_configs_request::{DescribeConfigsRequest, DescribeConfigsResource};
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResponse, DescribeConfigsResult,
};
use kafka_protocol::messages::{BrokerId, TopicName};
use uuid::Uuid;

use super::api::Context;
use super::connection::{Answer, Reply};
use super::{NODE_ID, errors};
use crate::error::Refusal;
use crate::handle::TopicDescription;
use crate::limits::MESSAGE_BYTES_MAX;
use crate::log::request::{Change, CreateMode, NewTopic, Read, Request, TopicFilter, TopicRef};
use crate::options::{AutoCreate, BrokerOptions};

const TOPIC_RESOURCE: i8 = 2;
const BROKER_RESOURCE: i8 = 4;
const STATIC_BROKER_CONFIG: i8 = 4;
const DEFAULT_CONFIG: i8 = 5;

// The type of a setting's value, as clients are told.
const BOOLEAN: i8 = 1;
const STRING: i8 = 2;
const INT: i8 = 3;
const LONG: i8 = 5;
const LIST: i8 = 7;

pub(super) async fn begin_create(context: Context, request: CreateTopicsRequest) -> Reply {
    Box::pin(async move {
        let mode = if request.validate_only { CreateMode::Validate } else { CreateMode::Create };
        let mut results = Vec::with_capacity(request.topics.len());
        let mut times: HashMap<&TopicName, usize> = HashMap::new();
        request.topics.iter().for_each(|topic| *times.entry(&topic.name).or_default() += 1);
        for topic in &request.topics {
            let created = if times[&topic.name] > 1 {
                Err((errors::INVALID_REQUEST, "the request names the topic more than once".to_owned()))
            } else {
                create(&context, topic, mode).await
            };
            results.push(created_result(&context, topic, created));
        }
        context.respond(&CreateTopicsResponse::default().with_topics(results))
    })
}

async fn create(
    context: &Context,
    topic: &CreatableTopic,
    mode: CreateMode,
) -> Result<TopicDescription, (i16, String)> {
    let partition_count = partition_count(topic, &context.server.options)?;
    for config in &topic.configs {
        check_config(&config.name, config.value.as_deref(), &context.server.options)?;
    }
    let new = NewTopic { name: errors::text(&topic.name), partition_count, mode };
    let asked = context.server.handle.ask(|answer| Request::Change(Change::CreateTopic(new, answer))).await;
    asked.and_then(|created| created).map_err(|refusal| (errors::code(refusal), refusal.to_string()))
}

/// How many partitions are wanted, by number or by an assignment that names this node for each.
fn partition_count(topic: &CreatableTopic, options: &BrokerOptions) -> Result<i32, (i16, String)> {
    if topic.assignments.is_empty() {
        if !matches!(topic.replication_factor, -1 | 1) {
            let sentence = "there is one node, so the replication factor is 1".to_owned();
            return Err((errors::INVALID_REPLICATION_FACTOR, sentence));
        }
        return Ok(if topic.num_partitions == -1 { options.default_partitions } else { topic.num_partitions });
    }
    if topic.num_partitions != -1 || topic.replication_factor != -1 {
        let sentence = "an assignment and a number of partitions or replicas exclude each other".to_owned();
        return Err((errors::INVALID_REQUEST, sentence));
    }
    let mut numbers: Vec<i32> = topic.assignments.iter().map(|assignment| assignment.partition_index).collect();
    numbers.sort_unstable();
    let is_complete = numbers.iter().enumerate().all(|(place, number)| usize::try_from(*number) == Ok(place));
    let is_here = topic.assignments.iter().all(|assignment| assignment.broker_ids == [BrokerId(NODE_ID)]);
    if !is_complete || !is_here {
        let sentence = "every partition is assigned to the one node, and to it only".to_owned();
        return Err((errors::INVALID_REPLICA_ASSIGNMENT, sentence));
    }
    Ok(topic.assignments.len() as i32)
}

fn check_config(name: &str, value: Option<&str>, options: &BrokerOptions) -> Result<(), (i16, String)> {
    let known = topic_configs(options).into_iter().find(|config| config.name == name);
    match (known, value) {
        (Some(config), Some(value)) if config.value == value => Ok(()),
        (Some(_), None) => Ok(()),
        (Some(config), Some(_)) => Err((errors::INVALID_CONFIG, format!("{name} is {} for all topics", config.value))),
        (None, _) => Err((errors::INVALID_CONFIG, format!("there is no setting {name}"))),
    }
}

fn created_result(
    context: &Context,
    topic: &CreatableTopic,
    created: Result<TopicDescription, (i16, String)>,
) -> CreatableTopicResult {
    let result = CreatableTopicResult::default().with_name(topic.name.clone());
    match created {
        Err((code, sentence)) => {
            let result = result.with_error_code(code).with_error_message(Some(errors::str_bytes(&sentence)));
            if context.version >= 5 { result.with_num_partitions(-1).with_replication_factor(-1) } else { result }
        }
        Ok(description) if context.version >= 5 => {
            let result = result.with_num_partitions(description.partition_count).with_replication_factor(1);
            if context.version >= 7 { result.with_topic_id(description.id) } else { result }
        }
        Ok(_) => result,
    }
}

pub(super) async fn begin_delete(context: Context, request: DeleteTopicsRequest) -> Reply {
    Box::pin(async move {
        let by_name = |name: TopicName| (Some(name), Uuid::nil());
        let wanted: Vec<(Option<TopicName>, Uuid)> = if context.version >= 6 {
            request.topics.into_iter().map(|topic| (topic.name, topic.topic_id)).collect()
        } else {
            request.topic_names.into_iter().map(by_name).collect()
        };
        let mut results = Vec::with_capacity(wanted.len());
        for (name, id) in wanted {
            let topic = match &name {
                Some(name) => TopicRef::Name(errors::text(name)),
                None => TopicRef::Id(id),
            };
            let asked = context.server.handle.ask(|answer| Request::Change(Change::DeleteTopic(topic, answer))).await;
            let result = DeletableTopicResult::default();
            results.push(match asked.and_then(|deleted| deleted) {
                Ok(topic) => result.with_name(Some(TopicName(errors::str_bytes(&topic.name)))).with_topic_id(topic.id),
                Err(Refusal::Stopping) => return Answer::Close,
                Err(refusal) => result.with_name(name).with_topic_id(id).with_error_code(errors::code(refusal)),
            });
        }
        context.respond(&DeleteTopicsResponse::default().with_responses(results))
    })
}

pub(super) async fn begin_describe(context: Context, request: DescribeConfigsRequest) -> Reply {
    Box::pin(async move {
        let mut results = Vec::with_capacity(request.resources.len());
        for resource in &request.resources {
            let described = match describe(&context, resource).await {
                Ok(configs) => result(resource).with_configs(chosen(resource, configs)),
                Err(_) if resource.resource_type == TOPIC_RESOURCE => {
                    result(resource).with_error_code(errors::UNKNOWN_TOPIC_OR_PARTITION)
                }
                Err(sentence) => {
                    let result = result(resource).with_error_code(errors::INVALID_REQUEST);
                    result.with_error_message(Some(errors::str_bytes(sentence)))
                }
            };
            results.push(described);
        }
        context.respond(&DescribeConfigsResponse::default().with_results(results))
    })
}

async fn describe(context: &Context, resource: &DescribeConfigsResource) -> Result<Vec<Config>, &'static str> {
    let options = &context.server.options;
    match resource.resource_type {
        TOPIC_RESOURCE => {
            let filter = TopicFilter::Some(vec![TopicRef::Name(errors::text(&resource.resource_name))]);
            let asked = context.server.handle.ask(|answer| Request::Read(Read::Describe(filter, answer))).await;
            let is_there = asked.is_ok_and(|cluster| cluster.topics.iter().all(Result::is_ok));
            if is_there { Ok(topic_configs(options)) } else { Err("no such topic") }
        }
        BROKER_RESOURCE if resource.resource_name.as_str() == NODE_ID.to_string() => Ok(broker_configs(options)),
        BROKER_RESOURCE => Err("the only broker is 1"),
        _ => Err("only topics and brokers have settings"),
    }
}

fn result(resource: &DescribeConfigsResource) -> DescribeConfigsResult {
    DescribeConfigsResult::default()
        .with_resource_type(resource.resource_type)
        .with_resource_name(resource.resource_name.clone())
}

fn chosen(resource: &DescribeConfigsResource, configs: Vec<Config>) -> Vec<DescribeConfigsResourceResult> {
    let keys = resource.configuration_keys.as_ref();
    let is_wanted = |config: &Config| keys.is_none_or(|keys| keys.iter().any(|key| key.as_str() == config.name));
    configs.into_iter().filter(is_wanted).map(Config::describe).collect()
}

/// A setting under Kafka's name.
struct Config {
    name: &'static str,
    value: String,
    kind: i8,
    source: i8,
}

impl Config {
    fn describe(self) -> DescribeConfigsResourceResult {
        DescribeConfigsResourceResult::default()
            .with_name(errors::str_bytes(self.name))
            .with_value(Some(errors::str_bytes(&self.value)))
            .with_read_only(true)
            .with_config_source(self.source)
            .with_config_type(self.kind)
    }
}

fn topic_configs(options: &BrokerOptions) -> Vec<Config> {
    let config = |name, value: String, kind| Config { name, value, kind, source: DEFAULT_CONFIG };
    vec![
        config("cleanup.policy", "delete".to_owned(), LIST),
        config("compression.type", "producer".to_owned(), STRING),
        config("max.message.bytes", MESSAGE_BYTES_MAX.to_string(), INT),
        config("message.timestamp.type", "CreateTime".to_owned(), STRING),
        config("min.insync.replicas", "1".to_owned(), INT),
        config("retention.bytes", retention_bytes(options), LONG),
        config("retention.ms", retention_ms(options), LONG),
        config("segment.bytes", options.segment_bytes_max.to_string(), INT),
    ]
}

fn broker_configs(options: &BrokerOptions) -> Vec<Config> {
    let config = |name, value: String, kind| Config { name, value, kind, source: STATIC_BROKER_CONFIG };
    vec![
        config("auto.create.topics.enable", (options.auto_create == AutoCreate::On).to_string(), BOOLEAN),
        config("default.replication.factor", "1".to_owned(), INT),
        config("log.message.timestamp.type", "CreateTime".to_owned(), STRING),
        config("log.retention.bytes", retention_bytes(options), LONG),
        config("log.retention.ms", retention_ms(options), LONG),
        config("log.segment.bytes", options.segment_bytes_max.to_string(), INT),
        config("message.max.bytes", MESSAGE_BYTES_MAX.to_string(), INT),
        config("num.partitions", options.default_partitions.to_string(), INT),
    ]
}

fn retention_bytes(options: &BrokerOptions) -> String {
    options.retention.partition_bytes.map_or_else(|| "-1".to_owned(), |bytes| bytes.to_string())
}

fn retention_ms(options: &BrokerOptions) -> String {
    options.retention.age.map_or_else(|| "-1".to_owned(), |age| age.as_millis().to_string())
}
