//! CreatePartitions: a topic grows. It never shrinks, and keys that went to one partition may then go to another.

use std::collections::HashMap;

use kafka_protocol::messages::create_partitions_request::{CreatePartitionsRequest, CreatePartitionsTopic};
use kafka_protocol::messages::create_partitions_response::{CreatePartitionsResponse, CreatePartitionsTopicResult};
use kafka_protocol::messages::{BrokerId, TopicName};

use super::api::Context;
use super::connection::Reply;
use super::{NODE_ID, errors};
use crate::log::request::{Change, CreateMode, MorePartitions, Request, TopicRef};

pub(super) async fn begin_create(context: Context, request: CreatePartitionsRequest) -> Reply {
    Box::pin(async move {
        let mode = if request.validate_only { CreateMode::Validate } else { CreateMode::Create };
        let mut times: HashMap<&TopicName, usize> = HashMap::new();
        request.topics.iter().for_each(|topic| *times.entry(&topic.name).or_default() += 1);
        let mut results = Vec::with_capacity(request.topics.len());
        for topic in &request.topics {
            let created = if times[&topic.name] > 1 {
                Err((errors::INVALID_REQUEST, "the request names the topic more than once".to_owned()))
            } else {
                create(&context, topic, mode).await
            };
            let result = CreatePartitionsTopicResult::default().with_name(topic.name.clone());
            results.push(match created {
                Ok(()) => result.with_error_message(None),
                Err((code, sentence)) => {
                    result.with_error_code(code).with_error_message(Some(errors::str_bytes(&sentence)))
                }
            });
        }
        context.respond(&CreatePartitionsResponse::default().with_results(results))
    })
}

async fn create(context: &Context, topic: &CreatePartitionsTopic, mode: CreateMode) -> Result<(), (i16, String)> {
    let assignments = topic.assignments.as_ref();
    let is_here = |assigned: &[BrokerId]| assigned == [BrokerId(NODE_ID)];
    if !assignments.into_iter().flatten().all(|assignment| is_here(&assignment.broker_ids)) {
        let sentence = "every partition is assigned to the one node, and to it only".to_owned();
        return Err((errors::INVALID_REPLICA_ASSIGNMENT, sentence));
    }
    let more = MorePartitions {
        topic: TopicRef::Name(errors::text(&topic.name)),
        partition_count: topic.count,
        assignment_count: assignments.map(Vec::len),
        mode,
    };
    let asked = context.server.handle.ask(|answer| Request::Change(Change::CreatePartitions(more, answer))).await;
    asked.and_then(|created| created).map_err(|refusal| (errors::code(refusal), refusal.to_string()))
}
