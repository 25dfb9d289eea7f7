//! Idempotent producers: a repeated batch is found, a gap and an old epoch are refused.

use kafka_protocol::messages::*;

use crate::broker::Broker;
use crate::wire::{Wire, now_ms, sequenced};

fn producer_id(wire: &mut Wire, version: i16) -> i64 {
    let request = InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(60_000);
    for _ in 0..100 {
        let response = wire.call(version, &request);
        // A fresh Kafka has to be given ids first.
        if !matches!(response.error_code, 14..=16) {
            assert_eq!((response.error_code, response.producer_epoch), (0, 0), "version {version}");
            return response.producer_id.0;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("no producer id is given");
}

#[test]
fn every_producer_has_its_own_id() {
    let broker = Broker::start();
    let mut wire = Wire::connect(&broker);
    let mut ids = Vec::new();
    for version in wire.versions::<InitProducerIdRequest>() {
        ids.push(producer_id(&mut wire, version));
        ids.push(producer_id(&mut wire, version));
    }
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
    // An id without an epoch is none, and an empty name is no transaction's.
    let request = InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(60_000);
    assert_eq!(wire.call(4, &request.clone().with_producer_id(ProducerId(5))).error_code, 42);
    assert_eq!(wire.call(4, &request.with_transactional_id(Some(TransactionalId::default()))).error_code, 42);
}

#[test]
fn repetitions_are_found_and_gaps_refused() {
    let broker = Broker::start();
    let topic = broker.topic_name("idempotent");
    let mut wire = Wire::connect(&broker);
    let id = wire.create_topic(&topic, 2);
    let now = now_ms();
    for version in wire.versions::<ProduceRequest>() {
        let producer = producer_id(&mut wire, 2);
        let mut base = None;
        // Epoch, first sequence and count; the code and the offset after the first one of this round.
        for (epoch, first, count, expected) in [
            (0, 0, 3, (0, 0)),
            (0, 0, 3, (0, 0)),
            (0, 3, 1, (0, 3)),
            (0, 4, 2, (0, 4)),
            (0, 0, 3, (0, 0)),
            (0, 4, 2, (0, 4)),
            (0, 4, 1, (45, -1)),
            (0, 7, 1, (45, -1)),
            (0, 6, 1, (0, 6)),
            (0, 7, 1, (0, 7)),
            (0, 8, 1, (0, 8)),
            (0, 3, 1, (0, 3)),
            (0, 0, 3, (45, -1)),
            (1, 5, 1, (45, -1)),
            (1, 0, 1, (0, 9)),
            (1, 0, 1, (0, 9)),
            (0, 9, 1, (47, -1)),
            (1, 1, 1, (0, 10)),
        ] {
            let records = sequenced((producer, epoch, first), &vec![now; count]);
            let found = wire.produce(version, (&topic, id), 0, records);
            let base = *base.get_or_insert(found.base_offset);
            let offset = if expected.1 < 0 { -1 } else { base + expected.1 };
            let context = format!("version {version}, epoch {epoch}, {count} from {first}");
            assert_eq!((found.error_code, found.base_offset), (expected.0, offset), "{context}");
        }
        // Another partition, another sequence; one that is not known begins anywhere.
        let records = sequenced((producer, 0, 0), &[now]);
        assert_eq!(wire.produce(version, (&topic, id), 1, records).error_code, 0);
        let stranger = sequenced((producer + 1_000_000, 0, 77), &[now]);
        assert_eq!(wire.produce(version, (&topic, id), 1, stranger).error_code, 0);
    }
}

#[test]
fn repetitions_are_found_among_requests_that_overlap() {
    let broker = Broker::start();
    let topic = broker.topic_name("pipelined");
    let mut wire = Wire::connect(&broker);
    let id = wire.create_topic(&topic, 1);
    let producer = producer_id(&mut wire, 2);
    let now = now_ms();
    let sequences = [0, 1, 2, 2, 1, 0, 3, 5, 4];
    for first in sequences {
        let records = sequenced((producer, 0, first), &[now]);
        wire.send(9, &crate::wire::produce_request(9, (&topic, id), 0, records));
    }
    let found: Vec<(i16, i64)> = (0..sequences.len() as i32)
        .rev()
        .map(|behind| {
            let response = wire.receive_behind::<ProduceRequest>(9, behind);
            let partition = &response.responses[0].partition_responses[0];
            (partition.error_code, partition.base_offset)
        })
        .collect();
    assert_eq!(found, [(0, 0), (0, 1), (0, 2), (0, 2), (0, 1), (0, 0), (0, 3), (45, -1), (0, 4)]);
}
