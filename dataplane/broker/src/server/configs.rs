//! DescribeConfigs, IncrementalAlterConfigs.
//!
//! A topic may have its own retention and largest message. Everything else is fixed: a request for what holds anyway is taken, any
//! other is refused by name.

use std::collections::{HashMap, HashSet};

use kafka_protocol::messages::describe_configs_request::{DescribeConfigsRequest, DescribeConfigsResource};
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResponse, DescribeConfigsResult,
};
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use kafka_protocol::messages::incremental_alter_configs_response::{
    AlterConfigsResourceResponse, IncrementalAlterConfigsResponse,
};

use super::api::Context;
use super::connection::Reply;
use super::{NODE_ID, errors};
use crate::error::Refusal;
use crate::limits::MESSAGE_BYTES_MAX;
use crate::log::request::{AlterConfigs, Change, CreateMode, Read, Request, TopicRef};
use crate::log::topic_configs::{SettingChange, TopicConfigs, TopicSetting};
use crate::options::{AutoCreate, BrokerOptions};

const TOPIC_RESOURCE: i8 = 2;
const BROKER_RESOURCE: i8 = 4;
// Where a value comes from.
const DYNAMIC_TOPIC_CONFIG: i8 = 1;
const STATIC_BROKER_CONFIG: i8 = 4;
const DEFAULT_CONFIG: i8 = 5;

// The type of a setting's value, as clients are told.
const BOOLEAN: i8 = 1;
const STRING: i8 = 2;
const INT: i8 = 3;
const LONG: i8 = 5;
const LIST: i8 = 7;

// What is done with a setting.
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

pub(super) async fn begin_describe(context: Context, request: DescribeConfigsRequest) -> Reply {
    Box::pin(async move {
        let mut results = Vec::with_capacity(request.resources.len());
        for resource in &request.resources {
            let described = match describe(&context, resource).await {
                Ok(configs) => result(resource).with_configs(wanted(resource, configs)),
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
            let topic = TopicRef::Name(errors::text(&resource.resource_name));
            let asked = context.server.handle.ask(|answer| Request::Read(Read::Configs(topic, answer))).await;
            let configs = asked.and_then(|found| found).map_err(|_| "no such topic")?;
            Ok(topic_configs(options, &configs))
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

fn wanted(resource: &DescribeConfigsResource, configs: Vec<Config>) -> Vec<DescribeConfigsResourceResult> {
    let keys = resource.configuration_keys.as_ref();
    let is_wanted = |config: &Config| keys.is_none_or(|keys| keys.iter().any(|key| key.as_str() == config.name));
    configs.into_iter().filter(is_wanted).map(Config::describe).collect()
}

/// The setting that a client names and what it becomes; `None` for one that is fixed and has this value anyway.
pub(super) fn chosen(
    name: &str,
    value: Option<&str>,
    options: &BrokerOptions,
) -> Result<Option<SettingChange>, (i16, String)> {
    let invalid = |sentence| (errors::INVALID_CONFIG, sentence);
    if let Some(setting) = TopicSetting::of_name(name) {
        let value = value.map(|value| setting.parse(value)).transpose().map_err(invalid)?;
        return Ok(Some((setting, value)));
    }
    let fixed = topic_configs(options, &TopicConfigs::default()).into_iter().find(|config| config.name == name);
    match (fixed, value) {
        (Some(config), Some(value)) if config.value != value => {
            Err(invalid(format!("{name} is {} for all topics", config.value)))
        }
        (Some(_), _) => Ok(None),
        (None, _) => Err(invalid(format!("Unknown topic config name: {name}"))),
    }
}

pub(super) async fn begin_alter(context: Context, request: IncrementalAlterConfigsRequest) -> Reply {
    Box::pin(async move {
        let mode = if request.validate_only { CreateMode::Validate } else { CreateMode::Create };
        let mut times: HashMap<(i8, &str), usize> = HashMap::new();
        for resource in &request.resources {
            *times.entry((resource.resource_type, resource.resource_name.as_str())).or_default() += 1;
        }
        let mut responses = Vec::with_capacity(request.resources.len());
        for resource in &request.resources {
            let altered = if times[&(resource.resource_type, resource.resource_name.as_str())] > 1 {
                Err((errors::INVALID_REQUEST, "Each resource must appear at most once.".to_owned()))
            } else {
                alter(&context, resource, mode).await
            };
            let response = AlterConfigsResourceResponse::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone());
            responses.push(match altered {
                Ok(()) => response.with_error_message(None),
                Err((code, sentence)) => {
                    response.with_error_code(code).with_error_message(Some(errors::str_bytes(&sentence)))
                }
            });
        }
        context.respond(&IncrementalAlterConfigsResponse::default().with_responses(responses))
    })
}

async fn alter(context: &Context, resource: &AlterConfigsResource, mode: CreateMode) -> Result<(), (i16, String)> {
    let invalid = |sentence: &str| (errors::INVALID_REQUEST, sentence.to_owned());
    match resource.resource_type {
        TOPIC_RESOURCE => {}
        BROKER_RESOURCE => return Err(invalid("settings of the broker are chosen when it starts")),
        _ => return Err(invalid("only settings of topics can be altered")),
    }
    let names: HashSet<&str> = resource.configs.iter().map(|config| config.name.as_str()).collect();
    if names.len() < resource.configs.len() {
        return Err(invalid("a setting is named more than once"));
    }
    if let Some(config) = resource.configs.iter().find(|it| it.config_operation != DELETE && it.value.is_none()) {
        return Err(invalid(&format!("Null value not supported for : {}", config.name.as_str())));
    }
    let topic = TopicRef::Name(errors::text(&resource.resource_name));
    // Whether it is there comes before whether its settings are.
    let is_there = context.server.handle.ask(|answer| Request::Read(Read::Configs(topic.clone(), answer))).await;
    let refused = |refusal: Refusal| (errors::code(refusal), refusal.to_string());
    is_there.and_then(|found| found).map_err(refused)?;
    let mut changes = Vec::new();
    for config in &resource.configs {
        changes.extend(changed(config, &context.server.options)?);
    }
    let wanted = AlterConfigs { topic, changes, mode };
    let asked = context.server.handle.ask(|answer| Request::Change(Change::AlterConfigs(wanted, answer))).await;
    asked.and_then(|altered| altered).map_err(refused)
}

fn changed(config: &AlterableConfig, options: &BrokerOptions) -> Result<Option<SettingChange>, (i16, String)> {
    let value = config.value.as_deref();
    match config.config_operation {
        SET => chosen(&config.name, value, options),
        DELETE => chosen(&config.name, None, options),
        APPEND | SUBTRACT => {
            let known =
                topic_configs(options, &TopicConfigs::default()).into_iter().find(|it| config.name.as_str() == it.name);
            let is_list = known.is_some_and(|known| known.kind == LIST);
            if !is_list {
                let sentence = format!("{} is not a list", config.name.as_str());
                return Err((errors::INVALID_CONFIG, sentence));
            }
            // The only list has one word: adding it changes nothing, and without it nothing is left.
            let value = if config.config_operation == APPEND { value } else { Some("") };
            chosen(&config.name, value, options)
        }
        other => Err((errors::INVALID_REQUEST, format!("there is no operation {other}"))),
    }
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
            .with_read_only(self.source == STATIC_BROKER_CONFIG)
            .with_config_source(self.source)
            .with_config_type(self.kind)
    }
}

fn topic_configs(options: &BrokerOptions, configs: &TopicConfigs) -> Vec<Config> {
    let config = |name, value: String, kind| Config { name, value, kind, source: DEFAULT_CONFIG };
    let settable = |setting: TopicSetting, default: String, kind| match configs.get(setting) {
        Some(value) => Config { name: setting.name(), value: value.to_string(), kind, source: DYNAMIC_TOPIC_CONFIG },
        None => config(setting.name(), default, kind),
    };
    vec![
        config("cleanup.policy", "delete".to_owned(), LIST),
        config("compression.type", "producer".to_owned(), STRING),
        settable(TopicSetting::MaxMessageBytes, MESSAGE_BYTES_MAX.to_string(), INT),
        config("message.timestamp.type", "CreateTime".to_owned(), STRING),
        config("min.insync.replicas", "1".to_owned(), INT),
        settable(TopicSetting::RetentionBytes, retention_bytes(options), LONG),
        settable(TopicSetting::RetentionMs, retention_ms(options), LONG),
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
