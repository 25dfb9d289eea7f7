//! Settings of topics: told, altered, back to the broker's.

use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::*;
use kafka_protocol::records::Compression;

use crate::broker::Broker;
use crate::wire::{Wire, batch, name, now_ms, text};

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;
const TOPIC: i8 = 2;
/// The value was chosen for this topic.
const OF_TOPIC: i8 = 1;

type Change<'a> = (&'a str, i8, Option<&'a str>);

fn resource(kind: i8, of: &str, changes: &[Change<'_>]) -> AlterConfigsResource {
    let config = |(key, operation, value): &Change<'_>| {
        let config = AlterableConfig::default().with_name(text(key)).with_config_operation(*operation);
        config.with_value(value.map(text))
    };
    let configs = changes.iter().map(config).collect();
    AlterConfigsResource::default().with_resource_type(kind).with_resource_name(text(of)).with_configs(configs)
}

fn alter(wire: &mut Wire, version: i16, resources: Vec<AlterConfigsResource>, is_validation: bool) -> Vec<i16> {
    let request = IncrementalAlterConfigsRequest::default().with_resources(resources);
    let response = wire.call(version, &request.with_validate_only(is_validation));
    response.responses.iter().map(|response| response.error_code).collect()
}

/// Value and source of a setting.
fn told(wire: &mut Wire, topic: &str, key: &str) -> (String, i8) {
    let wanted = DescribeConfigsResource::default().with_resource_type(TOPIC).with_resource_name(text(topic));
    let wanted = wanted.with_configuration_keys(Some(vec![text(key)]));
    let response = wire.call(4, &DescribeConfigsRequest::default().with_resources(vec![wanted]));
    let config = &response.results[0].configs[0];
    (config.value.as_deref().unwrap_or_default().to_owned(), config.config_source)
}

/// Apache Kafka tells of a change before everybody knows.
fn wait_for(wire: &mut Wire, topic: &str, key: &str, is_it: impl Fn(&(String, i8)) -> bool) {
    for _ in 0..100 {
        if is_it(&told(wire, topic, key)) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("{key}: {:?}", told(wire, topic, key));
}

#[test]
fn settings_are_altered_in_every_version() {
    let broker = Broker::start();
    let topic = broker.topic_name("altered");
    let mut wire = Wire::connect(&broker);
    wire.create_topic(&topic, 1);
    let keys = [("retention.ms", "3600000"), ("retention.bytes", "1000000"), ("max.message.bytes", "5000")];
    for version in wire.versions::<IncrementalAlterConfigsRequest>() {
        let set = keys.map(|(key, value)| (key, SET, Some(value)));
        assert_eq!(alter(&mut wire, version, vec![resource(TOPIC, &topic, &set)], true), [0]);
        for (key, _) in keys {
            assert_ne!(told(&mut wire, &topic, key).1, OF_TOPIC, "only asked for");
        }
        assert_eq!(alter(&mut wire, version, vec![resource(TOPIC, &topic, &set)], false), [0], "version {version}");
        for (key, value) in keys {
            wait_for(&mut wire, &topic, key, |told| *told == (value.to_owned(), OF_TOPIC));
        }
        let unset = keys.map(|(key, _)| (key, DELETE, None));
        assert_eq!(alter(&mut wire, version, vec![resource(TOPIC, &topic, &unset)], false), [0]);
        for (key, value) in keys {
            wait_for(&mut wire, &topic, key, |told| told.1 != OF_TOPIC && told.0 != value);
        }
    }
}

#[test]
fn impossible_settings_are_refused() {
    let broker = Broker::start();
    let topic = broker.topic_name("not-altered");
    let mut wire = Wire::connect(&broker);
    wire.create_topic(&topic, 1);
    let mut check = |kind: i8, of: &str, changes: &[Change<'_>], expected: i16| {
        for is_validation in [true, false] {
            let found = alter(&mut wire, 1, vec![resource(kind, of, changes)], is_validation);
            assert_eq!(found, [expected], "{kind} {of} {changes:?}");
        }
    };
    check(TOPIC, &topic, &[("no.such.setting", SET, Some("1"))], 40);
    check(TOPIC, &topic, &[("retention.ms", SET, Some("soon"))], 40);
    check(TOPIC, &topic, &[("retention.ms", SET, Some("-2"))], 40);
    check(TOPIC, &topic, &[("max.message.bytes", SET, Some("-1"))], 40);
    check(TOPIC, &topic, &[("retention.ms", APPEND, Some("1"))], 40);
    check(TOPIC, &topic, &[("retention.ms", SUBTRACT, Some("1"))], 40);
    check(TOPIC, &topic, &[("retention.ms", SET, None)], 42);
    check(TOPIC, &topic, &[("retention.ms", SET, Some("1")), ("retention.ms", DELETE, None)], 42);
    check(TOPIC, "missing", &[("retention.ms", SET, Some("1"))], 3);
    check(TOPIC, &topic, &[("cleanup.policy", SET, Some("delete"))], 0);
    check(TOPIC, &topic, &[("retention.ms", DELETE, None)], 0);
    check(77, &topic, &[("retention.ms", SET, Some("1"))], 42);
    let twice = || resource(TOPIC, &topic, &[("retention.ms", SET, Some("1000"))]);
    assert_eq!(alter(&mut wire, 1, vec![twice(), twice()], false), [42, 42]);
    assert_ne!(told(&mut wire, &topic, "retention.ms").0, "1000");
}

#[test]
fn a_topic_may_take_smaller_messages_only() {
    let broker = Broker::start();
    let topic = broker.topic_name("small-messages");
    let mut wire = Wire::connect(&broker);
    let config = CreatableTopicConfig::default().with_name(text("max.message.bytes")).with_value(Some(text("1000")));
    let new = CreatableTopic::default().with_name(name(&topic)).with_num_partitions(1).with_replication_factor(1);
    let request = CreateTopicsRequest::default().with_timeout_ms(10_000);
    let response = wire.call_newest(&request.with_topics(vec![new.with_configs(vec![config])]));
    assert_eq!(response.topics[0].error_code, 0);
    let id = wire.wait_for_leaders(&topic, 1);
    assert_eq!(told(&mut wire, &topic, "max.message.bytes"), ("1000".to_owned(), OF_TOPIC));
    let (small, large) = (batch(Compression::None, &[now_ms(); 3]), batch(Compression::None, &[now_ms(); 5]));
    assert_eq!(wire.produce(9, (&topic, id), 0, large.clone()).error_code, 10);
    assert_eq!(wire.produce(9, (&topic, id), 0, small).base_offset, 0);
    let unset = resource(TOPIC, &topic, &[("max.message.bytes", DELETE, None)]);
    assert_eq!(alter(&mut wire, 1, vec![unset], false), [0]);
    wait_for(&mut wire, &topic, "max.message.bytes", |told| told.1 != OF_TOPIC);
    // The one who tells is not the one who takes.
    for _ in 0..100 {
        let found = wire.produce(9, (&topic, id), 0, large.clone());
        if found.error_code != 10 {
            return assert_eq!(found.base_offset, 3);
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("the larger message is still refused");
}
