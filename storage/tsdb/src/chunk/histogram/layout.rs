//! The layout in front of the first sample: zero threshold, schema, spans of both signs, custom bounds.
//!
//! - zero threshold, one byte: 0 for 0; e + 243 for 2^(e-1) from 2^-243 to 2^10; else 255 and the 64 bits of the float
//! - schema as varbit; each side's spans as varbit count, then length and offset of each
//! - bounds, only with custom buckets, as varbit count and then each: thousandths from 0 to 33554.43 as varbit of
//!   1000 times the bound and 1; else a 0 bit and the 64 bits of the float
//!
//! Source: Prometheus `tsdb/chunkenc/histogram_meta.go`.

use model::{HistogramLayout, SCHEMA_CUSTOM, SCHEMA_RESERVED_MAX, SCHEMA_RESERVED_MIN, Span};

use crate::chunk::varbit::{BitReader, BitWriter};

const THRESHOLD_RAW: u64 = 255;
/// From the biased exponent of an IEEE 754 double to the byte: 2^-243 has 780 and becomes 1.
const THRESHOLD_BIAS: u64 = 779;
const FRACTION_BITS: u32 = 52;
const BOUND_THOUSANDTHS_MAX: f64 = 33_554_430.0;

pub fn put_layout(writer: &mut BitWriter<'_>, layout: &HistogramLayout) {
    put_zero_threshold(writer, layout.zero_threshold);
    writer.put_varbit_int(i64::from(layout.schema));
    put_spans(writer, &layout.positive_spans);
    put_spans(writer, &layout.negative_spans);
    if layout.has_custom_buckets() {
        writer.put_varbit_uint(layout.custom_bounds.len() as u64);
        for bound in &layout.custom_bounds {
            put_bound(writer, *bound);
        }
    }
}

fn put_zero_threshold(writer: &mut BitWriter<'_>, threshold: f64) {
    let bits = threshold.to_bits();
    let is_power_of_two = bits & ((1 << FRACTION_BITS) - 1) == 0;
    let short = (bits >> FRACTION_BITS).wrapping_sub(THRESHOLD_BIAS);
    if threshold == 0.0 {
        writer.put(0, 8);
    } else if is_power_of_two && (1..THRESHOLD_RAW).contains(&short) {
        writer.put(short, 8);
    } else {
        writer.put(THRESHOLD_RAW, 8);
        writer.put(bits, 64);
    }
}

fn put_spans(writer: &mut BitWriter<'_>, spans: &[Span]) {
    writer.put_varbit_uint(spans.len() as u64);
    for span in spans {
        writer.put_varbit_uint(u64::from(span.length));
        writer.put_varbit_int(i64::from(span.offset));
    }
}

fn put_bound(writer: &mut BitWriter<'_>, bound: f64) {
    let thousandths = bound * 1000.0;
    let whole = thousandths.round();
    if (0.0..=BOUND_THOUSANDTHS_MAX).contains(&thousandths) && whole / 1000.0 == bound {
        writer.put_varbit_uint(whole as u64 + 1);
    } else {
        writer.put(0, 1);
        writer.put(bound.to_bits(), 64);
    }
}

/// Reads over what `layout` holds. False if no writer makes such bits or they end early; the layout is then as far as it was
/// read. Never holds more spans or bounds than there are bits.
#[must_use]
pub fn read_layout(reader: &mut BitReader<'_>, layout: &mut HistogramLayout) -> bool {
    layout.clear();
    layout.zero_threshold = match reader.take(8) {
        0 => 0.0,
        THRESHOLD_RAW => f64::from_bits(reader.take(64)),
        short => f64::from_bits((short + THRESHOLD_BIAS) << FRACTION_BITS),
    };
    let schema = reader.varbit_int();
    let is_known = (i64::from(SCHEMA_RESERVED_MIN)..=i64::from(SCHEMA_RESERVED_MAX)).contains(&schema)
        || schema == i64::from(SCHEMA_CUSTOM);
    if !is_known || !read_spans(reader, &mut layout.positive_spans) || !read_spans(reader, &mut layout.negative_spans) {
        return false;
    }
    layout.schema = schema as i32;
    !layout.has_custom_buckets() || read_bounds(reader, &mut layout.custom_bounds)
}

#[must_use]
fn read_spans(reader: &mut BitReader<'_>, spans: &mut Vec<Span>) -> bool {
    for _ in 0..reader.varbit_uint() {
        let (length, offset) = (u32::try_from(reader.varbit_uint()), i32::try_from(reader.varbit_int()));
        let (Ok(length), Ok(offset)) = (length, offset) else { return false };
        if reader.is_past_end() {
            return false;
        }
        spans.push(Span { offset, length });
    }
    true
}

#[must_use]
fn read_bounds(reader: &mut BitReader<'_>, bounds: &mut Vec<f64>) -> bool {
    for _ in 0..reader.varbit_uint() {
        let bound = match reader.varbit_uint() {
            0 => f64::from_bits(reader.take(64)),
            thousandths => (thousandths - 1) as f64 / 1000.0,
        };
        if reader.is_past_end() {
            return false;
        }
        bounds.push(bound);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bits that the threshold takes, and that it comes back.
    #[track_caller]
    fn check_threshold(threshold: f64, bits: usize) {
        let mut bytes = Vec::new();
        let mut writer = BitWriter::new(&mut bytes, 0);
        put_zero_threshold(&mut writer, threshold);
        put_spans(&mut writer, &[]);
        assert_eq!(writer.finish(), bits + 1, "{threshold}");
        let mut layout = HistogramLayout { zero_threshold: threshold, ..HistogramLayout::default() };
        let mut bytes = Vec::new();
        let mut writer = BitWriter::new(&mut bytes, 0);
        put_layout(&mut writer, &layout);
        writer.finish();
        let expected = layout.clone();
        assert!(read_layout(&mut BitReader::new(&bytes, 0), &mut layout));
        assert_eq!(layout, expected);
    }

    #[test]
    fn powers_of_two_are_short() {
        check_threshold(0.0, 8);
        check_threshold(2f64.powi(-128), 8);
        check_threshold(2f64.powi(-243), 8);
        check_threshold(2f64.powi(-244), 72);
        check_threshold(1024.0, 8);
        check_threshold(2048.0, 72);
        check_threshold(0.001, 72);
        check_threshold(-1.0, 72);
        check_threshold(f64::from_bits(1), 72);
        check_threshold(f64::NAN, 72);
    }

    #[track_caller]
    fn check_bound(bound: f64, bits: usize) {
        let mut bytes = Vec::new();
        let mut writer = BitWriter::new(&mut bytes, 0);
        writer.put_varbit_uint(1);
        put_bound(&mut writer, bound);
        assert_eq!(writer.finish(), 5 + bits, "{bound}");
        let mut bounds = Vec::new();
        assert!(read_bounds(&mut BitReader::new(&bytes, 0), &mut bounds));
        assert_eq!(bounds, [bound]);
    }

    #[test]
    fn thousandths_are_short() {
        check_bound(0.0, 5);
        check_bound(0.005, 5);
        check_bound(0.1, 13);
        check_bound(33_554.43, 32);
        check_bound(33_554.431, 65);
        check_bound(0.000_5, 65);
        check_bound(-1.0, 65);
        check_bound(f64::NEG_INFINITY, 65);
        check_bound(1.0 / 3.0, 65);
    }
}
