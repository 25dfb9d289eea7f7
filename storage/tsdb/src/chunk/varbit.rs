//! Writing and reading fields one behind the other: raw bits, varbit integers, varints, and floats XORed with the one before.
//!
//! A varbit integer is `0` for 0, or one of these prefixes and as many bits: `10` + 3, `110` + 6, `1110` + 9, `11110` + 12,
//! `111110` + 18, `1111110` + 25, `11111110` + 56, `11111111` + 64. A signed field of n bits holds
//! -(2^(n-1) - 1) ..= 2^(n-1). Source: Prometheus `tsdb/chunkenc/varbit.go`.

use super::bits::{PUT_BYTES, peek, put};

/// Bits of the field behind each number of leading ones.
const FIELD_BITS: [u32; 9] = [0, 3, 6, 9, 12, 18, 25, 56, 64];
/// Room that is made at once; a sample of few buckets fits.
const GROWTH_BYTES: usize = 64;

/// Appends bits to a buffer that grows.
pub struct BitWriter<'b> {
    bytes: &'b mut Vec<u8>,
    at: usize,
}

impl<'b> BitWriter<'b> {
    /// Goes on at bit `at`, which lies in the last byte of the buffer or right behind it.
    pub fn new(bytes: &'b mut Vec<u8>, at: usize) -> Self {
        assert_eq!(bytes.len(), at.div_ceil(8), "the buffer ends where the chunk does");
        Self { bytes, at }
    }

    #[inline]
    pub fn put(&mut self, value: u64, len: u32) {
        let end = self.at / 8 + PUT_BYTES;
        if self.bytes.len() < end {
            self.bytes.resize(end + GROWTH_BYTES, 0);
        }
        self.at = put(self.bytes, self.at, value, len);
    }

    pub fn put_varbit_int(&mut self, value: i64) {
        let ones = match value {
            0 => 0,
            -3..=4 => 1,
            -31..=32 => 2,
            -255..=256 => 3,
            -2_047..=2_048 => 4,
            -131_071..=131_072 => 5,
            -16_777_215..=16_777_216 => 6,
            -36_028_797_018_963_967..=36_028_797_018_963_968 => 7,
            _ => 8,
        };
        self.put_varbit(value.cast_unsigned(), ones);
    }

    pub fn put_varbit_uint(&mut self, value: u64) {
        let len = 64 - value.leading_zeros();
        let ones = FIELD_BITS.iter().position(|bits| len <= *bits).expect("no integer has more than 64 bits");
        self.put_varbit(value, ones);
    }

    #[inline]
    fn put_varbit(&mut self, value: u64, ones: usize) {
        let len = FIELD_BITS[ones];
        match ones {
            0 => self.put(0, 1),
            8 => {
                self.put(0xff, 8);
                self.put(value, 64);
            }
            _ => {
                // `ones` ones and a zero.
                let prefix = (2u64 << ones) - 2;
                self.put((prefix << len) | (value & (u64::MAX >> (64 - len))), ones as u32 + 1 + len);
            }
        }
    }

    /// Cuts the buffer behind the last bit and says where that is.
    pub fn finish(self) -> usize {
        self.bytes.truncate(self.at.div_ceil(8));
        self.at
    }
}

/// Reads bits; behind the end there are zeros, and the caller asks [`BitReader::is_past_end`] once per sample.
#[derive(Clone, Copy, Debug)]
pub struct BitReader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> BitReader<'b> {
    pub fn new(bytes: &'b [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    pub fn at(&self) -> usize {
        self.at
    }

    pub fn is_past_end(&self) -> bool {
        self.at > self.bytes.len() * 8
    }

    pub fn bits_left(&self) -> usize {
        (self.bytes.len() * 8).saturating_sub(self.at)
    }

    /// The next 64 bits, which stay where they are.
    #[inline]
    pub fn window(&self) -> u64 {
        peek(self.bytes, self.at)
    }

    pub fn skip(&mut self, len: u32) {
        self.at += len as usize;
    }

    /// `len` is 1 to 64.
    #[inline]
    pub fn take(&mut self, len: u32) -> u64 {
        let value = self.window() >> (64 - len);
        self.at += len as usize;
        value
    }

    #[inline]
    pub fn varbit_int(&mut self) -> i64 {
        let (field, len) = self.varbit();
        if len < 64 && len > 0 && field > 1 << (len - 1) {
            return field.wrapping_sub(1 << len).cast_signed();
        }
        field.cast_signed()
    }

    #[inline]
    pub fn varbit_uint(&mut self) -> u64 {
        self.varbit().0
    }

    #[inline]
    fn varbit(&mut self) -> (u64, u32) {
        let window = self.window();
        if window >> 63 == 0 {
            self.at += 1;
            return (0, 0);
        }
        let ones = window.leading_ones().min(8);
        let len = FIELD_BITS[ones as usize];
        if len == 64 {
            self.at += 8;
            return (self.take(64), 64);
        }
        self.at += (ones + 1 + len) as usize;
        ((window << (ones + 1)) >> (64 - len), len)
    }

    /// At most ten bytes and 64 bits, as Go's `binary.ReadUvarint` has it; none where there are more.
    pub fn varint_uint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for index in 0..10 {
            let byte = self.take(8);
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

    /// Zigzag, as Go's `binary.ReadVarint` has it.
    pub fn varint_int(&mut self) -> Option<i64> {
        let zigzag = self.varint_uint()?;
        Some((zigzag >> 1).cast_signed() ^ -((zigzag & 1).cast_signed()))
    }
}

/// "No window yet": larger than any count of leading zeros that is written.
const NO_WINDOW: u8 = 0xff;

/// A float that is written as the XOR with the one before: `0`: equal; `10` + the bits of the window used last; `11` + 5 bits
/// of leading zeros (at most 31) + 6 bits of width (0 means 64) + the bits of that new window.
#[derive(Clone, Copy, Debug)]
pub struct XorField {
    pub bits: u64,
    leading: u8,
    trailing: u8,
}

impl XorField {
    pub fn new(bits: u64) -> Self {
        Self { bits, leading: NO_WINDOW, trailing: 0 }
    }

    pub fn put(&mut self, writer: &mut BitWriter<'_>, bits: u64) {
        let change = bits ^ self.bits;
        self.bits = bits;
        if change == 0 {
            return writer.put(0, 1);
        }
        let (leading, trailing) = ((change.leading_zeros() as u8).min(31), change.trailing_zeros() as u8);
        if self.leading != NO_WINDOW && leading >= self.leading && trailing >= self.trailing {
            writer.put(0b10, 2);
        } else {
            (self.leading, self.trailing) = (leading, trailing);
            let width = 64 - leading - trailing;
            writer.put((0b11 << 11) | (u64::from(leading) << 6) | u64::from(width & 0x3f), 13);
        }
        writer.put(change >> self.trailing, u32::from(64 - self.leading - self.trailing));
    }

    /// False if no writer makes such bits.
    #[must_use]
    pub fn read(&mut self, reader: &mut BitReader<'_>) -> bool {
        let window = reader.window();
        if window >> 63 == 0 {
            reader.skip(1);
            return true;
        }
        if window >> 62 == 0b10 {
            reader.skip(2);
            self.read_change(reader);
            return true;
        }
        reader.skip(2);
        self.read_window(reader)
    }

    /// Leading zeros, width and the bits of a new window.
    #[must_use]
    pub fn read_window(&mut self, reader: &mut BitReader<'_>) -> bool {
        let leading = reader.take(5) as u8;
        let width = match reader.take(6) as u8 {
            0 => 64,
            width => width,
        };
        if leading + width > 64 {
            return false;
        }
        (self.leading, self.trailing) = (leading, 64 - leading - width);
        self.read_change(reader);
        true
    }

    /// The bits of the window used last. One that was never set reads as one of 64 bits, as Prometheus' reader has it; no
    /// writer makes such bytes.
    pub fn read_change(&mut self, reader: &mut BitReader<'_>) {
        let (leading, trailing) = if self.leading == NO_WINDOW { (0, 0) } else { (self.leading, self.trailing) };
        self.bits ^= reader.take(u32::from(64 - leading - trailing)) << trailing;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varbit_integers_come_back_at_every_bound() {
        let mut values = vec![0u64, 1, u64::MAX, 1 << 63];
        for bits in FIELD_BITS {
            let bound = 1u64.checked_shl(bits).unwrap_or(0);
            let half = bound / 2;
            values.extend(
                [bound, half, half.wrapping_neg()]
                    .into_iter()
                    .flat_map(|value| [value, value.wrapping_add(1), value.wrapping_sub(1)]),
            );
        }
        let mut bytes = Vec::new();
        let mut writer = BitWriter::new(&mut bytes, 0);
        for value in &values {
            writer.put_varbit_uint(*value);
            writer.put_varbit_int(value.cast_signed());
        }
        let end = writer.finish();
        let mut reader = BitReader::new(&bytes, 0);
        for value in &values {
            assert_eq!(reader.varbit_uint(), *value);
            assert_eq!(reader.varbit_int(), value.cast_signed());
        }
        assert_eq!(reader.at(), end);
        assert!(!reader.is_past_end());
    }
}
