//! Fetch as the protocol has it: versions, limits, waiting, offsets that are not there.

use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::*;
use kafka_protocol::records::{Compression, RecordBatchDecoder};
use uuid::Uuid;

use crate::broker::Broker;
use crate::wire::{Wire, batch, name, now_ms, produce_request};

struct Wanted {
    offset: i64,
    partition_bytes_max: i32,
    bytes_max: i32,
    bytes_min: i32,
    wait_ms: i32,
}

const ALL: Wanted =
    Wanted { offset: 0, partition_bytes_max: 1 << 20, bytes_max: 1 << 20, bytes_min: 1, wait_ms: 10_000 };

fn fetch_request(version: i16, topic: (&str, Uuid), wanted: &Wanted) -> FetchRequest {
    let partition = FetchPartition::default()
        .with_partition(0)
        .with_fetch_offset(wanted.offset)
        .with_partition_max_bytes(wanted.partition_bytes_max);
    let of = FetchTopic::default().with_partitions(vec![partition]);
    let of = if version >= 13 { of.with_topic_id(topic.1) } else { of.with_topic(name(topic.0)) };
    let request = FetchRequest::default()
        .with_max_wait_ms(wanted.wait_ms)
        .with_min_bytes(wanted.bytes_min)
        .with_max_bytes(wanted.bytes_max)
        .with_topics(vec![of]);
    let request = if version <= 14 { request.with_replica_id(BrokerId(-1)) } else { request };
    if version >= 7 { request.with_session_epoch(-1) } else { request }
}

fn fetch(wire: &mut Wire, version: i16, topic: (&str, Uuid), wanted: &Wanted) -> PartitionData {
    let response = wire.call(version, &fetch_request(version, topic, wanted));
    assert_eq!(response.error_code, 0, "version {version}");
    response.responses[0].partitions[0].clone()
}

/// Offsets of the records of all whole batches.
fn offsets(data: &PartitionData) -> Vec<i64> {
    let mut records: Bytes = data.records.clone().unwrap_or_default();
    // A broker may send the beginning of a further batch.
    let mut whole = 0;
    while let Some(len) = records.get(whole + 8..whole + 12) {
        let end = whole + 12 + i32::from_be_bytes(len.try_into().unwrap()) as usize;
        if end > records.len() {
            break;
        }
        whole = end;
    }
    let mut records = records.split_to(whole);
    let sets = RecordBatchDecoder::decode_all(&mut records).unwrap();
    sets.iter().flat_map(|set| &set.records).map(|record| record.offset).collect()
}

#[test]
fn records_are_fetched_in_every_version() {
    let broker = Broker::start();
    let topic = broker.topic_name("fetched");
    let mut wire = Wire::connect(&broker);
    let id = wire.create_topic(&topic, 1);
    let now = now_ms();
    let mut produced = 0;
    for version in wire.versions::<ProduceRequest>() {
        let compression = if version >= 7 { Compression::Zstd } else { Compression::Lz4 };
        let response = wire.produce(version, (&topic, id), 0, batch(compression, &[now, now + 1, now + 2]));
        assert_eq!((response.error_code, response.base_offset), (0, produced), "version {version}");
        produced += 3;
    }
    for version in wire.versions::<FetchRequest>() {
        for offset in [0, 4, produced - 1] {
            let data = fetch(&mut wire, version, (&topic, id), &Wanted { offset, ..ALL });
            // The batch that holds the offset comes whole.
            let expected: Vec<i64> = (offset / 3 * 3..produced).collect();
            assert_eq!(offsets(&data), expected, "version {version}, offset {offset}");
            assert_eq!((data.high_watermark, data.last_stable_offset), (produced, produced));
        }
        let data = fetch(&mut wire, version, (&topic, id), &Wanted { offset: produced, wait_ms: 10, ..ALL });
        assert_eq!((data.error_code, offsets(&data).len()), (0, 0));
        for offset in [-1, produced + 1] {
            let data = fetch(&mut wire, version, (&topic, id), &Wanted { offset, ..ALL });
            assert_eq!(data.error_code, 1, "version {version}, offset {offset}");
        }
        let unknown = ("missing", Uuid::from_u128(5));
        let data = fetch(&mut wire, version, unknown, &ALL);
        assert_eq!(data.error_code, if version >= 13 { 100 } else { 3 }, "version {version}");
    }
}

#[test]
fn limits_hold_except_for_the_first_batch() {
    let broker = Broker::start();
    let topic = broker.topic_name("limits");
    let mut wire = Wire::connect(&broker);
    let id = wire.create_topic(&topic, 1);
    let now = now_ms();
    let len = batch(Compression::None, &[now, now]).len() as i32;
    for _ in 0..5 {
        wire.produce(9, (&topic, id), 0, batch(Compression::None, &[now, now]));
    }
    for (partition_bytes_max, bytes_max, expected) in [
        (1 << 20, 1 << 20, 10),
        (10, 1 << 20, 2),
        (1 << 20, 10, 2),
        (3 * len, 1 << 20, 6),
        (1 << 20, 2 * len + 5, 4),
        (2 * len - 1, 1 << 20, 2),
    ] {
        let wanted = Wanted { partition_bytes_max, bytes_max, ..ALL };
        let found = offsets(&fetch(&mut wire, 11, (&topic, id), &wanted)).len();
        assert_eq!(found, expected, "{partition_bytes_max} and {bytes_max} bytes");
    }
}

#[test]
fn a_fetch_waits_for_records() {
    let broker = Broker::start();
    let topic = broker.topic_name("waits");
    let (mut reader, mut writer) = (Wire::connect(&broker), Wire::connect(&broker));
    let id = writer.create_topic(&topic, 1);
    let now = now_ms();
    // Nothing comes: an empty answer, not before the time is over.
    let start = Instant::now();
    let data = fetch(&mut reader, 11, (&topic, id), &Wanted { wait_ms: 300, ..ALL });
    assert!(start.elapsed() >= Duration::from_millis(290) && offsets(&data).is_empty());
    // Something comes: the answer is there long before the time is over.
    let request = fetch_request(11, (&topic, id), &Wanted { wait_ms: 25_000, ..ALL });
    reader.send(11, &request);
    std::thread::sleep(Duration::from_millis(100));
    writer.produce(9, (&topic, id), 0, batch(Compression::None, &[now]));
    let response = reader.receive::<FetchRequest>(11);
    assert_eq!(offsets(&response.responses[0].partitions[0]), [0]);
    // Too little comes: the time decides, and gives what there is.
    let wanted = Wanted { bytes_min: 100_000, wait_ms: 300, ..ALL };
    assert_eq!(offsets(&fetch(&mut reader, 11, (&topic, id), &wanted)), [0]);
}

#[test]
fn sessions_may_be_asked_for_and_must_exist() {
    let broker = Broker::start();
    let topic = broker.topic_name("sessions");
    let mut wire = Wire::connect(&broker);
    let id = wire.create_topic(&topic, 1);
    wire.produce(9, (&topic, id), 0, batch(Compression::None, &[now_ms()]));
    let request = fetch_request(12, (&topic, id), &ALL);
    let response = wire.call(12, &request.clone().with_session_epoch(0));
    assert_eq!((response.error_code, response.responses.len()), (0, 1));
    let response = wire.call(12, &request.with_session_id(123_456).with_session_epoch(4));
    assert_eq!(response.error_code, 70);
}

#[test]
fn requests_overlap_and_answers_stay_in_order() {
    let broker = Broker::start();
    let topic = broker.topic_name("order");
    let mut wire = Wire::connect(&broker);
    let id = wire.create_topic(&topic, 1);
    let now = now_ms();
    let request = produce_request(9, (&topic, id), 0, batch(Compression::None, &[now]));
    for _ in 0..50 {
        wire.send(9, &request);
    }
    // Without acknowledgement there is no answer, and nobody waits for one.
    wire.send(9, &request.clone().with_acks(0));
    wire.send(9, &request);
    for (place, behind) in (2..52).rev().chain([0]).enumerate() {
        let response = wire.receive_behind::<ProduceRequest>(9, behind);
        let expected = if behind == 0 { 51 } else { place as i64 };
        assert_eq!(response.responses[0].partition_responses[0].base_offset, expected);
    }
}
