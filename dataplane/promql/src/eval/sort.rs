//! `sort` and its kin: the order of an instant vector. Range results are always in the order of labels.

use std::cmp::Ordering;

use super::column::{Row, Steps};
use super::{Evaluated, Evaluator};
use crate::ast::{Call, Expr};

impl Evaluator<'_> {
    pub(super) fn sort(&mut self, call: &Call, steps: Steps) -> Evaluated<Vec<Row>> {
        let mut rows = self.vector(&call.args[0], steps)?;
        if !steps.is_single() {
            let text = "sort is ineffective for range queries since results are always ordered by labels";
            self.annotations.warn(call.position, text);
            return Ok(rows);
        }
        let is_descending = call.function.name.ends_with("_desc");
        match call.function.name {
            "sort" | "sort_desc" => rows.sort_by(|left, right| by_value(left, right, is_descending)),
            _ => {
                let names: Vec<&str> = call.args[1..].iter().filter_map(literal).collect();
                rows.sort_by(|left, right| {
                    let order = by_labels(left, right, &names);
                    if is_descending { order.reverse() } else { order }
                });
            }
        }
        Ok(rows)
    }
}

pub(super) fn literal(arg: &Expr) -> Option<&str> {
    match arg.without_parens() {
        Expr::String(literal) => Some(&literal.value),
        Expr::StepInvariant(inner) => literal(inner),
        _ => None,
    }
}

/// NaN last in either direction.
pub(super) fn by_value(left: &Row, right: &Row, is_descending: bool) -> Ordering {
    let (left, right) = (left.cells[0], right.cells[0]);
    left.is_nan().cmp(&right.is_nan()).then_with(|| {
        let order = left.partial_cmp(&right).unwrap_or(Ordering::Equal);
        if is_descending { order.reverse() } else { order }
    })
}

/// By the named labels in natural order, then by all.
fn by_labels(left: &Row, right: &Row, names: &[&str]) -> Ordering {
    let named = names.iter().map(|name| natural(left.labels.get(name), right.labels.get(name)));
    named.fold(Ordering::Equal, Ordering::then).then_with(|| left.labels.cmp(&right.labels))
}

/// `a2` before `a10`: runs of digits compare as numbers.
fn natural(left: &str, right: &str) -> Ordering {
    let (mut left_rest, mut right_rest) = (left, right);
    loop {
        let ((left_chunk, left_after), (right_chunk, right_after)) = (split_chunk(left_rest), split_chunk(right_rest));
        if left_chunk.is_empty() || right_chunk.is_empty() {
            break;
        }
        let order = match (left_chunk.parse::<u64>(), right_chunk.parse::<u64>()) {
            (Ok(left), Ok(right)) => left.cmp(&right),
            _ => left_chunk.cmp(right_chunk),
        };
        if order.is_ne() {
            return order;
        }
        (left_rest, right_rest) = (left_after, right_after);
    }
    // What is left of the longer one, then leading zeros.
    left_rest.len().cmp(&right_rest.len()).then_with(|| left.cmp(right))
}

fn split_chunk(text: &str) -> (&str, &str) {
    let is_number = text.starts_with(|character: char| character.is_ascii_digit());
    let end = text.find(|character: char| character.is_ascii_digit() != is_number).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_compare_as_numbers() {
        let sorted = ["", "1", "2", "10", "a", "a1", "a2", "a02", "a10", "a10b2", "b"];
        for (index, left) in sorted.iter().enumerate() {
            for (other, right) in sorted.iter().enumerate() {
                let expected = if ["a2", "a02"].contains(left) && ["a2", "a02"].contains(right) {
                    left.cmp(right)
                } else {
                    index.cmp(&other)
                };
                assert_eq!(natural(left, right), expected, "{left} {right}");
            }
        }
    }
}
