//! One connection: requests are begun in order and may overlap; answers leave in order.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;

use super::Server;
use super::api;
use super::frame::{Frame, FrameEnd, read_body, read_first, read_len};
use crate::counters::{RefusalReason, add};
use crate::handle::permits_of;
use crate::limits::CONNECTION_REQUESTS_MAX;

/// The two ends of a connection.
#[derive(Clone, Copy)]
pub(super) struct Addresses {
    /// What the client reached: what it is told about the node.
    pub local: SocketAddr,
    pub peer: SocketAddr,
}

/// What a request leads to.
pub(super) enum Answer {
    Frame(Frame, Option<OwnedSemaphorePermit>),
    /// A produce that asked for none.
    Nothing,
    /// Kafka's last word to what it cannot answer.
    Close,
}

impl From<Option<Frame>> for Answer {
    fn from(frame: Option<Frame>) -> Self {
        frame.map_or(Self::Close, |frame| Self::Frame(frame, None))
    }
}

/// The rest of a request that was begun: polled when its turn to answer has come.
pub(super) type Reply = BoxFuture<'static, Answer>;

struct Pending {
    reply: Reply,
    /// Memory of the request.
    _permit: OwnedSemaphorePermit,
}

/// Serves a connection to its end.
pub(super) async fn run(server: &Arc<Server>, stream: TcpStream) {
    let (Ok(local), Ok(peer)) = (stream.local_addr(), stream.peer_addr()) else { return };
    // Answers are written whole; waiting for more would only delay them. A peer that vanished is noticed after a while.
    let options = stream.set_nodelay(true).and_then(|()| SockRef::from(&stream).set_keepalive(true));
    if options.is_err() {
        return;
    }
    let (reader, writer) = stream.into_split();
    let (pending, queue) = mpsc::channel(CONNECTION_REQUESTS_MAX);
    let write = write_answers(server, writer, queue);
    tokio::pin!(write);
    tokio::select! {
        () = &mut write => return,
        () = read_requests(server, Addresses { local, peer }, reader, pending) => {}
    }
    write.await;
}

async fn read_requests(
    server: &Arc<Server>,
    addresses: Addresses,
    mut reader: OwnedReadHalf,
    queue: mpsc::Sender<Pending>,
) {
    let mut stopping = server.handle.stopping();
    loop {
        let len = tokio::select! {
            _ = stopping.wait_for(|is_stopping| *is_stopping) => return,
            len = wait_for_len(server, &mut reader, &queue) => len,
        };
        let end = match len {
            Ok(len) => match read_request(server, acknowledge(&mut reader), len).await {
                Ok((body, permit)) => {
                    add(&server.handle.counters().requests, 1);
                    let reply = match api::begin(server, addresses, body).await {
                        Ok(reply) => reply,
                        Err(reason) => {
                            server.handle.counters().refuse(reason);
                            return;
                        }
                    };
                    if queue.send(Pending { reply, _permit: permit }).await.is_err() {
                        return;
                    }
                    continue;
                }
                Err(end) => end,
            },
            Err(end) => end,
        };
        match end {
            FrameEnd::Closed => {}
            FrameEnd::TooLarge => server.handle.counters().refuse(RefusalReason::FrameTooLarge),
            FrameEnd::TooShort => server.handle.counters().refuse(RefusalReason::Malformed),
        }
        return;
    }
}

/// Makes the kernel acknowledge the length at once. Clients that write it apart from the body, with Nagle's algorithm on (rskafka
/// does), would else hold the body back until the acknowledgement comes by itself, 40 ms later.
fn acknowledge(reader: &mut OwnedReadHalf) -> &mut OwnedReadHalf {
    // Where it fails, the request only comes later.
    let _ = SockRef::from(AsRef::<TcpStream>::as_ref(reader)).set_tcp_quickack(true);
    reader
}

/// Waits for the next frame; a connection on which nothing happens is closed after a while.
async fn wait_for_len(
    server: &Server,
    reader: &mut OwnedReadHalf,
    queue: &mpsc::Sender<Pending>,
) -> Result<usize, FrameEnd> {
    let first = loop {
        match timeout(server.options.idle_max, read_first(reader)).await {
            Ok(first) => break first?,
            // Somebody waits for an answer: that is not idle.
            Err(_) if queue.capacity() < queue.max_capacity() => {}
            Err(_) => return Err(FrameEnd::Closed),
        }
    };
    timeout(server.options.transfer_max, read_len(reader, first)).await.unwrap_or(Err(FrameEnd::Closed))
}

async fn read_request(
    server: &Server,
    reader: &mut OwnedReadHalf,
    len: usize,
) -> Result<(Bytes, OwnedSemaphorePermit), FrameEnd> {
    let memory = Arc::clone(&server.request_memory);
    let permit = memory.acquire_many_owned(permits_of(len)).await.map_err(|_| FrameEnd::Closed)?;
    let body = timeout(server.options.transfer_max, read_body(reader, len)).await.unwrap_or(Err(FrameEnd::Closed))?;
    Ok((body, permit))
}

async fn write_answers(server: &Server, mut writer: OwnedWriteHalf, mut queue: mpsc::Receiver<Pending>) {
    while let Some(pending) = queue.recv().await {
        match pending.reply.await {
            Answer::Frame(mut frame, _permit) => {
                let sent = timeout(server.options.transfer_max, writer.write_all_buf(&mut frame)).await;
                if !matches!(sent, Ok(Ok(()))) {
                    return;
                }
            }
            Answer::Nothing => {}
            Answer::Close => return,
        }
    }
}
