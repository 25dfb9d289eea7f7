//! JSON as Prometheus' encoder writes it, byte for byte, into a buffer.

mod number;
mod text;

pub(super) use number::{push_scalar_timestamp, push_scalar_value, push_timestamp, push_value};
pub(super) use text::{push_labels, push_text_html};
