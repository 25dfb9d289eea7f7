//! `POST /api/v1/push`: from HTTP to the distributor, and its outcome back into a status that clients understand.

use std::time::Instant;

use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::{Request, StatusCode};
use ingest::distributor::{PushError, PushOutcome, SinkError};
use wire::InflateError;

use super::answer::{Answer, text};
use super::body::{BodyError, read_body};
use super::identity::tenant_of;
use super::service::Service;
use crate::clock::now_ms;

/// Takes one remote write 1 request.
pub async fn answer(service: &Service, request: Request<Incoming>) -> Answer {
    let begin = Instant::now();
    let answer = push(service, request).await;
    service.latencies.record_push(begin.elapsed());
    answer
}

async fn push(service: &Service, request: Request<Incoming>) -> Answer {
    let node = &service.node;
    let (head, body) = request.into_parts();
    let tenant = match tenant_of(node.options.identity, &head.headers) {
        Ok(tenant) => tenant,
        Err(refusal) => return *refusal,
    };
    if let Err(refusal) = check_type(&head.headers) {
        return *refusal;
    }
    let body = match read_body(body, node.options.write.body_bytes_max, node.options.http.read_timeout).await {
        Ok(body) => body,
        Err(error) => return body_error(&error),
    };
    let Some(_permit) = node.inflight.try_take(body.len() as u64) else {
        return retry_later("too many bytes of pushes are in flight on this node; retry");
    };
    match service.distributor.push(&tenant, &body, now_ms()).await {
        Ok(outcome) => taken(&outcome),
        Err(error) => refused(&error),
    }
}

/// Only remote write 1 with snappy is understood; what says it is something else gets 415.
fn check_type(headers: &HeaderMap) -> Result<(), Box<Answer>> {
    let value = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?").to_ascii_lowercase());
    let refuse = |message: &str| Err(Box::new(text(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)));
    if let Some(kind) = value(CONTENT_TYPE) {
        if !kind.starts_with("application/x-protobuf") {
            return refuse(&format!("the content type {kind} is not understood; send application/x-protobuf"));
        }
        if kind.contains("io.prometheus.write.v2") {
            return refuse(
                "remote write 2 is not understood yet; send version 1 (protobuf_message: prometheus.WriteRequest)",
            );
        }
    }
    match value(CONTENT_ENCODING).as_deref() {
        None | Some("snappy") => Ok(()),
        Some(other) => refuse(&format!("the content encoding {other} is not understood; send snappy")),
    }
}

fn taken(outcome: &PushOutcome) -> Answer {
    match outcome.refusal_text() {
        None => text(StatusCode::OK, ""),
        Some(message) => {
            let accepted = outcome.samples_accepted;
            text(StatusCode::BAD_REQUEST, &format!("{message}; the other {accepted} samples were taken"))
        }
    }
}

fn refused(error: &PushError) -> Answer {
    let message = error.to_string();
    match error {
        PushError::Inflate(InflateError::TooLarge { .. }) => text(StatusCode::PAYLOAD_TOO_LARGE, &message),
        PushError::Inflate(_) | PushError::Malformed(_) => text(StatusCode::BAD_REQUEST, &message),
        PushError::Sink(SinkError::TooLarge(_)) => text(StatusCode::BAD_REQUEST, &message),
        PushError::Sink(SinkError::BufferFull) => retry_later(&message),
        PushError::Sink(SinkError::Failed(_)) => text(StatusCode::INTERNAL_SERVER_ERROR, &message),
    }
}

fn body_error(error: &BodyError) -> Answer {
    match error {
        BodyError::TooLarge { bytes_max } => {
            let message = format!("the body is larger than {bytes_max} bytes (--distributor.max-recv-msg-size)");
            text(StatusCode::PAYLOAD_TOO_LARGE, &message)
        }
        BodyError::TooSlow { time_max } => {
            text(StatusCode::REQUEST_TIMEOUT, &format!("the body did not arrive within {} s", time_max.as_secs()))
        }
        BodyError::Broken { reason } => text(StatusCode::BAD_REQUEST, &format!("the body broke off: {reason}")),
    }
}

fn retry_later(message: &str) -> Answer {
    let mut answer = text(StatusCode::SERVICE_UNAVAILABLE, message);
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}
