//! Prometheus' API: from HTTP to a query thread and back. A client that leaves takes its query with it.

use std::sync::Arc;
use std::time::Instant;

use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, StatusCode};
use query::api::{ApiAnswer, ApiCall, Failure, Params, handle};

use super::answer::{self, Answer};
use super::body::read_body;
use super::identity::tenant_of;
use super::service::Service;
use crate::clock::now_ms;

/// Longest form body: Grafana posts long queries.
const FORM_BYTES_MAX: usize = 10 << 20;

/// Answers `endpoint`, a path below `/api/v1/`.
pub async fn answer(service: &Service, endpoint: String, request: Request<Incoming>) -> Answer {
    let begin = Instant::now();
    let answer = query(service, endpoint, request).await;
    service.latencies.record_query(begin.elapsed());
    answer
}

async fn query(service: &Service, endpoint: String, request: Request<Incoming>) -> Answer {
    let node = &service.node;
    if let Some(reason) = node.query_refusal() {
        return failure(&Failure::unavailable(reason));
    }
    let (head, body) = request.into_parts();
    let tenant = match tenant_of(node.options.identity, &head.headers) {
        Ok(tenant) => tenant,
        Err(refusal) => return *refusal,
    };
    let is_form = head.method == Method::POST
        && head
            .headers
            .get(CONTENT_TYPE)
            .is_none_or(|kind| kind.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
    let form = if is_form {
        match read_body(body, FORM_BYTES_MAX, node.options.http.read_timeout).await {
            Ok(body) => Some(body),
            Err(error) => return failure(&Failure::bad_data(format!("the form cannot be read: {error:?}"))),
        }
    } else {
        None
    };
    let params = match Params::parse(head.uri.query(), form.as_deref()) {
        Ok(params) => params,
        Err(error) => return failure(&Failure::bad_data(error.to_string())),
    };
    let (send, answered) = tokio::sync::oneshot::channel();
    let shared = Arc::clone(node);
    let warnings: Vec<String> = node.staleness_warning().into_iter().collect();
    let ticket = node.queries.submit(move |watch| {
        let call = ApiCall {
            endpoint: &endpoint,
            params: &params,
            tenant: &tenant,
            now_ms: now_ms(),
            watch,
            warnings: &warnings,
        };
        // Nobody waits any more where this fails.
        let _ = send.send(handle(&call, &shared.storage, &shared.api));
    });
    let _ticket = match ticket {
        Ok(ticket) => ticket,
        Err(full) => return failure(&Failure::from(full)),
    };
    match answered.await {
        Ok(answer) => to_http(answer),
        Err(_) => failure(&Failure::execution("the node is stopping")),
    }
}

fn failure(failure: &Failure) -> Answer {
    to_http(failure.clone().into_answer())
}

fn to_http(answer: ApiAnswer) -> Answer {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer::of(status, answer.content_type, answer.body)
}
