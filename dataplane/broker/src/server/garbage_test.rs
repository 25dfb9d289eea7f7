//! Bytes that no client would send: an answer or a closed connection, never a panic and never a large allocation.

use std::time::Duration;

use bytes::{Buf, Bytes};
use kafka_protocol::messages::{ApiKey, RequestHeader};
use kafka_protocol::protocol::Decodable;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use uuid::Uuid;

use super::api::APIS;
use super::connection::Answer;
use super::request_fixture::{all_versions, put, request, with_server};
use super::shape::walk;
use crate::counters::RefusalReason;
use crate::limits::REQUEST_ELEMENTS_MAX;

/// Puts all to one server: what one request does must not hurt the next.
fn check(requests: Vec<Bytes>) {
    with_server(async |server, _| {
        for request in requests {
            // A member that waits for others is not waited for.
            let waited = tokio::time::timeout(Duration::from_millis(20), put(&server, request));
            match waited.await.unwrap_or(Ok(Answer::Nothing)) {
                Ok(Answer::Frame(..) | Answer::Nothing | Answer::Close) => {}
                Err(reason) => {
                    assert!(matches!(reason, RefusalReason::Malformed | RefusalReason::Unsupported), "{reason:?}");
                }
            }
        }
        server.handle.offsets().await.expect("the log is alive");
    });
}

fn mutated(edits: &[(Index, u8)], mut bytes: Vec<u8>) -> Bytes {
    for (at, value) in edits {
        let at = at.index(bytes.len());
        bytes[at] = *value;
    }
    bytes.into()
}

#[test]
fn mutated_requests_never_panic() {
    let mut runner = TestRunner::new(Config { cases: 60, ..Config::default() });
    let byte = prop_oneof![Just(0u8), Just(0x7f), Just(0x80), Just(0xff), any::<u8>()];
    let edits = proptest::collection::vec((any::<Index>(), byte), 1..4);
    runner
        .run(&proptest::collection::vec(edits, 10), |edits| {
            check_mutated(&edits);
            Ok(())
        })
        .unwrap();
}

fn check_mutated(edits: &[Vec<(Index, u8)>]) {
    let id = Uuid::from_u128(5);
    let mut requests = Vec::new();
    for (place, (api, version)) in all_versions().enumerate() {
        let bytes = mutated(&edits[place % edits.len()], request(api.key, version, id).to_vec());
        requests.push(bytes);
    }
    check(requests);
}

#[test]
fn arbitrary_bytes_never_panic() {
    let mut runner = TestRunner::new(Config { cases: 100, ..Config::default() });
    let tail = proptest::collection::vec(any::<u8>(), 0..200);
    runner
        .run(&proptest::collection::vec(tail, 20), |tails| {
            let mut requests: Vec<Bytes> = tails.iter().map(|tail| tail.clone().into()).collect();
            for (place, (api, version)) in all_versions().enumerate() {
                let mut bytes = (api.key as i16).to_be_bytes().to_vec();
                bytes.extend_from_slice(&version.to_be_bytes());
                bytes.extend_from_slice(&tails[place % tails.len()]);
                requests.push(bytes.into());
            }
            check(requests);
            Ok(())
        })
        .unwrap();
}

/// What the walk lets through, the codec reads to the same byte or refuses; what it would reserve is bounded by what is there.
#[test]
fn the_walk_is_never_more_generous_than_the_bytes() {
    let mut runner = TestRunner::new(Config { cases: 200, ..Config::default() });
    let edits = proptest::collection::vec((any::<Index>(), any::<u8>()), 1..3);
    runner
        .run(&edits, |edits| {
            for (api, version) in all_versions() {
                let bytes = mutated(&edits, request(api.key, version, Uuid::from_u128(5)).to_vec());
                let Ok(left) = walk(api.shape, version, &bytes[8..]) else { continue };
                let mut rest = bytes.clone();
                if RequestHeader::decode(&mut rest, api.key.request_header_version(version)).is_err() {
                    continue;
                }
                if let Some(codec_left) = decode_rest(api.key, version, rest) {
                    prop_assert_eq!(codec_left, left, "{:?} {}", api.key, version);
                }
            }
            Ok(())
        })
        .unwrap();
}

fn decode_rest(key: ApiKey, version: i16, mut bytes: Bytes) -> Option<usize> {
    use kafka_protocol::messages::*;
    macro_rules! decode {
        ($($name:ident => $request:ident),*) => {
            match key {
                $(ApiKey::$name => $request::decode(&mut bytes, version).map(drop),)*
                _ => panic!("no decoder for {key:?}"),
            }
        };
    }
    let decoded = decode!(
        Produce => ProduceRequest, Fetch => FetchRequest, ListOffsets => ListOffsetsRequest,
        Metadata => MetadataRequest, OffsetCommit => OffsetCommitRequest, OffsetFetch => OffsetFetchRequest,
        FindCoordinator => FindCoordinatorRequest, SaslHandshake => SaslHandshakeRequest,
        ApiVersions => ApiVersionsRequest, CreateTopics => CreateTopicsRequest, DeleteTopics => DeleteTopicsRequest,
        DescribeConfigs => DescribeConfigsRequest, CreatePartitions => CreatePartitionsRequest,
        DescribeCluster => DescribeClusterRequest, ListGroups => ListGroupsRequest,
        DescribeGroups => DescribeGroupsRequest, DeleteGroups => DeleteGroupsRequest,
        OffsetDelete => OffsetDeleteRequest, DeleteRecords => DeleteRecordsRequest,
        InitProducerId => InitProducerIdRequest, JoinGroup => JoinGroupRequest, SyncGroup => SyncGroupRequest,
        Heartbeat => HeartbeatRequest, LeaveGroup => LeaveGroupRequest, IncrementalAlterConfigs => IncrementalAlterConfigsRequest
    );
    decoded.ok().map(|()| bytes.remaining())
}

#[test]
fn claimed_counts_are_not_believed() {
    // Every four bytes of every request in turn claim as much as they can; so do five bytes of a varint.
    for (api, version) in all_versions() {
        let good = request(api.key, version, Uuid::from_u128(5));
        for claim in [&[0x7f, 0xff, 0xff, 0xff][..], &[0xff, 0xff, 0xff, 0xff, 0x0f], &[0xff, 0xff, 0xff, 0x7f]] {
            for at in 8..good.len() - claim.len() {
                let mut bytes = good.to_vec();
                bytes[at..at + claim.len()].copy_from_slice(claim);
                // If the walk lets it pass, the codec must not reserve for it: it would abort the process.
                if walk(api.shape, version, &bytes[8..]).is_ok() {
                    let mut rest = Bytes::from(bytes);
                    if RequestHeader::decode(&mut rest, api.key.request_header_version(version)).is_ok() {
                        let _ = decode_rest(api.key, version, rest);
                    }
                }
            }
        }
    }
}

#[test]
fn a_request_has_a_limited_number_of_elements() {
    let metadata = APIS.iter().find(|api| api.key == ApiKey::Metadata).unwrap();
    for (count, is_fine) in [(REQUEST_ELEMENTS_MAX, true), (REQUEST_ELEMENTS_MAX + 1, false)] {
        let mut bytes = vec![0xff, 0xff];
        bytes.extend_from_slice(&(count as i32).to_be_bytes());
        bytes.resize(bytes.len() + 2 * count, 0);
        assert_eq!(walk(metadata.shape, 1, &bytes).is_ok(), is_fine, "{count} topics");
        let mut bytes = vec![0xff, 0xff];
        let mut rest = count;
        while rest >= 0x80 {
            bytes.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        bytes.push(rest as u8);
        (0..count).for_each(|_| bytes.extend_from_slice(&[9, 0]));
        // No topics, three flags, no tags.
        bytes.extend_from_slice(&[0; 5]);
        assert_eq!(walk(metadata.shape, 9, &bytes).is_ok(), is_fine, "{count} tags");
    }
}
