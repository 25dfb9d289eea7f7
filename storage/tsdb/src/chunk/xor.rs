//! The XOR chunk: delta-of-delta timestamps and XORed values (Gorilla, in Prometheus' variant for milliseconds).
//!
//! Bytes: big-endian u16 sample count; then a stream of bits, most significant first.
//! - sample 0: timestamp as zigzag varint, value as 64 raw bits
//! - sample 1: timestamp delta as varint, then the value
//! - sample n: delta of delta, then the value. `0`: none; `10` + 14 bits; `110` + 17; `1110` + 20; `1111` + 64 bits. A field of
//!   n bits holds -(2^(n-1) - 1) ..= 2^(n-1).
//! - a value is the XOR with the one before: `0`: equal; `10` + the bits of the window used last; `11` + 5 bits of leading
//!   zeros (at most 31) + 6 bits of width (0 means 64) + the bits of that new window.
//!
//! Source of the format: Prometheus `tsdb/chunkenc/xor.go`. Whether a sample may follow another is not looked at here.

use model::Sample;

use super::ChunkError;
use super::bits::{PUT_BYTES, peek, put};

const COUNT_BYTES: usize = 2;
/// "No window yet": larger than any count of leading zeros that is written.
const NO_WINDOW: u8 = 0xff;

/// Free bytes behind [`XorAppender::byte_len`] that one [`XorAppender::append`] may touch.
///
/// The longest sample is a second one: 10 bytes of varint and 77 bits of value. The longest later one has at most 7 bits
/// before it in its byte, 68 bits of timestamp and 77 of value. In both the last field starts in byte 11 of them.
pub const SAMPLE_BYTES_MAX: usize = 20;

const _: () = assert!((10 * 8 + 13) / 8 + PUT_BYTES <= SAMPLE_BYTES_MAX);
const _: () = assert!((7 + 68 + 13) / 8 + PUT_BYTES <= SAMPLE_BYTES_MAX);
const _: () = assert!(10 + PUT_BYTES <= SAMPLE_BYTES_MAX);

/// What must be remembered to go on with an open chunk; its bytes lie elsewhere.
///
/// The sample count is kept here and not in the bytes, so that an append touches the tail of the bytes only. It is written
/// by [`XorAppender::finish`].
#[derive(Clone, Copy, Debug)]
pub struct XorAppender {
    last_timestamp_ms: i64,
    last_value_bits: u64,
    last_delta_ms: u64,
    at_bit: u16,
    count: u16,
    leading: u8,
    trailing: u8,
}

impl XorAppender {
    #[must_use]
    pub const fn new() -> Self {
        Self {
            last_timestamp_ms: 0,
            last_value_bits: 0,
            last_delta_ms: 0,
            at_bit: (COUNT_BYTES * 8) as u16,
            count: 0,
            leading: NO_WINDOW,
            trailing: 0,
        }
    }

    /// What goes on with a chunk that was finished: reads it to its end.
    ///
    /// # Errors
    /// It is no chunk, or does not end with its last sample.
    pub fn resume(bytes: &[u8]) -> Result<Self, ChunkError> {
        let mut reader = XorReader::new(bytes)?;
        let mut first_bits = None;
        // A window is made by the first change of the value.
        let mut has_window = false;
        while let Some(sample) = reader.next_sample()? {
            has_window |= *first_bits.get_or_insert(sample.value.to_bits()) != sample.value.to_bits();
        }
        let XorReader { at, count, timestamp_ms, value_bits, delta_ms, leading, trailing, .. } = reader;
        if at.div_ceil(8) != bytes.len() || at > usize::from(u16::MAX) {
            return Err(ChunkError::Malformed { sample: count, count });
        }
        Ok(Self {
            last_timestamp_ms: timestamp_ms,
            last_value_bits: value_bits,
            last_delta_ms: delta_ms,
            at_bit: at as u16,
            count,
            leading: if has_window { leading } else { NO_WINDOW },
            trailing,
        })
    }

    #[must_use]
    #[inline]
    pub fn count(&self) -> u16 {
        self.count
    }

    /// Bytes of the chunk so far, the sample count included.
    #[must_use]
    #[inline]
    pub fn byte_len(&self) -> usize {
        usize::from(self.at_bit).div_ceil(8)
    }

    /// Meaningless while the chunk is empty.
    #[must_use]
    #[inline]
    pub fn last_timestamp_ms(&self) -> i64 {
        self.last_timestamp_ms
    }

    /// Meaningless while the chunk is empty.
    #[must_use]
    #[inline]
    pub fn last_value_bits(&self) -> u64 {
        self.last_value_bits
    }

    /// Appends one sample. `bytes` is the chunk's own buffer with at least [`SAMPLE_BYTES_MAX`] bytes behind
    /// [`XorAppender::byte_len`]; it needs no zeroing.
    ///
    /// # Panics
    /// Too few bytes are free, or the chunk grows beyond 8 KiB: bugs of the caller.
    #[inline]
    pub fn append(&mut self, bytes: &mut [u8], sample: Sample) {
        let value_bits = sample.value.to_bits();
        let at = usize::from(self.at_bit);
        let at = match self.count {
            0 => {
                let zigzag = ((sample.timestamp_ms << 1) ^ (sample.timestamp_ms >> 63)).cast_unsigned();
                let at = put_varint(bytes, at, zigzag);
                put(bytes, at, value_bits, 64)
            }
            1 => {
                self.last_delta_ms = self.delta_ms(sample.timestamp_ms);
                let at = put_varint(bytes, at, self.last_delta_ms);
                self.put_value(bytes, at, Prefix { bits: 0, len: 0 }, value_bits)
            }
            _ => {
                let delta_ms = self.delta_ms(sample.timestamp_ms);
                let change_ms = delta_ms.wrapping_sub(self.last_delta_ms).cast_signed();
                self.last_delta_ms = delta_ms;
                let (at, prefix) = put_change(bytes, at, change_ms);
                self.put_value(bytes, at, prefix, value_bits)
            }
        };
        self.at_bit = u16::try_from(at).expect("a chunk stays below 8 KiB");
        self.last_timestamp_ms = sample.timestamp_ms;
        self.last_value_bits = value_bits;
        self.count += 1;
    }

    /// Writes the sample count into the first bytes: what any reader of the bytes needs.
    pub fn finish(&self, bytes: &mut [u8]) {
        bytes[..COUNT_BYTES].copy_from_slice(&self.count.to_be_bytes());
    }

    #[inline]
    fn delta_ms(&self, timestamp_ms: i64) -> u64 {
        timestamp_ms.wrapping_sub(self.last_timestamp_ms).cast_unsigned()
    }

    /// Writes `prefix` and the value. Short fields go out in one piece: most samples are a single `put`.
    #[inline]
    fn put_value(&mut self, bytes: &mut [u8], at: usize, prefix: Prefix, value_bits: u64) -> usize {
        let change = value_bits ^ self.last_value_bits;
        if change == 0 {
            let prefix = prefix.and(0, 1);
            return put(bytes, at, prefix.bits, prefix.len);
        }
        let (leading, trailing) = ((change.leading_zeros() as u8).min(31), change.trailing_zeros() as u8);
        let prefix = if self.leading != NO_WINDOW && leading >= self.leading && trailing >= self.trailing {
            prefix.and(0b10, 2)
        } else {
            (self.leading, self.trailing) = (leading, trailing);
            let width = 64 - leading - trailing;
            prefix.and(0b11, 2).and(u64::from(leading), 5).and(u64::from(width & 0x3f), 6)
        };
        let width = u32::from(64 - self.leading - self.trailing);
        let window = change >> self.trailing;
        if prefix.len + width <= 64 {
            return put(bytes, at, prefix.and(window, width).bits, prefix.len + width);
        }
        let at = put(bytes, at, prefix.bits, prefix.len);
        put(bytes, at, window, width)
    }
}

impl Default for XorAppender {
    fn default() -> Self {
        Self::new()
    }
}

/// Bits that wait to be written with what follows.
#[derive(Clone, Copy)]
struct Prefix {
    bits: u64,
    len: u32,
}

impl Prefix {
    /// `len` is below 64, and so is the length of both together at most 64: callers see to it.
    #[inline]
    fn and(self, bits: u64, len: u32) -> Self {
        Self { bits: (self.bits << len) | bits, len: self.len + len }
    }
}

/// The delta of delta: the short forms as a prefix of what follows, the long one written.
#[inline]
fn put_change(bytes: &mut [u8], at: usize, change_ms: i64) -> (usize, Prefix) {
    let low = |len: u32| change_ms.cast_unsigned() & (u64::MAX >> (64 - len));
    match change_ms {
        0 => (at, Prefix { bits: 0, len: 1 }),
        -8_191..=8_192 => (at, Prefix { bits: (0b10 << 14) | low(14), len: 16 }),
        -65_535..=65_536 => (at, Prefix { bits: (0b110 << 17) | low(17), len: 20 }),
        -524_287..=524_288 => (at, Prefix { bits: (0b1110 << 20) | low(20), len: 24 }),
        _ => {
            let at = put(bytes, at, 0b1111, 4);
            (put(bytes, at, change_ms.cast_unsigned(), 64), Prefix { bits: 0, len: 0 })
        }
    }
}

fn put_varint(bytes: &mut [u8], mut at: usize, mut value: u64) -> usize {
    while value >= 0x80 {
        at = put(bytes, at, value | 0x80, 8);
        value >>= 7;
    }
    put(bytes, at, value, 8)
}

/// Reads the samples of a chunk in order. Bytes behind the last sample are not looked at.
#[derive(Clone, Debug)]
pub struct XorReader<'a> {
    bytes: &'a [u8],
    at: usize,
    count: u16,
    read: u16,
    timestamp_ms: i64,
    value_bits: u64,
    delta_ms: u64,
    leading: u8,
    trailing: u8,
}

impl<'a> XorReader<'a> {
    /// # Errors
    /// There is no room for a sample count.
    pub fn new(bytes: &'a [u8]) -> Result<Self, ChunkError> {
        let Some(count) = bytes.first_chunk::<COUNT_BYTES>() else {
            return Err(ChunkError::NoHeader { bytes: bytes.len() });
        };
        Ok(Self::with_count(bytes, u16::from_be_bytes(*count)))
    }

    /// For an open chunk, whose count is still beside its bytes.
    #[must_use]
    pub fn of_open(bytes: &'a [u8], appender: &XorAppender) -> Self {
        Self::with_count(&bytes[..appender.byte_len()], appender.count)
    }

    fn with_count(bytes: &'a [u8], count: u16) -> Self {
        let at = COUNT_BYTES * 8;
        // A window that was never set reads as one of 64 bits, as Prometheus' reader has it; no writer makes such bytes.
        Self { bytes, at, count, read: 0, timestamp_ms: 0, value_bits: 0, delta_ms: 0, leading: 0, trailing: 0 }
    }

    /// Samples that the chunk says it holds.
    #[must_use]
    pub fn count(&self) -> u16 {
        self.count
    }

    /// The next sample, or none behind the last one.
    ///
    /// # Errors
    /// The bytes end early, or no encoder writes them. The reader then stays where it is: the same error comes again.
    #[inline(always)]
    pub fn next_sample(&mut self) -> Result<Option<Sample>, ChunkError> {
        if self.read == self.count {
            return Ok(None);
        }
        let is_well_formed = match self.read {
            0 => self.read_first(),
            1 => self.read_second(),
            _ => self.read_later(),
        };
        let (sample, count) = (self.read, self.count);
        if self.at > self.bytes.len() * 8 {
            return Err(ChunkError::Truncated { sample, count });
        }
        if !is_well_formed {
            return Err(ChunkError::Malformed { sample, count });
        }
        self.read += 1;
        Ok(Some(Sample { timestamp_ms: self.timestamp_ms, value: f64::from_bits(self.value_bits) }))
    }

    fn read_first(&mut self) -> bool {
        let Some(zigzag) = self.read_varint() else { return false };
        self.timestamp_ms = (zigzag >> 1).cast_signed() ^ -((zigzag & 1).cast_signed());
        self.value_bits = peek(self.bytes, self.at);
        self.at += 64;
        true
    }

    fn read_second(&mut self) -> bool {
        let Some(delta_ms) = self.read_varint() else { return false };
        self.delta_ms = delta_ms;
        self.timestamp_ms = self.timestamp_ms.wrapping_add(delta_ms.cast_signed());
        let window = peek(self.bytes, self.at);
        self.read_value(window)
    }

    #[inline(always)]
    fn read_later(&mut self) -> bool {
        let window = peek(self.bytes, self.at);
        // Its own branch and no arm of the match: it is nearly always taken, and a jump through a table is guessed badly.
        if window >> 63 == 0 {
            self.at += 1;
            self.timestamp_ms = self.timestamp_ms.wrapping_add(self.delta_ms.cast_signed());
            return self.read_value(window << 1);
        }
        let (prefix_len, field_len) = match window.leading_ones() {
            1 => (2, 14),
            2 => (3, 17),
            3 => (4, 20),
            _ => (4, 64),
        };
        let field = if field_len == 64 {
            peek(self.bytes, self.at + prefix_len)
        } else {
            let bits = (window << prefix_len) >> (64 - field_len);
            if bits > 1 << (field_len - 1) { bits.wrapping_sub(1 << field_len) } else { bits }
        };
        self.at += prefix_len + field_len;
        self.delta_ms = self.delta_ms.wrapping_add(field);
        self.timestamp_ms = self.timestamp_ms.wrapping_add(self.delta_ms.cast_signed());
        let window = peek(self.bytes, self.at);
        self.read_value(window)
    }

    /// `window` starts with the value and holds at least its 13 bits of description.
    #[inline(always)]
    fn read_value(&mut self, window: u64) -> bool {
        match window >> 62 {
            0b00 | 0b01 => {
                self.at += 1;
                return true;
            }
            0b10 => self.at += 2,
            _ => {
                let leading = ((window >> 57) & 0x1f) as u8;
                let width = match (window >> 51) & 0x3f {
                    0 => 64,
                    width => width as u8,
                };
                self.at += 13;
                if leading + width > 64 {
                    return false;
                }
                (self.leading, self.trailing) = (leading, 64 - leading - width);
            }
        }
        let width = 64 - u32::from(self.leading) - u32::from(self.trailing);
        self.value_bits ^= (peek(self.bytes, self.at) >> (64 - width)) << self.trailing;
        self.at += width as usize;
        true
    }

    /// At most ten bytes and 64 bits, as Go's `binary.ReadUvarint` has it.
    fn read_varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for index in 0..10 {
            let byte = peek(self.bytes, self.at) >> 56;
            self.at += 8;
            if index == 9 && byte > 1 {
                return None;
            }
            value |= (byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

/// Decodes a whole chunk behind what the columns hold already (both must be equally long).
///
/// # Errors
/// See [`ChunkError`]; the columns are then as long as before.
pub fn decode_xor(bytes: &[u8], timestamps_ms: &mut Vec<i64>, values: &mut Vec<f64>) -> Result<(), ChunkError> {
    assert_eq!(timestamps_ms.len(), values.len(), "columns of one length");
    let mut reader = XorReader::new(bytes)?;
    // A sample takes two bits or more, so the claim is believed only as far as the bytes can carry it.
    let plausible = usize::from(reader.count).min(bytes.len() * 4);
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

/// One finished chunk of all the samples.
///
/// # Panics
/// The samples take more than 8 KiB; 400 of the longest fit.
#[must_use]
pub fn encode_xor(samples: &[Sample]) -> Vec<u8> {
    let mut appender = XorAppender::new();
    let mut bytes = vec![0; COUNT_BYTES + SAMPLE_BYTES_MAX * (samples.len() + 1)];
    for sample in samples {
        appender.append(&mut bytes, *sample);
    }
    appender.finish(&mut bytes);
    bytes.truncate(appender.byte_len());
    bytes
}
