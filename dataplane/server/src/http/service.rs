//! What one core's HTTP handlers hold: the node that all share, and this core's distributor.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use hdrhistogram::Histogram;
use ingest::distributor::Distributor;

use crate::node::Node;

/// Lives on one companion.
pub struct Service {
    pub node: Arc<Node>,
    pub distributor: Rc<Distributor>,
    /// Microseconds from a push's head to its answer.
    pub push_us: RefCell<Histogram<u64>>,
}
