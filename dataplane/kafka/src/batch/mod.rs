//! Kafka's record batches (magic 2), read from the bytes of a fetch without I/O.
//!
//! Checks sizes and CRC, decompresses under a cap into a buffer that is used again, and walks records that borrow from it.
//! Runs on the executors, so: no allocation once warm, and no panic whatever the bytes are. Format: Kafka's documentation,
//! section 5.3 "Record Batch".

mod decompress;
mod records;

pub use records::{Headers, Record, Records};

use decompress::Decompressor;

/// Bytes before the records of a batch.
const HEAD_BYTES: usize = 61;
/// The CRC covers all from the attributes on.
const CHECKED_FROM: usize = 21;
/// Base offset and length, which the length does not count.
const PREFIX_BYTES: usize = 12;
/// Records of one batch may inflate to this many bytes: several times what a produce request can hold.
pub const INFLATED_BYTES_MAX: usize = 64 << 20;

/// Why a batch cannot be read. The batch is whole, so the one after it can be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BatchError {
    #[error("magic {0}, only 2 is known")]
    Magic(i8),
    #[error("its CRC is {expected:#010x} and its bytes give {actual:#010x}")]
    Crc { expected: u32, actual: u32 },
    #[error("unknown compression {0}")]
    Codec(u8),
    #[error("its records do not inflate: {0}")]
    Inflate(&'static str),
    #[error("its records inflate to more than {INFLATED_BYTES_MAX} bytes")]
    TooLarge,
    #[error("a record is malformed: {0}")]
    Record(&'static str),
    #[error("its header is malformed: {0}")]
    Header(&'static str),
}

/// One batch as it lies in the fetched bytes; the CRC was not looked at yet.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    pub base_offset: i64,
    /// The offset after its last record: where the next fetch goes on.
    pub next_offset: i64,
    pub crc: u32,
    pub base_timestamp_ms: i64,
    pub max_timestamp_ms: i64,
    /// Transaction markers: consumed, and nothing for us.
    pub is_control: bool,
    /// All timestamps are the broker's append time, [`Batch::max_timestamp_ms`].
    has_append_time: bool,
    codec: u8,
    record_count: u32,
    bytes: &'a [u8],
}

/// Walks the whole batches of fetched bytes. A part of a batch at the end is normal and ends the walk.
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    rest: &'a [u8],
}

/// A batch that cannot even be framed, with the offset it claims: nothing behind it can be found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BrokenBatch {
    pub base_offset: i64,
    /// Absent where the length is nonsense and the end is unknown.
    pub next_offset: Option<i64>,
    pub error: BatchError,
}

impl<'a> Batches<'a> {
    #[must_use]
    pub fn new(fetched: &'a [u8]) -> Self {
        Self { rest: fetched }
    }

    /// The next whole batch.
    ///
    /// # Errors
    /// A batch with nonsense in its header. The walk goes on behind it where its length makes sense, else it has ended.
    pub fn next_batch(&mut self) -> Option<Result<Batch<'a>, BrokenBatch>> {
        let prefix: &[u8; PREFIX_BYTES] = self.rest.first_chunk()?;
        let base_offset = i64_at(prefix, 0);
        let length = i32_at(prefix, 8);
        let Some(length) = usize::try_from(length).ok().filter(|length| *length >= HEAD_BYTES - PREFIX_BYTES) else {
            self.rest = &[];
            let error = BatchError::Header("its length");
            return Some(Err(BrokenBatch { base_offset, next_offset: None, error }));
        };
        let (bytes, rest) = self.rest.split_at_checked(PREFIX_BYTES + length)?;
        self.rest = rest;
        Some(Batch::parse(base_offset, bytes))
    }
}

impl<'a> Batch<'a> {
    /// The whole batch, its header included.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    fn parse(base_offset: i64, bytes: &'a [u8]) -> Result<Self, BrokenBatch> {
        let last_delta = i64::from(i32_at(bytes, 23));
        let next_offset = base_offset.checked_add(last_delta + 1).filter(|next| last_delta >= 0 && *next > base_offset);
        let broken = |error| BrokenBatch { base_offset, next_offset, error };
        let magic = bytes[16] as i8;
        if magic != 2 {
            return Err(broken(BatchError::Magic(magic)));
        }
        let Some(next_offset) = next_offset.filter(|_| base_offset >= 0) else {
            return Err(broken(BatchError::Header("its offsets")));
        };
        let record_count =
            u32::try_from(i32_at(bytes, 57)).map_err(|_| broken(BatchError::Header("its record count")))?;
        let attributes = u16::from_be_bytes([bytes[21], bytes[22]]);
        Ok(Self {
            base_offset,
            next_offset,
            crc: u32_at(bytes, 17),
            base_timestamp_ms: i64_at(bytes, 27),
            max_timestamp_ms: i64_at(bytes, 35),
            is_control: attributes & 0x20 != 0,
            has_append_time: attributes & 0x08 != 0,
            codec: (attributes & 0x07) as u8,
            record_count,
            bytes,
        })
    }
}

/// Opens batches; keeps the buffer that compressed ones inflate into.
#[derive(Default)]
pub struct BatchReader {
    decompressor: Decompressor,
}

impl BatchReader {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks the CRC, inflates, and gives the records to walk.
    ///
    /// # Errors
    /// See [`BatchError`].
    pub fn open<'a>(&'a mut self, batch: &Batch<'a>) -> Result<Records<'a>, BatchError> {
        let actual = crc32c::crc32c(&batch.bytes[CHECKED_FROM..]);
        if actual != batch.crc {
            return Err(BatchError::Crc { expected: batch.crc, actual });
        }
        let bytes = self.decompressor.inflate(batch.codec, &batch.bytes[HEAD_BYTES..], INFLATED_BYTES_MAX)?;
        Ok(Records::new(bytes, batch))
    }

    /// Bytes that the buffer holds.
    #[must_use]
    pub fn buffer_bytes(&self) -> usize {
        self.decompressor.buffer_bytes()
    }
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    i32_at(bytes, at) as u32
}

#[cfg(test)]
mod batch_test;
