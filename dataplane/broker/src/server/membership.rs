//! JoinGroup, SyncGroup, Heartbeat, LeaveGroup: the network's side of the coordinator, and the only place that gives it the time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use kafka_protocol::messages::heartbeat_request::HeartbeatRequest;
use kafka_protocol::messages::heartbeat_response::HeartbeatResponse;
use kafka_protocol::messages::join_group_request::JoinGroupRequest;
use kafka_protocol::messages::join_group_response::{JoinGroupResponse, JoinGroupResponseMember};
use kafka_protocol::messages::leave_group_request::LeaveGroupRequest;
use kafka_protocol::messages::leave_group_response::{LeaveGroupResponse, MemberResponse};
use kafka_protocol::messages::sync_group_request::SyncGroupRequest;
use kafka_protocol::messages::sync_group_response::SyncGroupResponse;
use kafka_protocol::protocol::StrBytes;
use tokio::sync::oneshot;

use super::api::Context;
use super::connection::{Answer, Reply};
use super::coordinator::{Coordinator, FirstId, Join, Joined, MemberRef, NowMs, Sync, Synced};
use super::errors;
use super::groups::group_refusal;
use crate::log::request::{Change, Read, Request, StoredGroup};

const IDS_TOLD_SINCE: i16 = 4;
const INSTANCES_SINCE: i16 = 5;
const PROTOCOL_TYPES_SINCE: i16 = 7;
const SYNC_PROTOCOLS_SINCE: i16 = 5;
const LEAVE_MANY_SINCE: i16 = 3;

/// The coordinator, shared by all connections: each question is a few map operations, so nobody waits long for it.
pub(super) struct Membership {
    coordinator: Mutex<Coordinator>,
    start: Instant,
}

impl Default for Membership {
    fn default() -> Self {
        Self { coordinator: Mutex::default(), start: Instant::now() }
    }
}

impl Membership {
    pub fn lock(&self) -> MutexGuard<'_, Coordinator> {
        // A panic under the lock ends the process.
        self.coordinator.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn now(&self) -> NowMs {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(NowMs::MAX)
    }

    pub fn expire(&self) {
        self.lock().expire(self.now());
    }
}

/// A copy of its own: the request's bytes are not held for what is a small part of them.
fn text(text: &StrBytes) -> Arc<str> {
    errors::text(text)
}

fn owned(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

pub(super) fn member_ref(id: &StrBytes, instance: Option<&StrBytes>) -> MemberRef {
    MemberRef { id: text(id), instance: instance.map(text) }
}

pub(super) async fn begin_join(context: Context, request: JoinGroupRequest) -> Reply {
    let group = text(&request.group_id);
    if let Some(code) = group_refusal(&request.group_id) {
        let refused = Joined { code, generation: -1, member_id: text(&request.member_id), ..Joined::default() };
        return context.respond_now(&join_response(&context, &refused));
    }
    let membership = &context.server.membership;
    let is_known = membership.lock().knows(&group);
    if !is_known {
        let name = Arc::clone(&group);
        let stored = context.server.handle.ask(|answer| Request::Read(Read::Group(name, answer))).await;
        if let Ok(Some(stored)) = stored {
            membership.lock().adopt(&stored);
        }
    }
    let (answer, answered) = oneshot::channel();
    membership.lock().join(&group, join(&context, &request), membership.now(), answer);
    wait(context, answered, |context, joined| context.respond(&join_response(context, &joined)))
}

/// Waits for the others, or for the broker's end.
fn wait<T: Send + 'static>(
    context: Context,
    answered: oneshot::Receiver<T>,
    respond: impl FnOnce(&Context, T) -> Answer + Send + 'static,
) -> Reply {
    Box::pin(async move {
        let mut stopping = context.server.handle.stopping();
        tokio::select! {
            answer = answered => answer.map_or(Answer::Close, |answer| respond(&context, answer)),
            _ = stopping.wait_for(|is_stopping| *is_stopping) => Answer::Close,
        }
    })
}

fn join(context: &Context, request: &JoinGroupRequest) -> Join {
    Join {
        member: member_ref(&request.member_id, request.group_instance_id.as_ref()),
        client_id: text(&context.client_id),
        client_host: format!("/{}", context.peer.ip()).into(),
        session_ms: request.session_timeout_ms,
        rebalance_ms: request.rebalance_timeout_ms,
        protocol_type: text(&request.protocol_type),
        protocols: request.protocols.iter().map(|it| (text(&it.name), owned(&it.metadata))).collect(),
        first_id: if context.version >= IDS_TOLD_SINCE { FirstId::Told } else { FirstId::Joins },
    }
}

fn join_response(context: &Context, joined: &Joined) -> JoinGroupResponse {
    let member = |(id, instance, metadata): &(Arc<str>, Option<Arc<str>>, Bytes)| {
        let member = JoinGroupResponseMember::default().with_member_id(errors::str_bytes(id));
        let member = member.with_metadata(metadata.clone());
        let instance = instance.as_ref().filter(|_| context.version >= INSTANCES_SINCE);
        member.with_group_instance_id(instance.map(|instance| errors::str_bytes(instance)))
    };
    let protocol = joined.protocol.as_ref().map(|protocol| errors::str_bytes(protocol));
    // Older clients know no null.
    let is_nullable = context.version >= PROTOCOL_TYPES_SINCE;
    let response = JoinGroupResponse::default()
        .with_error_code(joined.code)
        .with_generation_id(joined.generation)
        .with_protocol_name(if is_nullable { protocol } else { Some(protocol.unwrap_or_default()) })
        .with_leader(errors::str_bytes(&joined.leader))
        .with_member_id(errors::str_bytes(&joined.member_id))
        .with_members(joined.members.iter().map(member).collect());
    let protocol_type = joined.protocol_type.as_ref().filter(|_| is_nullable);
    response.with_protocol_type(protocol_type.map(|protocol_type| errors::str_bytes(protocol_type)))
}

pub(super) async fn begin_sync(context: Context, request: SyncGroupRequest) -> Reply {
    let sync = Sync {
        member: member_ref(&request.member_id, request.group_instance_id.as_ref()),
        generation: request.generation_id,
        protocol_type: request.protocol_type.as_ref().map(text),
        protocol: request.protocol_name.as_ref().map(text),
        assignments: request.assignments.iter().map(|it| (text(&it.member_id), owned(&it.assignment))).collect(),
    };
    let (answer, answered) = oneshot::channel();
    let membership = &context.server.membership;
    let stored = membership.lock().sync(&text(&request.group_id), sync, membership.now(), answer);
    if let Some(stored) = stored {
        keep(&context, stored).await;
    }
    wait(context, answered, |context, synced| context.respond(&sync_response(context, synced)))
}

/// Nobody waits for it: a group whose generation was not kept begins again with an older one, and member ids never come twice.
async fn keep(context: &Context, stored: StoredGroup) {
    let (answer, _) = oneshot::channel();
    let _ = context.server.handle.send(Request::Change(Change::SaveGroup(stored, answer))).await;
}

fn sync_response(context: &Context, synced: Synced) -> SyncGroupResponse {
    let response = SyncGroupResponse::default().with_error_code(synced.code).with_assignment(synced.assignment);
    if context.version < SYNC_PROTOCOLS_SINCE {
        return response;
    }
    let words = |word: Option<Arc<str>>| word.map(|word| errors::str_bytes(&word));
    response.with_protocol_type(words(synced.protocol_type)).with_protocol_name(words(synced.protocol))
}

pub(super) fn heartbeat(context: &Context, request: &HeartbeatRequest) -> Reply {
    let code = group_refusal(&request.group_id).unwrap_or_else(|| {
        let member = member_ref(&request.member_id, request.group_instance_id.as_ref());
        let membership = &context.server.membership;
        membership.lock().heartbeat(&request.group_id, &member, request.generation_id, membership.now())
    });
    context.respond_now(&HeartbeatResponse::default().with_error_code(code))
}

pub(super) fn leave(context: &Context, request: &LeaveGroupRequest) -> Reply {
    let membership = &context.server.membership;
    let go = |member: &MemberRef| membership.lock().leave(&request.group_id, member, membership.now());
    let response = LeaveGroupResponse::default();
    if let Some(code) = group_refusal(&request.group_id) {
        return context.respond_now(&response.with_error_code(code));
    }
    if context.version < LEAVE_MANY_SINCE {
        let code = go(&member_ref(&request.member_id, None));
        return context.respond_now(&response.with_error_code(code));
    }
    let left = |identity: &kafka_protocol::messages::leave_group_request::MemberIdentity| {
        let code = go(&member_ref(&identity.member_id, identity.group_instance_id.as_ref()));
        MemberResponse::default()
            .with_member_id(identity.member_id.clone())
            .with_group_instance_id(identity.group_instance_id.clone())
            .with_error_code(code)
    };
    context.respond_now(&response.with_members(request.members.iter().map(left).collect()))
}
