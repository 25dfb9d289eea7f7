//! Reading a request's body under a limit of bytes and of time.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

/// Why a body was not taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BodyError {
    TooLarge {
        bytes_max: usize,
    },
    TooSlow {
        time_max: Duration,
    },
    /// The client went away or broke HTTP.
    Broken {
        reason: String,
    },
}

/// Reads the whole body. What the client *claims* as length is refused early but never allocated.
///
/// # Errors
/// See [`BodyError`].
pub async fn read_body(mut body: Incoming, bytes_max: usize, time_max: Duration) -> Result<Bytes, BodyError> {
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(BodyError::TooLarge { bytes_max });
    }
    let read = async {
        let mut first: Option<Bytes> = None;
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| BodyError::Broken { reason: error.to_string() })?;
            let Ok(data) = frame.into_data() else { continue };
            let bytes = whole.len() + first.as_ref().map_or(0, Bytes::len) + data.len();
            if bytes > bytes_max {
                return Err(BodyError::TooLarge { bytes_max });
            }
            match first.take() {
                // Most small bodies come in one piece: no copy.
                None if whole.is_empty() => first = Some(data),
                piece => {
                    whole.extend_from_slice(piece.as_deref().unwrap_or_default());
                    whole.extend_from_slice(&data);
                }
            }
        }
        Ok(first.unwrap_or_else(|| whole.freeze()))
    };
    tokio::time::timeout(time_max, read).await.unwrap_or(Err(BodyError::TooSlow { time_max }))
}
