//! `absent`: a value where a vector has none, with labels that tell what is missing.

use model::{Label, Labels, METRIC_NAME, MatchOp};

use super::column::{Row, Steps, absent, is_absent};
use super::{Evaluated, Evaluator};
use crate::ast::Expr;

impl Evaluator<'_> {
    pub(super) fn absent(&mut self, arg: &Expr, steps: Steps) -> Evaluated<Vec<Row>> {
        let mut cells = vec![1.0; steps.count];
        for row in self.vector(arg, steps)? {
            for (cell, present) in cells.iter_mut().zip(&row.cells) {
                if !is_absent(*present) {
                    *cell = absent();
                }
            }
        }
        let row = Row { labels: absent_labels(arg.without_parens()), drop_name: false, cells };
        Ok(if row.is_empty() { Vec::new() } else { vec![row] })
    }
}

/// The labels that the selector pins to one value. A label that it names twice is pinned to none.
pub(super) fn absent_labels(arg: &Expr) -> Labels {
    let matchers = match arg {
        Expr::Vector(selector) => &selector.matchers,
        Expr::Matrix(matrix) => &matrix.selector.matchers,
        Expr::StepInvariant(inner) => return absent_labels(inner.without_parens()),
        _ => return Labels::default(),
    };
    let mut labels: Vec<Label> = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for matcher in matchers.iter().filter(|matcher| &*matcher.name != METRIC_NAME) {
        if matcher.op == MatchOp::Equal && !seen.contains(&&*matcher.name) {
            seen.push(&matcher.name);
            labels.push(Label { name: matcher.name.clone(), value: matcher.value.clone() });
        } else {
            labels.retain(|label| label.name != matcher.name);
        }
    }
    Labels::new(labels)
}
