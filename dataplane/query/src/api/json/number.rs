//! Values (as strings) and timestamps (as numbers).
//!
//! Source of the format: Prometheus `util/jsonutil` on Go's `strconv`: the shortest digits that read back to the same bits; without
//! an exponent from 1e-6 up to below 1e21.

use std::io::Write as _;

/// From here on integers of a float have gaps, and digits must come from the shortest form.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// A sample's value: `"1.5"`, `"1e-07"`, `"NaN"`, `"+Inf"`.
pub(crate) fn push_value(out: &mut Vec<u8>, value: f64) {
    out.push(b'"');
    let magnitude = value.abs();
    if push_plain(out, value) {
    } else if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        push_exponential(out, value);
    } else {
        write!(out, "{value}").expect("writing to memory");
    }
    out.push(b'"');
}

/// The value of a scalar result, which Prometheus writes without an exponent whatever its size.
pub(crate) fn push_scalar_value(out: &mut Vec<u8>, value: f64) {
    out.push(b'"');
    if !push_plain(out, value) {
        write!(out, "{value}").expect("writing to memory");
    }
    out.push(b'"');
}

/// Seconds with up to three decimals: `1435781451.781`.
pub(crate) fn push_timestamp(out: &mut Vec<u8>, timestamp_ms: i64) {
    if timestamp_ms < 0 {
        out.push(b'-');
    }
    let milliseconds = timestamp_ms.unsigned_abs();
    push_integer(out, milliseconds / 1000);
    let fraction = (milliseconds % 1000) as u16;
    if fraction != 0 {
        out.push(b'.');
        for divisor in [100, 10, 1] {
            out.push(b'0' + (fraction / divisor % 10) as u8);
        }
    }
}

/// The time of a scalar or string result, which goes through another encoder: `1.5` where others have `1.500`.
pub(crate) fn push_scalar_timestamp(out: &mut Vec<u8>, timestamp_ms: i64) {
    write!(out, "{}", timestamp_ms as f64 / 1000.0).expect("writing to memory");
}

/// Writes what is neither very large nor very small, and what is no number. Nearly all samples end here.
fn push_plain(out: &mut Vec<u8>, value: f64) -> bool {
    let magnitude = value.abs();
    if magnitude < EXACT_MAX && value.trunc() == value {
        if value.is_sign_negative() {
            out.push(b'-');
        }
        push_integer(out, magnitude as u64);
        return true;
    }
    if (1e-3..EXACT_MAX).contains(&magnitude) {
        // No integer, so there is a fraction and no `.0` behind it; the range is one that ryu writes plainly.
        out.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes());
        return true;
    }
    if value.is_finite() {
        return false;
    }
    out.extend_from_slice(match value {
        f64::INFINITY => b"+Inf",
        f64::NEG_INFINITY => b"-Inf",
        _ => b"NaN".as_slice(),
    });
    true
}

/// Go writes at least two digits of exponent and its sign: `1e-07`, `1e+21`.
fn push_exponential(out: &mut Vec<u8>, value: f64) {
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').expect("the form has an exponent");
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    write!(out, "{digits}e{sign}{exponent:0>2}").expect("writing to memory");
}

fn push_integer(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(push: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        push(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[track_caller]
    fn check(value: f64, expected: &str) {
        assert_eq!(written(|out| push_value(out, value)), format!("\"{expected}\""));
    }

    /// The expected texts are Go's.
    #[test]
    fn values_are_written_as_go_writes_them() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-17.0, "-17"),
            (0.1, "0.1"),
            (4.35, "4.35"),
            (0.001, "0.001"),
            (0.000_999, "0.000999"),
            (1e-5, "0.00001"),
            (1e-6, "0.000001"),
            (9.9e-7, "9.9e-07"),
            (-1e-7, "-1e-07"),
            (5e-324, "5e-324"),
            (1e20, "100000000000000000000"),
            (123_456_789_012_345_680_000.0, "123456789012345680000"),
            (1e21, "1e+21"),
            (1.5e300, "1.5e+300"),
            (f64::MAX, "1.7976931348623157e+308"),
            (9_007_199_254_740_991.0, "9007199254740991"),
            (9_007_199_254_740_993.0, "9007199254740992"),
            (4_503_599_627_370_495.5, "4503599627370495.5"),
            (f64::NAN, "NaN"),
            (model::stale_marker(), "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            check(value, expected);
        }
    }

    #[test]
    fn scalars_have_no_exponent() {
        for (value, expected) in
            [(1e-7, "\"0.0000001\""), (1e21, "\"1000000000000000000000\""), (2.5, "\"2.5\""), (f64::NAN, "\"NaN\"")]
        {
            assert_eq!(written(|out| push_scalar_value(out, value)), expected);
        }
    }

    #[test]
    fn timestamps_are_seconds() {
        for (timestamp_ms, expected) in [
            (0, "0"),
            (1, "0.001"),
            (-1, "-0.001"),
            (10, "0.010"),
            (-1_500, "-1.500"),
            (1_435_781_451_781, "1435781451.781"),
            (1_435_781_451_000, "1435781451"),
            (i64::MIN, "-9223372036854775.808"),
        ] {
            assert_eq!(written(|out| push_timestamp(out, timestamp_ms)), expected);
        }
        for (timestamp_ms, expected) in [(0, "0"), (-1_500, "-1.5"), (1_435_781_451_781, "1435781451.781")] {
            assert_eq!(written(|out| push_scalar_timestamp(out, timestamp_ms)), expected);
        }
    }

    /// What a value must look like, told by another way of printing.
    fn is_go_like(text: &str, value: f64) -> bool {
        let magnitude = value.abs();
        let has_exponent = magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude);
        let shortest = format!("{value:e}").bytes().take_while(|byte| *byte != b'e').filter(u8::is_ascii_digit).count();
        let significant = text.split('e').next().unwrap_or_default().replace(['-', '.'], "");
        let significant = significant.trim_start_matches('0');
        let is_shortest = significant.trim_end_matches('0').len() <= shortest;
        let has_loose_end = text.ends_with('.') || text.contains('.') && !has_exponent && text.ends_with('0');
        !has_loose_end && is_shortest && text.contains('e') == has_exponent
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn values_read_back_to_the_same_bits(bits in any::<u64>(), scaled in -1e12f64..1e12, whole in any::<i64>()) {
            for value in [f64::from_bits(bits), scaled, scaled / 1e9, whole as f64, (whole >> 12) as f64 / 1000.0] {
                let text = written(|out| push_value(out, value));
                let text = text.trim_matches('"');
                if value.is_nan() {
                    prop_assert_eq!(text, "NaN");
                    continue;
                }
                prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), value.to_bits(), "{}", text);
                prop_assert!(value.is_infinite() || is_go_like(text, value), "{} for {:e}", text, value);
                let scalar = written(|out| push_scalar_value(out, value));
                let scalar = scalar.trim_matches('"').parse::<f64>().unwrap();
                prop_assert_eq!(scalar.to_bits(), value.to_bits());
            }
        }

        #[test]
        fn timestamps_read_back(timestamp_ms in -4_000_000_000_000i64..4_000_000_000_000) {
            let seconds: f64 = written(|out| push_timestamp(out, timestamp_ms)).parse().unwrap();
            prop_assert_eq!((seconds * 1000.0).round() as i64, timestamp_ms);
        }
    }
}
