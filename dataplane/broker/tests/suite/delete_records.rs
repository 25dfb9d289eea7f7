//! Records deleted up to an offset, in the middle of a batch too.

use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::*;
use kafka_protocol::records::Compression;

use crate::broker::Broker;
use crate::wire::{Wire, batch, name, now_ms};

fn delete(wire: &mut Wire, version: i16, topic: &str, wanted: &[(i32, i64)]) -> Vec<(i16, i64)> {
    let partition = |(index, offset): &(i32, i64)| {
        DeleteRecordsPartition::default().with_partition_index(*index).with_offset(*offset)
    };
    let partitions = wanted.iter().map(partition).collect();
    let topics = vec![DeleteRecordsTopic::default().with_name(name(topic)).with_partitions(partitions)];
    let response = wire.call(version, &DeleteRecordsRequest::default().with_topics(topics).with_timeout_ms(10_000));
    let found = |index: i32| response.topics[0].partitions.iter().find(|it| it.partition_index == index).unwrap();
    wanted.iter().map(|(index, _)| (found(*index).error_code, found(*index).low_watermark)).collect()
}

fn offset_at(wire: &mut Wire, topic: &str, timestamp: i64) -> i64 {
    let partition = ListOffsetsPartition::default().with_partition_index(0).with_timestamp(timestamp);
    let topic = ListOffsetsTopic::default().with_name(name(topic)).with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
    let found = &wire.call(7, &request).topics[0].partitions[0];
    assert_eq!(found.error_code, 0);
    found.offset
}

fn fetch_code(wire: &mut Wire, topic: &str, offset: i64) -> (i16, i64) {
    let partition = fetch_request::FetchPartition::default().with_fetch_offset(offset);
    let topics = vec![
        fetch_request::FetchTopic::default()
            .with_topic(name(topic))
            .with_partitions(vec![partition.with_partition_max_bytes(1 << 20)]),
    ];
    let request = FetchRequest::default().with_max_bytes(1 << 20).with_session_epoch(-1);
    let response = wire.call(11, &request.with_replica_id(BrokerId(-1)).with_topics(topics));
    let found = &response.responses[0].partitions[0];
    (found.error_code, found.log_start_offset)
}

#[test]
fn records_are_deleted_in_every_version() {
    let broker = Broker::start();
    let topic = broker.topic_name("deleted-records");
    let mut wire = Wire::connect(&broker);
    let id = wire.create_topic(&topic, 1);
    let now = now_ms() - 100_000;
    for round in 0..10 {
        let times: Vec<i64> = (0..10).map(|place| now + 100 * round + 10 * place).collect();
        let produced = wire.produce(9, (&topic, id), 0, batch(Compression::Lz4, &times));
        assert_eq!(produced.base_offset, 10 * round);
    }
    let mut start = 0;
    for version in wire.versions::<DeleteRecordsRequest>() {
        start += 14;
        assert_eq!(delete(&mut wire, version, &topic, &[(0, start)]), [(0, start)], "version {version}");
        assert_eq!(offset_at(&mut wire, &topic, -2), start);
        assert_eq!(offset_at(&mut wire, &topic, 0), start, "the first record that is left");
        assert_eq!(offset_at(&mut wire, &topic, now + 10 * start + 31), start + 4);
        assert_eq!(fetch_code(&mut wire, &topic, start), (0, start));
        assert_eq!(fetch_code(&mut wire, &topic, start - 1).0, 1);
        // What is gone stays gone.
        assert_eq!(delete(&mut wire, version, &topic, &[(0, 3)]), [(0, start)]);
    }
    for (partition, offset, expected) in
        [(0, 101, (1, -1)), (0, -2, (1, -1)), (0, i64::MAX, (1, -1)), (5, 0, (3, -1)), (0, 100, (0, 100))]
    {
        assert_eq!(delete(&mut wire, 1, &topic, &[(partition, offset)]), [expected], "{partition} {offset}");
    }
    assert_eq!((offset_at(&mut wire, &topic, -2), offset_at(&mut wire, &topic, -1)), (100, 100));
    assert_eq!(offset_at(&mut wire, &topic, 0), -1);
    assert_eq!(wire.produce(9, (&topic, id), 0, batch(Compression::None, &[now])).base_offset, 100);
    assert_eq!(delete(&mut wire, 1, &topic, &[(0, -1)]), [(0, 101)]);
}
