//! ListOffsets: begin, end, and the first record at or after a time.
//!
//! The log finds the batch; which of its records it is says the batch itself, which may have to be decompressed. That happens one
//! at a time for a connection, so that few batches are in memory.

use kafka_protocol::messages::ListOffsetsResponse;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsRequest};
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};

use super::api::Context;
use super::connection::{Answer, Reply};
use super::errors;
use super::records::{Wanted, find_record};
use crate::batch::LEADER_EPOCH;
use crate::error::Refusal;
use crate::log::request::{OffsetAnswer, OffsetAt, OffsetQuery, Read, Request, TopicRef};

const EPOCHS_SINCE: i16 = 4;
const NOTHING: i64 = -1;

// What a negative timestamp asks for.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;

/// What one partition is asked for.
enum Question {
    Log(OffsetAt),
    /// There is no other tier.
    NotTiered,
    Unknown,
}

pub(super) async fn begin(context: Context, request: ListOffsetsRequest) -> Reply {
    Box::pin(async move {
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let topic_ref = TopicRef::Name(errors::text(&topic.name));
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for partition in &topic.partitions {
                match answer(&context, &topic_ref, partition).await {
                    Ok(response) => partitions.push(response),
                    Err(Refusal::Stopping) => return Answer::Close,
                    Err(refusal) => partitions.push(refused(partition, errors::code(refusal))),
                }
            }
            topics.push(ListOffsetsTopicResponse::default().with_name(topic.name).with_partitions(partitions));
        }
        context.respond(&ListOffsetsResponse::default().with_topics(topics))
    })
}

async fn answer(
    context: &Context,
    topic: &TopicRef,
    partition: &ListOffsetsPartition,
) -> Result<ListOffsetsPartitionResponse, Refusal> {
    let at = match question(partition.timestamp, context.version) {
        Question::Log(at) => at,
        Question::NotTiered => return Ok(found(context, partition, NOTHING, NOTHING)),
        Question::Unknown => return Ok(refused(partition, errors::UNSUPPORTED_VERSION)),
    };
    let query = OffsetQuery {
        topic: topic.clone(),
        partition: partition.partition_index,
        leader_epoch: partition.current_leader_epoch,
        at,
    };
    let mut answers = context.server.handle.ask(|answer| Request::Read(Read::Offsets(vec![query], answer))).await?;
    let (offset, timestamp) = match answers.pop().unwrap_or(Err(Refusal::Stopping))? {
        OffsetAnswer::Offset(offset) => (offset, NOTHING),
        OffsetAnswer::Nothing => (NOTHING, NOTHING),
        OffsetAnswer::InBatch { batch, start_offset, permit } => {
            let wanted = match at {
                OffsetAt::Timestamp(timestamp) => Wanted::NotBefore(timestamp),
                _ => Wanted::Newest,
            };
            let search = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                find_record(&batch, wanted, start_offset)
            });
            search.await.map_err(|_| Refusal::Stopping)?
        }
    };
    Ok(found(context, partition, offset, timestamp))
}

fn question(timestamp: i64, version: i16) -> Question {
    match timestamp {
        LATEST => Question::Log(OffsetAt::End),
        EARLIEST => Question::Log(OffsetAt::Start),
        MAX_TIMESTAMP if version >= 7 => Question::Log(OffsetAt::MaxTimestamp),
        EARLIEST_LOCAL if version >= 8 => Question::Log(OffsetAt::Start),
        LATEST_TIERED if version >= 9 => Question::NotTiered,
        0.. => Question::Log(OffsetAt::Timestamp(timestamp)),
        _ => Question::Unknown,
    }
}

fn found(
    context: &Context,
    partition: &ListOffsetsPartition,
    offset: i64,
    timestamp: i64,
) -> ListOffsetsPartitionResponse {
    let response = ListOffsetsPartitionResponse::default()
        .with_partition_index(partition.partition_index)
        .with_offset(offset)
        .with_timestamp(timestamp);
    if context.version >= EPOCHS_SINCE && offset != NOTHING {
        response.with_leader_epoch(LEADER_EPOCH)
    } else {
        response
    }
}

fn refused(partition: &ListOffsetsPartition, code: i16) -> ListOffsetsPartitionResponse {
    ListOffsetsPartitionResponse::default()
        .with_partition_index(partition.partition_index)
        .with_error_code(code)
        .with_offset(NOTHING)
        .with_timestamp(NOTHING)
}
