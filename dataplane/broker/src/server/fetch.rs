//! Fetch: asks the log, keeps the time while it waits for bytes, and writes the answer by hand.
//!
//! By hand because the codec would copy the records once more. Sessions are not kept: every answer says session 0, which tells a client
//! to name all its partitions each time.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::FetchResponse;
use kafka_protocol::messages::fetch_request::FetchRequest as KafkaRequest;
use kafka_protocol::protocol::StrBytes;
use tokio::sync::oneshot;
use tokio::time::{Duration, Instant, timeout_at};
use uuid::Uuid;

use super::api::{Context, ready};
use super::connection::{Answer, Reply};
use super::errors;
use super::frame::FrameBuilder;
use crate::error::Refusal;
use crate::limits::FETCH_BYTES_MAX;
use crate::log::request::{FetchAnswer, FetchPartition, FetchRequest, Fetched, Read, Request};

const FLEXIBLE_SINCE: i16 = 12;
const TOPIC_IDS_SINCE: i16 = 13;
const SESSIONS_SINCE: i16 = 7;

/// A topic of the answer: its name or id, and the numbers of its partitions.
struct TopicOutline {
    name: StrBytes,
    id: Uuid,
    partitions: Vec<i32>,
}

pub(super) async fn begin(context: Context, request: KafkaRequest) -> Reply {
    if let Some(code) = session_refusal(&request) {
        return context.respond_now(&FetchResponse::default().with_error_code(code));
    }
    let is_committed = request.isolation_level == 1;
    let wait_ms = u64::try_from(request.max_wait_ms).unwrap_or(0);
    let wait = Duration::from_millis(wait_ms).min(context.server.options.idle_max);
    let bytes_max = usize::try_from(request.max_bytes).unwrap_or(0).min(FETCH_BYTES_MAX);
    let bytes_min = if wait.is_zero() { 0 } else { usize::try_from(request.min_bytes).unwrap_or(0) };
    let (outline, partitions) = wanted(&context, request);
    let deadline = Instant::now() + wait;
    let Some(answered) = ask(&context, partitions.clone(), bytes_max, bytes_min).await else {
        return ready(Answer::Close);
    };
    Box::pin(async move {
        let answer = match timeout_at(deadline, answered).await {
            Ok(answer) => answer.ok(),
            Err(_) => match ask(&context, partitions, bytes_max, 0).await {
                Some(answered) => answered.await.ok(),
                None => None,
            },
        };
        answer.map_or(Answer::Close, |answer| encode(&context, &outline, answer, is_committed))
    })
}

async fn ask(
    context: &Context,
    partitions: Vec<FetchPartition>,
    bytes_max: usize,
    bytes_min: usize,
) -> Option<oneshot::Receiver<FetchAnswer>> {
    let (answer, answered) = oneshot::channel();
    let request = FetchRequest { partitions, bytes_max, bytes_min, answer };
    context.server.handle.send(Request::Read(Read::Fetch(request))).await.ok()?;
    Some(answered)
}

/// A client may ask for a session and gets none; it cannot go on with one.
fn session_refusal(request: &KafkaRequest) -> Option<i16> {
    match (request.session_id, request.session_epoch) {
        (0, -1 | 0) => None,
        (0, _) => Some(errors::INVALID_FETCH_SESSION_EPOCH),
        // The end of a session, with a whole request instead of a part of one.
        (_, -1) => None,
        _ => Some(errors::FETCH_SESSION_ID_NOT_FOUND),
    }
}

fn wanted(context: &Context, request: KafkaRequest) -> (Vec<TopicOutline>, Vec<FetchPartition>) {
    let mut outline = Vec::with_capacity(request.topics.len());
    let mut partitions = Vec::new();
    for topic in request.topics {
        let topic_ref = errors::topic_ref(&topic.topic, topic.topic_id, context.version >= TOPIC_IDS_SINCE);
        let numbers = topic.partitions.iter().map(|partition| partition.partition).collect();
        outline.push(TopicOutline { name: topic.topic.0, id: topic.topic_id, partitions: numbers });
        partitions.extend(topic.partitions.iter().map(|partition| FetchPartition {
            topic: topic_ref.clone(),
            partition: partition.partition,
            offset: partition.fetch_offset,
            bytes_max: usize::try_from(partition.partition_max_bytes).unwrap_or(0),
            leader_epoch: partition.current_leader_epoch,
        }));
    }
    (outline, partitions)
}

fn encode(context: &Context, outline: &[TopicOutline], answer: FetchAnswer, is_committed: bool) -> Answer {
    let version = context.version;
    let mut frame = FrameBuilder::new(context.correlation_id, version >= FLEXIBLE_SINCE);
    frame.bytes().put_i32(0);
    if version >= SESSIONS_SINCE {
        frame.bytes().put_i16(errors::NONE);
        frame.bytes().put_i32(0);
    }
    put_count(frame.bytes(), version, outline.len());
    let mut fetched = answer.partitions.into_iter();
    for topic in outline {
        put_topic(frame.bytes(), version, topic);
        put_count(frame.bytes(), version, topic.partitions.len());
        for number in &topic.partitions {
            let Some(outcome) = fetched.next() else { return Answer::Close };
            frame.bytes().put_i32(*number);
            let records = put_partition(context, frame.bytes(), outcome, is_committed);
            frame.piece(records);
            put_tags(frame.bytes(), version);
        }
        put_tags(frame.bytes(), version);
    }
    put_tags(frame.bytes(), version);
    Answer::Frame(frame.finish(), answer.permit)
}

fn put_topic(out: &mut BytesMut, version: i16, topic: &TopicOutline) {
    match version {
        TOPIC_IDS_SINCE.. => out.put_slice(topic.id.as_bytes()),
        FLEXIBLE_SINCE.. => {
            put_varint(out, topic.name.len() + 1);
            out.put_slice(topic.name.as_bytes());
        }
        _ => {
            // The name came in such a string.
            out.put_i16(topic.name.len() as i16);
            out.put_slice(topic.name.as_bytes());
        }
    }
}

/// Everything of a partition between its number and its records.
fn put_partition(
    context: &Context,
    out: &mut BytesMut,
    outcome: Result<Fetched, Refusal>,
    is_committed: bool,
) -> Bytes {
    let version = context.version;
    let (code, high_watermark, start, records) = match outcome {
        Ok(fetched) => (errors::NONE, fetched.offsets.high_watermark, fetched.offsets.start, fetched.records),
        Err(refusal) => {
            if let Some(reason) = errors::reason(refusal) {
                context.server.handle.counters().refuse(reason);
            }
            (errors::code(refusal), -1, -1, Bytes::new())
        }
    };
    out.put_i16(code);
    out.put_i64(high_watermark);
    // The last stable offset: without transactions, the same.
    out.put_i64(high_watermark);
    if version >= 5 {
        out.put_i64(start);
    }
    // Aborted transactions: none, or for those who do not look at them, nothing.
    match (is_committed, version >= FLEXIBLE_SINCE) {
        (true, true) => out.put_u8(1),
        (false, true) => out.put_u8(0),
        (true, false) => out.put_i32(0),
        (false, false) => out.put_i32(-1),
    }
    if version >= 11 {
        // No other replica is preferred.
        out.put_i32(-1);
    }
    if version >= FLEXIBLE_SINCE {
        put_varint(out, records.len() + 1);
    } else {
        out.put_i32(i32::try_from(records.len()).expect("an answer is limited far below"));
    }
    records
}

fn put_count(out: &mut BytesMut, version: i16, count: usize) {
    if version >= FLEXIBLE_SINCE {
        put_varint(out, count + 1);
    } else {
        out.put_i32(i32::try_from(count).expect("requests are limited far below"));
    }
}

fn put_tags(out: &mut BytesMut, version: i16) {
    if version >= FLEXIBLE_SINCE {
        out.put_u8(0);
    }
}

fn put_varint(out: &mut BytesMut, mut value: usize) {
    while value >= 0x80 {
        out.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}
