//! Groups as operators see them: listed, described, deleted, and single offsets of theirs deleted.

use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::*;

use crate::broker::Broker;
use crate::groups::{commit, committed, find_coordinator};
use crate::wire::{Wire, name, text};

fn list(
    wire: &mut Wire,
    version: i16,
    group: &str,
    states: &[&str],
    types: &[&str],
) -> Option<(String, String, String)> {
    let words = |words: &[&str]| words.iter().map(|word| text(word)).collect();
    let request = ListGroupsRequest::default().with_states_filter(words(states)).with_types_filter(words(types));
    let response = wire.call(version, &request);
    assert_eq!(response.error_code, 0);
    let found = response.groups.iter().find(|it| it.group_id.as_str() == group)?;
    Some((found.protocol_type.to_string(), found.group_state.to_string(), found.group_type.to_string()))
}

fn delete(wire: &mut Wire, version: i16, groups: &[&str]) -> Vec<i16> {
    let names = groups.iter().map(|group| GroupId(text(group))).collect();
    let response = wire.call(version, &DeleteGroupsRequest::default().with_groups_names(names));
    // Apache Kafka sorts its answers by the coordinators' partitions.
    let code =
        |group: &&str| response.results.iter().find(|result| result.group_id.as_str() == *group).unwrap().error_code;
    groups.iter().map(code).collect()
}

fn delete_offsets(wire: &mut Wire, group: &str, topics: &[(&str, &[i32])]) -> (i16, Vec<(i32, i16)>) {
    let partition = |index: &i32| OffsetDeleteRequestPartition::default().with_partition_index(*index);
    let topic = |(topic, partitions): &(&str, &[i32])| {
        let partitions = partitions.iter().map(partition).collect();
        OffsetDeleteRequestTopic::default().with_name(name(topic)).with_partitions(partitions)
    };
    let request = OffsetDeleteRequest::default().with_group_id(GroupId(text(group)));
    let response = wire.call(0, &request.with_topics(topics.iter().map(topic).collect()));
    let mut codes: Vec<(i32, i16)> = (response.topics.iter())
        .flat_map(|topic| topic.partitions.iter().map(|it| (it.partition_index, it.error_code)))
        .collect();
    codes.sort_unstable();
    (response.error_code, codes)
}

#[test]
fn groups_are_listed_and_described_in_every_version() {
    let broker = Broker::start();
    let topic = broker.topic_name("listed");
    let group = format!("group-{topic}");
    let mut wire = Wire::connect(&broker);
    wire.create_topic(&topic, 1);
    find_coordinator(&mut wire, 3, &group);
    assert_eq!(list(&mut wire, 3, &group, &[], &[]), None);
    assert_eq!(commit(&mut wire, 8, &group, &topic, 0, 7, ""), 0);
    for version in wire.versions::<ListGroupsRequest>() {
        let since = |first: i16, word: &str| if version >= first { word.to_owned() } else { String::new() };
        let expected = Some((String::new(), since(4, "Empty"), since(5, "classic")));
        assert_eq!(list(&mut wire, version, &group, &[], &[]), expected, "version {version}");
        if version >= 4 {
            assert_eq!(list(&mut wire, version, &group, &["stable", "empty"], &[]), expected);
            assert_eq!(list(&mut wire, version, &group, &["Stable"], &[]), None);
        }
        if version >= 5 {
            assert_eq!(list(&mut wire, version, &group, &["Empty"], &["Classic"]), expected);
            assert_eq!(list(&mut wire, version, &group, &[], &["consumer"]), None);
        }
    }
    let unknown = format!("{group}-unknown");
    for version in wire.versions::<DescribeGroupsRequest>() {
        let names = vec![GroupId(text(&group)), GroupId(text(&unknown))];
        let response = wire.call(version, &DescribeGroupsRequest::default().with_groups(names));
        let found = |wanted: &str| {
            let found = response.groups.iter().find(|it| it.group_id.as_str() == wanted).unwrap();
            (found.error_code, found.group_state.to_string(), found.protocol_type.to_string(), found.members.len())
        };
        assert_eq!(found(&group), (0, "Empty".to_owned(), String::new(), 0), "version {version}");
        let code = if version >= 6 { 69 } else { 0 };
        assert_eq!(found(&unknown), (code, "Dead".to_owned(), String::new(), 0), "version {version}");
    }
}

#[test]
fn a_deleted_group_is_gone_with_its_offsets() {
    let broker = Broker::start();
    let topic = broker.topic_name("deleted-group");
    let (group, other) = (format!("group-{topic}"), format!("other-{topic}"));
    let mut wire = Wire::connect(&broker);
    wire.create_topic(&topic, 2);
    find_coordinator(&mut wire, 3, &group);
    assert_eq!(commit(&mut wire, 8, &other, &topic, 0, 3, ""), 0);
    for version in wire.versions::<DeleteGroupsRequest>() {
        assert_eq!(commit(&mut wire, 8, &group, &topic, 0, 7, ""), 0);
        assert_eq!(commit(&mut wire, 8, &group, &topic, 1, 8, ""), 0);
        assert_eq!(delete(&mut wire, version, &[&group, "no-such-group"]), [0, 69], "version {version}");
        assert_eq!(list(&mut wire, 4, &group, &[], &[]), None);
        assert_eq!(committed(&mut wire, 7, &group, &topic), [(0, -1, String::new()), (1, -1, String::new())]);
        assert_eq!(delete(&mut wire, version, &[&group]), [69]);
    }
    assert_eq!(committed(&mut wire, 7, &other, &topic)[0].1, 3);
}

#[test]
fn single_offsets_are_deleted() {
    let broker = Broker::start();
    let topic = broker.topic_name("deleted-offsets");
    let group = format!("group-{topic}");
    let mut wire = Wire::connect(&broker);
    wire.create_topic(&topic, 3);
    find_coordinator(&mut wire, 3, &group);
    assert_eq!(delete_offsets(&mut wire, &group, &[(&topic, &[0])]), (69, vec![]));
    for partition in [0, 1] {
        assert_eq!(commit(&mut wire, 8, &group, &topic, partition, 7, ""), 0);
    }
    // One that is there, one that has none, one that does not exist.
    let codes = vec![(0, 0), (2, 0), (9, 3)];
    assert_eq!(delete_offsets(&mut wire, &group, &[(&topic, &[0, 2, 9])]), (0, codes));
    assert_eq!(delete_offsets(&mut wire, &group, &[("missing", &[0])]), (0, vec![(0, 3)]));
    assert_eq!(committed(&mut wire, 7, &group, &topic), [(0, -1, String::new()), (1, 7, String::new())]);
}
