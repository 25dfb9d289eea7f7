//! `POST /wellhead/partitions/reset`: consuming goes on elsewhere while the node runs. All partitions are checked before any is
//! moved, so an error has changed nothing. What a move is: `ingest`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use ingest::consumer::{ReadError, Reply, ResetRefusal, ShardHandle};
use model::{Offset, PartitionId};
use serde::Deserialize;
use serde_json::json;

use super::answer::{self, Answer};
use super::body::read_body;
use crate::node::Node;

const BODY_BYTES_MAX: usize = 1 << 20;
/// A reset waits for one sync of the log; a log that holds for want of space makes it longer.
const WAIT_MAX: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    partitions: Vec<Target>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    partition: i32,
    /// The next offset to consume.
    to: i64,
}

/// Targets of each shard that owns some.
type Shares = BTreeMap<usize, Vec<(PartitionId, Offset)>>;

/// Moves partitions.
pub async fn answer(node: &Arc<Node>, request: Request<Incoming>) -> Answer {
    let body = match read_body(request.into_body(), BODY_BYTES_MAX, node.options.http.read_timeout).await {
        Ok(body) => body,
        Err(error) => return refusal(StatusCode::BAD_REQUEST, &format!("the body cannot be read: {error:?}")),
    };
    let order: Order = match serde_json::from_slice(&body) {
        Ok(order) => order,
        Err(error) => {
            let form = r#"{"partitions":[{"partition":0,"to":123}]}"#;
            return refusal(StatusCode::BAD_REQUEST, &format!("the body is not such an order: {form} ({error})"));
        }
    };
    if order.partitions.is_empty() {
        return refusal(StatusCode::BAD_REQUEST, "the order names no partition");
    }
    // Whoever asked may go away: an order that was begun is carried out whole.
    let work = tokio::task::spawn_local(reset(node.clone(), order.partitions));
    match tokio::time::timeout(WAIT_MAX, work).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &format!("the reset failed: {error}")),
        Err(_) => {
            let seconds = WAIT_MAX.as_secs();
            let message =
                format!("the reset is not synced after {seconds} s and still under way: see /wellhead/status");
            refusal(StatusCode::SERVICE_UNAVAILABLE, &message)
        }
    }
}

async fn reset(node: Arc<Node>, targets: Vec<Target>) -> Answer {
    let Ok(_turn) = node.resets.try_lock() else { return refused(&ResetRefusal::UnderWay) };
    match try_reset(&node.shards, &targets).await {
        Ok(answer) => answer,
        Err(refusal) => refused(&refusal),
    }
}

async fn try_reset(shards: &[ShardHandle], targets: &[Target]) -> Result<Answer, ResetRefusal> {
    let mut shares = Shares::new();
    for target in targets {
        let partition = PartitionId(target.partition);
        let owner = shards.iter().position(|shard| shard.partition(partition).is_some());
        let owner = owner.ok_or(ResetRefusal::UnknownPartition { partition })?;
        shares.entry(owner).or_default().push((partition, Offset(target.to)));
    }
    for (shard, share) in &shares {
        outcome(shards[*shard].check_reset(share.clone())?).await?;
    }
    let mut done = Vec::new();
    for (shard, share) in shares {
        done.extend(outcome(shards[shard].reset(share)?).await?);
    }
    done.sort_by_key(|reset| reset.partition);
    let done = done.iter().map(|reset| {
        json!({
            "partition": reset.partition.0,
            "from": reset.from.0,
            "to": reset.to.0,
            "generation": reset.generation.0,
        })
    });
    let document = json!({ "partitions": done.collect::<Vec<_>>() });
    Ok(answer::of(StatusCode::OK, "application/json", document.to_string()))
}

async fn outcome<T>(reply: Reply<Result<T, ResetRefusal>>) -> Result<T, ResetRefusal> {
    reply.answer().await.unwrap_or_else(|_: ReadError| Err(ResetRefusal::Stopped))
}

fn refused(reason: &ResetRefusal) -> Answer {
    let status = match reason {
        ResetRefusal::UnknownPartition { .. } => StatusCode::NOT_FOUND,
        ResetRefusal::OutOfLog { .. } | ResetRefusal::NamedTwice { .. } => StatusCode::BAD_REQUEST,
        ResetRefusal::UnderWay => StatusCode::CONFLICT,
        ResetRefusal::NotStarted | ResetRefusal::Stopped | ResetRefusal::Kafka { .. } => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    refusal(status, &reason.to_string())
}

fn refusal(status: StatusCode, sentence: &str) -> Answer {
    answer::of(status, "application/json", json!({ "error": sentence }).to_string())
}
