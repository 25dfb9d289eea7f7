//! ListGroups, DescribeGroups, DeleteGroups, OffsetDelete: what operators see and remove of consumer groups.

use std::sync::Arc;

use kafka_protocol::messages::delete_groups_request::DeleteGroupsRequest;
use kafka_protocol::messages::delete_groups_response::{DeletableGroupResult, DeleteGroupsResponse};
use kafka_protocol::messages::describe_groups_request::DescribeGroupsRequest;
use kafka_protocol::messages::describe_groups_response::{DescribeGroupsResponse, DescribedGroup};
use kafka_protocol::messages::list_groups_request::ListGroupsRequest;
use kafka_protocol::messages::list_groups_response::{ListGroupsResponse, ListedGroup};
use kafka_protocol::messages::offset_delete_request::OffsetDeleteRequest;
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::protocol::StrBytes;

use super::api::Context;
use super::connection::{Answer, Reply};
use super::errors;
use crate::error::Refusal;
use crate::log::request::{Change, DeleteOffsets, Read, Request, StoredGroup, TopicRef};

const STATES_SINCE: i16 = 4;
const TYPES_SINCE: i16 = 5;
const NOT_FOUND_SINCE: i16 = 6;
/// The only kind of group that is kept: the one of the group protocol with JoinGroup and SyncGroup.
const CLASSIC: &str = "classic";
const EMPTY: &str = "Empty";
const DEAD: &str = "Dead";

pub(super) async fn begin_list(context: Context, request: ListGroupsRequest) -> Reply {
    Box::pin(async move {
        let Ok(stored) = context.server.handle.ask(|answer| Request::Read(Read::Groups(answer))).await else {
            return Answer::Close;
        };
        let is_in = |filter: &[StrBytes], word: &str| {
            filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(word))
        };
        let is_wanted = |state: &str| is_in(&request.states_filter, state) && is_in(&request.types_filter, CLASSIC);
        let groups = stored.iter().filter(|_| is_wanted(EMPTY)).map(|group| listed(&context, group, EMPTY));
        context.respond(&ListGroupsResponse::default().with_groups(groups.collect()))
    })
}

fn listed(context: &Context, group: &StoredGroup, state: &str) -> ListedGroup {
    let listed = ListedGroup::default()
        .with_group_id(errors::str_bytes(&group.name).into())
        .with_protocol_type(errors::str_bytes(&group.protocol_type));
    let listed =
        if context.version >= STATES_SINCE { listed.with_group_state(errors::str_bytes(state)) } else { listed };
    if context.version >= TYPES_SINCE { listed.with_group_type(errors::str_bytes(CLASSIC)) } else { listed }
}

pub(super) async fn begin_describe(context: Context, request: DescribeGroupsRequest) -> Reply {
    Box::pin(async move {
        let mut groups = Vec::with_capacity(request.groups.len());
        for group in request.groups {
            let name: Arc<str> = errors::text(&group);
            let Ok(stored) = context.server.handle.ask(|answer| Request::Read(Read::Group(name, answer))).await else {
                return Answer::Close;
            };
            let described = DescribedGroup::default().with_group_id(group);
            groups.push(match stored {
                Some(stored) => described
                    .with_group_state(errors::str_bytes(EMPTY))
                    .with_protocol_type(errors::str_bytes(&stored.protocol_type)),
                None => unknown(&context, described),
            });
        }
        context.respond(&DescribeGroupsResponse::default().with_groups(groups))
    })
}

/// Older clients are told of a group that is gone, newer ones of none.
fn unknown(context: &Context, group: DescribedGroup) -> DescribedGroup {
    let group = group.with_group_state(errors::str_bytes(DEAD));
    if context.version < NOT_FOUND_SINCE {
        return group;
    }
    let sentence = errors::str_bytes(&format!("Group {} not found.", group.group_id.as_str()));
    group.with_error_code(errors::GROUP_ID_NOT_FOUND).with_error_message(Some(sentence))
}

pub(super) async fn begin_delete(context: Context, request: DeleteGroupsRequest) -> Reply {
    Box::pin(async move {
        let mut results = Vec::with_capacity(request.groups_names.len());
        for group in request.groups_names {
            let name = errors::text(&group);
            let asked = context.server.handle.ask(|answer| Request::Change(Change::DeleteGroup(name, answer))).await;
            let code = match asked.and_then(|deleted| deleted) {
                Ok(()) => errors::NONE,
                Err(Refusal::Stopping) => return Answer::Close,
                Err(refusal) => errors::group_code(refusal),
            };
            results.push(DeletableGroupResult::default().with_group_id(group).with_error_code(code));
        }
        context.respond(&DeleteGroupsResponse::default().with_results(results))
    })
}

pub(super) async fn begin_delete_offsets(context: Context, request: OffsetDeleteRequest) -> Reply {
    Box::pin(async move {
        let mut partitions = Vec::new();
        for topic in &request.topics {
            let topic_ref = TopicRef::Name(errors::text(&topic.name));
            partitions.extend(topic.partitions.iter().map(|it| (topic_ref.clone(), it.partition_index)));
        }
        let wanted = DeleteOffsets { group: errors::text(&request.group_id), partitions };
        let asked = context.server.handle.ask(|answer| Request::Change(Change::DeleteOffsets(wanted, answer))).await;
        match asked.and_then(|deleted| deleted) {
            Ok(outcomes) => respond_to_delete_offsets(&context, request, outcomes),
            Err(Refusal::Stopping) => Answer::Close,
            Err(refusal) => {
                let code = errors::group_code(refusal);
                context.respond(&OffsetDeleteResponse::default().with_error_code(code))
            }
        }
    })
}

fn respond_to_delete_offsets(
    context: &Context,
    request: OffsetDeleteRequest,
    outcomes: Vec<Result<(), Refusal>>,
) -> Answer {
    let mut outcomes = outcomes.into_iter();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let partitions = topic.partitions.iter().zip(outcomes.by_ref()).map(|(partition, outcome)| {
            let code = outcome.map_or_else(errors::code, |()| errors::NONE);
            let answer = OffsetDeleteResponsePartition::default().with_partition_index(partition.partition_index);
            answer.with_error_code(code)
        });
        topics.push(
            OffsetDeleteResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions.collect()),
        );
    }
    context.respond(&OffsetDeleteResponse::default().with_topics(topics))
}
