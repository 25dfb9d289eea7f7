//! Texts of single values: booleans, counts, sizes, durations, CPU lists. Errors say what would be right.

use std::time::Duration;

pub fn parse_bool(text: &str) -> Result<bool, &'static str> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err("write true or false"),
    }
}

/// `10`, `64KiB`, `100MB`, `4GiB`: powers of 1024 with an i, of 1000 without.
pub fn parse_bytes(text: &str) -> Result<u64, &'static str> {
    const RULE: &str = "write a number of bytes, such as 1048576, 64MiB or 4GiB";
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().map_err(|_| RULE)?;
    let unit: u64 = match text[digits..].trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1000 * 1000,
        "GB" => 1000 * 1000 * 1000,
        "TB" => 1000 * 1000 * 1000 * 1000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return Err(RULE),
    };
    number.checked_mul(unit).ok_or(RULE)
}

/// `15s`, `1h30m`, `250ms`, `2d`: Prometheus' and Go's common form.
pub fn parse_duration(text: &str) -> Result<Duration, &'static str> {
    const RULE: &str = "write a duration with its unit, such as 250ms, 15s, 5m or 1h30m";
    let mut rest = text;
    let mut total_ms = 0u64;
    if rest.is_empty() {
        return Err(RULE);
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().map_err(|_| RULE)?;
        let letters = rest[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit_ms: u64 = match &rest[digits..digits + letters] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            "" if number == 0 && rest.len() == 1 && total_ms == 0 => 1,
            _ => return Err(RULE),
        };
        total_ms = number.checked_mul(unit_ms).and_then(|ms| total_ms.checked_add(ms)).ok_or(RULE)?;
        rest = &rest[digits + letters..];
    }
    Ok(Duration::from_millis(total_ms))
}

/// `0-3,6` -> 0, 1, 2, 3, 6; sorted, each once.
pub fn parse_cpus(text: &str) -> Result<Vec<usize>, &'static str> {
    const RULE: &str = "write CPU numbers and ranges, such as 0-3,6";
    const CPU_MAX: usize = 4095;
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: usize = first.trim().parse().map_err(|_| RULE)?;
        let last: usize = last.trim().parse().map_err(|_| RULE)?;
        if first > last || last > CPU_MAX {
            return Err(RULE);
        }
        cpus.extend(first..=last);
    }
    cpus.sort_unstable();
    cpus.dedup();
    Ok(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, expected) in
            [("0", Some(0)), ("64KiB", Some(65536)), ("2MB", Some(2_000_000)), ("1GiB", Some(1 << 30))]
        {
            assert_eq!(parse_bytes(text).ok(), expected, "{text}");
        }
        for text in ["", "x", "-1", "1.5GiB", "5 parsecs", "99999999999999999999", "999999999TiB"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations() {
        for (text, expected_ms) in [("0", 0), ("0s", 0), ("250ms", 250), ("1h30m", 5_400_000), ("2d", 172_800_000)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(expected_ms)), "{text}");
        }
        for text in ["", "5", "s", "1x", "-1s", "99999999999999999999s", "99999999999999w"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn cpu_lists() {
        assert_eq!(parse_cpus("6,0-3,2"), Ok(vec![0, 1, 2, 3, 6]));
        for text in ["", "a", "3-1", "0-99999999", "1,,2"] {
            assert!(parse_cpus(text).is_err(), "{text}");
        }
    }
}
