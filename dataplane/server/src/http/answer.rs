//! What handlers give back.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

/// A whole answer; bodies are complete before the head is sent.
pub type Answer = Response<Full<Bytes>>;

/// A plain text answer, ended by a new line.
#[must_use]
pub fn text(status: StatusCode, message: &str) -> Answer {
    let end = if message.ends_with('\n') { "" } else { "\n" };
    of(status, "text/plain; charset=utf-8", format!("{message}{end}"))
}

/// An answer of any type.
#[must_use]
pub fn of(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
