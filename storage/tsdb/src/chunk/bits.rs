//! Bit streams, most significant bit first, at positions counted in bits from the start of a byte slice.
//!
//! Both directions work on windows of up to 72 bits instead of single bits: the position is all the state there is, which is
//! what lets an open chunk be resumed from a few bytes of state.

/// Bytes that [`put`] may touch from the byte of its position on.
pub(super) const PUT_BYTES: usize = 9;

/// Writes the lowest `len` bits (1 to 64) of `value` at bit `at` and returns the position behind them. What stood behind `at`
/// within the next [`PUT_BYTES`] bytes is overwritten.
#[inline]
pub(super) fn put(bytes: &mut [u8], at: usize, value: u64, len: u32) -> usize {
    debug_assert!((1..=64).contains(&len));
    let (byte, offset) = (at / 8, (at % 8) as u32);
    let window = &mut bytes[byte..byte + PUT_BYTES];
    let kept = u64::from(window[0] & !(0xff >> offset)) << 56;
    let aligned = value << (64 - len);
    window[..8].copy_from_slice(&(kept | (aligned >> offset)).to_be_bytes());
    // The bits that the shift pushed out: `offset` of them, at the top of the ninth byte.
    window[8] = (u32::from(aligned as u8) << (8 - offset)) as u8;
    at + len as usize
}

/// The next 64 bits from bit `at`, zeros where the bytes end. The caller compares its position with the length once per
/// sample instead of once per field.
#[inline]
pub(super) fn peek(bytes: &[u8], at: usize) -> u64 {
    let (byte, offset) = (at / 8, (at % 8) as u32);
    let whole = bytes.get(byte..).and_then(|rest| rest.first_chunk::<9>());
    match whole {
        Some(window) => shifted(window, offset),
        None => peek_end(bytes, byte, offset),
    }
}

#[cold]
fn peek_end(bytes: &[u8], byte: usize, offset: u32) -> u64 {
    let rest = bytes.get(byte..).unwrap_or(&[]);
    let mut window = [0u8; 9];
    window[..rest.len()].copy_from_slice(rest);
    shifted(&window, offset)
}

#[inline]
fn shifted(window: &[u8; 9], offset: u32) -> u64 {
    let first = window.first_chunk::<8>().expect("nine bytes begin with eight");
    (u64::from_be_bytes(*first) << offset) | ((u64::from(window[8]) << offset) >> 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_peeked() {
        let fields =
            [(1u64, 1u32), (0, 1), (0b10, 2), (0x2aaa, 14), (u64::MAX, 64), (5, 5), (1, 64), (0x1_ffff, 17), (0, 13)];
        let mut bytes = [0xffu8; 64];
        let mut at = 3;
        for (value, len) in fields {
            at = put(&mut bytes, at, value, len);
        }
        let used = at.div_ceil(8);
        let mut read_at = 3;
        for (value, len) in fields {
            assert_eq!(peek(&bytes[..used], read_at) >> (64 - len), value, "{len} bits at {read_at}");
            read_at += len as usize;
        }
        assert_eq!(bytes[0] >> 5, 0b111, "bits before the position stay");
        assert_eq!(peek(&bytes[..used], used * 8 + 100), 0, "zeros behind the end");
    }
}
