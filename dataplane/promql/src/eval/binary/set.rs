//! `and`, `or`, `unless`: rows of one operand, where the other has or has not a series of the same group.

use super::super::column::{Row, Steps, absent, is_absent};
use super::super::{Evaluated, Evaluator};
use super::matching::Signatures;
use crate::ast::{Binary, BinaryOp, Matching};

impl Evaluator<'_> {
    pub(super) fn set_operation(&mut self, binary: &Binary, steps: Steps) -> Evaluated<Vec<Row>> {
        let default = Matching::default();
        let matching = binary.matching.as_ref().unwrap_or(&default);
        let mut left = self.vector(&binary.left, steps)?;
        let mut right = self.vector(&binary.right, steps)?;
        let signatures = Signatures::new(&left, &right, matching);
        match binary.op {
            BinaryOp::And => {
                let present = presence(&right, &signatures.right, signatures.count, steps);
                blank(&mut left, &signatures.left, |group, step| !present[group][step]);
            }
            BinaryOp::Unless => {
                let present = presence(&right, &signatures.right, signatures.count, steps);
                blank(&mut left, &signatures.left, |group, step| present[group][step]);
            }
            _ => {
                let present = presence(&left, &signatures.left, signatures.count, steps);
                blank(&mut right, &signatures.right, |group, step| present[group][step]);
                left.append(&mut right);
            }
        }
        self.unique(left, steps)
    }
}

/// For each group, at which steps any of its rows has a value. Groups without rows have an empty list of steps behind them.
fn presence(rows: &[Row], groups: &[usize], count: usize, steps: Steps) -> Vec<Vec<bool>> {
    let mut present = vec![vec![false; steps.count]; count];
    for (row, group) in rows.iter().zip(groups) {
        for (is_present, cell) in present[*group].iter_mut().zip(&row.cells) {
            *is_present |= !is_absent(*cell);
        }
    }
    present
}

fn blank(rows: &mut [Row], groups: &[usize], is_blanked: impl Fn(usize, usize) -> bool) {
    for (row, group) in rows.iter_mut().zip(groups) {
        for (step, cell) in row.cells.iter_mut().enumerate() {
            if is_blanked(*group, step) {
                *cell = absent();
            }
        }
    }
}
