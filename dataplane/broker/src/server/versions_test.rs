//! Every version of every API is understood and answered as the codec's client side reads it.

use bytes::{Buf, Bytes};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::Message;
use kafka_protocol::protocol::{Decodable, HeaderVersion};

use super::connection::Answer;
use super::errors;
use super::request_fixture::{CORRELATION_ID, TOPIC, all_versions, body, encode, put, request, with_server};
use super::shape::walk;
use crate::batch::{BatchHeader, fixture};
use crate::counters::RefusalReason;

/// Decodes an answer to its last byte.
fn response<T: Decodable + HeaderVersion>(answer: Answer, version: i16) -> T {
    let mut bytes = body(answer).expect("an answer");
    let header = ResponseHeader::decode(&mut bytes, T::header_version(version)).unwrap();
    assert_eq!(header.correlation_id, CORRELATION_ID);
    let response = T::decode(&mut bytes, version).unwrap();
    assert_eq!(bytes.remaining(), 0, "version {version}");
    response
}

#[test]
fn shapes_agree_with_the_codec() {
    for (api, version) in all_versions() {
        let request = request(api.key, version, uuid::Uuid::from_u128(5));
        assert_eq!(walk(api.shape, version, &request[8..]), Ok(0), "{:?} {version}", api.key);
        for len in 8..request.len() {
            assert!(walk(api.shape, version, &request[8..len]).is_err(), "{:?} {version}, {len} bytes", api.key);
        }
    }
}

#[test]
fn every_version_is_answered() {
    with_server(async |server, id| {
        for (api, version) in all_versions() {
            let answer = put(&server, request(api.key, version, id)).await.unwrap();
            match api.key {
                ApiKey::Produce => check_produce(&response(answer, version)),
                ApiKey::Fetch => check_fetch(&response(answer, version), version),
                ApiKey::ListOffsets => check_list_offsets(&response(answer, version), version),
                ApiKey::Metadata => check_metadata(&response(answer, version), version, id),
                ApiKey::OffsetCommit => check_offset_commit(&response(answer, version)),
                ApiKey::OffsetFetch => check_offset_fetch(&response(answer, version), version),
                ApiKey::FindCoordinator => check_coordinator(&response(answer, version), version),
                ApiKey::SaslHandshake => {
                    let response: SaslHandshakeResponse = response(answer, version);
                    assert_eq!(response.error_code, errors::ILLEGAL_SASL_STATE);
                }
                ApiKey::ApiVersions => {
                    let response: ApiVersionsResponse = response(answer, version);
                    assert_eq!((response.error_code, response.api_keys.len()), (0, super::api::APIS.len()));
                }
                ApiKey::CreateTopics => {
                    let response: CreateTopicsResponse = response(answer, version);
                    let codes: Vec<i16> = response.topics.iter().map(|topic| topic.error_code).collect();
                    assert_eq!(codes, [0, 36], "version {version}");
                    let delete = request(ApiKey::DeleteTopics, 6, id);
                    put(&server, delete).await.unwrap();
                }
                ApiKey::DeleteTopics => {
                    let response: DeleteTopicsResponse = response(answer, version);
                    assert_eq!(response.responses[0].error_code, errors::UNKNOWN_TOPIC_OR_PARTITION);
                }
                ApiKey::DescribeConfigs => check_configs(&response(answer, version)),
                ApiKey::JoinGroup => {
                    let response: JoinGroupResponse = response(answer, version);
                    let found = (response.error_code, response.generation_id, response.member_id.as_str());
                    assert_eq!(found, (errors::UNKNOWN_MEMBER_ID, -1, "nobody"));
                }
                ApiKey::SyncGroup => {
                    let response: SyncGroupResponse = response(answer, version);
                    assert_eq!((response.error_code, response.assignment.len()), (errors::UNKNOWN_MEMBER_ID, 0));
                }
                ApiKey::Heartbeat => {
                    let response: HeartbeatResponse = response(answer, version);
                    assert_eq!(response.error_code, errors::UNKNOWN_MEMBER_ID);
                }
                ApiKey::LeaveGroup => {
                    let response: LeaveGroupResponse = response(answer, version);
                    let code = response.members.first().map_or(response.error_code, |member| member.error_code);
                    assert_eq!(code, errors::UNKNOWN_MEMBER_ID, "version {version}");
                }
                ApiKey::DeleteRecords => {
                    let response: DeleteRecordsResponse = response(answer, version);
                    let found = response.topics[0].partitions.iter().map(|it| (it.error_code, it.low_watermark));
                    assert_eq!(found.collect::<Vec<_>>(), [(0, 0), (1, -1), (3, -1)]);
                }
                ApiKey::InitProducerId => {
                    let response: InitProducerIdResponse = response(answer, version);
                    let found = (response.error_code, response.producer_id.0, response.producer_epoch);
                    assert_eq!(found, (0, i64::from(version - api.min), 0));
                }
                ApiKey::IncrementalAlterConfigs => {
                    let response: IncrementalAlterConfigsResponse = response(answer, version);
                    let codes: Vec<i16> = response.responses.iter().map(|it| it.error_code).collect();
                    assert_eq!(codes, [0, errors::UNKNOWN_TOPIC_OR_PARTITION]);
                }
                ApiKey::CreatePartitions => {
                    let response: CreatePartitionsResponse = response(answer, version);
                    let codes: Vec<i16> = response.results.iter().map(|result| result.error_code).collect();
                    assert_eq!(codes, [errors::UNKNOWN_TOPIC_OR_PARTITION, 37, errors::UNKNOWN_TOPIC_OR_PARTITION]);
                }
                ApiKey::DescribeCluster => {
                    let response: DescribeClusterResponse = response(answer, version);
                    assert_eq!(
                        (response.error_code, response.controller_id, response.brokers.len()),
                        (0, BrokerId(1), 1)
                    );
                    assert_eq!(response.brokers[0].port, 9092);
                }
                // All offsets of the one group were committed before, as keys are in order.
                ApiKey::ListGroups => check_groups(&response(answer, version), version),
                ApiKey::DescribeGroups => check_described_groups(&response(answer, version), version),
                ApiKey::DeleteGroups => {
                    let response: DeleteGroupsResponse = response(answer, version);
                    let codes: Vec<i16> = response.results.iter().map(|result| result.error_code).collect();
                    assert_eq!(codes, [errors::GROUP_ID_NOT_FOUND; 2]);
                }
                ApiKey::OffsetDelete => {
                    let response: OffsetDeleteResponse = response(answer, version);
                    let codes = response.topics[0].partitions.iter().map(|partition| partition.error_code);
                    assert_eq!((response.error_code, codes.collect::<Vec<_>>()), (0, vec![0, 3]));
                }
                key => panic!("{key:?} has no check"),
            }
        }
    });
}

fn check_produce(response: &ProduceResponse) {
    let codes: Vec<i16> = response.responses[0].partition_responses.iter().map(|it| it.error_code).collect();
    assert_eq!(codes, [0, 0, 3]);
}

fn check_fetch(response: &FetchResponse, version: i16) {
    let partitions = &response.responses[0].partitions;
    let codes: Vec<i16> = partitions.iter().map(|partition| partition.error_code).collect();
    assert_eq!((codes, response.session_id), (vec![0, 0, 3], 0), "version {version}");
    assert_eq!(partitions[0].high_watermark, partitions[0].last_stable_offset);
    let records = partitions[0].records.clone().unwrap();
    let header = BatchHeader::read(&records).unwrap();
    assert_eq!((header.base_offset, header.record_count), (0, 2));
    // One for each of the produces before.
    assert_eq!(records.len() / header.bytes * 2, partitions[0].high_watermark as usize);
    assert_eq!(partitions[2].records, Some(Bytes::new()));
}

fn check_list_offsets(response: &ListOffsetsResponse, version: i16) {
    let found: Vec<(i16, i64)> = response.topics[0].partitions.iter().map(|it| (it.error_code, it.offset)).collect();
    let end = found[0].1;
    assert!(end > 0);
    let unsupported = (errors::UNSUPPORTED_VERSION, -1);
    let since = |first: i16, answer: (i16, i64)| if version >= first { answer } else { unsupported };
    // The fixture's records cannot be read, so the first offset of the batch stands for the first record.
    let expected = [
        (0, end),
        (0, 0),
        since(7, (0, 0)),
        since(8, (0, 0)),
        since(9, (0, -1)),
        unsupported,
        (0, 0),
        (0, 0),
        (0, -1),
        (3, -1),
    ];
    assert_eq!(found, expected, "version {version}");
}

fn check_metadata(response: &MetadataResponse, version: i16, id: uuid::Uuid) {
    assert_eq!((response.brokers.len(), response.brokers[0].port), (1, 9092));
    assert_eq!(response.brokers[0].host.as_str(), "127.0.0.1");
    let codes: Vec<i16> = response.topics.iter().map(|topic| topic.error_code).collect();
    assert_eq!(codes[..2], [0, 3]);
    assert_eq!(response.topics[0].name.as_ref().map(|name| name.as_str()), Some(TOPIC));
    assert_eq!(response.topics[0].partitions.len(), 2);
    if version >= 10 {
        assert_eq!(response.topics[0].topic_id, id);
    }
    if version >= 12 {
        assert_eq!((codes[2], &response.topics[2].name), (100, &None));
    }
}

fn check_offset_commit(response: &OffsetCommitResponse) {
    let codes: Vec<i16> =
        response.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code).collect();
    assert_eq!(codes, [0, 3, 3]);
}

fn check_offset_fetch(response: &OffsetFetchResponse, version: i16) {
    if version < 8 {
        let partitions = &response.topics[0].partitions;
        assert_eq!((partitions[0].committed_offset, partitions[1].committed_offset), (41, -1));
        assert_eq!(partitions[0].metadata.as_deref(), Some("stamp"));
        return;
    }
    let group = |place: usize| &response.groups[place].topics;
    let offsets: Vec<i64> = group(0)[0].partitions.iter().map(|partition| partition.committed_offset).collect();
    assert_eq!(offsets, [41, -1]);
    assert_eq!((group(1).len(), group(1)[0].partitions.len(), group(2).len()), (1, 1, 0));
}

fn check_coordinator(response: &FindCoordinatorResponse, version: i16) {
    if version < 4 {
        assert_eq!((response.error_code, response.port), (0, 9092));
        return;
    }
    let found: Vec<(&str, i32)> = response.coordinators.iter().map(|it| (it.key.as_str(), it.port)).collect();
    assert_eq!(found, [("g", 9092), ("h", 9092)]);
}

fn check_groups(response: &ListGroupsResponse, version: i16) {
    let group = &response.groups[0];
    let found = (group.group_id.as_str(), group.protocol_type.as_str(), group.group_state.as_str());
    assert_eq!((response.error_code, response.groups.len()), (0, 1));
    assert_eq!(found, ("g", "", if version >= 4 { "Empty" } else { "" }), "version {version}");
    assert_eq!(group.group_type.as_str(), if version >= 5 { "classic" } else { "" });
}

fn check_described_groups(response: &DescribeGroupsResponse, version: i16) {
    let found: Vec<(i16, &str)> = response.groups.iter().map(|it| (it.error_code, it.group_state.as_str())).collect();
    let unknown = if version >= 6 { errors::GROUP_ID_NOT_FOUND } else { 0 };
    assert_eq!(found, [(0, "Empty"), (unknown, "Dead")], "version {version}");
}

fn check_configs(response: &DescribeConfigsResponse) {
    let codes: Vec<i16> = response.results.iter().map(|result| result.error_code).collect();
    assert_eq!(codes, [0, 3, 0, 42, 42]);
    let broker = &response.results[2].configs;
    assert_eq!((broker.len(), broker[0].value.as_deref()), (1, Some("16000000")));
}

#[test]
fn what_is_not_spoken_is_refused_as_kafka_does() {
    with_server(async |server, id| {
        // An unknown version of ApiVersions is answered in the oldest, with the range that is known.
        let mut bytes = request(ApiKey::ApiVersions, 4, id).to_vec();
        bytes[3] = 99;
        let mut answered = body(put(&server, bytes.into()).await.unwrap()).unwrap();
        assert_eq!(answered.get_i32(), CORRELATION_ID);
        let answer = ApiVersionsResponse::decode(&mut answered, 0).unwrap();
        assert_eq!((answer.error_code, answer.api_keys.len()), (errors::UNSUPPORTED_VERSION, 1));
        assert_eq!((answer.api_keys[0].api_key, answer.api_keys[0].max_version), (18, 4));
        // Other APIs and versions close the connection.
        for (key, version) in [(0, 2), (0, 14), (1, 18), (3, -1), (24, 0), (27, 0), (999, 0), (-1, 0)] {
            let mut bytes = request(ApiKey::Metadata, 1, id).to_vec();
            bytes[..2].copy_from_slice(&i16::to_be_bytes(key));
            bytes[2..4].copy_from_slice(&i16::to_be_bytes(version));
            let refused = put(&server, bytes.into()).await.err();
            assert_eq!(refused, Some(RefusalReason::Unsupported), "API {key}, version {version}");
        }
        // A client that does not name itself properly.
        let nameless = encode(ApiKey::ApiVersions, 3, &ApiVersionsRequest::default());
        let answer: ApiVersionsResponse = response(put(&server, nameless).await.unwrap(), 3);
        assert_eq!(answer.error_code, errors::INVALID_REQUEST);
    });
}

#[test]
fn versions_are_those_that_the_codec_has() {
    for (api, version) in all_versions() {
        let range = api.key.valid_versions();
        assert!((range.min..=range.max).contains(&version), "{:?} {version}", api.key);
    }
    let max = |key| super::api::APIS.iter().find(|api| api.key == key).unwrap().max;
    assert_eq!(max(ApiKey::OffsetCommit), OffsetCommitRequest::VERSIONS.max);
    assert_eq!(max(ApiKey::OffsetFetch), OffsetFetchRequest::VERSIONS.max);
}

#[test]
fn refused_batches_have_kafkas_codes() {
    use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
    with_server(async |server, _| {
        let good = fixture::batch(2, 1_000, &[0; 20]);
        let changed = |at: usize, byte: u8, is_sealed: bool| {
            let mut bytes = good.to_vec();
            bytes[at] = byte;
            if is_sealed { fixture::seal(bytes) } else { bytes.into() }
        };
        for (records, acks, expected) in [
            (Some(good.clone()), 1, Some(0)),
            (Some(good.clone()), 2, Some(errors::INVALID_REQUIRED_ACKS)),
            (Some(changed(70, 1, false)), -1, Some(2)),
            (Some(changed(8, 1, false)), -1, Some(10)),
            (Some(changed(16, 1, false)), -1, Some(87)),
            (Some(changed(22, 6, true)), -1, Some(76)),
            (Some(changed(22, 4, true)), -1, Some(errors::UNSUPPORTED_COMPRESSION_TYPE)),
            (Some(changed(22, 8, true)), -1, Some(32)),
            (None, -1, Some(87)),
            (Some(good.clone()), 0, None),
            (Some(changed(70, 1, false)), 0, None),
        ] {
            let partition = PartitionProduceData::default().with_records(records);
            let name = TopicName(kafka_protocol::protocol::StrBytes::from_static_str(TOPIC));
            let topic = TopicProduceData::default().with_name(name).with_partition_data(vec![partition]);
            let request = ProduceRequest::default().with_acks(acks).with_topic_data(vec![topic]);
            let answer = put(&server, encode(ApiKey::Produce, 6, &request)).await.unwrap();
            match (expected, answer) {
                (None, answer) => assert!(matches!(answer, Answer::Nothing | Answer::Close)),
                (Some(expected), answer) => {
                    let response: ProduceResponse = response(answer, 6);
                    assert_eq!(response.responses[0].partition_responses[0].error_code, expected, "acks {acks}");
                }
            }
        }
        // A produce that nobody answers is done before a later change is.
        server.handle.create_topic("later", 1).await.unwrap();
        let offsets = server.handle.offsets().await.unwrap();
        let measured = offsets.iter().find(|(name, _)| name == TOPIC).unwrap();
        assert_eq!(measured.1[0].high_watermark, 4, "two were taken");
    });
}
