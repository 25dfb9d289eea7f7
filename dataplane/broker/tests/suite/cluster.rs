//! The cluster and its one node.

use kafka_protocol::messages::*;

use crate::broker::Broker;
use crate::wire::Wire;

#[test]
fn the_cluster_is_described_in_every_version() {
    let broker = Broker::start();
    let mut wire = Wire::connect(&broker);
    let expected = wire.call_newest(&MetadataRequest::default().with_topics(Some(Vec::new())));
    let port: i32 = broker.address().rsplit(':').next().unwrap().parse().unwrap();
    for version in wire.versions::<DescribeClusterRequest>() {
        let response = wire.call(version, &DescribeClusterRequest::default());
        assert_eq!((response.error_code, Some(&response.cluster_id)), (0, expected.cluster_id.as_ref()));
        let brokers: Vec<_> = response.brokers.iter().map(|it| (it.broker_id, it.host.as_str(), it.port)).collect();
        assert_eq!(brokers, [(response.controller_id, "127.0.0.1", port)], "version {version}");
        if version >= 1 {
            for (endpoint_type, code) in [(2, 114), (9, 115)] {
                let request = DescribeClusterRequest::default().with_endpoint_type(endpoint_type);
                assert_eq!(wire.call(version, &request).error_code, code, "endpoint type {endpoint_type}");
            }
        }
    }
}
