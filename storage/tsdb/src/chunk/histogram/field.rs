//! One number of a histogram over the samples of a chunk: what is remembered of it, and how it is written.
//!
//! - integers: the first as varbit (counts unsigned, bucket differences signed), later ones as varbit delta of delta
//! - floats: the first as 64 raw bits, later ones XORed with the one before

use std::fmt::Debug;

use model::HistogramCount;

use crate::chunk::varbit::{BitReader, BitWriter, XorField};

/// A kind of histogram that chunks can hold: `u64` for integer histograms, `f64` for float histograms.
pub trait ChunkCount: HistogramCount<Bucket: ChunkField> + ChunkField {
    /// Whether Prometheus tells "no counter reset" and "unknown" apart in the headers of this kind.
    const HEADERS_ARE_EXACT: bool;
}

impl ChunkCount for u64 {
    const HEADERS_ARE_EXACT: bool = true;
}

impl ChunkCount for f64 {
    const HEADERS_ARE_EXACT: bool = false;
}

/// A number with a past.
pub trait ChunkField: Copy {
    type Past: Copy + Debug;
    /// Bits that a first one takes at least: how far a reader believes a claim.
    const FIRST_BITS_MIN: usize;
    fn put_first(writer: &mut BitWriter<'_>, value: Self) -> Self::Past;
    fn put_next(writer: &mut BitWriter<'_>, past: &mut Self::Past, value: Self);
    /// The number of a stale marker, which is 0. Only another stale marker can follow.
    fn put_stale(writer: &mut BitWriter<'_>, past: &mut Self::Past);
    fn read_first(reader: &mut BitReader<'_>) -> Self::Past;
    /// False if no writer makes such bits.
    #[must_use]
    fn read_next(reader: &mut BitReader<'_>, past: &mut Self::Past) -> bool;
    fn last(past: &Self::Past) -> Self;
}

/// An integer and how far it went last. All sums wrap, as they do in Go.
#[derive(Clone, Copy, Debug)]
pub struct Integer {
    last: i64,
    delta: i64,
}

impl Integer {
    fn put_next(&mut self, writer: &mut BitWriter<'_>, value: i64) {
        let delta = value.wrapping_sub(self.last);
        writer.put_varbit_int(delta.wrapping_sub(self.delta));
        (self.last, self.delta) = (value, delta);
    }

    fn read_next(&mut self, reader: &mut BitReader<'_>) {
        self.delta = self.delta.wrapping_add(reader.varbit_int());
        self.last = self.last.wrapping_add(self.delta);
    }
}

/// Counts.
impl ChunkField for u64 {
    type Past = Integer;
    const FIRST_BITS_MIN: usize = 1;

    fn put_first(writer: &mut BitWriter<'_>, value: u64) -> Integer {
        writer.put_varbit_uint(value);
        Integer { last: value.cast_signed(), delta: 0 }
    }

    fn put_next(writer: &mut BitWriter<'_>, past: &mut Integer, value: u64) {
        past.put_next(writer, value.cast_signed());
    }

    /// Prometheus writes no change here, although the count it remembers is 0.
    fn put_stale(writer: &mut BitWriter<'_>, past: &mut Integer) {
        writer.put_varbit_int(0);
        *past = Integer { last: 0, delta: past.last.wrapping_neg() };
    }

    fn read_first(reader: &mut BitReader<'_>) -> Integer {
        Integer { last: reader.varbit_uint().cast_signed(), delta: 0 }
    }

    #[inline]
    fn read_next(reader: &mut BitReader<'_>, past: &mut Integer) -> bool {
        past.read_next(reader);
        true
    }

    #[inline]
    fn last(past: &Integer) -> u64 {
        past.last.cast_unsigned()
    }
}

/// Buckets of integer histograms: themselves differences to the bucket before.
impl ChunkField for i64 {
    type Past = Integer;
    const FIRST_BITS_MIN: usize = 1;

    fn put_first(writer: &mut BitWriter<'_>, value: i64) -> Integer {
        writer.put_varbit_int(value);
        Integer { last: value, delta: 0 }
    }

    #[inline]
    fn put_next(writer: &mut BitWriter<'_>, past: &mut Integer, value: i64) {
        past.put_next(writer, value);
    }

    fn put_stale(_: &mut BitWriter<'_>, _: &mut Integer) {
        unreachable!("a stale marker has no buckets");
    }

    fn read_first(reader: &mut BitReader<'_>) -> Integer {
        Integer { last: reader.varbit_int(), delta: 0 }
    }

    #[inline]
    fn read_next(reader: &mut BitReader<'_>, past: &mut Integer) -> bool {
        past.read_next(reader);
        true
    }

    #[inline]
    fn last(past: &Integer) -> i64 {
        past.last
    }
}

/// Counts, buckets and the sum of both kinds.
impl ChunkField for f64 {
    type Past = XorField;
    const FIRST_BITS_MIN: usize = 64;

    fn put_first(writer: &mut BitWriter<'_>, value: f64) -> XorField {
        writer.put(value.to_bits(), 64);
        XorField::new(value.to_bits())
    }

    #[inline]
    fn put_next(writer: &mut BitWriter<'_>, past: &mut XorField, value: f64) {
        past.put(writer, value.to_bits());
    }

    fn put_stale(writer: &mut BitWriter<'_>, past: &mut XorField) {
        past.put(writer, 0);
    }

    fn read_first(reader: &mut BitReader<'_>) -> XorField {
        XorField::new(reader.take(64))
    }

    #[inline]
    fn read_next(reader: &mut BitReader<'_>, past: &mut XorField) -> bool {
        past.read(reader)
    }

    #[inline]
    fn last(past: &XorField) -> f64 {
        f64::from_bits(past.bits)
    }
}
