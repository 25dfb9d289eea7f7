//! Numbers and durations: where they end, and what they say.

use crate::text::quote;

/// What stands at the beginning of a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Scanned {
    Number,
    Duration,
    Bad,
}

/// Length and kind of the number or duration that `text` begins with. A number's syntax is only roughly checked.
pub(super) fn scan(text: &str) -> (usize, Scanned) {
    let mut cursor = Cursor { bytes: text.as_bytes(), at: 0 };
    if cursor.number() {
        return (cursor.at, Scanned::Number);
    }
    if cursor.remaining_duration() {
        return (cursor.at, Scanned::Duration);
    }
    // What was looked at is part of the message, whole characters only.
    let end = (cursor.at..=text.len()).find(|end| text.is_char_boundary(*end)).unwrap_or(text.len());
    (end, Scanned::Bad)
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn is(&self, set: &[u8]) -> bool {
        self.peek().is_some_and(|byte| set.contains(&byte))
    }

    fn accept(&mut self, set: &[u8]) -> bool {
        let is_accepted = self.is(set);
        self.at += usize::from(is_accepted);
        is_accepted
    }

    fn number(&mut self) -> bool {
        let mut digits: &[u8] = b"0123456789";
        let mut is_hex = false;
        if self.accept(b"0") && self.accept(b"xX") {
            self.accept(b"_");
            digits = b"0123456789abcdefABCDEF";
            is_hex = true;
        }
        self.accept(b".");
        self.accept(digits);
        let (mut has_dot, mut has_exponent) = (false, false);
        while self.is(digits) || self.is(b"._eE") {
            if self.is(b".") && has_dot || self.is(b"eE") && has_exponent {
                self.at += 1;
                return false;
            }
            if self.accept(b".") {
                has_dot = true;
                if self.accept(b"_.") || is_hex {
                    return false;
                }
            } else if self.accept(b"eE") {
                has_exponent = true;
                self.accept(b"+-");
                if self.accept(b"._eE") || self.peek().is_none() {
                    return false;
                }
            } else if self.accept(b"_") {
                if self.accept(b"._eE") || self.peek().is_none() {
                    return false;
                }
            } else {
                while self.accept(digits) {}
            }
        }
        self.at > 0 && !self.peek().is_some_and(is_alphanumeric)
    }

    /// Units after the first number, which has been read.
    fn remaining_duration(&mut self) -> bool {
        if !self.accept(b"smhdwy") {
            return false;
        }
        self.accept(b"s");
        while self.accept(b"0123456789") {
            while self.accept(b"0123456789") {}
            if !self.accept(b"smhdw") {
                return false;
            }
            self.accept(b"s");
        }
        if self.peek().is_some_and(is_alphanumeric) {
            self.at += 1;
            return false;
        }
        true
    }
}

fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Milliseconds of `1h30m`: units in falling order, each at most once; `0` needs none.
///
/// # Errors
/// A sentence, in Prometheus' words.
pub fn parse_duration(text: &str) -> Result<i64, String> {
    match text {
        "0" => return Ok(0),
        "" => return Err("empty duration string".to_owned()),
        _ => {}
    }
    let malformed = || format!("not a valid duration string: {}", quote(text));
    let units = [
        ("y", 365 * 86_400_000),
        ("w", 7 * 86_400_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1i64),
    ];
    let mut units_left = &units[..];
    let (mut rest, mut total) = (text, 0i64);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let unit_length = after.find(|character: char| character.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_length);
        let count: i64 = number.parse().map_err(|_| malformed())?;
        if !unit.is_empty() && !units.iter().any(|(name, _)| *name == unit) {
            return Err(format!("unknown unit {} in duration {}", quote(unit), quote(text)));
        }
        let place = units_left.iter().position(|(name, _)| *name == unit).ok_or_else(malformed)?;
        let milliseconds = count.checked_mul(units_left[place].1).and_then(|part| total.checked_add(part));
        total = milliseconds.filter(|total| *total <= DURATION_MS_MAX).ok_or("duration out of range")?;
        units_left = &units_left[place + 1..];
        rest = after;
    }
    Ok(total)
}

/// Prometheus counts nanoseconds in 64 bits.
pub(crate) const DURATION_MS_MAX: i64 = i64::MAX / 1_000_000;

/// Milliseconds of a number of seconds, rounded to nanoseconds first and then cut, as Prometheus does.
pub(super) fn seconds_to_ms(seconds: f64) -> i64 {
    (seconds * 1e9).round() as i64 / 1_000_000
}

/// Would the number of seconds overflow 64 bits of nanoseconds?
pub(crate) fn is_out_of_range(seconds: f64) -> bool {
    seconds.abs() > i64::MAX as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scans_as_far_as_it_makes_sense() {
        let cases = [
            ("1+2", 1, Scanned::Number),
            ("1_000.5e-3 x", 10, Scanned::Number),
            ("0x1F)", 4, Scanned::Number),
            ("5m]", 2, Scanned::Duration),
            ("1h30m15ms ", 9, Scanned::Duration),
            ("1..2", 3, Scanned::Bad),
            ("5mx", 3, Scanned::Bad),
            ("2.e", 3, Scanned::Bad),
            ("0xg", 2, Scanned::Bad),
        ];
        for (text, length, kind) in cases {
            assert_eq!(scan(text), (length, kind), "{text}");
        }
    }

    #[test]
    fn durations() {
        let cases =
            [("1y2w3d4h5m6s7ms", Some(33_019_506_007)), ("0", Some(0)), ("0s", Some(0)), ("90m", Some(5_400_000))];
        let bad = [
            ("", None),
            ("5", None),
            ("5m5h", None),
            ("5m5m", None),
            ("m", None),
            ("5x", None),
            ("99999999999y", None),
        ];
        for (text, expected) in cases.into_iter().chain(bad) {
            assert_eq!(parse_duration(text).ok(), expected, "{text}");
        }
    }
}
