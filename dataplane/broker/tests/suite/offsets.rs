//! Looking up offsets by time.

use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::*;
use kafka_protocol::records::Compression;

use crate::broker::Broker;
use crate::wire::{Wire, batch, name, now_ms};

fn look_up(wire: &mut Wire, version: i16, topic: &str, partition: i32, timestamp: i64) -> (i16, i64, i64) {
    let partition = ListOffsetsPartition::default().with_partition_index(partition).with_timestamp(timestamp);
    let topic = ListOffsetsTopic::default().with_name(name(topic)).with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
    let found = wire.call(version, &request).topics[0].partitions[0].clone();
    (found.error_code, found.offset, found.timestamp)
}

#[test]
fn the_first_record_at_or_after_a_time_is_found() {
    let broker = Broker::start();
    let topic = broker.topic_name("times");
    let mut wire = Wire::connect(&broker);
    let id = wire.create_topic(&topic, 2);
    let now = now_ms();
    let compressions = [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
    let mut timestamps = Vec::new();
    for (round, compression) in compressions.into_iter().enumerate() {
        let first = now + 100 * round as i64;
        let batch_timestamps = [first, first + 30, first + 10, first + 70, first + 70];
        wire.produce(9, (&topic, id), 0, batch(compression, &batch_timestamps));
        timestamps.extend(batch_timestamps);
    }
    for version in wire.versions::<ListOffsetsRequest>() {
        assert_eq!(look_up(&mut wire, version, &topic, 0, -2).1, 0);
        assert_eq!(look_up(&mut wire, version, &topic, 0, -1), (0, 25, -1));
        assert_eq!(look_up(&mut wire, version, &topic, 1, -1), (0, 0, -1), "an empty partition");
        assert_eq!(look_up(&mut wire, version, &topic, 1, now), (0, -1, -1), "an empty partition");
        for timestamp in (now - 20..now + 520).step_by(10) {
            let place = timestamps.iter().position(|at| *at >= timestamp);
            let expected = place.map_or((0, -1, -1), |place| (0, place as i64, timestamps[place]));
            assert_eq!(look_up(&mut wire, version, &topic, 0, timestamp), expected, "version {version}");
        }
        if version >= 7 {
            assert_eq!(look_up(&mut wire, version, &topic, 0, -3), (0, 23, now + 470));
            assert_eq!(look_up(&mut wire, version, &topic, 1, -3), (0, -1, -1));
        }
        assert_eq!(look_up(&mut wire, version, &topic, 9, -1), (3, -1, -1));
        assert_eq!(look_up(&mut wire, version, "missing", 0, -1), (3, -1, -1));
    }
}
