//! HTTP/1.1 on the companions: one listener per core on one port, connections stay on the core that took them.
//!
//! `listener` knows sockets, `routes` knows paths, `push`, `queries` and `status` know what they answer. No logic of the
//! data plane lives here.

mod answer;
mod body;
mod broker_routes;
mod identity;
mod listener;
mod node_status;
mod push;
mod queries;
mod reset;
mod routes;
mod service;
mod status;

pub use answer::Answer;
pub use broker_routes::answer_broker;
pub use listener::{Listeners, serve};
pub use routes::answer;
pub use service::Service;
