//! Offsets of consumer groups. A group without members is anybody's who knows its name; one with members takes commits from them only.

use kafka_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use kafka_protocol::messages::find_coordinator_response::{Coordinator, FindCoordinatorResponse};
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequest, OffsetCommitRequestPartition};
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequest;
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{BrokerId, GroupId, TopicName};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::oneshot;

use super::api::{Context, ready};
use super::connection::{Answer, Reply};
use super::membership::member_ref;
use super::metadata::host_and_port;
use super::{NODE_ID, errors};
use crate::error::Refusal;
use crate::limits::{COMMIT_METADATA_BYTES_MAX, GROUP_NAME_BYTES_MAX};
use crate::log::request::{
    Change, CommitOffset, CommitRequest, Committed, CommittedQuery, CommittedTopic, Read, Request, TopicRef,
};

const GROUP_KEY: i8 = 0;
const BATCHED_COORDINATORS_SINCE: i16 = 4;
const BATCHED_GROUPS_SINCE: i16 = 8;
const NO_OFFSET: i64 = -1;
const NO_EPOCH: i32 = -1;

/// There is one node, and it coordinates every group. It coordinates nothing else.
pub(super) fn find_coordinator(context: &Context, request: FindCoordinatorRequest) -> Reply {
    let is_group = request.key_type == GROUP_KEY;
    let code = if is_group { errors::NONE } else { errors::COORDINATOR_NOT_AVAILABLE };
    let (host, port) = if is_group { host_and_port(context.local) } else { (StrBytes::default(), -1) };
    let node = BrokerId(if is_group { NODE_ID } else { -1 });
    let response = FindCoordinatorResponse::default();
    if context.version < BATCHED_COORDINATORS_SINCE {
        return context.respond_now(&response.with_error_code(code).with_node_id(node).with_host(host).with_port(port));
    }
    let coordinator = |key: StrBytes| {
        let found = Coordinator::default().with_key(key).with_node_id(node).with_host(host.clone());
        found.with_port(port).with_error_code(code)
    };
    context.respond_now(&response.with_coordinators(request.coordinator_keys.into_iter().map(coordinator).collect()))
}

/// The partitions of a topic, each with its code, or none where the log decides.
type Slots = Vec<(i32, Option<i16>)>;

pub(super) async fn begin_commit(context: Context, request: OffsetCommitRequest) -> Reply {
    let refusal = group_refusal(&request.group_id).or_else(|| membership_refusal(&context, &request));
    let mut offsets = Vec::new();
    let mut outline = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let topic_ref = TopicRef::Name(errors::text(&topic.name));
        let mut slots = Slots::with_capacity(topic.partitions.len());
        for partition in &topic.partitions {
            let code = refusal.or_else(|| metadata_refusal(partition));
            slots.push((partition.partition_index, code));
            if code.is_none() {
                offsets.push(commit_offset(topic_ref.clone(), partition));
            }
        }
        outline.push((topic.name, slots));
    }
    let (answer, answered) = oneshot::channel();
    let commit = CommitRequest { group: errors::text(&request.group_id), offsets, answer };
    if context.server.handle.send(Request::Change(Change::Commit(commit))).await.is_err() {
        return ready(Answer::Close);
    }
    Box::pin(
        async move { answered.await.map_or(Answer::Close, |outcomes| respond_to_commit(&context, outline, outcomes)) },
    )
}

pub(super) fn group_refusal(group: &GroupId) -> Option<i16> {
    (group.is_empty() || group.len() > GROUP_NAME_BYTES_MAX).then_some(errors::INVALID_GROUP_ID)
}

fn membership_refusal(context: &Context, request: &OffsetCommitRequest) -> Option<i16> {
    let member = member_ref(&request.member_id, request.group_instance_id.as_ref());
    let membership = &context.server.membership;
    let generation = request.generation_id_or_member_epoch;
    membership.lock().check_commit(&request.group_id, &member, generation, membership.now()).err()
}

fn metadata_refusal(partition: &OffsetCommitRequestPartition) -> Option<i16> {
    let len = partition.committed_metadata.as_ref().map_or(0, |metadata| metadata.len());
    (len > COMMIT_METADATA_BYTES_MAX).then_some(errors::OFFSET_METADATA_TOO_LARGE)
}

fn commit_offset(topic: TopicRef, partition: &OffsetCommitRequestPartition) -> CommitOffset {
    let committed = Committed {
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch,
        metadata: partition.committed_metadata.as_ref().map_or_else(|| "".into(), errors::text),
    };
    CommitOffset { topic, partition: partition.partition_index, committed }
}

fn respond_to_commit(
    context: &Context,
    outline: Vec<(TopicName, Slots)>,
    outcomes: Vec<Result<(), Refusal>>,
) -> Answer {
    let mut outcomes = outcomes.into_iter();
    let mut topics = Vec::with_capacity(outline.len());
    for (name, slots) in outline {
        let mut partitions = Vec::with_capacity(slots.len());
        for (index, refused) in slots {
            let code = match refused {
                Some(code) => code,
                None => match outcomes.next() {
                    Some(outcome) => outcome.map_or_else(errors::group_code, |()| errors::NONE),
                    None => return Answer::Close,
                },
            };
            partitions.push(OffsetCommitResponsePartition::default().with_partition_index(index).with_error_code(code));
        }
        topics.push(OffsetCommitResponseTopic::default().with_name(name).with_partitions(partitions));
    }
    context.respond(&OffsetCommitResponse::default().with_topics(topics))
}

pub(super) async fn begin_fetch(context: Context, request: OffsetFetchRequest) -> Reply {
    let is_batched = context.version >= BATCHED_GROUPS_SINCE;
    let names = |name: &TopicName, partitions: &[i32]| (errors::text(name), partitions.to_vec());
    let queries: Vec<(GroupId, CommittedQuery)> = if is_batched {
        let query = |group: kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup| {
            let topics = group.topics.as_ref();
            let topics = topics.map(|all| all.iter().map(|it| names(&it.name, &it.partition_indexes)).collect());
            let query = CommittedQuery { group: errors::text(&group.group_id), topics };
            (group.group_id, query)
        };
        request.groups.into_iter().map(query).collect()
    } else {
        let topics = request.topics.as_ref();
        let topics = topics.map(|all| all.iter().map(|it| names(&it.name, &it.partition_indexes)).collect());
        let query = CommittedQuery { group: errors::text(&request.group_id), topics };
        vec![(request.group_id, query)]
    };
    let (groups, queries): (Vec<GroupId>, Vec<CommittedQuery>) = queries.into_iter().unzip();
    let (answer, answered) = oneshot::channel();
    if context.server.handle.send(Request::Read(Read::Committed(queries, answer))).await.is_err() {
        return ready(Answer::Close);
    }
    Box::pin(async move {
        match answered.await {
            Ok(found) if is_batched => respond_batched(&context, groups, found),
            Ok(found) => respond_single(&context, found),
            Err(_) => Answer::Close,
        }
    })
}

fn respond_batched(context: &Context, groups: Vec<GroupId>, found: Vec<Vec<CommittedTopic>>) -> Answer {
    let groups = groups.into_iter().zip(found).map(|(group, topics)| {
        let topics = topics.into_iter().map(|topic| {
            let partitions = topic.partitions.into_iter().map(|(index, committed)| {
                let (offset, epoch, metadata) = fields(committed);
                OffsetFetchResponsePartitions::default()
                    .with_partition_index(index)
                    .with_committed_offset(offset)
                    .with_committed_leader_epoch(epoch)
                    .with_metadata(Some(metadata))
            });
            OffsetFetchResponseTopics::default()
                .with_name(TopicName(errors::str_bytes(&topic.name)))
                .with_partitions(partitions.collect())
        });
        OffsetFetchResponseGroup::default().with_group_id(group).with_topics(topics.collect())
    });
    context.respond(&OffsetFetchResponse::default().with_groups(groups.collect()))
}

fn respond_single(context: &Context, found: Vec<Vec<CommittedTopic>>) -> Answer {
    let topics = found.into_iter().flatten().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|(index, committed)| {
            let (offset, epoch, metadata) = fields(committed);
            let partition = OffsetFetchResponsePartition::default().with_partition_index(index);
            let partition = partition.with_committed_offset(offset).with_metadata(Some(metadata));
            if context.version >= 5 { partition.with_committed_leader_epoch(epoch) } else { partition }
        });
        OffsetFetchResponseTopic::default()
            .with_name(TopicName(errors::str_bytes(&topic.name)))
            .with_partitions(partitions.collect())
    });
    context.respond(&OffsetFetchResponse::default().with_topics(topics.collect()))
}

fn fields(committed: Option<Committed>) -> (i64, i32, StrBytes) {
    committed.map_or((NO_OFFSET, NO_EPOCH, StrBytes::default()), |committed| {
        (committed.offset, committed.leader_epoch, errors::str_bytes(&committed.metadata))
    })
}
