//! Topics: made, described, deleted, and what is refused.

use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::*;
use uuid::Uuid;

use crate::broker::Broker;
use crate::wire::{Wire, name, text};

fn create(wire: &mut Wire, topic: CreatableTopic) -> i16 {
    wire.call_newest(&CreateTopicsRequest::default().with_timeout_ms(10_000).with_topics(vec![topic])).topics[0]
        .error_code
}

fn new_topic(topic: &str, partitions: i32, replicas: i16) -> CreatableTopic {
    CreatableTopic::default().with_name(name(topic)).with_num_partitions(partitions).with_replication_factor(replicas)
}

#[test]
fn topics_are_described_in_every_version() {
    let broker = Broker::start();
    let (topic, missing) = (broker.topic_name("described"), broker.topic_name("missing"));
    let mut wire = Wire::connect(&broker);
    let id = wire.create_topic(&topic, 3);
    let by_name = |topic: &str| MetadataRequestTopic::default().with_name(Some(name(topic)));
    for version in wire.versions::<MetadataRequest>() {
        let wanted = Some(vec![by_name(&topic), by_name(&missing)]);
        let request = MetadataRequest::default().with_topics(wanted);
        // Before version 4 a client cannot say it does not want the topic made, and a broker may.
        let request = if version >= 4 { request.with_allow_auto_topic_creation(false) } else { request };
        let response = wire.call(version, &request);
        let find =
            |wanted: &str| response.topics.iter().find(|it| it.name.as_ref().is_some_and(|it| it.as_str() == wanted));
        let found = find(&topic).unwrap();
        assert_eq!((found.error_code, found.partitions.len()), (0, 3), "version {version}");
        for partition in &found.partitions {
            assert_eq!(partition.leader_id, response.brokers[0].node_id);
            assert_eq!(partition.isr_nodes, partition.replica_nodes);
        }
        if version >= 4 {
            assert_eq!(find(&missing).unwrap().error_code, 3, "version {version}");
        }
        if version >= 2 {
            assert!(response.cluster_id.as_ref().is_some_and(|id| !id.is_empty()));
        }
        if version >= 10 {
            assert_eq!(found.topic_id, id);
        }
        // Names in a request with ids are not looked at.
        if version >= 12 {
            let by_id = |id| MetadataRequestTopic::default().with_name(None).with_topic_id(id);
            let unknown = Uuid::from_u128(77);
            let request = MetadataRequest::default().with_topics(Some(vec![by_id(id), by_id(unknown)]));
            let response = wire.call(version, &request);
            let find = |wanted| response.topics.iter().find(|it| it.topic_id == wanted).unwrap();
            assert_eq!((find(id).error_code, find(id).partitions.len()), (0, 3), "version {version}");
            assert_eq!(find(unknown).error_code, 100);
        }
    }
    // None named: all of them, except for the oldest version, where an empty list says that.
    for (version, topics) in [(0, Some(Vec::new())), (1, None), (9, None)] {
        let response = wire.call(version, &MetadataRequest::default().with_topics(topics));
        assert!(response.topics.iter().any(|it| it.name.as_ref().is_some_and(|it| it.as_str() == topic)));
    }
    let response = wire.call(1, &MetadataRequest::default().with_topics(Some(Vec::new())));
    assert_eq!((response.topics.len(), response.brokers.len()), (0, 1));
}

#[test]
fn a_deleted_topic_is_gone_and_its_name_is_free() {
    let broker = Broker::start();
    let topic = broker.topic_name("deleted");
    let mut wire = Wire::connect(&broker);
    let mut last_id = Uuid::nil();
    for version in wire.versions::<DeleteTopicsRequest>() {
        let id = wire.create_topic(&topic, 1);
        assert_ne!(id, last_id);
        last_id = id;
        let request = DeleteTopicsRequest::default().with_timeout_ms(10_000);
        let request = if version >= 6 {
            request.with_topics(vec![DeleteTopicState::default().with_name(None).with_topic_id(id)])
        } else {
            request.with_topic_names(vec![name(&topic)])
        };
        assert_eq!(wire.call(version, &request).responses[0].error_code, 0, "version {version}");
        let mut gone = false;
        for _ in 0..100 {
            let wanted = MetadataRequestTopic::default().with_name(Some(name(&topic)));
            let request =
                MetadataRequest::default().with_topics(Some(vec![wanted])).with_allow_auto_topic_creation(false);
            gone = wire.call_newest(&request).topics[0].error_code == 3;
            if gone {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        assert!(gone);
        let expected = if version >= 6 { 100 } else { 3 };
        assert_eq!(wire.call(version, &request).responses[0].error_code, expected, "version {version}");
    }
}

#[test]
fn impossible_topics_are_refused() {
    let broker = Broker::start();
    let topic = broker.topic_name("impossible");
    let mut wire = Wire::connect(&broker);
    let config =
        |key: &str, value: &str| CreatableTopicConfig::default().with_name(text(key)).with_value(Some(text(value)));
    for (wanted, expected) in [
        (new_topic(&topic, 0, 1), 37),
        (new_topic(&topic, -2, 1), 37),
        (new_topic(&topic, 1, 3), 38),
        (new_topic("", 1, 1), 17),
        (new_topic("a b", 1, 1), 17),
        (new_topic("..", 1, 1), 17),
        (new_topic(&"x".repeat(250), 1, 1), 17),
        (new_topic(&topic, 1, 1).with_configs(vec![config("no.such.thing", "1")]), 40),
        (new_topic(&topic, 1, 1).with_configs(vec![config("cleanup.policy", "delete")]), 0),
        (new_topic(&topic, 1, 1), 36),
    ] {
        let context = format!("{} {} {}", wanted.name.as_str(), wanted.num_partitions, wanted.replication_factor);
        assert_eq!(create(&mut wire, wanted), expected, "{context}");
    }
    // Only asked for, not made; twice in one request.
    let other = broker.topic_name("only-asked");
    let request = CreateTopicsRequest::default().with_timeout_ms(10_000).with_topics(vec![new_topic(&other, 2, 1)]);
    for _ in 0..2 {
        let response = wire.call_newest(&request.clone().with_validate_only(true));
        assert_eq!((response.topics[0].error_code, response.topics[0].num_partitions), (0, 2));
    }
    let twice = request.with_topics(vec![new_topic(&other, 2, 1), new_topic(&other, 2, 1)]);
    assert!(wire.call_newest(&twice).topics.iter().all(|topic| topic.error_code == 42));
}

#[test]
fn topics_are_made_in_every_version() {
    let broker = Broker::start();
    let mut wire = Wire::connect(&broker);
    for version in wire.versions::<CreateTopicsRequest>() {
        let topic = broker.topic_name("made");
        let request = CreateTopicsRequest::default().with_timeout_ms(10_000).with_topics(vec![new_topic(&topic, 2, 1)]);
        let response = wire.call(version, &request);
        assert_eq!(response.topics[0].error_code, 0);
        if version >= 5 {
            assert_eq!((response.topics[0].num_partitions, response.topics[0].replication_factor), (2, 1));
        }
        if version >= 7 {
            assert_ne!(response.topics[0].topic_id, Uuid::nil());
        }
    }
}

#[test]
fn settings_are_told() {
    let broker = Broker::start();
    let topic = broker.topic_name("settings");
    let mut wire = Wire::connect(&broker);
    wire.create_topic(&topic, 1);
    for version in wire.versions::<DescribeConfigsRequest>() {
        let resource =
            |kind, of: &str| DescribeConfigsResource::default().with_resource_type(kind).with_resource_name(text(of));
        let keys = Some(vec![text("max.message.bytes"), text("cleanup.policy")]);
        let all = resource(2, &topic).with_configuration_keys(None);
        let resources = vec![resource(2, &topic).with_configuration_keys(keys), all, resource(2, "missing")];
        let response = wire.call(version, &DescribeConfigsRequest::default().with_resources(resources));
        let configs = &response.results[0].configs;
        let value = |key: &str| configs.iter().find(|it| it.name.as_str() == key).and_then(|it| it.value.clone());
        assert_eq!((configs.len(), value("max.message.bytes")), (2, Some(text("16000000"))), "version {version}");
        assert_eq!(value("cleanup.policy"), Some(text("delete")));
        assert!(response.results[1].configs.len() > 5);
        assert_eq!(response.results[2].error_code, 3);
    }
}
