//! CreateTopics, DeleteTopics.

use std::collections::HashMap;

use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use kafka_protocol::messages::create_topics_response::{CreatableTopicResult, CreateTopicsResponse};
use kafka_protocol::messages::delete_topics_request::DeleteTopicsRequest;
use kafka_protocol::messages::delete_topics_response::{DeletableTopicResult, DeleteTopicsResponse};
use kafka_protocol::messages::{BrokerId, TopicName};
use uuid::Uuid;

use super::api::Context;
use super::connection::{Answer, Reply};
use super::{NODE_ID, configs, errors};
use crate::error::Refusal;
use crate::handle::TopicDescription;
use crate::log::request::{Change, CreateMode, NewTopic, Request, TopicRef};
use crate::log::topic_configs::TopicConfigs;
use crate::options::BrokerOptions;

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
    let mut configs = TopicConfigs::default();
    for config in &topic.configs {
        if let Some((setting, value)) = configs::chosen(&config.name, config.value.as_deref(), &context.server.options)?
        {
            configs.set(setting, value);
        }
    }
    let new = NewTopic { name: errors::text(&topic.name), partition_count, configs, mode };
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
