//! DescribeCluster: the cluster and its one node, without topics.

use kafka_protocol::messages::BrokerId;
use kafka_protocol::messages::describe_cluster_request::DescribeClusterRequest;
use kafka_protocol::messages::describe_cluster_response::{DescribeClusterBroker, DescribeClusterResponse};
use tokio::sync::oneshot;

use super::api::{Context, ready};
use super::connection::{Answer, Reply};
use super::metadata::host_and_port;
use super::{NODE_ID, errors};
use crate::log::request::{Read, Request, TopicFilter};

const ENDPOINTS_SINCE: i16 = 1;
// What kind of node a client asks for.
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub(super) async fn begin_describe(context: Context, request: DescribeClusterRequest) -> Reply {
    if request.endpoint_type != BROKERS {
        return context.respond_now(&refused(&context, &request));
    }
    let (answer, answered) = oneshot::channel();
    let filter = TopicFilter::Some(Vec::new());
    if context.server.handle.send(Request::Read(Read::Describe(filter, answer))).await.is_err() {
        return ready(Answer::Close);
    }
    Box::pin(async move {
        let Ok(cluster) = answered.await else { return Answer::Close };
        let (host, port) = host_and_port(context.local);
        let broker = DescribeClusterBroker::default().with_broker_id(BrokerId(NODE_ID)).with_host(host).with_port(port);
        let response = DescribeClusterResponse::default()
            .with_cluster_id(errors::str_bytes(&cluster.cluster_id))
            .with_controller_id(BrokerId(NODE_ID))
            .with_brokers(vec![broker]);
        context.respond(&response)
    })
}

fn refused(context: &Context, request: &DescribeClusterRequest) -> DescribeClusterResponse {
    let (code, sentence) = match request.endpoint_type {
        CONTROLLERS => (errors::MISMATCHED_ENDPOINT_TYPE, "this listener is for brokers"),
        _ => (errors::UNSUPPORTED_ENDPOINT_TYPE, "there is no such kind of endpoint"),
    };
    let response = DescribeClusterResponse::default().with_error_code(code);
    let response = response.with_error_message(Some(errors::str_bytes(sentence)));
    if context.version >= ENDPOINTS_SINCE { response.with_endpoint_type(request.endpoint_type) } else { response }
}
