//! The labels of a series that is being defined: checked first, then turned into label pairs.

use std::cmp::Ordering;

use model::{CanonicalLabels, RejectReason};

use super::LABELS_MAX;
use super::postings::PairId;

/// Parses canonical labels. All is looked at before anything is changed: a refused definition leaves no trace.
pub(super) fn checked_labels(canonical_labels: &[u8]) -> Result<Vec<(&str, &str)>, RejectReason> {
    let mut labels = CanonicalLabels::new(canonical_labels);
    let mut checked: Vec<(&str, &str)> = Vec::with_capacity(16);
    for (name, value) in labels.by_ref() {
        let previous = checked.last().map_or("", |label| label.0);
        match name.cmp(previous) {
            _ if name.is_empty() => return Err(RejectReason::InvalidLabelName),
            Ordering::Less => return Err(RejectReason::LabelsNotSorted),
            Ordering::Equal => return Err(RejectReason::DuplicateLabelName),
            Ordering::Greater => {}
        }
        if value.is_empty() {
            return Err(RejectReason::InvalidLabelValue);
        }
        if checked.len() == LABELS_MAX {
            return Err(RejectReason::TooManyLabels);
        }
        checked.push((name, value));
    }
    match checked.len() {
        _ if !labels.is_clean() => Err(RejectReason::InvalidLabelValue),
        0 => Err(RejectReason::MissingMetricName),
        _ => Ok(checked),
    }
}

/// The labels of the series defined last, as text and as pairs.
///
/// Series come in the order of a scrape, so nearly all labels of the next one are here: comparing them costs a tenth of
/// looking up two symbols and a pair.
#[derive(Default)]
pub(super) struct LatestLabels {
    /// Names and values, one behind the other.
    texts: String,
    /// Where each label's name and value end in `texts`.
    ends: Vec<(usize, usize)>,
    pairs: Vec<PairId>,
    pairs_before: Vec<PairId>,
}

impl LatestLabels {
    pub(super) fn pairs(&self) -> &[PairId] {
        &self.pairs
    }

    /// Takes the place of the labels before; `intern` is asked for the pairs that they did not have.
    pub(super) fn replace(&mut self, labels: &[(&str, &str)], mut intern: impl FnMut(&str, &str) -> PairId) {
        std::mem::swap(&mut self.pairs, &mut self.pairs_before);
        self.pairs.clear();
        let mut before = 0;
        for (name, value) in labels {
            // Both are sorted: only where a label was left out or came in do they get out of step.
            while self.name_before(before).is_some_and(|known| known < *name) {
                before += 1;
            }
            let pair = match self.label_before(before) {
                Some(known) if known == (*name, *value) => self.pairs_before[before],
                _ => intern(name, value),
            };
            self.pairs.push(pair);
        }
        self.texts.clear();
        self.ends.clear();
        for (name, value) in labels {
            self.texts.push_str(name);
            let name_end = self.texts.len();
            self.texts.push_str(value);
            self.ends.push((name_end, self.texts.len()));
        }
    }

    fn name_before(&self, index: usize) -> Option<&str> {
        self.label_before(index).map(|label| label.0)
    }

    fn label_before(&self, index: usize) -> Option<(&str, &str)> {
        let (name_end, value_end) = *self.ends.get(index)?;
        let start = if index == 0 { 0 } else { self.ends[index - 1].1 };
        Some((&self.texts[start..name_end], &self.texts[name_end..value_end]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pairs are the same whether they came from the series before or were asked for.
    #[track_caller]
    fn check(before: &[(&str, &str)], labels: &[(&str, &str)], asked_expected: &[&str]) {
        let pair_of = |name: &str, value: &str| PairId(format!("{name}={value}").bytes().map(u32::from).sum());
        let mut latest = LatestLabels::default();
        latest.replace(&[("z", "z")], pair_of);
        latest.replace(before, pair_of);
        let mut asked = Vec::new();
        latest.replace(labels, |name, value| {
            asked.push(name.to_owned());
            pair_of(name, value)
        });
        let expected: Vec<PairId> = labels.iter().map(|(name, value)| pair_of(name, value)).collect();
        assert_eq!((latest.pairs(), asked), (&expected[..], asked_expected.iter().map(|s| (*s).to_owned()).collect()));
    }

    #[test]
    fn labels_of_the_series_before_are_not_asked_for() {
        let three = [("a", "1"), ("c", "2"), ("e", "3")];
        check(&three, &three, &[]);
        check(&three, &[("a", "1"), ("c", "9"), ("e", "3")], &["c"]);
        check(&three, &[("a", "1"), ("b", "9"), ("c", "2"), ("e", "3")], &["b"]);
        check(&three, &[("c", "2"), ("e", "3")], &[]);
        check(&three, &[("e", "3"), ("f", "1")], &["f"]);
        check(&three, &[("a", "12"), ("ac", "2"), ("c", "")], &["a", "ac", "c"]);
        check(&[("ab", "c")], &[("a", "bc")], &["a"]);
    }
}
