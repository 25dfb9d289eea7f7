//! The XOR2 chunk, read only: newer Prometheus versions write it for floats where start timestamps are on.
//!
//! Header (see `header.rs`), then:
//! - sample 0: timestamp as zigzag varint, value as 64 raw bits
//! - sample 1: timestamp delta as varint, then a value
//! - sample n, timestamp and value together: `0`: delta and value as before; `10`: delta as before, then `0` + the bits of the
//!   window used last or `1` + a new window; `110` + 13, `1110` + 20, `11110` + 64 bits of delta of delta, then a value;
//!   `11111`: delta as before and a stale marker
//! - a value: `0`: as before; `10` + the bits of the window used last; `110` + a new window; `111`: a stale marker
//! - behind each sample its start timestamp, where the header says so (see `start.rs`)
//!
//! Deltas of delta are in two's complement, unlike those of the older encodings. A window is written as in an XOR chunk.
//! "Before" is the last value that was no stale marker, and 0 if there is none. Source: Prometheus `tsdb/chunkenc/xor2.go`.

use model::{Sample, is_stale_marker, stale_marker};

use super::ChunkError;
use super::header::{ChunkEncoding, XOR2_HEADER_BYTES};
use super::start::StartReader;
use super::varbit::{BitReader, XorField};

/// Reads the samples of a chunk in order. Bytes behind the last sample are not looked at.
#[derive(Clone, Debug)]
pub struct Xor2Reader<'b> {
    reader: BitReader<'b>,
    count: u16,
    read: u16,
    timestamp_ms: i64,
    delta_ms: u64,
    /// The last value that was no stale marker.
    base: XorField,
    is_stale: bool,
    start: StartReader,
    failed: Option<ChunkError>,
}

impl<'b> Xor2Reader<'b> {
    /// # Errors
    /// There is no room for a header.
    pub fn new(bytes: &'b [u8]) -> Result<Self, ChunkError> {
        let count = ChunkEncoding::Xor2.count(bytes)?;
        Ok(Self {
            reader: BitReader::new(bytes, XOR2_HEADER_BYTES * 8),
            count,
            read: 0,
            timestamp_ms: 0,
            delta_ms: 0,
            base: XorField::new(0),
            is_stale: false,
            start: StartReader::new(bytes[2]),
            failed: None,
        })
    }

    /// Samples that the chunk says it holds.
    #[must_use]
    pub fn count(&self) -> u16 {
        self.count
    }

    /// Since when the counter of the sample read last counts; 0 if the chunk does not say.
    #[must_use]
    pub fn start_timestamp_ms(&self) -> i64 {
        self.start.start_ms()
    }

    /// The next sample, or none behind the last one.
    ///
    /// # Errors
    /// The bytes end early, or no encoder writes them. The same error comes again.
    pub fn next_sample(&mut self) -> Result<Option<Sample>, ChunkError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if self.read == self.count {
            return Ok(None);
        }
        let previous_ms = self.timestamp_ms;
        let is_well_formed = match self.read {
            0 => self.read_first(),
            1 => self.read_second(),
            _ => self.read_later(),
        } && self.start.read(&mut self.reader, self.read, self.timestamp_ms, previous_ms);
        let (sample, count) = (self.read, self.count);
        if self.reader.is_past_end() {
            return Err(*self.failed.insert(ChunkError::Truncated { sample, count }));
        }
        if !is_well_formed {
            return Err(*self.failed.insert(ChunkError::Malformed { sample, count }));
        }
        self.read += 1;
        let value = if self.is_stale { stale_marker() } else { f64::from_bits(self.base.bits) };
        Ok(Some(Sample { timestamp_ms: self.timestamp_ms, value }))
    }

    fn read_first(&mut self) -> bool {
        let Some(timestamp_ms) = self.reader.varint_int() else { return false };
        self.timestamp_ms = timestamp_ms;
        let bits = self.reader.take(64);
        self.is_stale = is_stale_marker(f64::from_bits(bits));
        if !self.is_stale {
            self.base = XorField::new(bits);
        }
        true
    }

    fn read_second(&mut self) -> bool {
        let Some(delta_ms) = self.reader.varint_uint() else { return false };
        self.go_on(delta_ms);
        self.read_value()
    }

    fn read_later(&mut self) -> bool {
        self.is_stale = false;
        let (prefix_bits, change_bits) = match self.reader.window().leading_ones() {
            0 => {
                self.reader.skip(1);
                self.go_on(self.delta_ms);
                return true;
            }
            1 => {
                self.reader.skip(2);
                self.go_on(self.delta_ms);
                return self.read_other_value();
            }
            2 => (3, 13),
            3 => (4, 20),
            4 => (5, 64),
            _ => {
                self.reader.skip(5);
                self.go_on(self.delta_ms);
                self.is_stale = true;
                return true;
            }
        };
        self.reader.skip(prefix_bits);
        let change_ms = self.reader.take(change_bits).cast_signed() << (64 - change_bits) >> (64 - change_bits);
        self.go_on(self.delta_ms.wrapping_add(change_ms.cast_unsigned()));
        self.read_value()
    }

    fn go_on(&mut self, delta_ms: u64) {
        self.delta_ms = delta_ms;
        self.timestamp_ms = self.timestamp_ms.wrapping_add(delta_ms.cast_signed());
    }

    fn read_value(&mut self) -> bool {
        let ones = self.reader.window().leading_ones();
        self.is_stale = ones >= 3;
        self.reader.skip((ones + 1).min(3));
        match ones {
            1 => self.base.read_change(&mut self.reader),
            2 => return self.base.read_window(&mut self.reader),
            _ => {}
        }
        true
    }

    /// A value that is known to be another one.
    fn read_other_value(&mut self) -> bool {
        if self.reader.take(1) == 1 {
            return self.base.read_window(&mut self.reader);
        }
        self.base.read_change(&mut self.reader);
        true
    }
}

/// Decodes a whole chunk behind what the columns hold already (both must be equally long).
///
/// # Errors
/// See [`ChunkError`]; the columns are then as long as before.
pub fn decode_xor2(bytes: &[u8], timestamps_ms: &mut Vec<i64>, values: &mut Vec<f64>) -> Result<(), ChunkError> {
    assert_eq!(timestamps_ms.len(), values.len(), "columns of one length");
    let mut reader = Xor2Reader::new(bytes)?;
    // A sample takes a bit or more, so the claim is believed only as far as the bytes can carry it.
    let plausible = usize::from(reader.count).min(bytes.len() * 8);
    timestamps_ms.reserve(plausible);
    values.reserve(plausible);
    let len_before = values.len();
    loop {
        match reader.next_sample() {
            Ok(Some(sample)) => {
                timestamps_ms.push(sample.timestamp_ms);
                values.push(sample.value);
            }
            Ok(None) => return Ok(()),
            Err(error) => {
                timestamps_ms.truncate(len_before);
                values.truncate(len_before);
                return Err(error);
            }
        }
    }
}
