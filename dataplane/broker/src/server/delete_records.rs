//! DeleteRecords: a partition forgets what lies before an offset.

use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsRequest};
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsResponse, DeleteRecordsTopicResult,
};

use super::api::Context;
use super::connection::{Answer, Reply};
use super::errors;
use crate::error::Refusal;
use crate::log::request::{Change, DeleteBefore, DeleteRecords, Request, TopicRef};

/// The offset that stands for the high watermark.
const HIGH_WATERMARK: i64 = -1;
const NOTHING: i64 = -1;

pub(super) async fn begin(context: Context, request: DeleteRecordsRequest) -> Reply {
    Box::pin(async move {
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let topic_ref = TopicRef::Name(errors::text(&topic.name));
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for wanted in &topic.partitions {
                let result = DeleteRecordsPartitionResult::default().with_partition_index(wanted.partition_index);
                partitions.push(match delete(&context, topic_ref.clone(), wanted).await {
                    Ok(start_offset) => result.with_low_watermark(start_offset),
                    Err(Refusal::Stopping) => return Answer::Close,
                    Err(refusal) => result.with_error_code(errors::code(refusal)).with_low_watermark(NOTHING),
                });
            }
            topics.push(DeleteRecordsTopicResult::default().with_name(topic.name).with_partitions(partitions));
        }
        context.respond(&DeleteRecordsResponse::default().with_topics(topics))
    })
}

async fn delete(context: &Context, topic: TopicRef, wanted: &DeleteRecordsPartition) -> Result<i64, Refusal> {
    let before = match wanted.offset {
        HIGH_WATERMARK => DeleteBefore::HighWatermark,
        offset => DeleteBefore::Offset(offset),
    };
    let wanted = DeleteRecords { topic, partition: wanted.partition_index, before };
    context.server.handle.ask(|answer| Request::Change(Change::DeleteRecords(wanted, answer))).await?
}
