//! What one core's HTTP handlers hold: the node that all share, and this core's distributor.

use std::rc::Rc;
use std::sync::Arc;

use ingest::distributor::Distributor;

use crate::metrics::Latencies;
use crate::node::Node;

/// Lives on one companion.
pub struct Service {
    pub node: Arc<Node>,
    pub distributor: Rc<Distributor>,
    pub latencies: Arc<Latencies>,
}
