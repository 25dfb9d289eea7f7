//! What is spoken: APIs, versions, and the way of a request from its bytes to the function that begins it.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, RequestHeader, SaslHandshakeRequest, SaslHandshakeResponse,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Message, StrBytes};

use super::connection::{Addresses, Answer, Reply};
use super::errors;
use super::frame::{Frame, REQUEST_BYTES_MIN};
use super::shape::{self, RequestShape};
use super::{
    Server, admin, cluster, configs, delete_records, fetch, group_admin, groups, list_offsets, membership, metadata,
    partitions, produce, producer_ids, shapes,
};
use crate::counters::RefusalReason;

/// An API and the versions of it that are served.
pub(super) struct Api {
    pub key: ApiKey,
    pub min: i16,
    pub max: i16,
    /// What clients are told to be the first version.
    told_min: i16,
    pub shape: &'static RequestShape,
}

const fn api(key: ApiKey, min: i16, max: i16, shape: &'static RequestShape) -> Api {
    Api { key, min, max, told_min: min, shape }
}

/// In order of key, as Kafka lists them.
pub(super) const APIS: &[Api] = &[
    // librdkafka looks for version 0 to find out whether it may compress; Apache Kafka 4 tells it the same.
    Api { told_min: 0, ..api(ApiKey::Produce, 3, 13, &shapes::PRODUCE) },
    api(ApiKey::Fetch, 4, 17, &shapes::FETCH),
    api(ApiKey::ListOffsets, 1, 10, &shapes::LIST_OFFSETS),
    api(ApiKey::Metadata, 0, 13, &shapes::METADATA),
    api(ApiKey::OffsetCommit, 2, 9, &shapes::OFFSET_COMMIT),
    api(ApiKey::OffsetFetch, 1, 9, &shapes::OFFSET_FETCH),
    api(ApiKey::FindCoordinator, 0, 6, &shapes::FIND_COORDINATOR),
    api(ApiKey::JoinGroup, 0, 9, &shapes::JOIN_GROUP),
    api(ApiKey::Heartbeat, 0, 4, &shapes::HEARTBEAT),
    api(ApiKey::LeaveGroup, 0, 5, &shapes::LEAVE_GROUP),
    api(ApiKey::SyncGroup, 0, 5, &shapes::SYNC_GROUP),
    api(ApiKey::DescribeGroups, 0, 6, &shapes::DESCRIBE_GROUPS),
    api(ApiKey::ListGroups, 0, 5, &shapes::LIST_GROUPS),
    api(ApiKey::SaslHandshake, 0, 1, &shapes::SASL_HANDSHAKE),
    api(ApiKey::ApiVersions, 0, 4, &shapes::API_VERSIONS),
    api(ApiKey::CreateTopics, 2, 7, &shapes::CREATE_TOPICS),
    api(ApiKey::DeleteTopics, 1, 6, &shapes::DELETE_TOPICS),
    api(ApiKey::DeleteRecords, 0, 2, &shapes::DELETE_RECORDS),
    api(ApiKey::InitProducerId, 0, 5, &shapes::INIT_PRODUCER_ID),
    api(ApiKey::DescribeConfigs, 1, 4, &shapes::DESCRIBE_CONFIGS),
    api(ApiKey::CreatePartitions, 0, 3, &shapes::CREATE_PARTITIONS),
    api(ApiKey::DeleteGroups, 0, 2, &shapes::DELETE_GROUPS),
    api(ApiKey::IncrementalAlterConfigs, 0, 1, &shapes::INCREMENTAL_ALTER_CONFIGS),
    api(ApiKey::OffsetDelete, 0, 0, &shapes::OFFSET_DELETE),
    api(ApiKey::DescribeCluster, 0, 2, &shapes::DESCRIBE_CLUSTER),
];

/// A request whose header was read.
pub(super) struct Context {
    pub server: Arc<Server>,
    /// The address that the client reached: what it is told about the node.
    pub local: SocketAddr,
    pub peer: SocketAddr,
    pub client_id: StrBytes,
    pub version: i16,
    pub correlation_id: i32,
}

impl Context {
    pub fn respond<T: Encodable + HeaderVersion>(&self, response: &T) -> Answer {
        Frame::encode(self.correlation_id, self.version, response).into()
    }

    pub fn respond_now<T: Encodable + HeaderVersion>(&self, response: &T) -> Reply {
        ready(self.respond(response))
    }
}

pub(super) fn ready(answer: Answer) -> Reply {
    Box::pin(std::future::ready(answer))
}

/// Begins a request: what it asks of the log is on its way when this returns. An error closes the connection, as in Kafka.
pub(super) async fn begin(server: &Arc<Server>, addresses: Addresses, mut body: Bytes) -> Result<Reply, RefusalReason> {
    let start: &[u8; REQUEST_BYTES_MIN] = body.first_chunk().ok_or(RefusalReason::Malformed)?;
    let key = i16::from_be_bytes([start[0], start[1]]);
    let version = i16::from_be_bytes([start[2], start[3]]);
    let correlation_id = i32::from_be_bytes([start[4], start[5], start[6], start[7]]);
    let api = APIS.iter().find(|api| api.key as i16 == key).ok_or(RefusalReason::Unsupported)?;
    let Addresses { local, peer } = addresses;
    let client_id = StrBytes::default();
    let mut context = Context { server: Arc::clone(server), local, peer, client_id, version, correlation_id };
    if !(api.min..=api.max).contains(&version) {
        // Whoever asks for versions is not to guess one: the oldest answer says what would be understood.
        return match api.key {
            ApiKey::ApiVersions => Ok(ready(versions_refused(&context))),
            _ => Err(RefusalReason::Unsupported),
        };
    }
    shape::walk(api.shape, version, &body[REQUEST_BYTES_MIN..]).map_err(|_| RefusalReason::Malformed)?;
    let header = RequestHeader::decode(&mut body, api.key.request_header_version(version)).map_err(malformed)?;
    context.client_id = header.client_id.unwrap_or_default();
    dispatch(api.key, context, body).await
}

async fn dispatch(key: ApiKey, context: Context, body: Bytes) -> Result<Reply, RefusalReason> {
    let version = context.version;
    Ok(match key {
        ApiKey::Produce => produce::begin(context, decode(body, version)?).await,
        ApiKey::Fetch => fetch::begin(context, decode(body, version)?).await,
        ApiKey::ListOffsets => list_offsets::begin(context, decode(body, version)?).await,
        ApiKey::Metadata => metadata::begin(context, decode(body, version)?).await,
        ApiKey::OffsetCommit => groups::begin_commit(context, decode(body, version)?).await,
        ApiKey::OffsetFetch => groups::begin_fetch(context, decode(body, version)?).await,
        ApiKey::FindCoordinator => groups::find_coordinator(&context, decode(body, version)?),
        ApiKey::JoinGroup => membership::begin_join(context, decode(body, version)?).await,
        ApiKey::Heartbeat => membership::heartbeat(&context, &decode(body, version)?),
        ApiKey::LeaveGroup => membership::leave(&context, &decode(body, version)?),
        ApiKey::SyncGroup => membership::begin_sync(context, decode(body, version)?).await,
        ApiKey::DescribeGroups => group_admin::begin_describe(context, decode(body, version)?).await,
        ApiKey::ListGroups => group_admin::begin_list(context, decode(body, version)?).await,
        ApiKey::SaslHandshake => sasl_handshake(&context, &decode(body, version)?),
        ApiKey::ApiVersions => api_versions(&context, &decode(body, version)?),
        ApiKey::CreateTopics => admin::begin_create(context, decode(body, version)?).await,
        ApiKey::DeleteTopics => admin::begin_delete(context, decode(body, version)?).await,
        ApiKey::DeleteRecords => delete_records::begin(context, decode(body, version)?).await,
        ApiKey::InitProducerId => producer_ids::begin(context, decode(body, version)?).await,
        ApiKey::IncrementalAlterConfigs => configs::begin_alter(context, decode(body, version)?).await,
        ApiKey::DescribeConfigs => configs::begin_describe(context, decode(body, version)?).await,
        ApiKey::CreatePartitions => partitions::begin_create(context, decode(body, version)?).await,
        ApiKey::DeleteGroups => group_admin::begin_delete(context, decode(body, version)?).await,
        ApiKey::OffsetDelete => group_admin::begin_delete_offsets(context, decode(body, version)?).await,
        ApiKey::DescribeCluster => cluster::begin_describe(context, decode(body, version)?).await,
        _ => unreachable!("it is not in the table of served APIs"),
    })
}

/// Decodes what was walked before.
fn decode<T: Decodable + Message>(mut body: Bytes, version: i16) -> Result<T, RefusalReason> {
    let request = T::decode(&mut body, version).map_err(malformed)?;
    if body.has_remaining() {
        tracing::debug!(bytes = body.remaining(), "a request is followed by bytes that do not belong to it");
    }
    Ok(request)
}

fn malformed(error: impl std::fmt::Display) -> RefusalReason {
    tracing::debug!(%error, "malformed request");
    RefusalReason::Malformed
}

fn api_versions(context: &Context, request: &ApiVersionsRequest) -> Reply {
    // Kafka's rule: who names its software at all names it in letters, digits, dots and dashes.
    let is_word = |text: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
        let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        text.bytes().all(inner) && ends(text.as_bytes().first()) && ends(text.as_bytes().last())
    };
    let is_named = is_word(&request.client_software_name) && is_word(&request.client_software_version);
    if context.version >= 3 && !is_named {
        let refused = ApiVersionsResponse::default().with_error_code(errors::INVALID_REQUEST);
        return context.respond_now(&refused);
    }
    let told = |api: &Api| {
        ApiVersion::default().with_api_key(api.key as i16).with_min_version(api.told_min).with_max_version(api.max)
    };
    context.respond_now(&ApiVersionsResponse::default().with_api_keys(APIS.iter().map(told).collect()))
}

fn versions_refused(context: &Context) -> Answer {
    let known = ApiVersion::default().with_api_key(ApiKey::ApiVersions as i16).with_max_version(4);
    let response =
        ApiVersionsResponse::default().with_error_code(errors::UNSUPPORTED_VERSION).with_api_keys(vec![known]);
    Frame::encode(context.correlation_id, 0, &response).into()
}

/// The listener is plain: there is nobody to authenticate to.
fn sasl_handshake(context: &Context, _request: &SaslHandshakeRequest) -> Reply {
    context.respond_now(&SaslHandshakeResponse::default().with_error_code(errors::ILLEGAL_SASL_STATE))
}
