//! The cursor over label names, or over the values of one label.
//!
//! Without matchers the postings answer at once. With matchers the selected series are walked in steps. The range is compared
//! with the head's as a whole, as Prometheus does for these questions: a name may stem from samples outside of it.

use std::sync::Arc;

use hashbrown::HashSet;
use model::{Matcher, TimeRange};

use crate::head::{Head, Symbol, Symbols};

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NamesQuestion {
    /// All label names.
    Names,
    /// The values of this label.
    ValuesOf(Arc<str>),
}

/// A resolved question to one head. Every step takes the head and the symbols that the cursor was opened with.
#[derive(Debug)]
pub struct NamesCursor {
    /// The label whose values are asked for; none if names are.
    value_of: Option<Symbol>,
    series: Vec<u32>,
    at: usize,
    found: HashSet<Symbol>,
}

impl NamesCursor {
    #[must_use]
    pub fn open(
        head: &Head,
        symbols: &Symbols,
        question: &NamesQuestion,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Self {
        let mut cursor = Self { value_of: None, series: Vec::new(), at: 0, found: HashSet::new() };
        if !head.range().is_some_and(|held| held.overlaps(&range)) {
            return cursor;
        }
        if let NamesQuestion::ValuesOf(name) = question {
            let Some(name) = symbols.find(name) else { return cursor };
            cursor.value_of = Some(name);
        }
        match (matchers, cursor.value_of) {
            ([], None) => cursor.found.extend(head.label_names()),
            ([], Some(name)) => cursor.found.extend(head.label_values(name)),
            _ => cursor.series = head.resolve(symbols, matchers),
        }
        cursor
    }

    #[must_use]
    pub fn is_done(&self) -> bool {
        self.at == self.series.len()
    }

    /// Looks at up to `series_max` series.
    pub fn step(&mut self, head: &Head, series_max: usize) {
        let end = self.at + series_max.min(self.series.len() - self.at);
        for series in &self.series[self.at..end] {
            match self.value_of {
                Some(name) => self.found.extend(head.pair_named(*series, name).map(|pair| head.pair_value(pair))),
                None => self.found.extend(head.pairs_of(*series).iter().map(|pair| head.pair_name(*pair))),
            }
        }
        self.at = end;
    }

    /// The names or values found, sorted; call it when the cursor is done.
    #[must_use]
    pub fn into_texts(self, symbols: &Symbols) -> Vec<Arc<str>> {
        let mut texts: Vec<Arc<str>> = self.found.into_iter().map(|symbol| symbols.text(symbol).clone()).collect();
        texts.sort_unstable();
        texts
    }
}
