//! Offsets of groups, committed and read without membership.

use std::time::Duration;

use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::*;

use crate::broker::Broker;
use crate::wire::{Wire, name, text};

/// Until the group's coordinator is found; a fresh Kafka has to make it first.
pub fn find_coordinator(wire: &mut Wire, version: i16, group: &str) -> i32 {
    for _ in 0..150 {
        let request = FindCoordinatorRequest::default();
        let (code, port) = if version < 4 {
            let response = wire.call(version, &request.with_key(text(group)));
            (response.error_code, response.port)
        } else {
            let response = wire.call(version, &request.with_coordinator_keys(vec![text(group)]));
            (response.coordinators[0].error_code, response.coordinators[0].port)
        };
        match code {
            0 => return port,
            15 => std::thread::sleep(Duration::from_millis(200)),
            code => panic!("code {code}"),
        }
    }
    panic!("there is no coordinator");
}

pub fn commit(
    wire: &mut Wire,
    version: i16,
    group: &str,
    topic: &str,
    partition: i32,
    offset: i64,
    metadata: &str,
) -> i16 {
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(partition)
        .with_committed_offset(offset)
        .with_committed_metadata(Some(text(metadata)));
    let topic = OffsetCommitRequestTopic::default().with_name(name(topic)).with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic]);
    for _ in 0..150 {
        let code = wire.call(version, &request).topics[0].partitions[0].error_code;
        // The coordinator is loading or moving.
        if !matches!(code, 14..=16) {
            return code;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    panic!("the coordinator does not come up");
}

/// Offsets and metadata of partitions 0 and 1, and of all partitions that have one.
pub fn committed(wire: &mut Wire, version: i16, group: &str, topic: &str) -> Vec<(i32, i64, String)> {
    let group = GroupId(text(group));
    let request = OffsetFetchRequest::default();
    let metadata = |metadata: &Option<kafka_protocol::protocol::StrBytes>| metadata.as_deref().unwrap_or("").to_owned();
    if version < 8 {
        let wanted = OffsetFetchRequestTopic::default().with_name(name(topic)).with_partition_indexes(vec![0, 1]);
        let response = wire.call(version, &request.with_group_id(group).with_topics(Some(vec![wanted])));
        assert_eq!(response.error_code, 0);
        let partitions = response.topics[0].partitions.iter();
        return partitions.map(|it| (it.partition_index, it.committed_offset, metadata(&it.metadata))).collect();
    }
    let wanted = OffsetFetchRequestTopics::default().with_name(name(topic)).with_partition_indexes(vec![0, 1]);
    let wanted = OffsetFetchRequestGroup::default().with_group_id(group).with_topics(Some(vec![wanted]));
    let response = wire.call(version, &request.with_groups(vec![wanted]).with_topics(Some(Vec::new())));
    assert_eq!(response.groups[0].error_code, 0);
    let partitions = response.groups[0].topics[0].partitions.iter();
    partitions.map(|it| (it.partition_index, it.committed_offset, metadata(&it.metadata))).collect()
}

#[test]
fn committed_offsets_are_read_back_in_every_version() {
    let broker = Broker::start();
    let topic = broker.topic_name("commits");
    let group = format!("group-{topic}");
    let mut wire = Wire::connect(&broker);
    wire.create_topic(&topic, 2);
    let port: i32 = broker.address().rsplit(':').next().unwrap().parse().unwrap();
    for version in wire.versions::<FindCoordinatorRequest>() {
        assert_eq!(find_coordinator(&mut wire, version, &group), port, "version {version}");
    }
    let stamp = "writer=a generation=3 shipped=17 ".repeat(20);
    let mut offset = 100;
    for commit_version in wire.versions::<OffsetCommitRequest>() {
        offset += 1;
        assert_eq!(commit(&mut wire, commit_version, &group, &topic, 0, offset, &stamp), 0, "{commit_version}");
        for version in wire.versions::<OffsetFetchRequest>() {
            let expected = vec![(0, offset, stamp.clone()), (1, -1, String::new())];
            assert_eq!(committed(&mut wire, version, &group, &topic), expected, "version {version}");
        }
    }
    // Back as well as forth: an operator's order.
    assert_eq!(commit(&mut wire, 8, &group, &topic, 0, 5, ""), 0);
    assert_eq!(committed(&mut wire, 7, &group, &topic)[0], (0, 5, String::new()));
    assert_eq!(committed(&mut wire, 7, &format!("{group}-other"), &topic)[0], (0, -1, String::new()));
    assert_eq!(committed(&mut wire, 7, &group, "missing")[0], (0, -1, String::new()));
    // All of a group's.
    let all = OffsetFetchRequest::default().with_group_id(GroupId(text(&group))).with_topics(None);
    let response = wire.call(7, &all);
    assert_eq!((response.topics.len(), response.topics[0].partitions.len()), (1, 1));
}

#[test]
fn impossible_commits_are_refused() {
    let broker = Broker::start();
    let topic = broker.topic_name("refused-commits");
    let group = format!("group-{topic}");
    let mut wire = Wire::connect(&broker);
    wire.create_topic(&topic, 1);
    find_coordinator(&mut wire, 3, &group);
    assert_eq!(commit(&mut wire, 8, &group, &topic, 0, 1, &"x".repeat(4_096)), 0);
    assert_eq!(commit(&mut wire, 8, &group, &topic, 0, 2, &"x".repeat(4_097)), 12);
    assert_eq!(commit(&mut wire, 8, &group, "missing", 0, 2, ""), 3);
    assert_eq!(commit(&mut wire, 8, &group, &topic, 7, 2, ""), 3);
    assert_eq!(committed(&mut wire, 7, &group, &topic)[0].1, 1);
}
