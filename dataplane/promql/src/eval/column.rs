//! Columns: one value per step and series. The unit that every operator takes and gives.
//!
//! A step without a value holds the stale marker's bits. Selectors take stale markers out and arithmetic quiets signalling
//! NaNs, so no computed value ever has those bits; half the memory of a column with a bitmap beside it, and one load a cell.

use std::collections::HashMap;

use model::{Label, Labels, METRIC_NAME, is_stale_marker, stale_marker};

use crate::QueryError;

/// Evaluation times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Steps {
    pub start_ms: i64,
    pub step_ms: i64,
    /// At least 1, except for a subquery that is narrower than its step.
    pub count: usize,
}

impl Steps {
    pub fn single(time_ms: i64) -> Self {
        Self { start_ms: time_ms, step_ms: 1, count: 1 }
    }

    /// The times from `start_ms` on that do not pass `end_ms`.
    pub fn between(start_ms: i64, end_ms: i64, step_ms: i64) -> Self {
        assert!(step_ms > 0, "a step of {step_ms} ms goes nowhere");
        let count = if end_ms < start_ms { 0 } else { (end_ms - start_ms) / step_ms + 1 };
        Self { start_ms, step_ms, count: count as usize }
    }

    pub fn time_ms(&self, step: usize) -> i64 {
        self.start_ms + self.step_ms * step as i64
    }

    pub fn first(&self) -> Self {
        Self { count: self.count.min(1), ..*self }
    }

    pub fn is_single(&self) -> bool {
        self.count <= 1
    }
}

/// One series of an instant vector, over all steps.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub labels: Labels,
    /// The name is to go from the final result (delayed name removal).
    pub drop_name: bool,
    /// One per step; see [`is_absent`].
    pub cells: Vec<f64>,
}

/// A scalar over all steps.
#[derive(Clone, Debug)]
pub(crate) enum Scalars {
    Constant(f64),
    Steps(Vec<f64>),
}

impl Scalars {
    pub fn at(&self, step: usize) -> f64 {
        match self {
            Self::Constant(value) => *value,
            Self::Steps(values) => values[step],
        }
    }

    /// The values of `count` steps.
    pub fn iter(&self, count: usize) -> impl Iterator<Item = f64> + '_ {
        (0..count).map(|step| self.at(step))
    }
}

#[inline]
pub(crate) fn absent() -> f64 {
    stale_marker()
}

#[inline]
pub(crate) fn is_absent(cell: f64) -> bool {
    is_stale_marker(cell)
}

impl Row {
    pub fn empty(labels: Labels, count: usize) -> Self {
        Self { labels, drop_name: false, cells: vec![absent(); count] }
    }

    pub fn is_empty(&self) -> bool {
        self.cells.iter().all(|cell| is_absent(*cell))
    }

    /// Replaces every value; the function sees values only.
    #[inline]
    pub fn map(&mut self, function: impl Fn(f64) -> f64) {
        for cell in &mut self.cells {
            if !is_absent(*cell) {
                *cell = function(*cell);
            }
        }
    }
}

pub(crate) const DUPLICATE_LABELS: &str = "vector cannot contain metrics with the same labelset";

/// Joins rows of equal labels that never have a value at the same step; takes out rows without any value.
///
/// # Errors
/// Two rows of equal labels meet at a step.
pub(crate) fn combine(rows: Vec<Row>) -> Result<Vec<Row>, QueryError> {
    let mut combined: Vec<Row> = Vec::with_capacity(rows.len());
    let mut places: HashMap<Labels, usize> = HashMap::with_capacity(rows.len());
    for row in rows {
        if row.is_empty() {
            continue;
        }
        match places.get(&row.labels) {
            None => {
                places.insert(row.labels.clone(), combined.len());
                combined.push(row);
            }
            Some(place) => join(&mut combined[*place], &row)?,
        }
    }
    Ok(combined)
}

fn join(kept: &mut Row, other: &Row) -> Result<(), QueryError> {
    for (cell, value) in kept.cells.iter_mut().zip(&other.cells) {
        if is_absent(*value) {
            continue;
        }
        if !is_absent(*cell) {
            return Err(QueryError::Execution(DUPLICATE_LABELS.to_owned()));
        }
        *cell = *value;
    }
    Ok(())
}

/// The labels that `keep` accepts.
pub(crate) fn retain(labels: &Labels, keep: impl Fn(&Label) -> bool) -> Labels {
    Labels::new(labels.iter().filter(|label| keep(label)).cloned().collect())
}

/// `labels` with `name` set, or taken out where `value` is empty.
pub(crate) fn with_label(labels: &Labels, name: &str, value: &str) -> Labels {
    let others = labels.iter().filter(|label| *label.name != *name).cloned();
    Labels::new(others.chain(std::iter::once(Label::new(name, value))).collect())
}

/// Name, type and unit describe the metric; what is computed from it is another.
pub(crate) fn without_metric(labels: &Labels) -> Labels {
    retain(labels, |label| !is_metric_label(&label.name))
}

pub(crate) fn is_metric_label(name: &str) -> bool {
    matches!(name, METRIC_NAME | "__type__" | "__unit__")
}

/// Names that are looked up once per label and row.
pub(crate) struct Names<'a>(Vec<&'a str>);

impl<'a> Names<'a> {
    pub fn new(names: &'a [String]) -> Self {
        let mut sorted: Vec<&str> = names.iter().map(String::as_str).collect();
        sorted.sort_unstable();
        Self(sorted)
    }

    pub fn contains(&self, name: &str) -> bool {
        self.0.binary_search(&name).is_ok()
    }
}

/// Appends labels to a key so that different label sets give different keys.
pub(crate) fn push_key<'a>(labels: impl Iterator<Item = &'a Label>, key: &mut Vec<u8>) {
    for label in labels {
        for text in [&label.name, &label.value] {
            key.extend_from_slice(text.as_bytes());
            // No UTF-8 text holds this byte.
            key.push(0xff);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, cells: &[Option<f64>]) -> Row {
        let cells = cells.iter().map(|cell| cell.unwrap_or_else(absent)).collect();
        Row { labels: Labels::from_pairs(&[("l", name)]), drop_name: false, cells }
    }

    #[test]
    fn rows_of_equal_labels_join_where_they_do_not_meet() {
        let rows = vec![row("a", &[Some(1.0), None]), row("b", &[None, None]), row("a", &[None, Some(2.0)])];
        let combined = combine(rows).unwrap();
        assert_eq!(combined.len(), 1);
        assert_eq!(combined[0].cells, [1.0, 2.0]);
        assert!(combine(vec![row("a", &[Some(1.0)]), row("a", &[Some(1.0)])]).is_err());
    }

    #[test]
    fn times_do_not_pass_the_end() {
        let steps = Steps::between(10, 29, 10);
        assert_eq!((steps.count, steps.time_ms(1)), (2, 20));
        assert_eq!(Steps::between(10, 9, 10).count, 0);
    }

    #[test]
    fn arithmetic_never_makes_an_absent_cell() {
        assert!(!is_absent(absent() + 0.0) && !is_absent(f64::NAN));
    }
}
