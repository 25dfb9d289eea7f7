//! From matchers to series, by set operations, with Prometheus' meaning: a label that a series lacks is the empty value.
//!
//! A matcher that refuses the empty value *selects*: the series of all pairs it accepts. One that accepts the empty value
//! *subtracts*: the series of all pairs it refuses, because series without the label stay in. Both are sets that the postings
//! hold. The smallest selecting set comes first (sizes are known without looking); once few candidates are left, a matcher
//! that many pairs or series answer is put to the candidates' own values instead.

use std::borrow::Cow;

use hashbrown::HashMap;
use model::{MatchOp, Matcher};

use super::Head;
use super::postings::PairId;
use super::sets::{intersect, subtract, union};
use super::symbols::{Symbol, Symbols};

/// Set elements that cost as much as reading one series' labels, roughly.
const ELEMENTS_PER_SERIES: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Effect {
    Select,
    Subtract,
}

/// One matcher, made ready: the series of `pairs` are what it selects or subtracts.
struct Plan<'a> {
    effect: Effect,
    matcher: &'a Matcher,
    name: Symbol,
    pairs: Pairs<'a>,
}

/// In the order in which plans are best carried out.
enum Pairs<'a> {
    Found(Vec<PairId>),
    All(&'a [PairId]),
    /// Those of the name that the matcher itself picks.
    Asked(&'a [PairId]),
}

/// What decides about a label's value.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Decisive {
    /// Being one of these (none is empty): accepted by a selecting matcher, refused by a subtracting one.
    Values(Vec<String>),
    /// Having any value.
    Any,
    /// Only the matcher itself can tell.
    Expression,
}

impl Head {
    /// The series that satisfy all matchers, in order of their refs. No matcher: all series.
    #[must_use]
    pub(crate) fn resolve(&self, symbols: &Symbols, matchers: &[Matcher]) -> Vec<u32> {
        let mut plans = Vec::with_capacity(matchers.len());
        for matcher in matchers {
            match self.plan(symbols, matcher) {
                Some(plan) => plans.push(plan),
                // No series has the label, so none has a value that would be selected, or subtracted.
                None if matcher.matches_empty() => {}
                None => return Vec::new(),
            }
        }
        plans.sort_by_cached_key(|plan| (plan.effect, plan.pairs.rank(), self.element_count(plan)));
        let mut plans = plans.into_iter().peekable();
        let mut kept = match plans.next_if(|plan| plan.effect == Effect::Select) {
            Some(plan) => self.series_of(symbols, &plan).into_owned(),
            None => (0..self.series_count()).collect(),
        };
        for plan in plans {
            self.apply(symbols, &plan, &mut kept);
        }
        kept
    }

    fn plan<'a>(&'a self, symbols: &Symbols, matcher: &'a Matcher) -> Option<Plan<'a>> {
        let name = symbols.find(&matcher.name)?;
        let of_name = self.postings.pairs_of(name);
        let pairs = match decisive(matcher) {
            Decisive::Values(values) => {
                let known = values.iter().filter_map(|value| symbols.find(value));
                Pairs::Found(known.filter_map(|value| self.postings.find(name, value)).collect())
            }
            Decisive::Any => Pairs::All(of_name),
            Decisive::Expression => Pairs::Asked(of_name),
        };
        let effect = if matcher.matches_empty() { Effect::Subtract } else { Effect::Select };
        Some(Plan { effect, matcher, name, pairs })
    }

    fn apply(&self, symbols: &Symbols, plan: &Plan<'_>, kept: &mut Vec<u32>) {
        let pairs = plan.pairs.as_slice();
        let is_wide = pairs.len() > kept.len() || self.element_count(plan) > ELEMENTS_PER_SERIES * kept.len();
        if pairs.len() > 1 && is_wide {
            return self.keep_matching(symbols, plan, kept);
        }
        let set = self.series_of(symbols, plan);
        match plan.effect {
            Effect::Select => intersect(kept, &set),
            Effect::Subtract => subtract(kept, &set),
        }
    }

    /// Series in all sets of the plan together, those that an expression may leave out included.
    fn element_count(&self, plan: &Plan<'_>) -> usize {
        plan.pairs.as_slice().iter().map(|pair| self.postings.pair(*pair).series.as_slice().len()).sum()
    }

    fn series_of(&self, symbols: &Symbols, plan: &Plan<'_>) -> Cow<'_, [u32]> {
        let is_asked = matches!(plan.pairs, Pairs::Asked(_));
        let is_picked = |pair: &PairId| {
            let value = symbols.text(self.postings.pair(*pair).value);
            !is_asked || plan.matcher.matches(value) == (plan.effect == Effect::Select)
        };
        let picked: Vec<PairId> = plan.pairs.as_slice().iter().copied().filter(is_picked).collect();
        match picked[..] {
            [pair] => Cow::Borrowed(self.postings.pair(pair).series.as_slice()),
            _ => {
                let sets = picked.iter().map(|pair| self.postings.pair(*pair).series.as_slice());
                Cow::Owned(union(sets, self.series_count()))
            }
        }
    }

    /// Asks each candidate's own value, each value once.
    fn keep_matching(&self, symbols: &Symbols, plan: &Plan<'_>, kept: &mut Vec<u32>) {
        let mut verdicts: HashMap<u32, bool> = HashMap::new();
        kept.retain(|series| match self.pair_named(*series, plan.name) {
            None => plan.effect == Effect::Subtract,
            Some(pair) => *verdicts
                .entry(pair.0)
                .or_insert_with(|| plan.matcher.matches(symbols.text(self.postings.pair(pair).value))),
        });
    }

    pub(crate) fn pair_named(&self, series: u32, name: Symbol) -> Option<PairId> {
        self.pairs_of(series).iter().copied().find(|pair| self.postings.pair(*pair).name == name)
    }
}

impl Pairs<'_> {
    fn as_slice(&self) -> &[PairId] {
        match self {
            Self::Found(pairs) => pairs,
            Self::All(pairs) | Self::Asked(pairs) => pairs,
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Found(_) => 0,
            Self::All(_) => 1,
            Self::Asked(_) => 2,
        }
    }
}

pub(crate) fn decisive(matcher: &Matcher) -> Decisive {
    match (matcher.op, &*matcher.value) {
        (MatchOp::Equal | MatchOp::NotEqual, "") | (MatchOp::Regex | MatchOp::NotRegex, ".+") => Decisive::Any,
        (MatchOp::Equal | MatchOp::NotEqual, value) => Decisive::Values(vec![value.to_owned()]),
        // Accepts, or refuses, every value and the empty one: nothing to subtract, or nothing to select.
        (MatchOp::Regex | MatchOp::NotRegex, ".*") => Decisive::Values(Vec::new()),
        (MatchOp::Regex | MatchOp::NotRegex, pattern) => match literal_alternatives(pattern) {
            // With an empty alternative the effect turns around: all *other* values decide.
            Some(values) if values.iter().all(|value| !value.is_empty()) => Decisive::Values(values),
            _ => Decisive::Expression,
        },
    }
}

/// The texts of an expression that is nothing but texts and `|`, one group around them all allowed: what dashboards write
/// for a choice of several values.
fn literal_alternatives(pattern: &str) -> Option<Vec<String>> {
    let open = pattern.strip_prefix("(?:").or_else(|| pattern.strip_prefix('('));
    let inner = match open {
        Some(inner) => inner.strip_suffix(')')?,
        None => pattern,
    };
    let mut texts = vec![String::new()];
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        let literal = match character {
            '|' => {
                texts.push(String::new());
                continue;
            }
            // `\<` and `\>` are word boundaries; letters and digits are classes, assertions or codes.
            '\\' => characters.next().filter(|c| c.is_ascii_punctuation() && !matches!(c, '<' | '>'))?,
            '.' | '+' | '*' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '^' | '$' => return None,
            plain => plain,
        };
        texts.last_mut().expect("starts with one").push(literal);
    }
    Some(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, expected: Option<&[&str]>) {
        let expected = expected.map(|texts| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        assert_eq!(literal_alternatives(pattern), expected, "{pattern}");
        for text in expected.iter().flatten() {
            assert!(Matcher::new("l", MatchOp::Regex, pattern).unwrap().matches(text), "{pattern} on {text}");
        }
    }

    #[test]
    fn expressions_without_expressions_are_lists_of_values() {
        check("a", Some(&["a"]));
        check("a|bc|d", Some(&["a", "bc", "d"]));
        check("(a|b)", Some(&["a", "b"]));
        check("(?:a|b)", Some(&["a", "b"]));
        check(r"host-1\.example|host\-2", Some(&["host-1.example", "host-2"]));
        check("a|", Some(&["a", ""]));
        check("", Some(&[""]));
        check("é|日本", Some(&["é", "日本"]));
        for pattern in ["a.", "a+", "(a)|(b)", "(a|b)c", "[ab]", "a{2}", "^a", r"a\d", r"\<a", "(?i)a", r"\x41"] {
            check(pattern, None);
        }
    }
}
