//! The yardstick's chunks: timestamps as changes of their step, values as XOR with the one before, as Gorilla does.
//!
//! Written to be timed, not to be read: a chunk that is full begins anew, and there is no reader.

const CHUNK_BYTES: usize = 512;
/// The longest that one sample takes.
const SAMPLE_BYTES_MAX: usize = 20;

/// The bytes of all open chunks.
pub struct Chunks {
    bytes: Vec<u8>,
}

impl Chunks {
    pub fn new(series: usize) -> Self {
        // Not zero: the pages should be there before they are timed.
        Self { bytes: vec![1; series * CHUNK_BYTES] }
    }

    #[inline]
    pub fn of(&mut self, series: u32) -> &mut [u8] {
        &mut self.bytes[series as usize * CHUNK_BYTES..][..CHUNK_BYTES]
    }

    /// Reads where the next sample goes.
    #[inline]
    pub fn touch(&self, series: u32, open: &OpenChunk) -> u64 {
        u64::from(self.bytes[series as usize * CHUNK_BYTES + open.at_bit as usize / 8])
    }
}

/// The state of one chunk: a cache line at most.
#[derive(Clone, Default)]
pub struct OpenChunk {
    last_ms: i64,
    last_delta_ms: i64,
    last_value: u64,
    at_bit: u32,
    count: u32,
    leading: u8,
    significant: u8,
}

const _: () = assert!(size_of::<OpenChunk>() <= 64);

impl OpenChunk {
    #[inline]
    pub fn touch(&self) -> u64 {
        u64::from(self.at_bit)
    }

    /// The newest sample.
    #[cfg(test)]
    pub fn last(&self) -> (i64, u64) {
        (self.last_ms, self.last_value)
    }

    #[inline]
    pub fn append(&mut self, bytes: &mut [u8], timestamp_ms: i64, value: u64) {
        if self.at_bit as usize / 8 + SAMPLE_BYTES_MAX > CHUNK_BYTES {
            *self = Self::default();
        }
        let delta_ms = timestamp_ms - self.last_ms;
        if self.count == 0 {
            self.put(bytes, timestamp_ms.cast_unsigned(), 64);
            self.put(bytes, value, 64);
        } else {
            match delta_ms - self.last_delta_ms {
                0 => self.put(bytes, 0, 1),
                change @ -8191..=8192 => self.put(bytes, 0b10 << 14 | (change.cast_unsigned() & 0x3fff), 16),
                change => {
                    self.put(bytes, 0b1111, 4);
                    self.put(bytes, change.cast_unsigned(), 64);
                }
            }
            self.put_value(bytes, value ^ self.last_value);
        }
        (self.last_ms, self.last_value) = (timestamp_ms, value);
        self.last_delta_ms = if self.count == 0 { 0 } else { delta_ms };
        self.count += 1;
    }

    #[inline]
    fn put_value(&mut self, bytes: &mut [u8], xor: u64) {
        if xor == 0 {
            return self.put(bytes, 0, 1);
        }
        let (leading, trailing) = (xor.leading_zeros().min(31) as u8, xor.trailing_zeros() as u8);
        let known_trailing = 64 - self.leading - self.significant;
        if self.significant > 0 && leading >= self.leading && trailing >= known_trailing {
            self.put(bytes, 0b10, 2);
            return self.put(bytes, xor >> known_trailing, u32::from(self.significant));
        }
        (self.leading, self.significant) = (leading, 64 - leading - trailing);
        let head = 0b11 << 11 | u64::from(leading) << 6 | u64::from(self.significant & 63);
        self.put(bytes, head, 13);
        self.put(bytes, xor >> trailing, u32::from(self.significant));
    }

    /// The low `count` bits of a number, the highest first.
    #[inline]
    fn put(&mut self, bytes: &mut [u8], bits: u64, count: u32) {
        let (at, within) = (self.at_bit as usize / 8, self.at_bit % 8);
        // What is in the first byte so far, then the new bits, in sixteen bytes of room.
        let kept = u128::from(bytes[at]) << 120 & !(u128::MAX >> within);
        let fresh = u128::from(bits) << (128 - count) >> within;
        bytes[at..at + 9].copy_from_slice(&(kept | fresh).to_be_bytes()[..9]);
        self.at_bit += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_stand_behind_each_other() {
        let (mut open, mut bytes) = (OpenChunk::default(), [0xff; 32]);
        for (bits, count) in [(0b101, 3), (0, 4), (u64::MAX, 64), (1, 1), (0b10, 8)] {
            open.put(&mut bytes, bits, count);
        }
        assert_eq!(open.at_bit, 80);
        assert_eq!(bytes[..10], [0b1010_0001, 255, 255, 255, 255, 255, 255, 255, 255, 0b0000_0010]);
    }
}
