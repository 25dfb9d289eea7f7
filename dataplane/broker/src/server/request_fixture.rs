//! A filled request of every served API and version, as a client encodes it, and a server on a simulated disk to put it to.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use disk::SimDisk;
use kafka_protocol::messages::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic, ReplicaState};
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Encodable, HeaderVersion, StrBytes};
use uuid::Uuid;

use super::Server;
use super::api::{APIS, Api, begin};
use super::connection::{Addresses, Answer};
use super::membership::Membership;
use crate::batch::fixture;
use crate::counters::RefusalReason;
use crate::handle::{BrokerHandle, channel, memory_permits};
use crate::log::BrokerLog;
use crate::options::{BrokerOptions, LogBudget};

pub(super) const TOPIC: &str = "measured";
pub(super) const CORRELATION_ID: i32 = 77;

/// Runs a broker with one topic on a simulated disk and does `work` with its server and the topic's id.
pub(super) fn with_server<T>(work: impl AsyncFnOnce(Arc<Server>, Uuid) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (handle, inbox): (BrokerHandle, _) = channel();
    // Changed bytes of a fetch may ask for a wait of hours; it ends when a connection would be called idle.
    let idle_max = Duration::from_millis(1);
    let options = BrokerOptions { log_budget: LogBudget::Bytes(1 << 30), idle_max, ..BrokerOptions::default() };
    runtime.block_on(async {
        let log = BrokerLog::open(SimDisk::new(1), PathBuf::from("/b"), &options, inbox).await.unwrap();
        let request_memory = memory_permits(1 << 30);
        let server =
            Arc::new(Server { handle: handle.clone(), options, request_memory, membership: Membership::default() });
        let worked = async {
            let id = handle.create_topic(TOPIC, 2).await.unwrap().id;
            let value = work(server, id).await;
            handle.shutdown().await;
            value
        };
        let (ended, value) = tokio::join!(log.run(), worked);
        ended.unwrap();
        value
    })
}

/// Puts a request's bytes to the server, and waits for the answer.
pub(super) async fn put(server: &Arc<Server>, request: Bytes) -> Result<Answer, RefusalReason> {
    let local = SocketAddr::from(([127, 0, 0, 1], 9092));
    let peer = SocketAddr::from(([127, 0, 0, 1], 5_000));
    Ok(begin(server, Addresses { local, peer }, request).await?.await)
}

/// The bytes of an answer after its length.
pub(super) fn body(answer: Answer) -> Option<Bytes> {
    let Answer::Frame(mut frame, _) = answer else { return None };
    let len = frame.get_i32();
    assert_eq!(len as usize, frame.remaining());
    Some(frame.copy_to_bytes(frame.remaining()))
}

/// Every served API in every served version.
pub(super) fn all_versions() -> impl Iterator<Item = (&'static Api, i16)> {
    APIS.iter().flat_map(|api| (api.min..=api.max).map(move |version| (api, version)))
}

pub(super) fn encode<T: Encodable + HeaderVersion>(key: ApiKey, version: i16, request: &T) -> Bytes {
    let header = RequestHeader::default()
        .with_request_api_key(key as i16)
        .with_request_api_version(version)
        .with_correlation_id(CORRELATION_ID)
        .with_client_id(Some(text("a client")));
    let mut bytes = BytesMut::new();
    header.encode(&mut bytes, T::header_version(version)).unwrap();
    request.encode(&mut bytes, version).unwrap_or_else(|error| panic!("{key:?} {version}: {error}"));
    bytes.freeze()
}

/// A request with something in every list, for a topic of this id.
pub(super) fn request(key: ApiKey, version: i16, id: Uuid) -> Bytes {
    match key {
        ApiKey::Produce => encode(key, version, &produce(version, id)),
        ApiKey::Fetch => encode(key, version, &fetch(version, id)),
        ApiKey::ListOffsets => encode(key, version, &list_offsets(version)),
        ApiKey::Metadata => encode(key, version, &metadata(version)),
        ApiKey::OffsetCommit => encode(key, version, &offset_commit(version)),
        ApiKey::OffsetFetch => encode(key, version, &offset_fetch(version)),
        ApiKey::FindCoordinator if version < 4 => {
            encode(key, version, &FindCoordinatorRequest::default().with_key(text("g")))
        }
        ApiKey::FindCoordinator => {
            encode(key, version, &FindCoordinatorRequest::default().with_coordinator_keys(vec![text("g"), text("h")]))
        }
        ApiKey::SaslHandshake => encode(key, version, &SaslHandshakeRequest::default().with_mechanism(text("PLAIN"))),
        ApiKey::ApiVersions if version < 3 => encode(key, version, &ApiVersionsRequest::default()),
        ApiKey::ApiVersions => {
            let named = ApiVersionsRequest::default().with_client_software_name(text("test"));
            encode(key, version, &named.with_client_software_version(text("1.0")))
        }
        ApiKey::CreateTopics => encode(key, version, &create_topics()),
        ApiKey::DeleteTopics if version < 6 => {
            encode(key, version, &DeleteTopicsRequest::default().with_topic_names(vec![TopicName(text("made"))]))
        }
        ApiKey::DeleteTopics => {
            let state = DeleteTopicState::default().with_name(Some(TopicName(text("made"))));
            encode(key, version, &DeleteTopicsRequest::default().with_topics(vec![state]))
        }
        ApiKey::DescribeConfigs => encode(key, version, &describe_configs()),
        ApiKey::JoinGroup => encode(key, version, &join_group(version)),
        ApiKey::SyncGroup => encode(key, version, &sync_group(version)),
        ApiKey::Heartbeat => {
            let request = HeartbeatRequest::default().with_group_id(GroupId(text("members")));
            let request = request.with_generation_id(3).with_member_id(text("nobody"));
            encode(key, version, &if version >= 3 { request.with_group_instance_id(Some(text("i"))) } else { request })
        }
        ApiKey::LeaveGroup => {
            let request = LeaveGroupRequest::default().with_group_id(GroupId(text("members")));
            if version < 3 {
                return encode(key, version, &request.with_member_id(text("nobody")));
            }
            let identity = MemberIdentity::default().with_member_id(text("nobody"));
            encode(key, version, &request.with_members(vec![identity]))
        }
        ApiKey::DeleteRecords => encode(key, version, &delete_records()),
        ApiKey::InitProducerId => {
            let request = InitProducerIdRequest::default().with_transaction_timeout_ms(1_000);
            encode(key, version, &request.with_transactional_id(None))
        }
        ApiKey::IncrementalAlterConfigs => encode(key, version, &alter_configs()),
        ApiKey::CreatePartitions => encode(key, version, &create_partitions()),
        ApiKey::DescribeCluster => encode(key, version, &describe_cluster(version)),
        ApiKey::ListGroups => encode(key, version, &list_groups(version)),
        ApiKey::DescribeGroups => {
            let groups = ["g", "none"].map(|name| GroupId(text(name))).to_vec();
            encode(key, version, &DescribeGroupsRequest::default().with_groups(groups))
        }
        ApiKey::DeleteGroups => {
            let groups = ["deleted", "none"].map(|name| GroupId(text(name))).to_vec();
            encode(key, version, &DeleteGroupsRequest::default().with_groups_names(groups))
        }
        ApiKey::OffsetDelete => encode(key, version, &offset_delete()),
        _ => panic!("no fixture for {key:?}"),
    }
}

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

fn topic_name() -> TopicName {
    TopicName(text(TOPIC))
}

fn produce(version: i16, id: Uuid) -> ProduceRequest {
    let records = fixture::batch(2, 1_000, &[0; 20]);
    let partition = |index| PartitionProduceData::default().with_index(index).with_records(Some(records.clone()));
    let topic = TopicProduceData::default().with_partition_data(vec![partition(0), partition(1), partition(9)]);
    let topic = if version >= 13 { topic.with_topic_id(id) } else { topic.with_name(topic_name()) };
    ProduceRequest::default().with_acks(-1).with_timeout_ms(1_000).with_topic_data(vec![topic])
}

fn fetch(version: i16, id: Uuid) -> FetchRequest {
    let partition = |number| {
        let partition = FetchPartition::default().with_partition(number).with_partition_max_bytes(1 << 20);
        if version >= 17 { partition.with_replica_directory_id(id) } else { partition }
    };
    let topic = FetchTopic::default().with_partitions(vec![partition(0), partition(1), partition(5)]);
    let topic = if version >= 13 { topic.with_topic_id(id) } else { topic.with_topic(topic_name()) };
    let request = FetchRequest::default().with_max_bytes(1 << 20).with_min_bytes(1).with_topics(vec![topic]);
    let request = if version >= 7 {
        let forgotten = ForgottenTopic::default().with_partitions(vec![1, 2, 3]);
        let forgotten = if version >= 13 { forgotten.with_topic_id(id) } else { forgotten.with_topic(topic_name()) };
        request.with_session_epoch(-1).with_forgotten_topics_data(vec![forgotten])
    } else {
        request
    };
    let request = if version >= 12 { request.with_cluster_id(Some(text("cluster"))) } else { request };
    if version >= 15 { request.with_replica_state(ReplicaState::default().with_replica_epoch(5)) } else { request }
}

fn list_offsets(version: i16) -> ListOffsetsRequest {
    let partition = |timestamp| ListOffsetsPartition::default().with_partition_index(0).with_timestamp(timestamp);
    let mut partitions: Vec<_> = [-1, -2, -3, -4, -5, -9, 0, 1_000, 5_000].map(partition).to_vec();
    partitions.push(ListOffsetsPartition::default().with_partition_index(7).with_timestamp(-1));
    let topic = ListOffsetsTopic::default().with_name(topic_name()).with_partitions(partitions);
    let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
    if version >= 2 { request.with_isolation_level(1) } else { request }
}

fn metadata(version: i16) -> MetadataRequest {
    let topic = |name| MetadataRequestTopic::default().with_name(Some(TopicName(text(name))));
    let mut topics = vec![topic(TOPIC), topic("missing")];
    if version >= 12 {
        topics.push(MetadataRequestTopic::default().with_name(None).with_topic_id(Uuid::from_u128(9)));
    }
    MetadataRequest::default().with_topics(Some(topics))
}

fn offset_commit(version: i16) -> OffsetCommitRequest {
    let partition = |index| {
        let partition = OffsetCommitRequestPartition::default().with_partition_index(index).with_committed_offset(41);
        partition.with_committed_metadata(Some(text("stamp")))
    };
    let topic = |name| OffsetCommitRequestTopic::default().with_name(TopicName(text(name)));
    let topics = vec![
        topic(TOPIC).with_partitions(vec![partition(0), partition(7)]),
        topic("missing").with_partitions(vec![partition(0)]),
    ];
    let request = OffsetCommitRequest::default().with_group_id(GroupId(text("g"))).with_topics(topics);
    let request = request.with_generation_id_or_member_epoch(-1);
    if version >= 7 { request.with_group_instance_id(Some(text("instance"))) } else { request }
}

fn offset_fetch(version: i16) -> OffsetFetchRequest {
    if version >= 8 {
        let topic = OffsetFetchRequestTopics::default().with_name(topic_name()).with_partition_indexes(vec![0, 1]);
        let group = |name| OffsetFetchRequestGroup::default().with_group_id(GroupId(text(name)));
        let groups = vec![
            group("g").with_topics(Some(vec![topic])),
            group("g").with_topics(None),
            group("none").with_topics(None),
        ];
        return OffsetFetchRequest::default().with_groups(groups).with_topics(Some(Vec::new()));
    }
    let topic = OffsetFetchRequestTopic::default().with_name(topic_name()).with_partition_indexes(vec![0, 1]);
    OffsetFetchRequest::default().with_group_id(GroupId(text("g"))).with_topics(Some(vec![topic]))
}

fn create_topics() -> CreateTopicsRequest {
    let config = CreatableTopicConfig::default().with_name(text("cleanup.policy")).with_value(Some(text("delete")));
    let topic = |name| CreatableTopic::default().with_name(TopicName(text(name))).with_replication_factor(1);
    let made = topic("made").with_num_partitions(3).with_configs(vec![config]);
    CreateTopicsRequest::default().with_timeout_ms(1_000).with_topics(vec![made, topic(TOPIC).with_num_partitions(1)])
}

/// A member that nobody knows: it never waits for others.
fn join_group(version: i16) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(b"what"[..].into());
    let request = JoinGroupRequest::default()
        .with_group_id(GroupId(text("members")))
        .with_session_timeout_ms(10_000)
        .with_member_id(text("nobody"))
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol]);
    let request = if version >= 1 { request.with_rebalance_timeout_ms(10_000) } else { request };
    if version >= 5 { request.with_group_instance_id(Some(text("i"))) } else { request }
}

fn sync_group(version: i16) -> SyncGroupRequest {
    let assignment = SyncGroupRequestAssignment::default().with_member_id(text("nobody"));
    let request = SyncGroupRequest::default()
        .with_group_id(GroupId(text("members")))
        .with_generation_id(3)
        .with_member_id(text("nobody"))
        .with_assignments(vec![assignment.with_assignment(b"what"[..].into())]);
    if version >= 5 { request.with_protocol_type(Some(text("consumer"))) } else { request }
}

fn delete_records() -> DeleteRecordsRequest {
    let partition = |index, offset| DeleteRecordsPartition::default().with_partition_index(index).with_offset(offset);
    let topic = DeleteRecordsTopic::default().with_name(topic_name());
    let topics = vec![topic.with_partitions(vec![partition(0, 0), partition(1, 1 << 40), partition(9, -1)])];
    DeleteRecordsRequest::default().with_topics(topics).with_timeout_ms(1_000)
}

fn alter_configs() -> IncrementalAlterConfigsRequest {
    let config = |name, value: &'static str| {
        AlterableConfig::default().with_name(text(name)).with_config_operation(0).with_value(Some(text(value)))
    };
    let resource = |name| AlterConfigsResource::default().with_resource_type(2).with_resource_name(text(name));
    let configs = vec![config("retention.ms", "60000"), config("retention.bytes", "-1")];
    let resources = vec![resource(TOPIC).with_configs(configs), resource("missing")];
    IncrementalAlterConfigsRequest::default().with_resources(resources)
}

fn create_partitions() -> CreatePartitionsRequest {
    let assignment = CreatePartitionsAssignment::default().with_broker_ids(vec![BrokerId(1)]);
    let topic = |name, count| CreatePartitionsTopic::default().with_name(TopicName(text(name))).with_count(count);
    let assigned = topic("grown", 3).with_assignments(Some(vec![assignment.clone(), assignment]));
    let topics = vec![assigned, topic(TOPIC, 2).with_assignments(None), topic("missing", 9).with_assignments(None)];
    CreatePartitionsRequest::default().with_topics(topics).with_timeout_ms(1_000).with_validate_only(true)
}

fn describe_cluster(version: i16) -> DescribeClusterRequest {
    let request = DescribeClusterRequest::default().with_include_cluster_authorized_operations(true);
    if version >= 2 { request.with_include_fenced_brokers(true) } else { request }
}

fn list_groups(version: i16) -> ListGroupsRequest {
    let request = ListGroupsRequest::default();
    let request = if version >= 4 { request.with_states_filter(vec![text("Empty"), text("Stable")]) } else { request };
    if version >= 5 { request.with_types_filter(vec![text("classic")]) } else { request }
}

fn offset_delete() -> OffsetDeleteRequest {
    let partition = |index| OffsetDeleteRequestPartition::default().with_partition_index(index);
    let topic = OffsetDeleteRequestTopic::default().with_name(topic_name());
    let topics = vec![topic.with_partitions(vec![partition(1), partition(7)])];
    OffsetDeleteRequest::default().with_group_id(GroupId(text("g"))).with_topics(topics)
}

fn describe_configs() -> DescribeConfigsRequest {
    let resource =
        |kind, name| DescribeConfigsResource::default().with_resource_type(kind).with_resource_name(text(name));
    let keys = resource(4, "1").with_configuration_keys(Some(vec![text("message.max.bytes")]));
    let all = |resource: DescribeConfigsResource| resource.with_configuration_keys(None);
    DescribeConfigsRequest::default().with_resources(vec![
        all(resource(2, TOPIC)),
        all(resource(2, "missing")),
        keys,
        all(resource(4, "9")),
        all(resource(7, "x")),
    ])
}
