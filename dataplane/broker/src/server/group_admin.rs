//! ListGroups, DescribeGroups, DeleteGroups, OffsetDelete: what operators see and remove of consumer groups.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use kafka_protocol::messages::TopicName;
use kafka_protocol::messages::delete_groups_request::DeleteGroupsRequest;
use kafka_protocol::messages::delete_groups_response::{DeletableGroupResult, DeleteGroupsResponse};
use kafka_protocol::messages::describe_groups_request::DescribeGroupsRequest;
use kafka_protocol::messages::describe_groups_response::{
    DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};
use kafka_protocol::messages::list_groups_request::ListGroupsRequest;
use kafka_protocol::messages::list_groups_response::{ListGroupsResponse, ListedGroup};
use kafka_protocol::messages::offset_delete_request::OffsetDeleteRequest;
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::protocol::StrBytes;

use super::api::Context;
use super::connection::{Answer, Reply};
use super::coordinator::{GroupDescription, MemberDescription};
use super::errors;
use crate::error::Refusal;
use crate::log::request::{Change, DeleteOffsets, Read, Request, StoredGroup, TopicRef};

const STATES_SINCE: i16 = 4;
const TYPES_SINCE: i16 = 5;
const INSTANCES_SINCE: i16 = 4;
const NOT_FOUND_SINCE: i16 = 6;
/// The only kind of group that is kept: the one of the group protocol with JoinGroup and SyncGroup.
const CLASSIC: &str = "classic";
const EMPTY: &str = "Empty";
const DEAD: &str = "Dead";

/// Name, protocol type and state of a group.
type Listed = (Arc<str>, Arc<str>, &'static str);

pub(super) async fn begin_list(context: Context, request: ListGroupsRequest) -> Reply {
    Box::pin(async move {
        let Ok(stored) = context.server.handle.ask(|answer| Request::Read(Read::Groups(answer))).await else {
            return Answer::Close;
        };
        let is_in = |filter: &[StrBytes], word: &str| {
            filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(word))
        };
        let is_wanted = |state: &str| is_in(&request.states_filter, state) && is_in(&request.types_filter, CLASSIC);
        let groups = all_groups(stored, context.server.membership.lock().list());
        let groups = groups.values().filter(|(_, _, state)| is_wanted(state)).map(|group| listed(&context, group));
        context.respond(&ListGroupsResponse::default().with_groups(groups.collect()))
    })
}

/// Those that left something behind, and those that have members, by name.
fn all_groups(stored: Vec<StoredGroup>, living: Vec<Listed>) -> BTreeMap<Arc<str>, Listed> {
    let stored = stored.into_iter().map(|group| (group.name, group.protocol_type, EMPTY));
    stored.chain(living).map(|group| (Arc::clone(&group.0), group)).collect()
}

fn listed(context: &Context, (name, protocol_type, state): &Listed) -> ListedGroup {
    let listed = ListedGroup::default()
        .with_group_id(errors::str_bytes(name).into())
        .with_protocol_type(errors::str_bytes(protocol_type));
    let listed =
        if context.version >= STATES_SINCE { listed.with_group_state(errors::str_bytes(state)) } else { listed };
    if context.version >= TYPES_SINCE { listed.with_group_type(errors::str_bytes(CLASSIC)) } else { listed }
}

pub(super) async fn begin_describe(context: Context, request: DescribeGroupsRequest) -> Reply {
    Box::pin(async move {
        let mut groups = Vec::with_capacity(request.groups.len());
        for group in request.groups {
            let name: Arc<str> = errors::text(&group);
            let described = DescribedGroup::default().with_group_id(group);
            let living = context.server.membership.lock().describe(&name);
            if let Some(living) = living {
                groups.push(with_members(&context, described, living));
                continue;
            }
            let Ok(stored) = context.server.handle.ask(|answer| Request::Read(Read::Group(name, answer))).await else {
                return Answer::Close;
            };
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

fn with_members(context: &Context, group: DescribedGroup, living: GroupDescription) -> DescribedGroup {
    let member = |member: MemberDescription| {
        let instance = member.instance.filter(|_| context.version >= INSTANCES_SINCE);
        DescribedGroupMember::default()
            .with_member_id(errors::str_bytes(&member.id))
            .with_group_instance_id(instance.map(|instance| errors::str_bytes(&instance)))
            .with_client_id(errors::str_bytes(&member.client_id))
            .with_client_host(errors::str_bytes(&member.client_host))
            .with_member_metadata(member.metadata)
            .with_member_assignment(member.assignment)
    };
    group
        .with_group_state(errors::str_bytes(living.state))
        .with_protocol_type(errors::str_bytes(&living.protocol_type))
        .with_protocol_data(errors::str_bytes(&living.protocol))
        .with_members(living.members.into_iter().map(member).collect())
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
            let code = match delete(&context, errors::text(&group)).await {
                Ok(code) => code,
                Err(answer) => return answer,
            };
            results.push(DeletableGroupResult::default().with_group_id(group).with_error_code(code));
        }
        context.respond(&DeleteGroupsResponse::default().with_results(results))
    })
}

/// The code, or an end to the connection.
async fn delete(context: &Context, name: Arc<str>) -> Result<i16, Answer> {
    let was_known = match context.server.membership.lock().delete(&name) {
        Ok(was_known) => was_known,
        Err(code) => return Ok(code),
    };
    let asked = context.server.handle.ask(|answer| Request::Change(Change::DeleteGroup(name, answer))).await;
    match asked.and_then(|deleted| deleted) {
        Ok(()) => Ok(errors::NONE),
        // It had members and left nothing behind.
        Err(Refusal::UnknownGroup) if was_known => Ok(errors::NONE),
        Err(Refusal::Stopping) => Err(Answer::Close),
        Err(refusal) => Ok(errors::group_code(refusal)),
    }
}

pub(super) async fn begin_delete_offsets(context: Context, request: OffsetDeleteRequest) -> Reply {
    Box::pin(async move {
        let refused = |code| context.respond(&OffsetDeleteResponse::default().with_error_code(code));
        let checked = context.server.membership.lock().check_offset_delete(&request.group_id);
        if let Err(code) = checked {
            return refused(code);
        }
        let mut partitions = Vec::new();
        let mut subscribed = HashSet::new();
        for topic in &request.topics {
            if context.server.membership.lock().is_subscribed(&request.group_id, &topic.name) {
                subscribed.insert(topic.name.clone());
                continue;
            }
            let topic_ref = TopicRef::Name(errors::text(&topic.name));
            partitions.extend(topic.partitions.iter().map(|it| (topic_ref.clone(), it.partition_index)));
        }
        let wanted = DeleteOffsets { group: errors::text(&request.group_id), partitions };
        let asked = context.server.handle.ask(|answer| Request::Change(Change::DeleteOffsets(wanted, answer))).await;
        match asked.and_then(|deleted| deleted) {
            Ok(outcomes) => respond_to_delete_offsets(&context, request, &subscribed, outcomes),
            // It has members and has committed nothing.
            Err(Refusal::UnknownGroup) if !subscribed.is_empty() => {
                respond_to_delete_offsets(&context, request, &subscribed, Vec::new())
            }
            Err(Refusal::Stopping) => Answer::Close,
            Err(refusal) => refused(errors::group_code(refusal)),
        }
    })
}

fn respond_to_delete_offsets(
    context: &Context,
    request: OffsetDeleteRequest,
    subscribed: &HashSet<TopicName>,
    outcomes: Vec<Result<(), Refusal>>,
) -> Answer {
    let mut outcomes = outcomes.into_iter();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let is_subscribed = subscribed.contains(&topic.name);
        let partitions = topic.partitions.iter().map(|partition| {
            let code = match is_subscribed {
                true => errors::GROUP_SUBSCRIBED_TO_TOPIC,
                false => outcomes.next().map_or(errors::NONE, |it| it.map_or_else(errors::code, |()| errors::NONE)),
            };
            let answer = OffsetDeleteResponsePartition::default().with_partition_index(partition.partition_index);
            answer.with_error_code(code)
        });
        topics.push(
            OffsetDeleteResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions.collect()),
        );
    }
    context.respond(&OffsetDeleteResponse::default().with_topics(topics))
}
