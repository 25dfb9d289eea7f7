//! Numbers as text, the way Go's `strconv` reads and writes them, because label values, printed queries and messages show
//! them. No locale, no digit grouping.

/// Shortest decimal that reads back equal, never with an exponent: label values and printed queries.
pub(crate) fn decimal(value: f64) -> String {
    non_finite(value).map_or_else(|| value.to_string(), str::to_owned)
}

/// Shortest form, with an exponent below 1e-4 and from 1e21 on: messages (`%v`).
pub(crate) fn general(value: f64) -> String {
    if let Some(text) = non_finite(value) {
        return text.to_owned();
    }
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-4..1e21).contains(&magnitude) {
        exponential(&format!("{value:e}"))
    } else {
        value.to_string()
    }
}

/// Six digits behind the point (`%f`).
pub(crate) fn fixed(value: f64) -> String {
    non_finite(value).map_or_else(|| format!("{value:.6}"), str::to_owned)
}

/// At most `digits` significant digits (`%.2g`).
pub(crate) fn general_digits(value: f64, digits: usize) -> String {
    if let Some(text) = non_finite(value) {
        return text.to_owned();
    }
    let scientific = format!("{value:.*e}", digits.saturating_sub(1));
    let exponent: i32 = scientific.split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0);
    if exponent < -4 || exponent >= digits as i32 {
        let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        return exponential(&format!("{}e{exponent}", trim_zeros(mantissa)));
    }
    let decimals = usize::try_from(digits as i32 - 1 - exponent).unwrap_or(0);
    trim_zeros(&format!("{value:.decimals$}")).to_owned()
}

fn trim_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// Rust writes `1e-5`, Go `1e-05`.
fn exponential(text: &str) -> String {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
}

fn non_finite(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        Some("NaN")
    } else if value == f64::INFINITY {
        Some("+Inf")
    } else if value == f64::NEG_INFINITY {
        Some("-Inf")
    } else {
        None
    }
}

/// A number as label values and series descriptions have it: decimal or `0x` float, `Inf`, `NaN`, any case, with sign.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1.0, &text[1..]),
        b'+' => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    if digits.eq_ignore_ascii_case("nan") {
        return (digits.len() == text.len()).then_some(f64::NAN);
    }
    if digits.eq_ignore_ascii_case("inf") || digits.eq_ignore_ascii_case("infinity") {
        return Some(sign * f64::INFINITY);
    }
    if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        return parse_hex(hex).map(|value| sign * value);
    }
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    let starts_right = digits.as_bytes().first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'.');
    if is_plain && starts_right { digits.parse::<f64>().ok().map(|value| sign * value) } else { None }
}

/// Hexadecimal digits, with a fraction and a binary exponent where there are any: `1F`, `1.8p3`.
fn parse_hex(text: &str) -> Option<f64> {
    let (mantissa, exponent) = match text.split_once(['p', 'P']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value = 0.0f64;
    for byte in whole.bytes().chain(fraction.bytes()) {
        value = value * 16.0 + f64::from(char::from(byte).to_digit(16)?);
    }
    let fraction_bits = i32::try_from(fraction.len()).ok()?.checked_mul(4)?;
    Some(value * 2f64.powi(exponent.checked_sub(fraction_bits)?))
}

/// A number literal of a query: integers in Go's bases, floats, underscores between digits.
pub(crate) fn parse_literal(text: &str) -> Option<f64> {
    let has_underscore = text.contains('_');
    let stripped: String = text.chars().filter(|character| *character != '_').collect();
    let lower = stripped.to_ascii_lowercase();
    let has_prefix =
        lower.len() > 1 && lower.starts_with('0') && !lower.contains(['.', 'e']) || lower.starts_with("0x");
    if has_underscore && !is_underscore_right(text) {
        return None;
    }
    if let Some(hex) = lower.strip_prefix("0x") {
        return i64::from_str_radix(hex, 16).ok().map(|value| value as f64).or_else(|| parse_hex(hex));
    }
    if has_prefix && let Ok(value) = i64::from_str_radix(&lower[1..], 8) {
        return Some(value as f64);
    }
    // Go reads an integer first, exactly, and a float only where that fails.
    if let Ok(value) = lower.parse::<i64>() {
        return Some(value as f64);
    }
    let value = parse_float(&lower).filter(|_| !lower.starts_with(['+', '-']))?;
    // Digits that overflow are a slip, not infinity.
    (!value.is_infinite() || lower.starts_with('i')).then_some(value)
}

/// Underscores separate digits (or follow a base prefix), nothing else.
fn is_underscore_right(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    bytes.iter().enumerate().filter(|(_, byte)| **byte == b'_').all(|(index, _)| {
        let before_is_prefix = index == 2 && bytes[0] == b'0' && bytes[1].eq_ignore_ascii_case(&b'x');
        let before = index.checked_sub(1).and_then(|at| bytes.get(at));
        (before_is_prefix || is_digit(before)) && is_digit(bytes.get(index + 1))
    })
}

/// Go's `math.Max`: NaN if either is, +0 above -0.
pub(crate) fn maximum(left: f64, right: f64) -> f64 {
    if left.is_nan() || right.is_nan() {
        return if left == f64::INFINITY || right == f64::INFINITY { f64::INFINITY } else { f64::NAN };
    }
    if left == 0.0 && right == 0.0 {
        return if left.is_sign_negative() { right } else { left };
    }
    left.max(right)
}

/// Go's `math.Min`: NaN if either is, -0 below +0.
pub(crate) fn minimum(left: f64, right: f64) -> f64 {
    -maximum(-left, -right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_like_go() {
        let cases = [(1.0, "1", "1"), (1e21, "1000000000000000000000", "1e+21"), (1.5e-5, "0.000015", "1.5e-05")];
        for (value, plain, short) in cases {
            assert_eq!((decimal(value), general(value)), (plain.to_owned(), short.to_owned()));
        }
        assert_eq!(decimal(f64::NEG_INFINITY), "-Inf");
        assert_eq!(general_digits(1234.0, 2), "1.2e+03");
        assert_eq!(general_digits(0.125, 2), "0.12");
        assert_eq!(general_digits(10.0, 2), "10");
    }

    #[test]
    fn reads_like_go() {
        let cases = [("1_000", 1000.0), ("0x1F", 31.0), ("0x_1f", 31.0), ("017", 15.0), ("08", 8.0), ("1e3", 1000.0)];
        for (text, value) in cases {
            assert_eq!(parse_literal(text), Some(value), "{text}");
        }
        for text in ["", "_1", "1__0", "1_", "0x", "abc"] {
            assert_eq!(parse_literal(text), None, "{text}");
        }
        assert_eq!(parse_float("+Inf"), Some(f64::INFINITY));
        assert_eq!(parse_float("0x1p-2"), Some(0.25));
        assert_eq!(parse_float("1_0"), None);
        assert_eq!(parse_float("infin"), None);
    }
}
