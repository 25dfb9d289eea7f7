//! Label matchers: `=`, `!=`, `=~`, `!~`, regexes fully anchored as in Prometheus (RE2 syntax, `.` matches a newline).

use std::fmt;
use std::sync::Arc;

use regex_automata::meta::Regex;
use regex_automata::util::syntax;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MatchOp {
    Equal,
    NotEqual,
    Regex,
    NotRegex,
}

/// One condition on one label. A label that a series lacks counts as the empty value.
#[derive(Clone, Debug)]
pub struct Matcher {
    pub name: Arc<str>,
    pub op: MatchOp,
    pub value: Arc<str>,
    regex: Option<Regex>,
}

/// A regular expression that does not compile, or compiles into something too large.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("bad regular expression {pattern:?}: {reason}")]
pub struct MatcherError {
    pub pattern: String,
    pub reason: String,
}

/// Bound on a compiled expression, so that no query can eat the node's memory while it compiles.
const REGEX_BYTES_MAX: usize = 10 << 20;

impl Matcher {
    /// Builds a matcher and compiles its expression where it has one.
    ///
    /// # Errors
    /// The expression does not compile.
    pub fn new(name: &str, op: MatchOp, value: &str) -> Result<Self, MatcherError> {
        let regex = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => Some(compile(value)?),
        };
        Ok(Self { name: name.into(), op, value: value.into(), regex })
    }

    /// Does `value` (empty for a label that is not there) satisfy the condition?
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        match self.op {
            MatchOp::Equal => value == &*self.value,
            MatchOp::NotEqual => value != &*self.value,
            MatchOp::Regex => self.is_regex_match(value),
            MatchOp::NotRegex => !self.is_regex_match(value),
        }
    }

    /// Such a matcher also selects series without the label, so postings of the label alone do not answer it.
    #[must_use]
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }

    fn is_regex_match(&self, value: &str) -> bool {
        self.regex.as_ref().is_some_and(|regex| regex.is_match(value))
    }
}

fn compile(pattern: &str) -> Result<Regex, MatcherError> {
    let refused = |reason: String| MatcherError { pattern: pattern.to_owned(), reason };
    let syntax = syntax::Config::new().dot_matches_new_line(true);
    // Alone first: `a)|(b` would fit into the group below and escape from its anchors.
    syntax::parse_with(pattern, &syntax).map_err(|error| refused(sentence(&error.to_string())))?;
    Regex::builder()
        .configure(Regex::config().nfa_size_limit(Some(REGEX_BYTES_MAX)))
        .syntax(syntax)
        .build(&format!("^(?:{pattern})$"))
        .map_err(|error| match error.size_limit() {
            Some(bytes) => refused(format!("it compiles to more than {bytes} bytes")),
            None => refused(error.to_string()),
        })
}

/// Syntax errors come as a drawing of the pattern, whose last line says what is wrong.
fn sentence(drawing: &str) -> String {
    let last = drawing.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

impl Eq for Matcher {}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let op = match self.op {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        };
        write!(f, "{}{op}{:?}", self.name, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(op: MatchOp, pattern: &str, value: &str, expected: bool) {
        let matcher = Matcher::new("l", op, pattern).unwrap();
        assert_eq!(matcher.matches(value), expected, "{matcher} on {value:?}");
    }

    #[test]
    fn regexes_are_anchored() {
        check(MatchOp::Regex, "a|b", "a", true);
        check(MatchOp::Regex, "a|b", "ab", false);
        check(MatchOp::Regex, "a.*", "a\nb", true);
        check(MatchOp::Regex, "", "", true);
        check(MatchOp::NotRegex, "a.+", "a", true);
        check(MatchOp::Equal, "", "", true);
        check(MatchOp::NotEqual, "x", "", true);
    }

    #[test]
    fn bad_expressions_are_refused() {
        for (pattern, reason) in [
            ("a(", "unclosed group"),
            ("a)", "unopened group"),
            ("a)|(b", "unopened group"),
            ("[b-a]", "invalid character class range, the start must be <= the end"),
            ("(a{1000}){1000}", "it compiles to more than 10485760 bytes"),
        ] {
            assert_eq!(Matcher::new("l", MatchOp::Regex, pattern).unwrap_err().reason, reason);
        }
    }
}
