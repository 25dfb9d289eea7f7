//! Frames on the wire: a length and so many bytes. Incoming ones are believed step by step; outgoing ones are pieces, so that
//! records go from the disk's buffer to the socket without another copy.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::protocol::{Encodable, HeaderVersion};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::limits::FRAME_BYTES_MAX;

/// API key, version and correlation id.
pub(super) const REQUEST_BYTES_MIN: usize = 8;
const FIRST_STEP_BYTES: usize = 64 << 10;
const STEP_FACTOR: usize = 4;

/// Why there is no frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FrameEnd {
    /// The peer is gone.
    Closed,
    /// It claims more than the limit.
    TooLarge,
    /// It claims less than the shortest request, or a negative number.
    TooShort,
}

/// Waits for the first byte of a frame. Nothing is lost when the wait is given up.
pub(super) async fn read_first(reader: &mut (impl AsyncRead + Unpin)) -> Result<u8, FrameEnd> {
    let mut first = [0];
    match reader.read(&mut first).await {
        Ok(1) => Ok(first[0]),
        _ => Err(FrameEnd::Closed),
    }
}

/// Reads the rest of the length before a frame.
pub(super) async fn read_len(reader: &mut (impl AsyncRead + Unpin), first: u8) -> Result<usize, FrameEnd> {
    let mut claimed = [first, 0, 0, 0];
    reader.read_exact(&mut claimed[1..]).await.map_err(|_| FrameEnd::Closed)?;
    match usize::try_from(i32::from_be_bytes(claimed)) {
        Ok(len) if len > FRAME_BYTES_MAX => Err(FrameEnd::TooLarge),
        Ok(len) if len >= REQUEST_BYTES_MIN => Ok(len),
        _ => Err(FrameEnd::TooShort),
    }
}

/// Reads a frame of a checked length; memory grows with what has really arrived.
pub(super) async fn read_body(reader: &mut (impl AsyncRead + Unpin), len: usize) -> Result<Bytes, FrameEnd> {
    let mut body = BytesMut::with_capacity(len.min(FIRST_STEP_BYTES));
    while body.len() < len {
        if body.len() == body.capacity() {
            body.reserve((body.len() * (STEP_FACTOR - 1)).min(len - body.len()));
        }
        let room = (body.capacity() - body.len()).min(len - body.len());
        let read = reader.read_buf(&mut (&mut body).limit(room)).await;
        if !matches!(read, Ok(count) if count > 0) {
            return Err(FrameEnd::Closed);
        }
    }
    Ok(body.freeze())
}

/// An answer on its way out.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Frame {
    parts: VecDeque<Bytes>,
}

impl Frame {
    /// Encodes a response. `None` is a bug of ours: a field that the version does not have.
    pub fn encode<T: Encodable + HeaderVersion>(correlation_id: i32, version: i16, response: &T) -> Option<Self> {
        let mut builder = FrameBuilder::new(correlation_id, T::header_version(version) >= 1);
        if let Err(error) = response.encode(builder.bytes(), version) {
            tracing::error!(%error, version, "a response cannot be encoded");
            return None;
        }
        Some(builder.finish())
    }
}

/// Builds a frame from encoded bytes and whole pieces.
pub(super) struct FrameBuilder {
    parts: VecDeque<Bytes>,
    open: BytesMut,
    len: usize,
}

impl FrameBuilder {
    pub fn new(correlation_id: i32, is_flexible: bool) -> Self {
        let mut open = BytesMut::with_capacity(256);
        open.put_i32(0);
        open.put_i32(correlation_id);
        if is_flexible {
            open.put_u8(0);
        }
        Self { parts: VecDeque::new(), open, len: 0 }
    }

    pub fn bytes(&mut self) -> &mut BytesMut {
        &mut self.open
    }

    /// Appends a piece as it is.
    pub fn piece(&mut self, piece: Bytes) {
        self.len += self.open.len() + piece.len();
        self.parts.push_back(self.open.split().freeze());
        self.parts.push_back(piece);
    }

    pub fn finish(mut self) -> Frame {
        self.len += self.open.len();
        self.parts.push_back(self.open.freeze());
        let len = i32::try_from(self.len - 4).expect("answers are limited far below");
        // The first piece is small: it holds the length and what stands before the first records.
        let mut first = BytesMut::from(self.parts.pop_front().expect("there is one"));
        first[..4].copy_from_slice(&len.to_be_bytes());
        self.parts.push_front(first.freeze());
        self.parts.retain(|part| !part.is_empty());
        Frame { parts: self.parts }
    }
}

impl Buf for Frame {
    fn remaining(&self) -> usize {
        self.parts.iter().map(Bytes::len).sum()
    }

    fn chunk(&self) -> &[u8] {
        self.parts.front().map_or(&[], |part| part)
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(part) = self.parts.front_mut() {
            if count < part.len() {
                part.advance(count);
                return;
            }
            count -= part.len();
            self.parts.pop_front();
        }
        assert_eq!(count, 0, "nobody sends more than there is");
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        for (slice, part) in slices.iter_mut().zip(&self.parts) {
            *slice = IoSlice::new(part);
            count += 1;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::block_on;

    use super::*;

    fn check(wire: &[u8], expected: Result<&[u8], FrameEnd>) {
        let mut reader = wire;
        let read = block_on(async {
            let first = read_first(&mut reader).await?;
            let len = read_len(&mut reader, first).await?;
            read_body(&mut reader, len).await
        });
        assert_eq!(read.as_deref().map_err(|end| *end), expected);
    }

    #[test]
    fn lengths_are_checked_before_they_are_believed() {
        check(b"\0\0\0\x0812345678rest", Ok(b"12345678"));
        check(b"\0\0\0\x091234", Err(FrameEnd::Closed));
        check(b"\0\0", Err(FrameEnd::Closed));
        check(b"\0\0\0\x0712345678", Err(FrameEnd::TooShort));
        check(&[0xff; 20], Err(FrameEnd::TooShort));
        check(&[0x7f; 20], Err(FrameEnd::TooLarge));
        check(&(FRAME_BYTES_MAX as i32 + 1).to_be_bytes(), Err(FrameEnd::TooLarge));
    }

    #[test]
    fn a_claimed_length_costs_nothing_until_the_bytes_come() {
        let big = vec![7; FRAME_BYTES_MAX];
        assert_eq!(block_on(read_body(&mut &big[..], FRAME_BYTES_MAX)).unwrap(), big);
        assert_eq!(block_on(read_body(&mut &big[..1_000_000], FRAME_BYTES_MAX)), Err(FrameEnd::Closed));
    }

    #[test]
    fn pieces_are_sent_in_order() {
        let mut builder = FrameBuilder::new(7, true);
        builder.bytes().put_u8(b'a');
        builder.piece(Bytes::from_static(b"records"));
        builder.piece(Bytes::new());
        builder.bytes().put_u8(b'z');
        let mut frame = builder.finish();
        let mut slices = [IoSlice::new(&[]); 8];
        assert_eq!(frame.chunks_vectored(&mut slices), 3);
        assert_eq!(frame.copy_to_bytes(frame.remaining()), &b"\0\0\0\x0e\0\0\0\x07\0arecordsz"[..]);
    }
}
