//! Topics that grow.

use kafka_protocol::messages::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::*;
use kafka_protocol::records::Compression;

use crate::broker::Broker;
use crate::wire::{Wire, batch, name, now_ms};

/// A topic, how many partitions it is to have, and the nodes of each new one.
type Growth<'a> = (&'a str, i32, Option<&'a [&'a [i32]]>);

fn grow(wire: &mut Wire, version: i16, topics: &[Growth<'_>], is_validation: bool) -> Vec<i16> {
    let assignment = |brokers: &&[i32]| {
        CreatePartitionsAssignment::default().with_broker_ids(brokers.iter().map(|id| BrokerId(*id)).collect())
    };
    let topic = |(topic, count, assignments): &Growth<'_>| {
        let assignments = assignments.map(|all| all.iter().map(assignment).collect());
        CreatePartitionsTopic::default().with_name(name(topic)).with_count(*count).with_assignments(assignments)
    };
    let request = CreatePartitionsRequest::default().with_topics(topics.iter().map(topic).collect());
    let response = wire.call(version, &request.with_timeout_ms(10_000).with_validate_only(is_validation));
    let code = |wanted: &str| response.results.iter().find(|it| it.name.as_str() == wanted).unwrap().error_code;
    topics.iter().map(|(topic, ..)| code(topic)).collect()
}

fn partition_count(wire: &mut Wire, topic: &str) -> usize {
    let wanted = MetadataRequestTopic::default().with_name(Some(name(topic)));
    let request = MetadataRequest::default().with_topics(Some(vec![wanted])).with_allow_auto_topic_creation(false);
    let response = wire.call(9, &request);
    assert_eq!(response.topics[0].error_code, 0);
    response.topics[0].partitions.len()
}

#[test]
fn topics_grow_in_every_version() {
    let broker = Broker::start();
    let topic = broker.topic_name("grown");
    let mut wire = Wire::connect(&broker);
    let id = wire.create_topic(&topic, 1);
    assert_eq!(wire.produce(9, (&topic, id), 0, batch(Compression::None, &[now_ms()])).base_offset, 0);
    let mut count = 1;
    for version in wire.versions::<CreatePartitionsRequest>() {
        assert_eq!(grow(&mut wire, version, &[(&topic, count + 2, None)], true), [0], "version {version}");
        assert_eq!(grow(&mut wire, version, &[(&topic, count + 2, None)], false), [0], "version {version}");
        count += 2;
        wire.wait_for_leaders(&topic, count);
        assert_eq!(partition_count(&mut wire, &topic), count as usize);
        let last = wire.produce(9, (&topic, id), count - 1, batch(Compression::None, &[now_ms()]));
        assert_eq!((last.error_code, last.base_offset), (0, 0));
    }
    assert_eq!(wire.produce(9, (&topic, id), 0, batch(Compression::None, &[now_ms()])).base_offset, 1);
}

#[test]
fn impossible_growth_is_refused() {
    let broker = Broker::start();
    let topic = broker.topic_name("not-grown");
    let mut wire = Wire::connect(&broker);
    wire.create_topic(&topic, 3);
    for (wanted, expected) in [
        ((topic.as_str(), 3, None), 37),
        ((topic.as_str(), 2, None), 37),
        ((topic.as_str(), -1, None), 37),
        (("missing", 4, None), 3),
        ((topic.as_str(), 5, Some(&[&[1][..]][..])), 39),
        ((topic.as_str(), 4, Some(&[&[77][..]][..])), 39),
        ((topic.as_str(), 4, Some(&[&[1, 1][..]][..])), 39),
    ] {
        for is_validation in [true, false] {
            assert_eq!(grow(&mut wire, 1, &[wanted], is_validation), [expected], "{wanted:?}");
        }
    }
    let twice = CreatePartitionsTopic::default().with_name(name(&topic)).with_count(9).with_assignments(None);
    let request = CreatePartitionsRequest::default().with_topics(vec![twice.clone(), twice]).with_timeout_ms(1_000);
    assert!(wire.call_newest(&request).results.iter().all(|result| result.error_code == 42));
    assert_eq!(partition_count(&mut wire, &topic), 3);
    assert_eq!(grow(&mut wire, 1, &[(&topic, 4, Some(&[&[1]]))], false), [0]);
}
