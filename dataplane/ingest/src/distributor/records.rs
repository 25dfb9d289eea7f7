//! The records of one push: for each partition a value of whole series, split where it would grow too large.

use bytes::Bytes;
use model::PartitionId;
use wire::{RecordWriter, field_bytes};

/// Largest value of a record: Mimir's batches of 16,000,000 bytes less 16 KiB for everything around the value.
pub const RECORD_BYTES_MAX: usize = 16_000_000 - (16 << 10);

/// A record to produce; its key is the tenant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartitionRecord {
    pub partition: PartitionId,
    pub value: Bytes,
}

/// A single message that no record may hold, with its bytes there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooLarge {
    pub bytes: usize,
}

/// Gathers series and metadata by partition.
pub struct RecordBuilder {
    bytes_max: usize,
    /// By partition.
    open: Vec<Open>,
    touched: Vec<PartitionId>,
    finished: Vec<PartitionRecord>,
}

/// A value under construction. Its memory goes away with the record; the size of the last one says how much the next
/// will want.
#[derive(Clone, Default)]
struct Open {
    value: Vec<u8>,
    expected_bytes: usize,
}

impl RecordBuilder {
    pub fn new(partitions: usize, bytes_max: usize) -> Self {
        Self { bytes_max, open: vec![Open::default(); partitions], touched: Vec::new(), finished: Vec::new() }
    }

    /// One `TimeSeries` message, given as its parts in order.
    #[inline]
    pub fn add_series(&mut self, partition: PartitionId, parts: &[&[u8]]) -> Result<(), TooLarge> {
        let message_bytes = parts.iter().map(|part| part.len()).sum();
        RecordWriter(self.room_for(partition, message_bytes)?).series(parts);
        Ok(())
    }

    pub fn add_metadata(&mut self, partition: PartitionId, raw: &[u8]) -> Result<(), TooLarge> {
        RecordWriter(self.room_for(partition, raw.len())?).metadata(raw);
        Ok(())
    }

    /// The value that the message goes to; the one before it is finished where both would be too large.
    #[inline]
    fn room_for(&mut self, partition: PartitionId, message_bytes: usize) -> Result<&mut Vec<u8>, TooLarge> {
        let bytes = field_bytes(message_bytes);
        if bytes > self.bytes_max {
            return Err(TooLarge { bytes });
        }
        let open = &mut self.open[partition.0 as usize];
        if open.value.is_empty() {
            self.touched.push(partition);
            open.value.reserve(open.expected_bytes.max(bytes));
        } else if open.value.len() + bytes > self.bytes_max {
            self.finished.push(PartitionRecord { partition, value: open.take() });
            open.value.reserve(bytes);
        }
        Ok(&mut open.value)
    }

    /// All records so far; the builder is empty afterwards.
    pub fn finish(&mut self) -> Vec<PartitionRecord> {
        for partition in self.touched.drain(..) {
            let value = self.open[partition.0 as usize].take();
            self.finished.push(PartitionRecord { partition, value });
        }
        std::mem::take(&mut self.finished)
    }
}

impl Open {
    fn take(&mut self) -> Bytes {
        let mut value = std::mem::take(&mut self.value);
        // Requests of one sender are alike; an eighth more spares most of them a move.
        self.expected_bytes = value.len() + value.len() / 8;
        if value.capacity() > self.expected_bytes + (self.expected_bytes >> 2) {
            value.shrink_to_fit();
        }
        Bytes::from(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_split_between_series() {
        let mut builder = RecordBuilder::new(2, 100);
        for _ in 0..3 {
            builder.add_series(PartitionId(1), &[&[7; 30], &[8; 10]]).unwrap();
        }
        builder.add_metadata(PartitionId(0), &[9; 3]).unwrap();
        builder.add_series(PartitionId(0), &[&[0; 93]]).unwrap();
        assert_eq!(builder.add_series(PartitionId(0), &[&[0; 99]]), Err(TooLarge { bytes: 101 }));
        builder.add_series(PartitionId(0), &[&[0; 98]]).unwrap();
        let records = builder.finish();
        let shape: Vec<_> = records.iter().map(|record| (record.partition.0, record.value.len())).collect();
        assert_eq!(shape, [(1, 84), (0, 100), (1, 42), (0, 100)]);
        assert_eq!(records[1].value[..7], [0x1a, 3, 9, 9, 9, 0x0a, 93]);
        assert!(builder.finish().is_empty());
    }

    #[test]
    fn a_value_may_reach_its_limit_and_no_more() {
        for (second, expected) in [(48, vec![100]), (49, vec![50, 51])] {
            let mut builder = RecordBuilder::new(1, 100);
            builder.add_series(PartitionId(0), &[&[0; 48]]).unwrap();
            builder.add_series(PartitionId(0), &[&vec![0; second]]).unwrap();
            let lens: Vec<_> = builder.finish().iter().map(|record| record.value.len()).collect();
            assert_eq!(lens, expected);
        }
    }
}
