//! Writes the value of a version 1 record: messages of a request are copied as they are, under the field that holds them.

use crate::fields::{put_varint, varint_bytes};

const SERIES: u8 = 0x0a;
const METADATA: u8 = 0x1a;

/// Appends to a record's value.
#[derive(Debug)]
pub struct RecordWriter<'a>(pub &'a mut Vec<u8>);

impl RecordWriter<'_> {
    /// One `TimeSeries` message, given as its parts in order: the whole as it came, or other labels and what followed them.
    #[inline]
    pub fn series(&mut self, parts: &[&[u8]]) {
        self.field(SERIES, parts);
    }

    /// One `MetricMetadata` message.
    pub fn metadata(&mut self, raw: &[u8]) {
        self.field(METADATA, &[raw]);
    }

    #[inline]
    fn field(&mut self, tag: u8, parts: &[&[u8]]) {
        let message_bytes: usize = parts.iter().map(|part| part.len()).sum();
        self.0.reserve(field_bytes(message_bytes));
        self.0.push(tag);
        put_varint(message_bytes as u64, self.0);
        for part in parts {
            self.0.extend_from_slice(part);
        }
    }
}

/// Bytes that a message takes in a record's value: tag, length and itself.
#[must_use]
#[inline]
pub fn field_bytes(message_bytes: usize) -> usize {
    1 + varint_bytes(message_bytes) + message_bytes
}
