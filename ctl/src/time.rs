//! Times as operators write them, and as they read them. Knows no clock: "now" is an argument.

use chrono::DateTime;

/// Below this a number of milliseconds lies before 1973: it was meant as seconds.
const MILLISECONDS_MIN: i64 = 100_000_000_000;

const UNITS: &[(&str, i64)] =
    &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];

/// A time as unix milliseconds: RFC 3339, milliseconds, or relative to `now_ms` as in `-2h`.
///
/// # Errors
/// A sentence that says what would be right.
pub fn parse_time(text: &str, now_ms: i64) -> Result<i64, String> {
    if let Some(back) = text.strip_prefix('-') {
        return parse_duration_ms(back).map(|back_ms| now_ms - back_ms);
    }
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let unix_ms: i64 = text.parse().map_err(|_| format!("{text} is too large for milliseconds since 1970"))?;
        return if unix_ms < MILLISECONDS_MIN {
            Err(format!("{text} as milliseconds lies before 1973; for seconds write {text}000"))
        } else {
            Ok(unix_ms)
        };
    }
    DateTime::parse_from_rfc3339(text).map(|time| time.timestamp_millis()).map_err(|_| {
        format!("{text:?} is no time: write 2026-11-23T16:05:00Z, milliseconds since 1970, or -2h for two hours ago")
    })
}

/// A duration such as `90s`, `1h30m` or `2d`; at most a hundred years.
///
/// # Errors
/// A sentence that says what would be right.
pub fn parse_duration_ms(text: &str) -> Result<i64, String> {
    const DURATION_MS_MAX: i64 = 100 * 365 * 86_400_000;
    let wrong = || format!("{text:?} is no duration: write 90s, 15m, 1h30m or 2d");
    let mut rest = text;
    let mut total_ms = 0i64;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(letters);
        let (_, unit_ms) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        let part = number.parse::<i64>().ok().and_then(|number| number.checked_mul(*unit_ms)).ok_or_else(wrong)?;
        total_ms = total_ms.checked_add(part).filter(|total| *total <= DURATION_MS_MAX).ok_or_else(wrong)?;
        rest = after;
    }
    if text.is_empty() { Err(wrong()) } else { Ok(total_ms) }
}

/// RFC 3339 in UTC; the bare number where no calendar has the time.
pub fn rfc3339(unix_ms: i64) -> String {
    DateTime::from_timestamp_millis(unix_ms).map_or_else(|| unix_ms.to_string(), |time| format!("{time:?}"))
}

/// The two largest units of a span: `2d 3h`, `1m 5s`, `0.250s`.
pub fn span(span_ms: i64) -> String {
    let span_ms = span_ms.max(0);
    if span_ms < 10_000 {
        return format!("{}.{:03}s", span_ms / 1000, span_ms % 1000);
    }
    let (mut rest_ms, mut parts) = (span_ms, Vec::new());
    for (name, unit_ms) in UNITS.iter().rev().skip(1).filter(|(_, unit_ms)| *unit_ms >= 1000) {
        if rest_ms >= *unit_ms {
            parts.push(format!("{}{name}", rest_ms / unit_ms));
            rest_ms %= unit_ms;
        }
    }
    parts.truncate(2);
    parts.join(" ")
}

/// The clock of this machine.
pub fn now_ms() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_millis() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_795_000_000_000;

    #[test]
    fn times_are_read() {
        for (text, expected) in [
            ("2026-11-23T16:05:00Z", 1_795_449_900_000),
            ("2026-11-23T17:05:00.250+01:00", 1_795_449_900_250),
            ("1795449900000", 1_795_449_900_000),
            ("-2h", NOW_MS - 7_200_000),
            ("-1h30m", NOW_MS - 5_400_000),
            ("-250ms", NOW_MS - 250),
            ("-0s", NOW_MS),
        ] {
            assert_eq!(parse_time(text, NOW_MS), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_told() {
        for (text, reason) in [
            ("1795449900", "for seconds write 1795449900000"),
            ("99999999999999999999", "too large"),
            ("2026-11-23", "is no time"),
            ("2026-11-23T16:05:00", "is no time"),
            ("yesterday", "is no time"),
            ("", "is no time"),
            ("-", "is no duration"),
            ("-2", "is no duration"),
            ("-h", "is no duration"),
            ("-2y", "is no duration"),
            ("-99999999999999999d", "is no duration"),
            ("-99999w", "is no duration"),
            ("-1h-1h", "is no duration"),
            ("-1ä", "is no duration"),
        ] {
            let refusal = parse_time(text, NOW_MS).unwrap_err();
            assert!(refusal.contains(reason), "{text}: {refusal}");
        }
    }

    #[test]
    fn spans_are_short() {
        for (span_ms, expected) in [
            (0, "0.000s"),
            (250, "0.250s"),
            (-5, "0.000s"),
            (65_000, "1m 5s"),
            (3_600_000, "1h"),
            (183_605_000, "2d 3h"),
        ] {
            assert_eq!(span(span_ms), expected);
        }
        assert_eq!(
            (rfc3339(1_795_449_900_250), rfc3339(i64::MAX)),
            ("2026-11-23T16:05:00.250Z".into(), i64::MAX.to_string())
        );
    }
}
