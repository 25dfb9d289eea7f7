//! Label sets as queries and results see them: sorted by name, each name once, text shared.
//!
//! The hot path never builds these: it works on fingerprints and symbols.

use std::fmt;
use std::sync::Arc;

/// One name and value, both UTF-8.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Label {
    pub name: Arc<str>,
    pub value: Arc<str>,
}

impl Label {
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

/// A label set: sorted by name (bytes), names unique, no empty values.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Labels(Vec<Label>);

impl Labels {
    /// Sorts; the last of equal names wins; empty values are dropped, as Prometheus treats them as absent.
    #[must_use]
    pub fn new(mut labels: Vec<Label>) -> Self {
        labels.sort_by(|a, b| a.name.cmp(&b.name));
        labels.reverse();
        labels.dedup_by(|a, b| a.name == b.name);
        labels.reverse();
        labels.retain(|label| !label.value.is_empty());
        Self(labels)
    }

    /// From labels that are sorted by name, unique and not empty already.
    ///
    /// # Panics
    /// With debug assertions: they are not.
    #[must_use]
    pub fn from_sorted(labels: Vec<Label>) -> Self {
        debug_assert!(
            labels.is_sorted_by(|a, b| a.name < b.name) && labels.iter().all(|label| !label.value.is_empty())
        );
        Self(labels)
    }

    /// From pairs, mostly for tests.
    #[must_use]
    pub fn from_pairs(pairs: &[(&str, &str)]) -> Self {
        Self::new(pairs.iter().map(|(name, value)| Label::new(*name, *value)).collect())
    }

    /// The value of `name`, or "" where the set has none: Prometheus knows no difference.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        match self.0.binary_search_by(|label| (*label.name).cmp(name)) {
            Ok(index) => &self.0[index].value,
            Err(_) => "",
        }
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Label> {
        self.0.iter()
    }

    #[must_use]
    pub fn as_slice(&self) -> &[Label] {
        &self.0
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = &'a Label;
    type IntoIter = std::slice::Iter<'a, Label>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl fmt::Display for Labels {
    /// As Prometheus prints a series: `{a="b", c="d"}`, the metric name included as a label.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, label) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{}={:?}", label.name, label.value)?;
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_sorted_unique_and_not_empty() {
        let labels = Labels::from_pairs(&[("b", "1"), ("a", "2"), ("b", "3"), ("c", "")]);
        assert_eq!(labels.to_string(), r#"{a="2", b="3"}"#);
        assert_eq!((labels.get("b"), labels.get("c"), labels.get("zz")), ("3", "", ""));
    }
}
