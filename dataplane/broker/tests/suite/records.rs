//! Records over rskafka: what goes in comes out, in every compression, up to the largest message.

use std::collections::BTreeMap;

use rskafka::chrono::{DateTime, TimeZone, Utc};
use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::partition::{Compression, OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use rskafka::record::Record;

use crate::broker::Broker;

const COMPRESSIONS: [Compression; 5] =
    [Compression::NoCompression, Compression::Gzip, Compression::Lz4, Compression::Snappy, Compression::Zstd];

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

async fn client(broker: &Broker) -> Client {
    ClientBuilder::new(vec![broker.address()]).build().await.unwrap()
}

async fn partition(client: &Client, topic: &str, number: i32) -> PartitionClient {
    client.partition_client(topic, number, UnknownTopicHandling::Retry).await.unwrap()
}

fn at(ms: i64) -> DateTime<Utc> {
    Utc.timestamp_millis_opt(ms).unwrap()
}

fn record(key: &str, value: Vec<u8>, ms: i64) -> Record {
    let headers = BTreeMap::from([("Version".to_owned(), vec![1])]);
    Record { key: Some(key.into()), value: Some(value), headers, timestamp: at(ms) }
}

async fn read(partition: &PartitionClient, mut offset: i64, end: i64) -> Vec<(i64, Record)> {
    let mut found = Vec::new();
    while offset < end {
        let (records, high_watermark) = partition.fetch_records(offset, 1..1_000_000, 10_000).await.unwrap();
        assert!(high_watermark >= end && !records.is_empty());
        found.extend(records.into_iter().map(|record| (record.offset, record.record)));
        offset = found.last().unwrap().0 + 1;
    }
    found
}

#[test]
fn records_come_back_in_every_compression() {
    run(async {
        let broker = Broker::start();
        let topic = broker.topic_name("records");
        let client = client(&broker).await;
        client.controller_client().unwrap().create_topic(&topic, 2, 1, 10_000).await.unwrap();
        let start = crate::wire::now_ms();
        for number in [0, 1] {
            let partition = partition(&client, &topic, number).await;
            let mut expected = Vec::new();
            for (round, compression) in COMPRESSIONS.into_iter().cycle().take(15).enumerate() {
                let value = |place: usize| vec![(round * 7 + place) as u8; 100 + 333 * place];
                let records: Vec<Record> =
                    (0..8).map(|place| record("tenant", value(place), start + round as i64)).collect();
                let offsets = partition.produce(records.clone(), compression).await.unwrap();
                assert_eq!(offsets, (expected.len() as i64..).take(8).collect::<Vec<i64>>());
                expected.extend(offsets.into_iter().zip(records));
            }
            assert_eq!(read(&partition, 0, 120).await, expected);
            assert_eq!(partition.get_offset(OffsetAt::Earliest).await.unwrap(), 0);
            assert_eq!(partition.get_offset(OffsetAt::Latest).await.unwrap(), 120);
            assert_eq!(partition.get_offset(OffsetAt::Timestamp(at(start + 9))).await.unwrap(), 72);
        }
        let names: Vec<String> = client.list_topics().await.unwrap().into_iter().map(|topic| topic.name).collect();
        assert!(names.contains(&topic));
        client.controller_client().unwrap().delete_topic(&topic, 10_000).await.unwrap();
    });
}

#[test]
fn messages_reach_16_megabytes_and_no_further() {
    run(async {
        let broker = Broker::start();
        let topic = broker.topic_name("large");
        let client = client(&broker).await;
        client.controller_client().unwrap().create_topic(&topic, 1, 1, 10_000).await.unwrap();
        let partition = partition(&client, &topic, 0).await;
        let now = crate::wire::now_ms();
        let value = |len: usize| (0..len).map(|at| ((at * 31) >> 3) as u8).collect::<Vec<u8>>();
        let large = record("tenant", value(15_000_000), now);
        for offset in 0..3 {
            assert_eq!(partition.produce(vec![large.clone()], Compression::NoCompression).await.unwrap(), [offset]);
        }
        // The first batch comes whole although it is larger than what is asked for.
        let found = read(&partition, 0, 3).await;
        assert!(found.iter().all(|(_, record)| *record == large));
        let too_large = record("tenant", value(16_000_000), now);
        let refused = partition.produce(vec![too_large], Compression::NoCompression).await.unwrap_err();
        let code = match refused {
            Error::ServerError { protocol_error, .. } => protocol_error,
            other => panic!("{other}"),
        };
        assert_eq!(code, ProtocolError::MessageTooLarge);
        assert_eq!(partition.get_offset(OffsetAt::Latest).await.unwrap(), 3);
    });
}

#[test]
fn many_producers_share_a_partition() {
    run(async {
        let broker = Broker::start();
        let topic = broker.topic_name("shared");
        let maker = client(&broker).await;
        maker.controller_client().unwrap().create_topic(&topic, 1, 1, 10_000).await.unwrap();
        let now = crate::wire::now_ms();
        let mut producers = Vec::new();
        for producer in 0..8u8 {
            let partition = partition(&client(&broker).await, &topic, 0).await;
            producers.push(async move {
                let mut offsets = Vec::new();
                for round in 0..20u8 {
                    let record = record("tenant", vec![producer, round], now);
                    offsets.extend(partition.produce(vec![record], Compression::Snappy).await.unwrap());
                }
                offsets
            });
        }
        let offsets = futures_util::future::join_all(producers).await;
        let found = read(&partition(&maker, &topic, 0).await, 0, 160).await;
        for (producer, offsets) in offsets.iter().enumerate() {
            for (round, offset) in offsets.iter().enumerate() {
                let value = found[*offset as usize].1.value.clone().unwrap();
                assert_eq!(value, [producer as u8, round as u8], "offset {offset}");
            }
        }
    });
}
