//! The header of a record batch (magic 2) and the check of a produced one; the records themselves stay opaque.
//!
//! Layout: Kafka's `DefaultRecordBatch`. Base offset and leader epoch lie before what the CRC32C covers, so the broker fills them
//! in without touching the rest.

use bytes::Bytes;

use crate::limits::MESSAGE_BYTES_MAX;

/// Bytes before the first record.
pub(crate) const HEADER_BYTES: usize = 61;
/// Base offset and length: what stands before the bytes that the length counts.
const LENGTH_PREFIX_BYTES: usize = 12;
const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
const ATTRIBUTES_AT: usize = 21;

/// The leader epoch of every partition: there is one leader and it never changes.
pub(crate) const LEADER_EPOCH: i32 = 0;

/// The fields of a header that the broker uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BatchHeader {
    pub base_offset: i64,
    /// The whole batch, header included.
    pub bytes: usize,
    pub magic: u8,
    pub crc: u32,
    pub attributes: i16,
    pub last_offset_delta: i32,
    pub base_timestamp: i64,
    pub max_timestamp: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads a header without believing it; `None` if there are too few bytes.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let header: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
        let i64_at = |at: usize| i64::from_be_bytes(*header[at..].first_chunk().expect("within the header"));
        let i32_at = |at: usize| i32::from_be_bytes(*header[at..].first_chunk().expect("within the header"));
        let i16_at = |at: usize| i16::from_be_bytes(*header[at..].first_chunk().expect("within the header"));
        Some(Self {
            base_offset: i64_at(0),
            bytes: usize::try_from(i32_at(8)).unwrap_or(0).saturating_add(LENGTH_PREFIX_BYTES),
            magic: header[MAGIC_AT],
            crc: i32_at(CRC_AT).cast_unsigned(),
            attributes: i16_at(ATTRIBUTES_AT),
            last_offset_delta: i32_at(23),
            base_timestamp: i64_at(27),
            max_timestamp: i64_at(35),
            producer_id: i64_at(43),
            producer_epoch: i16_at(51),
            base_sequence: i32_at(53),
            record_count: i32_at(57),
        })
    }

    /// The first offset after the batch.
    pub fn next_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta)).saturating_add(1)
    }

    /// A header as this broker stores it at `expected_offset`, as far as it tells without its records.
    pub fn is_stored_at(&self, expected_offset: i64) -> bool {
        self.base_offset == expected_offset
            && self.magic == 2
            && (HEADER_BYTES..=MESSAGE_BYTES_MAX).contains(&self.bytes)
            && self.last_offset_delta >= 0
            && self.record_count == self.last_offset_delta.saturating_add(1)
    }

    pub fn codec(&self) -> i16 {
        self.attributes & 0b111
    }
}

/// Whether the checksum of a whole batch holds.
pub(crate) fn has_valid_crc(batch: &[u8], header: &BatchHeader) -> bool {
    debug_assert_eq!(batch.len(), header.bytes);
    crc32c::crc32c(&batch[ATTRIBUTES_AT..]) == header.crc
}

/// A produced batch that was checked as far as the broker checks: size, magic, checksum, counts, kind.
#[derive(Clone, Debug)]
pub(crate) struct RecordBatch {
    bytes: Bytes,
    header: BatchHeader,
}

/// Why a produced batch is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BatchRefusal {
    /// Larger than a message may be.
    TooLarge,
    /// The checksum or the claimed size is wrong.
    Corrupt,
    /// Well formed, but nothing that this broker takes.
    Invalid(&'static str),
    /// A compression that Kafka does not know.
    Compression,
    /// Stamped by a broker already.
    TimestampType,
}

const TIMESTAMP_TYPE_BIT: i16 = 1 << 3;
const TRANSACTIONAL_BIT: i16 = 1 << 4;
const CONTROL_BIT: i16 = 1 << 5;
const CODEC_MAX: i16 = 4;

impl RecordBatch {
    /// Checks the records of one partition of a produce request: exactly one batch, as Kafka demands since version 3.
    pub fn check(bytes: Bytes) -> Result<Self, BatchRefusal> {
        if bytes.is_empty() {
            return Err(BatchRefusal::Invalid("a produce request needs one record batch for each partition"));
        }
        // The magic byte stands at the same place in all formats; the old ones are shorter than a header.
        if bytes.get(MAGIC_AT).is_some_and(|magic| *magic < 2) {
            return Err(BatchRefusal::Invalid("only record batches of magic 2 are taken"));
        }
        let header = BatchHeader::read(&bytes).ok_or(BatchRefusal::Corrupt)?;
        if header.magic != 2 {
            return Err(BatchRefusal::Invalid("only record batches of magic 2 are taken"));
        }
        if header.bytes > MESSAGE_BYTES_MAX {
            return Err(BatchRefusal::TooLarge);
        }
        if header.bytes < HEADER_BYTES || header.bytes > bytes.len() {
            return Err(BatchRefusal::Corrupt);
        }
        if header.bytes < bytes.len() {
            return Err(BatchRefusal::Invalid("a produce request takes exactly one record batch for each partition"));
        }
        if !has_valid_crc(&bytes, &header) {
            return Err(BatchRefusal::Corrupt);
        }
        Self::check_kind(&header)?;
        Ok(Self { bytes, header })
    }

    fn check_kind(header: &BatchHeader) -> Result<(), BatchRefusal> {
        if header.record_count <= 0 || header.last_offset_delta != header.record_count - 1 {
            return Err(BatchRefusal::Invalid("the number of records does not fit the offsets of the batch"));
        }
        if header.codec() > CODEC_MAX {
            return Err(BatchRefusal::Compression);
        }
        if header.attributes & TIMESTAMP_TYPE_BIT != 0 {
            return Err(BatchRefusal::TimestampType);
        }
        if header.attributes & (TRANSACTIONAL_BIT | CONTROL_BIT) != 0 {
            return Err(BatchRefusal::Invalid("transactional and control batches are not taken"));
        }
        if header.producer_id >= 0 && (header.producer_epoch < 0 || header.base_sequence < 0) {
            return Err(BatchRefusal::Invalid("a batch of an idempotent producer needs an epoch and a sequence"));
        }
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    pub fn is_zstd(&self) -> bool {
        self.header.codec() == 4
    }

    /// Appends the batch to `out` as it is stored at `base_offset`, and gives its stored header.
    pub fn store(&self, base_offset: i64, out: &mut Vec<u8>) -> BatchHeader {
        let header = BatchHeader { base_offset, ..self.header };
        out.extend_from_slice(&base_offset.to_be_bytes());
        out.extend_from_slice(&self.bytes[8..12]);
        out.extend_from_slice(&LEADER_EPOCH.to_be_bytes());
        out.extend_from_slice(&self.bytes[MAGIC_AT..]);
        debug_assert!(header.is_stored_at(base_offset));
        header
    }
}

#[cfg(test)]
pub(crate) mod fixture {
    use super::*;

    /// A batch of `count` records whose bytes are opaque, with a valid checksum.
    pub fn batch(count: i32, max_timestamp: i64, payload: &[u8]) -> Bytes {
        sequenced((-1, -1, -1), count, max_timestamp, payload)
    }

    /// The same of an idempotent producer: its id, epoch and the first sequence.
    pub fn sequenced(
        (producer_id, epoch, sequence): (i64, i16, i32),
        count: i32,
        max_timestamp: i64,
        payload: &[u8],
    ) -> Bytes {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&0i64.to_be_bytes());
        bytes.extend_from_slice(&((HEADER_BYTES - LENGTH_PREFIX_BYTES + payload.len()) as i32).to_be_bytes());
        bytes.extend_from_slice(&(-1i32).to_be_bytes());
        bytes.push(2);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&0i16.to_be_bytes());
        bytes.extend_from_slice(&(count - 1).to_be_bytes());
        bytes.extend_from_slice(&(max_timestamp - 10).to_be_bytes());
        bytes.extend_from_slice(&max_timestamp.to_be_bytes());
        bytes.extend_from_slice(&producer_id.to_be_bytes());
        bytes.extend_from_slice(&epoch.to_be_bytes());
        bytes.extend_from_slice(&sequence.to_be_bytes());
        bytes.extend_from_slice(&count.to_be_bytes());
        bytes.extend_from_slice(payload);
        seal(bytes)
    }

    /// Puts the right checksum in.
    pub fn seal(mut bytes: Vec<u8>) -> Bytes {
        let crc = crc32c::crc32c(&bytes[ATTRIBUTES_AT..]);
        bytes[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
        bytes.into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(change: impl FnOnce(&mut Vec<u8>), expected: Option<BatchRefusal>) {
        let mut bytes = fixture::batch(3, 1_000, b"records").to_vec();
        change(&mut bytes);
        assert_eq!(RecordBatch::check(bytes.into()).err(), expected);
    }

    fn sealed(change: impl FnOnce(&mut Vec<u8>), expected: Option<BatchRefusal>) {
        let seal = |bytes: &mut Vec<u8>| {
            change(bytes);
            *bytes = fixture::seal(std::mem::take(bytes)).to_vec();
        };
        check(seal, expected);
    }

    #[test]
    fn batches_are_checked_before_they_are_believed() {
        use BatchRefusal::{Compression, Corrupt, Invalid, TimestampType, TooLarge};
        check(|_| {}, None);
        check(Vec::clear, Some(Invalid("a produce request needs one record batch for each partition")));
        check(|bytes| bytes[MAGIC_AT] = 1, Some(Invalid("only record batches of magic 2 are taken")));
        check(|bytes| bytes[MAGIC_AT] = 3, Some(Invalid("only record batches of magic 2 are taken")));
        check(|bytes| bytes.truncate(40), Some(Corrupt));
        check(|bytes| bytes.truncate(65), Some(Corrupt));
        check(|bytes| *bytes.last_mut().unwrap() ^= 1, Some(Corrupt));
        check(|bytes| bytes[8..12].copy_from_slice(&i32::MAX.to_be_bytes()), Some(TooLarge));
        check(|bytes| bytes[8..12].copy_from_slice(&(-5i32).to_be_bytes()), Some(Corrupt));
        check(|bytes| bytes[8..12].copy_from_slice(&3i32.to_be_bytes()), Some(Corrupt));
        let two = "a produce request takes exactly one record batch for each partition";
        check(|bytes| bytes.extend_from_within(..), Some(Invalid(two)));
        let counts = "the number of records does not fit the offsets of the batch";
        sealed(|bytes| bytes[23..27].copy_from_slice(&9i32.to_be_bytes()), Some(Invalid(counts)));
        sealed(|bytes| bytes[57..61].copy_from_slice(&0i32.to_be_bytes()), Some(Invalid(counts)));
        sealed(|bytes| bytes[57..61].copy_from_slice(&i32::MIN.to_be_bytes()), Some(Invalid(counts)));
        sealed(|bytes| bytes[22] |= 5, Some(Compression));
        sealed(|bytes| bytes[22] |= 1 << 3, Some(TimestampType));
        let marked = "transactional and control batches are not taken";
        sealed(|bytes| bytes[22] |= 1 << 4, Some(Invalid(marked)));
        sealed(|bytes| bytes[22] |= 1 << 5, Some(Invalid(marked)));
        let unnumbered = "a batch of an idempotent producer needs an epoch and a sequence";
        sealed(|bytes| bytes[43..51].copy_from_slice(&7i64.to_be_bytes()), Some(Invalid(unnumbered)));
        sealed(|bytes| bytes[43..57].copy_from_slice(&[0; 14]), None);
    }

    #[test]
    fn a_stored_batch_differs_in_offset_and_epoch_only() {
        let sent = fixture::batch(3, 1_000, b"records");
        let mut stored = Vec::new();
        let header = RecordBatch::check(sent.clone()).unwrap().store(77, &mut stored);
        assert_eq!(BatchHeader::read(&stored), Some(header));
        assert_eq!((header.base_offset, header.next_offset()), (77, 80));
        assert_eq!(stored[16..], sent[16..]);
        assert!(has_valid_crc(&stored, &header));
    }

    proptest! {
        #[test]
        fn garbage_is_refused_and_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(RecordBatch::check(bytes.into()).is_err());
        }

        #[test]
        fn a_changed_byte_never_reaches_the_log_unnoticed(at in 16usize..68, flip in 1u8..) {
            let mut bytes = fixture::batch(3, 1_000, b"records").to_vec();
            bytes[at] ^= flip;
            prop_assert!(RecordBatch::check(bytes.into()).is_err());
        }
    }
}
