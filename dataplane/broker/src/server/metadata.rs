//! Metadata: the cluster, its one node, and its topics.

use std::net::SocketAddr;

use kafka_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use kafka_protocol::messages::metadata_response::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{BrokerId, TopicName};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::oneshot;

use super::api::{Context, ready};
use super::connection::{Answer, Reply};
use super::{NODE_ID, errors};
use crate::batch::LEADER_EPOCH;
use crate::error::Refusal;
use crate::handle::TopicDescription;
use crate::log::request::{Change, ClusterDescription, CreateMode, NewTopic, Read, Request, TopicFilter, TopicRef};
use crate::log::topic_configs::TopicConfigs;
use crate::options::AutoCreate;

const EPOCHS_SINCE: i16 = 7;
const NAMES_NULL_SINCE: i16 = 12;

pub(super) async fn begin(context: Context, request: MetadataRequest) -> Reply {
    let is_all = match &request.topics {
        None => true,
        // The first version has no other way to say it.
        Some(topics) => topics.is_empty() && context.version == 0,
    };
    let wanted: Vec<MetadataRequestTopic> = request.topics.unwrap_or_default();
    if request.allow_auto_topic_creation && context.server.options.auto_create == AutoCreate::On {
        for topic in &wanted {
            create(&context, topic).await;
        }
    }
    let filter = if is_all { TopicFilter::All } else { TopicFilter::Some(wanted.iter().map(topic_ref).collect()) };
    let (answer, answered) = oneshot::channel();
    if context.server.handle.send(Request::Read(Read::Describe(filter, answer))).await.is_err() {
        return ready(Answer::Close);
    }
    Box::pin(async move { answered.await.map_or(Answer::Close, |cluster| respond(&context, &wanted, cluster)) })
}

async fn create(context: &Context, topic: &MetadataRequestTopic) {
    let Some(name) = &topic.name else { return };
    let partition_count = context.server.options.default_partitions;
    let new = NewTopic {
        name: errors::text(name),
        partition_count,
        configs: TopicConfigs::default(),
        mode: CreateMode::Ensure,
    };
    // If it could not be made, the answer says that it is not there.
    drop(context.server.handle.ask(|answer| Request::Change(Change::CreateTopic(new, answer))).await);
}

fn topic_ref(topic: &MetadataRequestTopic) -> TopicRef {
    match &topic.name {
        Some(name) => TopicRef::Name(errors::text(name)),
        None => TopicRef::Id(topic.topic_id),
    }
}

fn respond(context: &Context, wanted: &[MetadataRequestTopic], cluster: ClusterDescription) -> Answer {
    let topics = cluster.topics.into_iter().enumerate().map(|(place, topic)| match topic {
        Ok(description) => described(context, &description),
        Err(refusal) => unknown(context, wanted.get(place), refusal),
    });
    let (host, port) = host_and_port(context.local);
    let broker = MetadataResponseBroker::default().with_node_id(BrokerId(NODE_ID)).with_host(host).with_port(port);
    let response = MetadataResponse::default()
        .with_brokers(vec![broker])
        .with_cluster_id(Some(errors::str_bytes(&cluster.cluster_id)))
        .with_controller_id(BrokerId(NODE_ID))
        .with_topics(topics.collect());
    context.respond(&response)
}

/// The node's address as this client reached it.
pub(super) fn host_and_port(local: SocketAddr) -> (StrBytes, i32) {
    (errors::str_bytes(&local.ip().to_string()), i32::from(local.port()))
}

fn described(context: &Context, topic: &TopicDescription) -> MetadataResponseTopic {
    let node = || vec![BrokerId(NODE_ID)];
    let partition = |number: i32| {
        let partition = MetadataResponsePartition::default()
            .with_partition_index(number)
            .with_leader_id(BrokerId(NODE_ID))
            .with_replica_nodes(node())
            .with_isr_nodes(node());
        if context.version >= EPOCHS_SINCE { partition.with_leader_epoch(LEADER_EPOCH) } else { partition }
    };
    MetadataResponseTopic::default()
        .with_name(Some(TopicName(errors::str_bytes(&topic.name))))
        .with_topic_id(topic.id)
        .with_partitions((0..topic.partition_count).map(partition).collect())
}

fn unknown(context: &Context, wanted: Option<&MetadataRequestTopic>, refusal: Refusal) -> MetadataResponseTopic {
    let (name, id) = wanted.map_or((None, uuid::Uuid::nil()), |topic| (topic.name.clone(), topic.topic_id));
    let is_nameless = name.is_none();
    let name = if is_nameless && context.version < NAMES_NULL_SINCE { Some(TopicName::default()) } else { name };
    MetadataResponseTopic::default().with_error_code(errors::code(refusal)).with_name(name).with_topic_id(id)
}
