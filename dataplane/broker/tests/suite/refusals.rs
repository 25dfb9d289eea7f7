//! What is wrong is answered with Kafka's code or with a closed connection, and the broker lives on.

use kafka_protocol::messages::*;
use kafka_protocol::protocol::Decodable;
use kafka_protocol::records::Compression;
use uuid::Uuid;

use crate::broker::Broker;
use crate::wire::{Wire, batch, now_ms, produce_request, text};

#[test]
fn bad_batches_have_their_code() {
    let broker = Broker::start();
    let topic = broker.topic_name("bad-batches");
    let mut wire = Wire::connect(&broker);
    let id = wire.create_topic(&topic, 1);
    let good = batch(Compression::None, &[now_ms(), now_ms()]);
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.to_vec();
        change(&mut bytes);
        bytes.into()
    };
    for (what, records, expected) in [
        ("a flipped bit", changed(&|bytes| *bytes.last_mut().unwrap() ^= 1), 2),
        ("a wrong checksum", changed(&|bytes| bytes[18] ^= 1), 2),
        ("two batches", changed(&|bytes| bytes.extend_from_within(..)), 87),
        ("no batch", bytes::Bytes::new(), 87),
    ] {
        let response = wire.produce(9, (&topic, id), 0, records);
        assert_eq!((response.error_code, response.base_offset), (expected, -1), "{what}");
    }
    assert_eq!(wire.produce(9, ("missing", Uuid::nil()), 0, good.clone()).error_code, 3);
    assert_eq!(wire.produce(9, (&topic, id), 4, good.clone()).error_code, 3);
    if wire.versions::<ProduceRequest>().contains(&13) {
        assert_eq!(wire.produce(13, ("", Uuid::from_u128(7)), 0, good.clone()).error_code, 100);
    }
    let no_such_acks = produce_request(9, (&topic, id), 0, good.clone()).with_acks(5);
    assert_eq!(wire.call(9, &no_such_acks).responses[0].partition_responses[0].error_code, 21);
    assert_eq!(wire.produce(9, (&topic, id), 0, good).base_offset, 0, "nothing of that was kept");
}

#[test]
fn unknown_versions_of_api_versions_are_told_the_known_ones() {
    let broker = Broker::start();
    let mut wire = Wire::connect(&broker);
    wire.send_frame(b"\0\x12\0\x63\0\0\0\x07\0\x05suite\0\x02a\x02b\0");
    let mut frame = wire.frame().unwrap();
    assert_eq!(bytes::Buf::get_i32(&mut frame), 7);
    let answer = ApiVersionsResponse::decode(&mut frame, 0).unwrap();
    assert_eq!(answer.error_code, 35);
    assert!(answer.api_keys.iter().any(|api| api.api_key == 18 && api.max_version >= 3));
    for version in wire.versions::<ApiVersionsRequest>() {
        let request = ApiVersionsRequest::default();
        let named = request.clone().with_client_software_name(text("suite")).with_client_software_version(text("1"));
        let answer = wire.call(version, if version >= 3 { &named } else { &request });
        assert_eq!(answer.error_code, 0);
        // librdkafka does not compress without it.
        let produce = answer.api_keys.iter().find(|api| api.api_key == 0).unwrap();
        assert_eq!(produce.min_version, 0);
    }
}

#[test]
fn nobody_authenticates_on_a_plain_listener() {
    let broker = Broker::start();
    let request = SaslHandshakeRequest::default().with_mechanism(text("PLAIN"));
    assert_eq!(Wire::connect(&broker).call(1, &request).error_code, 34);
}

#[test]
fn what_is_no_request_closes_the_connection() {
    let broker = Broker::start();
    // Each with its length in front, where it is a frame.
    let frame = |body: &[u8]| [&(body.len() as i32).to_be_bytes()[..], body].concat();
    for (what, bytes) in [
        ("two gigabytes", b"\x7f\xff\xff\xff\0\0".to_vec()),
        ("a negative length", b"\xff\xff\xff\xff\0\0".to_vec()),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        ("an unknown API", frame(b"\x03\xe7\0\0\0\0\0\x07\xff\xff")),
        ("an unknown version", frame(b"\0\x03\0\x63\0\0\0\x07\xff\xff\0\0\0\0\0\0\0\0")),
        ("produce of a time to come", frame(b"\0\0\0\x63\0\0\0\x07\xff\xff\xff\xff\0\0\0\0\0\0\0\0")),
        ("a cut request", frame(b"\0\x03\0\x01\0\0\0\x07\xff\xff\0\0\0\x05\0\x04a")),
        ("two billion topics", frame(b"\0\x03\0\x01\0\0\0\x07\xff\xff\x7f\xff\xff\xff")),
        ("a name of 32,767 bytes", frame(b"\0\x03\0\x01\0\0\0\x07\xff\xff\0\0\0\x01\x7f\xffabc")),
    ] {
        let mut wire = Wire::connect(&broker);
        wire.send_raw(&bytes);
        assert!(wire.frame().is_none(), "{what} was answered");
        Wire::connect(&broker).versions::<MetadataRequest>();
    }
}
