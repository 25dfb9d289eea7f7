//! Groups with members, by the classic group protocol: join, sync, heartbeat, leave, and commits that only members may make.

use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::*;

use crate::broker::Broker;
use crate::groups::{commit, find_coordinator};
use crate::wire::{Wire, name, text};

fn id(group: &str) -> GroupId {
    GroupId(text(group))
}

/// What a consumer says that subscribes to one topic.
fn subscription(topic: &str) -> Bytes {
    let len = (topic.len() as i16).to_be_bytes();
    [&b"\0\x01\0\0\0\x01"[..], &len, topic.as_bytes(), b"\xff\xff\xff\xff\0\0\0\0"].concat().into()
}

fn join_request(group: &str, member: &str, topic: &str) -> JoinGroupRequest {
    let protocol =
        |name: &str| JoinGroupRequestProtocol::default().with_name(text(name)).with_metadata(subscription(topic));
    JoinGroupRequest::default()
        .with_group_id(id(group))
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(20_000)
        .with_member_id(text(member))
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol("range"), protocol("roundrobin")])
}

/// Joins as a new member, with the id that newer brokers tell first.
fn join(wire: &mut Wire, version: i16, group: &str, topic: &str) -> JoinGroupResponse {
    let first = wire.call(version, &join_request(group, "", topic));
    if version < 4 {
        return first;
    }
    assert_eq!((first.error_code, first.generation_id), (79, -1), "version {version}");
    wire.call(version, &join_request(group, &first.member_id, topic))
}

fn sync_request(group: &str, member: &str, generation: i32, assignments: &[(&str, &'static str)]) -> SyncGroupRequest {
    let assignment = |(member, bytes): &(&str, &'static str)| {
        let assignment = SyncGroupRequestAssignment::default().with_member_id(text(member));
        assignment.with_assignment(Bytes::from_static(bytes.as_bytes()))
    };
    SyncGroupRequest::default()
        .with_group_id(id(group))
        .with_generation_id(generation)
        .with_member_id(text(member))
        .with_assignments(assignments.iter().map(assignment).collect())
}

fn heartbeat(wire: &mut Wire, version: i16, group: &str, member: &str, generation: i32) -> i16 {
    let request = HeartbeatRequest::default().with_group_id(id(group)).with_generation_id(generation);
    wire.call(version, &request.with_member_id(text(member))).error_code
}

fn leave(wire: &mut Wire, version: i16, group: &str, member: &str) -> i16 {
    let request = LeaveGroupRequest::default().with_group_id(id(group));
    if version < 3 {
        return wire.call(version, &request.with_member_id(text(member))).error_code;
    }
    let response =
        wire.call(version, &request.with_members(vec![MemberIdentity::default().with_member_id(text(member))]));
    assert_eq!(response.error_code, 0);
    response.members[0].error_code
}

fn commit_as(wire: &mut Wire, group: &str, member: &str, generation: i32, topic: &str) -> i16 {
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(3).with_committed_metadata(None);
    let topic = OffsetCommitRequestTopic::default().with_name(name(topic)).with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default()
        .with_group_id(id(group))
        .with_member_id(text(member))
        .with_generation_id_or_member_epoch(generation)
        .with_topics(vec![topic]);
    wire.call(8, &request).topics[0].partitions[0].error_code
}

/// State, protocol type, protocol, and each member's id, metadata and assignment.
fn described(wire: &mut Wire, group: &str) -> (String, String, String, Vec<(String, Bytes, Bytes)>) {
    let response = wire.call(4, &DescribeGroupsRequest::default().with_groups(vec![id(group)]));
    let found = &response.groups[0];
    let member = |it: &describe_groups_response::DescribedGroupMember| {
        assert_eq!((it.client_id.as_str(), it.client_host.as_str()), ("suite", "/127.0.0.1"));
        (it.member_id.to_string(), it.member_metadata.clone(), it.member_assignment.clone())
    };
    let words = (found.group_state.to_string(), found.protocol_type.to_string(), found.protocol_data.to_string());
    (words.0, words.1, words.2, found.members.iter().map(member).collect())
}

fn delete(wire: &mut Wire, group: &str) -> i16 {
    wire.call(1, &DeleteGroupsRequest::default().with_groups_names(vec![id(group)])).results[0].error_code
}

#[test]
fn a_member_lives_through_its_group_in_every_version() {
    let broker = Broker::start();
    let topic = broker.topic_name("member");
    let mut wire = Wire::connect(&broker);
    wire.create_topic(&topic, 1);
    let (syncs, heartbeats, leaves) = (
        wire.versions::<SyncGroupRequest>(),
        wire.versions::<HeartbeatRequest>(),
        wire.versions::<LeaveGroupRequest>(),
    );
    for version in wire.versions::<JoinGroupRequest>() {
        let group = format!("group-{version}-{topic}");
        find_coordinator(&mut wire, 3, &group);
        let joined = join(&mut wire, version, &group, &topic);
        assert_eq!((joined.error_code, joined.generation_id), (0, 1), "version {version}");
        let (member, protocol) = (joined.member_id.to_string(), joined.protocol_name.as_deref().map(str::to_owned));
        assert_eq!((joined.leader.as_str(), protocol.as_deref()), (member.as_str(), Some("range")));
        assert!(member.starts_with("suite-"), "{member}");
        assert_eq!((joined.members.len(), &joined.members[0].metadata), (1, &subscription(&topic)));
        assert_eq!(joined.protocol_type.as_deref(), if version >= 7 { Some("consumer") } else { None });
        assert_eq!(described(&mut wire, &group).0, "CompletingRebalance");
        assert_eq!(commit_as(&mut wire, &group, &member, 1, &topic), 27);

        let sync = version.min(*syncs.end());
        let request = sync_request(&group, &member, 1, &[(&member, "mine")]);
        let request = match sync {
            5.. => request.with_protocol_type(Some(text("consumer"))).with_protocol_name(Some(text("range"))),
            _ => request,
        };
        let synced = wire.call(sync, &request);
        assert_eq!((synced.error_code, synced.assignment), (0, Bytes::from_static(b"mine")), "version {sync}");
        let expected = vec![(member.clone(), subscription(&topic), Bytes::from_static(b"mine"))];
        let found = described(&mut wire, &group);
        assert_eq!(found, ("Stable".to_owned(), "consumer".to_owned(), "range".to_owned(), expected));

        let beat = version.min(*heartbeats.end());
        for (who, generation, code) in [(member.as_str(), 1, 0), (&member, 2, 22), (&member, 0, 22), ("nobody", 1, 25)]
        {
            assert_eq!(heartbeat(&mut wire, beat, &group, who, generation), code, "{who} {generation}");
            assert_eq!(commit_as(&mut wire, &group, who, generation, &topic), code, "{who} {generation}");
        }
        assert_eq!(commit_as(&mut wire, &group, "", -1, &topic), 25, "nobody's commit");
        assert_eq!(delete(&mut wire, &group), 68);
        assert_eq!(delete_offset(&mut wire, &group, &topic), (0, 86));
        let bye = version.min(*leaves.end());
        assert_eq!(leave(&mut wire, bye, &group, "nobody"), 25);
        assert_eq!(leave(&mut wire, bye, &group, &member), 0, "version {bye}");
        let gone = ("Empty".to_owned(), "consumer".to_owned(), String::new(), vec![]);
        assert_eq!(described(&mut wire, &group), gone);
        assert_eq!(heartbeat(&mut wire, beat, &group, &member, 1), 25);
        assert_eq!(commit(&mut wire, 8, &group, &topic, 0, 9, ""), 0, "anybody's again");
        assert_eq!(delete_offset(&mut wire, &group, &topic), (0, 0));
        keep_when_empty(&mut wire, &group, &topic);
        assert_eq!(delete(&mut wire, &group), 0);
    }
}

/// Kafka 3.9 forgets a group that has neither members nor offsets: with an offset it is there in every release.
fn keep_when_empty(wire: &mut Wire, group: &str, topic: &str) {
    assert_eq!(commit(wire, 8, group, topic, 0, 9, ""), 0);
}

fn delete_offset(wire: &mut Wire, group: &str, topic: &str) -> (i16, i16) {
    let partition = OffsetDeleteRequestPartition::default();
    let topic = OffsetDeleteRequestTopic::default().with_name(name(topic)).with_partitions(vec![partition]);
    let response = wire.call(0, &OffsetDeleteRequest::default().with_group_id(id(group)).with_topics(vec![topic]));
    (response.error_code, response.topics[0].partitions[0].error_code)
}

#[test]
fn members_share_a_group_over_rounds() {
    let broker = Broker::start();
    let topic = broker.topic_name("rounds");
    let group = format!("group-{topic}");
    let (mut first, mut second) = (Wire::connect(&broker), Wire::connect(&broker));
    find_coordinator(&mut first, 3, &group);
    let leader = join(&mut first, 5, &group, &topic).member_id.to_string();
    first.call(3, &sync_request(&group, &leader, 1, &[(&leader, "all")]));
    // The second one waits until the first one joins again.
    let told = second.call(5, &join_request(&group, "", &topic)).member_id.to_string();
    second.send(5, &join_request(&group, &told, &topic));
    wait_for_heartbeat(&mut first, &group, &leader, 1, 27);
    let again = first.call(5, &join_request(&group, &leader, &topic));
    let other = second.receive::<JoinGroupRequest>(5);
    assert_eq!((again.generation_id, other.generation_id), (2, 2));
    assert_eq!((again.members.len(), other.members.len()), (2, 0));
    assert_eq!((again.leader.as_str(), other.leader.as_str(), other.member_id.as_str()), (&*leader, &*leader, &*told));
    second.send(3, &sync_request(&group, &told, 2, &[]));
    let assignments = [(leader.as_str(), "left"), (told.as_str(), "right")];
    assert_eq!(first.call(3, &sync_request(&group, &leader, 2, &assignments)).assignment, "left");
    assert_eq!(second.receive::<SyncGroupRequest>(3).assignment, "right");
    // An old generation, a follower that joins as it was, and the end of one of them.
    assert_eq!(first.call(3, &sync_request(&group, &leader, 1, &[])).error_code, 22);
    let same = second.call(5, &join_request(&group, &told, &topic));
    assert_eq!((same.error_code, same.generation_id), (0, 2));
    assert_eq!(second.call(3, &sync_request(&group, &told, 2, &[])).assignment, "right");
    assert_eq!(leave(&mut second, 3, &group, &told), 0);
    wait_for_heartbeat(&mut first, &group, &leader, 2, 27);
    assert_eq!(first.call(5, &join_request(&group, &leader, &topic)).generation_id, 3);
    assert_eq!(leave(&mut first, 3, &group, &leader), 0);
}

fn wait_for_heartbeat(wire: &mut Wire, group: &str, member: &str, generation: i32, expected: i16) {
    for _ in 0..200 {
        if heartbeat(wire, 3, group, member, generation) == expected {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("no heartbeat is answered with {expected}");
}

#[test]
fn a_silent_member_is_let_go() {
    let broker = Broker::start();
    let topic = broker.topic_name("silent");
    let group = format!("group-{topic}");
    let mut wire = Wire::connect(&broker);
    wire.create_topic(&topic, 1);
    find_coordinator(&mut wire, 3, &group);
    keep_when_empty(&mut wire, &group, &topic);
    let request = join_request(&group, "", &topic).with_session_timeout_ms(6_000);
    let joined = wire.call(3, &request);
    wire.call(1, &sync_request(&group, &joined.member_id, 1, &[]));
    for _ in 0..200 {
        if described(&mut wire, &group).0 == "Empty" {
            assert_eq!(heartbeat(&mut wire, 1, &group, &joined.member_id, 1), 25);
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("it stays: {:?}", described(&mut wire, &group));
}

#[test]
fn impossible_members_are_refused() {
    let broker = Broker::start();
    let topic = broker.topic_name("strangers");
    let group = format!("group-{topic}");
    let mut wire = Wire::connect(&broker);
    find_coordinator(&mut wire, 3, &group);
    let good = || join_request(&group, "", &topic);
    for (what, request, expected) in [
        ("a short session", good().with_session_timeout_ms(5_999), 26),
        ("a long session", good().with_session_timeout_ms(1_800_001), 26),
        ("no protocol type", good().with_protocol_type(text("")), 23),
        ("no protocols", good().with_protocols(Vec::new()), 23),
        ("no group", good().with_group_id(id("")), 24),
        ("an unknown member", good().with_member_id(text("nobody")), 25),
    ] {
        assert_eq!(wire.call(5, &request).error_code, expected, "{what}");
    }
    assert_eq!(heartbeat(&mut wire, 3, &group, "nobody", 1), 25);
    assert_eq!(wire.call(3, &sync_request(&group, "nobody", 1, &[])).error_code, 25);
    assert_eq!(leave(&mut wire, 2, &format!("{group}-unknown"), "nobody"), 25);
    assert_eq!(leave(&mut wire, 4, &format!("{group}-unknown"), "nobody"), 25);
    // Somebody is there: others must speak as it does.
    let joined = join(&mut wire, 3, &group, &topic);
    assert_eq!(wire.call(3, &good().with_protocol_type(text("connect"))).error_code, 23);
    let own = JoinGroupRequestProtocol::default().with_name(text("own"));
    assert_eq!(wire.call(3, &good().with_protocols(vec![own])).error_code, 23);
    assert_eq!(leave(&mut wire, 2, &group, &joined.member_id), 0);
}

#[test]
fn a_static_member_is_fenced_by_its_successor() {
    let broker = Broker::start();
    let topic = broker.topic_name("static");
    let group = format!("group-{topic}");
    let mut wire = Wire::connect(&broker);
    wire.create_topic(&topic, 1);
    find_coordinator(&mut wire, 3, &group);
    keep_when_empty(&mut wire, &group, &topic);
    let request = || join_request(&group, "", &topic).with_group_instance_id(Some(text("instance")));
    let first = wire.call(5, &request()).member_id.to_string();
    let sync = |member: &str, generation| {
        let request = sync_request(&group, member, generation, &[(member, "mine")]);
        request.with_group_instance_id(Some(text("instance")))
    };
    assert_eq!(wire.call(3, &sync(&first, 1)).error_code, 0);
    let second = wire.call(5, &request());
    assert_eq!(second.error_code, 0);
    assert_ne!(second.member_id.as_str(), first);
    assert_eq!(wire.call(3, &sync(&first, second.generation_id)).error_code, 82);
    let identity = MemberIdentity::default().with_group_instance_id(Some(text("instance")));
    let request = LeaveGroupRequest::default().with_group_id(id(&group)).with_members(vec![identity]);
    assert_eq!(wire.call(3, &request).members[0].error_code, 0);
    assert_eq!(described(&mut wire, &group).0, "Empty");
}
