//! Produce: every partition's batch is checked here, appended by the log, and answered when it is synced.

use kafka_protocol::messages::produce_request::{ProduceRequest as KafkaRequest, TopicProduceData};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, ProduceResponse, TopicProduceResponse};
use tokio::sync::oneshot;

use super::api::{Context, ready};
use super::connection::{Answer, Reply};
use super::errors;
use crate::batch::RecordBatch;
use crate::error::Refusal;
use crate::log::request::{Change, ProduceBatch, ProduceRequest, Produced, Request, TopicRef};

const ZSTD_SINCE: i16 = 7;
const TOPIC_IDS_SINCE: i16 = 13;
const MESSAGES_SINCE: i16 = 8;

/// The answer's frame, with a place for each partition in the order of the request.
struct Outline {
    topics: Vec<(TopicProduceData, Vec<Slot>)>,
}

enum Slot {
    Refused {
        index: i32,
        code: i16,
        sentence: &'static str,
    },
    /// The next of the log's outcomes.
    Sent {
        index: i32,
    },
}

pub(super) async fn begin(context: Context, request: KafkaRequest) -> Reply {
    let has_valid_acks = matches!(request.acks, -1..=1);
    let mut batches = Vec::new();
    let mut outline = Outline { topics: Vec::with_capacity(request.topic_data.len()) };
    for mut topic in request.topic_data {
        let topic_ref = errors::topic_ref(&topic.name, topic.topic_id, context.version >= TOPIC_IDS_SINCE);
        let mut slots = Vec::with_capacity(topic.partition_data.len());
        for partition in std::mem::take(&mut topic.partition_data) {
            let index = partition.index;
            if !has_valid_acks {
                slots.push(Slot::Refused {
                    index,
                    code: errors::INVALID_REQUIRED_ACKS,
                    sentence: "acks is -1, 0 or 1",
                });
                continue;
            }
            match check(&context, &topic_ref, index, partition.records.unwrap_or_default()) {
                Ok(batch) => {
                    batches.push(batch);
                    slots.push(Slot::Sent { index });
                }
                Err((code, sentence)) => slots.push(Slot::Refused { index, code, sentence }),
            }
        }
        outline.topics.push((topic, slots));
    }
    let is_silent = request.acks == 0;
    if is_silent && outline.has_refusals() {
        // Without an answer this is the only way to be heard.
        return ready(Answer::Close);
    }
    let (answer, answered) = oneshot::channel();
    if context.server.handle.send(Request::Change(Change::Produce(ProduceRequest { batches, answer }))).await.is_err() {
        return ready(Answer::Close);
    }
    if is_silent {
        return ready(Answer::Nothing);
    }
    Box::pin(async move {
        match answered.await {
            Ok(outcomes) => outline.answer(&context, outcomes),
            // Nobody knows what became of it.
            Err(_) => Answer::Close,
        }
    })
}

fn check(
    context: &Context,
    topic: &TopicRef,
    partition: i32,
    records: bytes::Bytes,
) -> Result<ProduceBatch, (i16, &'static str)> {
    let counters = context.server.handle.counters();
    let batch = RecordBatch::check(records).map_err(|refusal| {
        counters.refuse(errors::batch_reason(refusal));
        errors::batch_code(refusal)
    })?;
    if batch.is_zstd() && context.version < ZSTD_SINCE {
        return Err((errors::UNSUPPORTED_COMPRESSION_TYPE, "zstd needs version 7 of produce"));
    }
    Ok(ProduceBatch { topic: topic.clone(), partition, batch })
}

impl Outline {
    fn has_refusals(&self) -> bool {
        self.topics.iter().flat_map(|(_, slots)| slots).any(|slot| matches!(slot, Slot::Refused { .. }))
    }

    fn answer(self, context: &Context, outcomes: Vec<Result<Produced, Refusal>>) -> Answer {
        let mut outcomes = outcomes.into_iter();
        let mut responses = Vec::with_capacity(self.topics.len());
        for (topic, slots) in self.topics {
            let mut partitions = Vec::with_capacity(slots.len());
            for slot in slots {
                let partition = match slot {
                    Slot::Refused { index, code, sentence } => refused(context, index, code, sentence),
                    Slot::Sent { index } => match outcomes.next() {
                        Some(Ok(produced)) => accepted(index, produced),
                        Some(Err(refusal)) => refused_by_log(context, index, refusal),
                        None => return Answer::Close,
                    },
                };
                partitions.push(partition);
            }
            let response = TopicProduceResponse::default().with_name(topic.name).with_topic_id(topic.topic_id);
            responses.push(response.with_partition_responses(partitions));
        }
        context.respond(&ProduceResponse::default().with_responses(responses))
    }
}

fn accepted(index: i32, produced: Produced) -> PartitionProduceResponse {
    PartitionProduceResponse::default()
        .with_index(index)
        .with_base_offset(produced.base_offset)
        .with_log_start_offset(produced.start_offset)
}

fn refused_by_log(context: &Context, index: i32, refusal: Refusal) -> PartitionProduceResponse {
    if let Some(reason) = errors::reason(refusal) {
        context.server.handle.counters().refuse(reason);
    }
    let response = refused(context, index, errors::code(refusal), "");
    if context.version < MESSAGES_SINCE {
        return response;
    }
    response.with_error_message(Some(errors::str_bytes(&refusal.to_string())))
}

fn refused(context: &Context, index: i32, code: i16, sentence: &'static str) -> PartitionProduceResponse {
    let response = PartitionProduceResponse::default()
        .with_index(index)
        .with_error_code(code)
        .with_base_offset(-1)
        .with_log_start_offset(-1);
    if context.version < MESSAGES_SINCE || sentence.is_empty() {
        return response;
    }
    response.with_error_message(Some(errors::str_bytes(sentence)))
}
