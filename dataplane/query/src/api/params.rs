//! Parameters of a request: the query string and a form body (`application/x-www-form-urlencoded`), percent-decoded.
//!
//! Stricter than Prometheus, which drops a pair that it cannot decode and then misses it: here that is an error.

/// Most pairs of one request: a Grafana variable can select by many `match[]`.
const PAIRS_MAX: usize = 10_000;

/// Decoded pairs; those of the body come first, as in Go's forms.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Params(Vec<(String, String)>);

/// Why a query string or form body is none.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ParamsError {
    #[error("invalid URL escape {escape:?}")]
    Escape { escape: String },
    #[error("{part:?} is not valid UTF-8")]
    NotText { part: String },
    #[error("more than {PAIRS_MAX} parameters")]
    TooMany,
}

impl Params {
    /// Parses both sources. The caller has bounded their bytes.
    ///
    /// # Errors
    /// See [`ParamsError`].
    pub fn parse(query: Option<&str>, form: Option<&[u8]>) -> Result<Self, ParamsError> {
        let mut pairs = Vec::new();
        for source in [form, query.map(str::as_bytes)].into_iter().flatten() {
            for pair in source.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
                if pairs.len() == PAIRS_MAX {
                    return Err(ParamsError::TooMany);
                }
                let middle = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
                let value = pair.get(middle + 1..).unwrap_or_default();
                pairs.push((decode(&pair[..middle], Plus::IsSpace)?, decode(value, Plus::IsSpace)?));
            }
        }
        Ok(Self(pairs))
    }

    /// From pairs as they are.
    #[must_use]
    pub fn from_pairs(pairs: &[(&str, &str)]) -> Self {
        Self(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    /// The first value of a name, or "" where there is none: Prometheus knows no difference.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value)
    }

    /// All values of a name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

/// What a `+` means: in forms a space, in paths itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Plus {
    IsSpace,
    IsPlus,
}

/// Resolves percent-encoding.
pub(super) fn decode(text: &[u8], plus: Plus) -> Result<String, ParamsError> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        match first {
            b'+' if plus == Plus::IsSpace => decoded.push(b' '),
            b'%' => {
                let digits = tail.first_chunk::<2>().and_then(|[high, low]| Some(hex(*high)? << 4 | hex(*low)?));
                let Some(byte) = digits else {
                    let escape = String::from_utf8_lossy(&tail[..tail.len().min(2)]);
                    return Err(ParamsError::Escape { escape: format!("%{escape}") });
                };
                decoded.push(byte);
                rest = &tail[2..];
            }
            byte => decoded.push(*byte),
        }
    }
    String::from_utf8(decoded)
        .map_err(|error| ParamsError::NotText { part: String::from_utf8_lossy(error.as_bytes()).into_owned() })
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(query: &str, form: &str, expected: &[(&str, &str)]) {
        assert_eq!(Params::parse(Some(query), Some(form.as_bytes())), Ok(Params::from_pairs(expected)));
    }

    #[test]
    fn pairs_are_decoded_and_the_body_comes_first() {
        check("", "", &[]);
        check("query=up%7Bjob%3D%22a%22%7D+%2B+1", "", &[("query", "up{job=\"a\"} + 1")]);
        check(
            "a=1&a=2&&b&c=&=d&e=f=g",
            "a=0",
            &[("a", "0"), ("a", "1"), ("a", "2"), ("b", ""), ("c", ""), ("", "d"), ("e", "f=g")],
        );
        check("match%5B%5D=%C3%BC&match[]=x", "", &[("match[]", "ü"), ("match[]", "x")]);
        let params = Params::parse(Some("a=1&b=2&a=3"), None).unwrap();
        assert_eq!((params.get("a"), params.get("zz")), ("1", ""));
        assert_eq!(params.all("a").collect::<Vec<_>>(), ["1", "3"]);
    }

    #[test]
    fn what_cannot_be_decoded_is_refused() {
        for (query, reason) in [
            ("a=%zz", "invalid URL escape \"%zz\""),
            ("a=%4", "invalid URL escape \"%4\""),
            ("a=%", "invalid URL escape \"%\""),
        ] {
            assert_eq!(Params::parse(Some(query), None).unwrap_err().to_string(), reason);
        }
        assert!(matches!(Params::parse(Some("a=%ff"), None), Err(ParamsError::NotText { .. })));
        assert_eq!(Params::parse(Some(&"a&".repeat(PAIRS_MAX + 1)), None), Err(ParamsError::TooMany));
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(form in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = Params::parse(None, Some(&form));
        }

        #[test]
        fn any_text_comes_through(name in "[a-z]{1,5}", value in any::<String>()) {
            let encoded: String = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let params = Params::parse(Some(&format!("{name}={encoded}")), None).unwrap();
            prop_assert_eq!(params.get(&name), value);
        }
    }
}
