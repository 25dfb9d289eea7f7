//! The network side: accepts connections and speaks Kafka's protocol on them. Knows the log by its requests only.

mod admin;
mod api;
mod cluster;
mod configs;
mod connection;
mod coordinator;
mod delete_records;
mod errors;
mod fetch;
mod frame;
mod group_admin;
mod groups;
mod list_offsets;
mod membership;
mod metadata;
mod partitions;
mod produce;
mod producer_ids;
mod records;
mod shape;
mod shapes;

#[cfg(test)]
mod garbage_test;
#[cfg(test)]
mod request_fixture;
#[cfg(test)]
mod versions_test;

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::counters::{RefusalReason, add};
use crate::handle::{BrokerHandle, memory_permits};
use crate::log::request::{Change, Request};
use crate::options::BrokerOptions;
use membership::Membership;

/// The only node of the cluster.
const NODE_ID: i32 = 1;
const RETAIN_EVERY: Duration = Duration::from_secs(30);
/// How late a silent member is noticed.
const EXPIRE_EVERY: Duration = Duration::from_millis(200);
const STOP_MAX: Duration = Duration::from_secs(5);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What all connections share.
struct Server {
    handle: BrokerHandle,
    options: BrokerOptions,
    request_memory: Arc<Semaphore>,
    membership: Membership,
}

/// Serves connections until [`BrokerHandle::shutdown`]; then sends what is on its way and returns.
///
/// Runs on tokio. Clients are told the address they connected to, so the listener's address is the advertised one.
pub async fn serve(listener: TcpListener, handle: BrokerHandle, options: BrokerOptions) -> io::Result<()> {
    options.check().map_err(|sentence| io::Error::new(io::ErrorKind::InvalidInput, sentence))?;
    let mut stopping = handle.stopping();
    let request_memory = memory_permits(options.request_memory_bytes_max);
    let server = Arc::new(Server { handle, options, request_memory, membership: Membership::default() });
    let mut connections = JoinSet::new();
    let mut retain = interval(RETAIN_EVERY);
    retain.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut expire = interval(EXPIRE_EVERY);
    expire.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            // An error would mean that every handle is gone, and one is ours.
            _ = stopping.wait_for(|is_stopping| *is_stopping) => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => server.accept(stream, &mut connections),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            _ = retain.tick() => {
                let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_millis() as i64);
                let sent = server.handle.send(Request::Change(Change::Retain { now_ms })).await;
                // A log that was told to stop may end before this loop hears of it.
                if sent.is_err() && !*server.handle.stopping().borrow() {
                    return Err(io::Error::other("the broker's log has ended"));
                }
            }
            _ = expire.tick() => server.membership.expire(),
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
    drop(listener);
    let drained = timeout(STOP_MAX, async { while connections.join_next().await.is_some() {} });
    if drained.await.is_err() {
        tracing::info!(connections = connections.len(), "closing connections that are still busy");
    }
    Ok(())
}

impl Server {
    fn accept(self: &Arc<Self>, stream: TcpStream, connections: &mut JoinSet<()>) {
        let counters = self.handle.counters();
        if connections.len() >= self.options.connections_max {
            counters.refuse(RefusalReason::ConnectionLimit);
            return;
        }
        add(&counters.connections, 1);
        let open = OpenConnection::new(Arc::clone(self));
        connections.spawn(async move { connection::run(&open.0, stream).await });
    }
}

/// Counts a connection for as long as it lives, however it ends.
struct OpenConnection(Arc<Server>);

impl OpenConnection {
    fn new(server: Arc<Server>) -> Self {
        add(&server.handle.counters().connections_open, 1);
        Self(server)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.handle.counters().connections_open.fetch_sub(1, Relaxed);
    }
}
