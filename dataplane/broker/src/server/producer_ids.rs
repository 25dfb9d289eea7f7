//! InitProducerId: an id for an idempotent producer. There are no transactions.

use kafka_protocol::messages::ProducerId;
use kafka_protocol::messages::init_producer_id_request::InitProducerIdRequest;
use kafka_protocol::messages::init_producer_id_response::InitProducerIdResponse;
use tokio::sync::oneshot;

use super::api::{Context, ready};
use super::connection::{Answer, Reply};
use super::errors;
use crate::log::request::{Change, Request};

const NO_PRODUCER_ID: i64 = -1;
const NO_EPOCH: i16 = -1;

pub(super) async fn begin(context: Context, request: InitProducerIdRequest) -> Reply {
    if let Some(code) = refusal(&request) {
        return context.respond_now(&refused(code));
    }
    let (answer, answered) = oneshot::channel();
    if context.server.handle.send(Request::Change(Change::NewProducerId(answer))).await.is_err() {
        return ready(Answer::Close);
    }
    Box::pin(async move {
        let response = match answered.await {
            // Whatever id it had: a new one never continues a sequence that somebody knows.
            Ok(Ok(id)) => InitProducerIdResponse::default().with_producer_id(ProducerId(id)).with_producer_epoch(0),
            Ok(Err(refusal)) => refused(errors::group_code(refusal)),
            Err(_) => return Answer::Close,
        };
        context.respond(&response)
    })
}

fn refusal(request: &InitProducerIdRequest) -> Option<i16> {
    if let Some(id) = &request.transactional_id {
        let code = errors::TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
        return Some(if id.is_empty() { errors::INVALID_REQUEST } else { code });
    }
    let (has_id, has_epoch) = (request.producer_id.0 != NO_PRODUCER_ID, request.producer_epoch != NO_EPOCH);
    (has_id != has_epoch).then_some(errors::INVALID_REQUEST)
}

fn refused(code: i16) -> InitProducerIdResponse {
    let response = InitProducerIdResponse::default().with_error_code(code);
    response.with_producer_id(ProducerId(NO_PRODUCER_ID)).with_producer_epoch(NO_EPOCH)
}
