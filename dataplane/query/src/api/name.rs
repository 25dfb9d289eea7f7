//! Label names in paths: percent-encoding, and the `U__` form in which tools write names that are not of the old alphabet.
//!
//! Source of the form: Prometheus' `common/model`, value encoding: `_` is written `__`, any other foreign character is its code
//! point in hexadecimal between underscores.

use super::Failure;
use super::params::{Plus, decode};

const PREFIX: &str = "U__";
/// Hexadecimal digits of the highest code point.
const DIGITS_MAX: usize = 6;

/// The label name that a path segment stands for.
pub(super) fn label_name(segment: &str) -> Result<String, Failure> {
    let name = decode(segment.as_bytes(), Plus::IsPlus)?;
    let name = name.strip_prefix(PREFIX).and_then(unescape).unwrap_or(name);
    if name.is_empty() { Err(Failure::bad_data(format!("invalid label name: {name:?}"))) } else { Ok(name) }
}

/// `None`: not such a form, so the name means itself.
fn unescape(escaped: &str) -> Option<String> {
    let mut name = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some(at) = rest.find('_') {
        name.push_str(&rest[..at]);
        let (code, tail) = rest[at + 1..].split_once('_')?;
        rest = tail;
        if code.is_empty() {
            name.push('_');
            continue;
        }
        if code.len() > DIGITS_MAX || !code.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        name.push(u32::from_str_radix(code, 16).ok().and_then(char::from_u32)?);
    }
    name.push_str(rest);
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(segment: &str, expected: &str) {
        assert_eq!(label_name(segment).as_deref(), Ok(expected));
    }

    #[test]
    fn names_are_unescaped() {
        check("job", "job");
        check("__name__", "__name__");
        check("http%2Estatus", "http.status");
        check("a+b", "a+b");
        check("U__http_2e_status", "http.status");
        check("U__http_2E_status__code", "http.status_code");
        check("U___1F600_x", "\u{1F600}x");
        check("U__no__code", "no_code");
        // Not of the form: the name means itself.
        check("U__a_zz_b", "U__a_zz_b");
        check("U__a_", "U__a_");
        check("U__a_1234567_b", "U__a_1234567_b");
        check("U__a_d800_b", "U__a_d800_b");
    }

    #[test]
    fn no_name_is_refused() {
        for segment in ["", "U__", "%zz", "%ff"] {
            assert!(label_name(segment).is_err(), "{segment}");
        }
        assert_eq!(label_name("").unwrap_err().message, "invalid label name: \"\"");
    }
}
