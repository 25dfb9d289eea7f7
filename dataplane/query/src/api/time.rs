//! Times, durations and numbers as parameters, with Prometheus' words for what is none.
//!
//! Times: seconds since the epoch as a decimal float (rounded to milliseconds), or RFC 3339 (cut to milliseconds).
//! Durations: seconds as a float, or Prometheus' `1h30m`.

use std::time::Duration;

/// What `promtool` and client libraries send for "since ever" and "for ever": Prometheus' own formatted bounds.
const BOUNDS: [(&str, i64); 2] =
    [("-292273086-05-16T16:47:06Z", i64::MIN), ("292277025-08-18T07:12:54.999999999Z", i64::MAX)];

/// Beyond this a time in seconds is no time in milliseconds.
const SECONDS_MAX: f64 = (i64::MAX / 1000) as f64;

/// A time in milliseconds.
pub(super) fn parse_time(text: &str) -> Result<i64, String> {
    let time_ms = match parse_float(text) {
        Some(seconds) => (seconds.abs() < SECONDS_MAX).then(|| milliseconds(seconds)),
        None => parse_rfc3339(text),
    };
    let bound = || BOUNDS.iter().find(|(name, _)| *name == text).map(|(_, time_ms)| *time_ms);
    time_ms.or_else(bound).ok_or_else(|| format!("cannot parse {text:?} to a valid timestamp"))
}

fn milliseconds(seconds: f64) -> i64 {
    seconds.trunc() as i64 * 1000 + (seconds.fract() * 1000.0).round() as i64
}

/// A duration in nanoseconds, negative ones included.
pub(super) fn parse_duration_ns(text: &str) -> Result<i64, String> {
    if let Some(seconds) = parse_float(text) {
        let nanoseconds = seconds * 1e9;
        if nanoseconds.abs() >= i64::MAX as f64 {
            return Err(format!("cannot parse {text:?} to a valid duration. It overflows int64"));
        }
        return Ok(nanoseconds as i64);
    }
    parse_units(text).ok_or_else(|| format!("cannot parse {text:?} to a valid duration"))
}

/// A duration that something may take.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    parse_duration_ns(text).map(|nanoseconds| Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0)))
}

/// A limit on results; none where the text is empty or 0.
pub(super) fn parse_limit(text: &str) -> Result<Option<usize>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("strconv.Atoi: parsing {text:?}: invalid syntax"));
    }
    match text.parse::<i64>() {
        Ok(limit) if limit < 0 => Err("limit must be non-negative".to_owned()),
        Ok(limit) => Ok(usize::try_from(limit).ok().filter(|limit| *limit > 0)),
        Err(_) => Err(format!("strconv.Atoi: parsing {text:?}: value out of range")),
    }
}

/// Decimal, finite. Rust's own parser takes words such as `inf` as well, which are no time.
fn parse_float(text: &str) -> Option<f64> {
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit() || b".+-eE".contains(&byte));
    if is_decimal { text.parse().ok() } else { None }
}

const UNITS_MS: [(&str, i64); 7] = [
    ("y", 365 * 24 * 3_600_000),
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// `1h30m`: each unit at most once, from the largest to the smallest.
fn parse_units(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut units = UNITS_MS.iter();
    let mut total_ms = 0i64;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|digit: char| digit.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let unit = tail.len() - tail.trim_start_matches(|letter: char| letter.is_ascii_alphabetic()).len();
        let (name, tail) = tail.split_at(unit);
        let (_, unit_ms) = units.by_ref().find(|(own, _)| *own == name)?;
        total_ms = total_ms.checked_add(number.parse::<i64>().ok()?.checked_mul(*unit_ms)?)?;
        rest = tail;
    }
    if text.is_empty() { None } else { total_ms.checked_mul(1_000_000) }
}

/// `2026-01-02T03:04:05.678+01:00`, as strict as the standard; a lowercase `t` or `z` is not taken, as in Go.
fn parse_rfc3339(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if !marks.iter().all(|(at, mark)| bytes.get(*at) == Some(mark)) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let is_right = (1..=12).contains(&month) && (1..=days_of_month(year, month)).contains(&day);
    if !is_right || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (fraction_ms, zone) = take_fraction(text.get(19..)?)?;
    let offset_minutes = parse_zone(zone)?;
    let minutes = (days_since_epoch(year, month, day) * 24 + hour) * 60 + minute - offset_minutes;
    Some((minutes * 60 + second) * 1000 + fraction_ms)
}

/// Milliseconds of `.678...`, and what follows.
fn take_fraction(text: &str) -> Option<(i64, &str)> {
    let Some(fraction) = text.strip_prefix(['.', ',']) else { return Some((0, text)) };
    let len = fraction.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, zone) = fraction.split_at(len);
    let first: String = digits.chars().chain("00".chars()).take(3).collect();
    if len == 0 { None } else { Some((first.parse().ok()?, zone)) }
}

/// Minutes east of Greenwich of `Z`, `+01:00`, `-08:30`.
fn parse_zone(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let (sign, clock) = match zone.as_bytes().first()? {
        b'+' => (1, &zone[1..]),
        b'-' => (-1, &zone[1..]),
        _ => return None,
    };
    let (hours, minutes) = clock.split_once(':')?;
    let is_pair = |digits: &str| digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_pair(hours) || !is_pair(minutes) {
        return None;
    }
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours <= 24 && minutes <= 60).then_some(sign * (hours * 60 + minutes))
}

fn days_of_month(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Howard Hinnant's `days_from_civil`: years begin in March, so that the leap day is the last one.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check_time(text: &str, expected_ms: Option<i64>) {
        let refusal = format!("cannot parse {text:?} to a valid timestamp");
        assert_eq!(parse_time(text), expected_ms.ok_or(refusal));
    }

    /// The expected values are Go's: `time.Parse(time.RFC3339Nano, ..).UnixMilli()`.
    #[test]
    fn times_are_read_as_go_reads_them() {
        for (text, expected_ms) in [
            ("0", 0),
            ("1767323045.5", 1_767_323_045_500),
            ("1.767323045e9", 1_767_323_045_000),
            ("123.1239", 123_124),
            ("-1.5", -1_500),
            ("2026-01-02T03:04:05Z", 1_767_323_045_000),
            ("2026-01-02T03:04:05,5Z", 1_767_323_045_500),
            ("2026-01-02T03:04:05.123999Z", 1_767_323_045_123),
            ("2026-01-02T03:04:05+05:30", 1_767_303_245_000),
            ("2026-01-02T03:04:05-00:00", 1_767_323_045_000),
            ("2024-02-29T00:00:00Z", 1_709_164_800_000),
            ("1969-12-31T23:59:59.999Z", -1),
            ("0000-01-01T00:00:00Z", -62_167_219_200_000),
            ("-292273086-05-16T16:47:06Z", i64::MIN),
            ("292277025-08-18T07:12:54.999999999Z", i64::MAX),
        ] {
            check_time(text, Some(expected_ms));
        }
        for text in [
            "",
            "x",
            "1h",
            "inf",
            "NaN",
            "1e300",
            "2026-01-02",
            "2026-01-02T03:04:05",
            "2026-01-02T03:04:05z",
            "2026-01-02t03:04:05Z",
            "2026-01-02T03:04:60Z",
            "2026-01-02T24:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-02T03:04:05.Z",
            "2026-01-02T03:04:05+25:00",
            "2026-01-02T03:04:05Zx",
            "2026-01-02T03:04:05+0100",
            "+026-01-02T03:04:05Z",
            "2026-01-02T03:04:05ü",
        ] {
            check_time(text, None);
        }
    }

    #[test]
    fn durations_are_seconds_or_units() {
        for (text, expected_ns) in [
            ("15", 15_000_000_000),
            ("0.5", 500_000_000),
            ("-3", -3_000_000_000),
            ("5m", 300_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1y2w3d4h5m6s7ms", 33_019_506_007_000_000),
            ("250ms", 250_000_000),
        ] {
            assert_eq!(parse_duration_ns(text), Ok(expected_ns), "{text}");
        }
        for text in ["", "m", "30m1h", "1h1h", "5x", "1.5h", "-5m", " 5m", "99999999999999999999s", "300y"] {
            assert!(parse_duration_ns(text).is_err(), "{text}");
        }
        assert_eq!(
            parse_duration_ns("1e10").unwrap_err(),
            "cannot parse \"1e10\" to a valid duration. It overflows int64"
        );
        assert_eq!(parse_duration("-3"), Ok(Duration::ZERO));
    }

    #[test]
    fn limits_are_whole_numbers() {
        assert_eq!(parse_limit(""), Ok(None));
        assert_eq!(parse_limit("0"), Ok(None));
        assert_eq!(parse_limit("+5"), Ok(Some(5)));
        for (text, reason) in [
            ("x", "strconv.Atoi: parsing \"x\": invalid syntax"),
            ("1.5", "strconv.Atoi: parsing \"1.5\": invalid syntax"),
            ("99999999999999999999", "strconv.Atoi: parsing \"99999999999999999999\": value out of range"),
            ("-1", "limit must be non-negative"),
        ] {
            assert_eq!(parse_limit(text).unwrap_err(), reason);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in any::<String>()) {
            let _ = (parse_time(&text), parse_duration_ns(&text), parse_limit(&text));
        }

        #[test]
        fn dates_follow_each_other(day in 0i64..3_000_000, ms in 0i64..86_400_000) {
            // A date from the number of a day, by counting years and months.
            let (mut year, mut month, mut rest) = (0i64, 1i64, day);
            while rest >= 337 + days_of_month(year, 2) {
                rest -= 337 + days_of_month(year, 2);
                year += 1;
            }
            while rest >= days_of_month(year, month) {
                rest -= days_of_month(year, month);
                month += 1;
            }
            prop_assume!(year <= 9999);
            let (second, fraction) = (ms / 1000, ms % 1000);
            let text = format!("{year:04}-{month:02}-{:02}T{:02}:{:02}:{:02}.{fraction:03}Z", rest + 1,
                second / 3600, second / 60 % 60, second % 60);
            prop_assert_eq!(parse_time(&text), Ok(-62_167_219_200_000 + day * 86_400_000 + ms), "{}", text);
        }
    }
}
