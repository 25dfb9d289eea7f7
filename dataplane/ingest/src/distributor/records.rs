//! The records of one push: for each partition a value of whole series, split where it would grow too large.

use std::future::Future;

use bytes::Bytes;

use super::outcome::PushError;

/// A record to produce; its key is the tenant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartitionRecord {
    pub partition: i32,
    pub value: Bytes,
}

/// Why records were not, or perhaps not, stored.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SinkError {
    /// Nothing was sent: too much is waiting already. Retry later.
    #[error("the producer's buffer is full; retry")]
    BufferFull,
    /// The broker takes no message of this size: retrying is useless.
    #[error("the broker refuses a record of this size: {0}")]
    TooLarge(String),
    /// Time ran out or the broker failed; part may have been stored.
    #[error("{0}")]
    Failed(String),
}

/// Where records go. Resolves when all are durable.
pub trait RecordSink {
    fn produce(
        &self,
        tenant: &str,
        records: Vec<PartitionRecord>,
        now_ms: i64,
    ) -> impl Future<Output = Result<(), SinkError>>;
}

/// Gathers series and metadata by partition.
pub struct RecordBuilder {
    bytes_max: usize,
    /// Values under construction, by partition; used again from push to push.
    open: Vec<Vec<u8>>,
    touched: Vec<i32>,
    finished: Vec<PartitionRecord>,
}

const SERIES_FIELD: u8 = 0x0a;
const METADATA_FIELD: u8 = 0x1a;

impl RecordBuilder {
    pub fn new(partitions: u32, bytes_max: usize) -> Self {
        let open = vec![Vec::new(); partitions as usize];
        Self { bytes_max, open, touched: Vec::new(), finished: Vec::new() }
    }

    /// Copies a whole `TimeSeries` message as it came.
    pub fn add_series(&mut self, partition: i32, raw: &[u8]) -> Result<(), PushError> {
        self.add(partition, SERIES_FIELD, &[raw])
    }

    /// A `TimeSeries` of other labels and the rest of its message.
    pub fn add_series_parts(&mut self, partition: i32, labels: &[u8], rest: &[u8]) -> Result<(), PushError> {
        self.add(partition, SERIES_FIELD, &[labels, rest])
    }

    pub fn add_metadata(&mut self, partition: i32, raw: &[u8]) -> Result<(), PushError> {
        self.add(partition, METADATA_FIELD, &[raw])
    }

    fn add(&mut self, partition: i32, tag: u8, parts: &[&[u8]]) -> Result<(), PushError> {
        const HEAD_BYTES_MAX: usize = 6;
        let len: usize = parts.iter().map(|part| part.len()).sum();
        if len + HEAD_BYTES_MAX > self.bytes_max {
            return Err(PushError::SeriesTooLarge { bytes: len, bytes_max: self.bytes_max });
        }
        let value = &mut self.open[partition as usize];
        if value.is_empty() {
            self.touched.push(partition);
        } else if value.len() + len + HEAD_BYTES_MAX > self.bytes_max {
            self.finished.push(PartitionRecord { partition, value: Bytes::copy_from_slice(value) });
            value.clear();
        }
        value.push(tag);
        put_varint(len as u64, value);
        for part in parts {
            value.extend_from_slice(part);
        }
        Ok(())
    }

    /// All records so far; the builder is empty afterwards.
    pub fn finish(&mut self) -> Vec<PartitionRecord> {
        for partition in self.touched.drain(..) {
            let value = &mut self.open[partition as usize];
            self.finished.push(PartitionRecord { partition, value: Bytes::copy_from_slice(value) });
            value.clear();
            // One huge push must not keep its memory on every partition for ever.
            value.shrink_to(1 << 20);
        }
        std::mem::take(&mut self.finished)
    }
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_split_between_series() {
        let mut builder = RecordBuilder::new(2, 100);
        for _ in 0..3 {
            builder.add_series(1, &[7; 40]).unwrap();
        }
        builder.add_metadata(0, &[9; 3]).unwrap();
        assert!(matches!(builder.add_series(0, &[0; 95]), Err(PushError::SeriesTooLarge { bytes: 95, .. })));
        let records = builder.finish();
        let shape: Vec<_> = records.iter().map(|record| (record.partition, record.value.len())).collect();
        assert_eq!(shape, [(1, 84), (1, 42), (0, 5)]);
        assert_eq!(records[2].value, &[0x1a, 3, 9, 9, 9][..]);
        assert!(builder.finish().is_empty());
    }
}
