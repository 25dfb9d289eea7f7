//! Listeners and connections. The kernel spreads new connections over the cores (`SO_REUSEPORT`).

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::watch;

use super::Answer;

/// Connections waiting to be taken by one core.
const BACKLOG: i32 = 1024;
/// Connections that one core serves at once; more wait in the backlog.
const CONNECTIONS_PER_CORE_MAX: usize = 4096;

/// One bound socket per core, all on the same address.
pub struct Listeners {
    pub address: SocketAddr,
    pub sockets: Vec<TcpListener>,
}

impl Listeners {
    /// Binds `count` sockets. Port 0 takes a free one, the same for all.
    ///
    /// # Errors
    /// The address is taken or not ours.
    pub fn bind(address: SocketAddr, count: usize) -> io::Result<Self> {
        // A plain bind first: with SO_REUSEPORT alone, another wellhead of the same user could share the port in silence.
        if address.port() != 0 {
            drop(bind(address, Reuse::No)?);
        }
        let first = bind(address, Reuse::AmongCores)?;
        let address = first.local_addr()?;
        let mut sockets = vec![first];
        for _ in 1..count {
            sockets.push(bind(address, Reuse::AmongCores)?);
        }
        Ok(Self { address, sockets })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reuse {
    No,
    AmongCores,
}

fn bind(address: SocketAddr, reuse: Reuse) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if reuse == Reuse::AmongCores {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    if reuse == Reuse::AmongCores {
        socket.listen(BACKLOG)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Serves until `stop` turns true, then lets requests in flight finish for at most `grace`.
///
/// # Errors
/// The socket cannot be used by this thread's reactor.
pub async fn serve<H, F>(
    socket: TcpListener,
    handle: Rc<H>,
    head_timeout: Duration,
    stop: watch::Receiver<bool>,
    grace: Duration,
) -> io::Result<()>
where
    H: Fn(Request<Incoming>) -> F + 'static,
    F: Future<Output = Answer> + 'static,
{
    let listener = tokio::net::TcpListener::from_std(socket)?;
    let mut connections = tokio::task::JoinSet::new();
    let mut stopping = stop.clone();
    loop {
        while connections.try_join_next().is_some() {}
        let has_room = connections.len() < CONNECTIONS_PER_CORE_MAX;
        tokio::select! {
            _ = stopping.wait_for(|is_stopping| *is_stopping) => break,
            _ = connections.join_next(), if !has_room => {}
            accepted = listener.accept(), if has_room => match accepted {
                Ok((stream, _)) => {
                    let _ = stream.set_nodelay(true);
                    connections.spawn_local(serve_connection(stream, handle.clone(), head_timeout, stop.clone()));
                }
                Err(error) => {
                    // Out of file descriptors, most likely: pause instead of spinning.
                    tracing::warn!(%error, "cannot accept an HTTP connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    drop(listener);
    let drained = tokio::time::timeout(grace, async { while connections.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tracing::warn!(connections = connections.len(), "HTTP connections did not end in time and are closed");
    }
    Ok(())
}

async fn serve_connection<H, F>(
    stream: tokio::net::TcpStream,
    handle: Rc<H>,
    head_timeout: Duration,
    mut stop: watch::Receiver<bool>,
) where
    H: Fn(Request<Incoming>) -> F + 'static,
    F: Future<Output = Answer> + 'static,
{
    let service = service_fn(move |request| {
        let handle = handle.clone();
        async move { Ok::<_, std::convert::Infallible>(handle(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = stop.wait_for(|is_stopping| *is_stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.as_mut().await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection ended early");
    }
}
