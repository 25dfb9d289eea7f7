//! Aggregations that choose among series: `topk`, `bottomk`, `limitk`, `limit_ratio`. Labels stay as they are.

use std::cmp::Ordering;

use model::Labels;
use xxhash_rust::xxh64::xxh64;

use super::aggregate::Group;
use super::column::{Row, Scalars, Steps, absent, is_absent};
use super::sort::by_value;
use super::{Evaluated, Evaluator};
use crate::QueryError;
use crate::ast::{Aggregate, AggregateOp, Expr};
use crate::number::general;

impl Evaluator<'_> {
    pub(super) fn choose(
        &mut self,
        aggregate: &Aggregate,
        mut rows: Vec<Row>,
        groups: &[Group],
        param: &Scalars,
        steps: Steps,
    ) -> Evaluated<Vec<Row>> {
        let op = aggregate.op;
        let params = param.iter(steps.count).collect::<Vec<f64>>();
        if op == AggregateOp::LimitRatio {
            self.check_ratios(aggregate, &params)?;
        } else if !are_counts(&params)? {
            return Ok(Vec::new());
        }
        for group in groups {
            self.check_interrupt()?;
            choose_in_group(op, group, &mut rows, &params);
        }
        if !steps.is_single() || matches!(op, AggregateOp::Limitk | AggregateOp::LimitRatio) {
            rows.retain(|row| !row.is_empty());
            return Ok(rows);
        }
        // An instant vector shows each group from its top.
        let is_descending = op == AggregateOp::Topk;
        let mut taken: Vec<Option<Row>> = rows.into_iter().map(Some).collect();
        let mut chosen = Vec::new();
        for group in groups {
            let members = group.members.iter().filter_map(|member| taken[*member].take());
            let mut members: Vec<Row> = members.filter(|row| !row.is_empty()).collect();
            members.sort_by(|left, right| by_value(left, right, is_descending));
            chosen.append(&mut members);
        }
        Ok(chosen)
    }

    fn check_ratios(&mut self, aggregate: &Aggregate, ratios: &[f64]) -> Evaluated<()> {
        if ratios.iter().any(|ratio| ratio.is_nan()) {
            return Err(QueryError::Execution("Ratio value is NaN".to_owned()));
        }
        let place = aggregate.param.as_ref().map(Expr::position).unwrap_or_default();
        let largest = ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let smallest = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        for (ratio, bound) in [(largest, 1.0), (smallest, -1.0)] {
            if ratio.abs() > 1.0 && ratio * bound > 0.0 {
                let text =
                    format!("ratio value should be between -1 and 1, got {}, capping to {bound}", general(ratio));
                self.annotations.warn(place, text);
            }
        }
        Ok(())
    }
}

/// False: nothing is wanted at any step.
fn are_counts(params: &[f64]) -> Evaluated<bool> {
    if params.iter().all(|param| *param < 1.0) {
        return Ok(false);
    }
    let refuse = |message: String| Err(QueryError::Execution(message));
    if params.iter().any(|param| param.is_nan()) {
        return refuse("Parameter value is NaN".to_owned());
    }
    if let Some(param) = params.iter().find(|param| **param <= i64::MIN as f64) {
        return refuse(format!("Scalar value {} underflows int64", general(*param)));
    }
    if let Some(param) = params.iter().find(|param| **param >= i64::MAX as f64) {
        return refuse(format!("Scalar value {} overflows int64", general(*param)));
    }
    Ok(true)
}

/// Blanks every cell of the group that is not chosen.
fn choose_in_group(op: AggregateOp, group: &Group, rows: &mut [Row], params: &[f64]) {
    let hashes: Vec<f64> = match op {
        AggregateOp::LimitRatio => group.members.iter().map(|member| label_share(&rows[*member].labels)).collect(),
        _ => Vec::new(),
    };
    let mut candidates: Vec<usize> = Vec::with_capacity(group.members.len());
    for (step, param) in params.iter().enumerate() {
        if op == AggregateOp::LimitRatio {
            for (share, member) in hashes.iter().zip(&group.members) {
                if !is_in_ratio(*share, *param) {
                    rows[*member].cells[step] = absent();
                }
            }
            continue;
        }
        let wanted = param.max(0.0) as usize;
        candidates.clear();
        candidates.extend(group.members.iter().copied().filter(|member| !is_absent(rows[*member].cells[step])));
        if candidates.len() <= wanted {
            continue;
        }
        if op != AggregateOp::Limitk && wanted > 0 {
            let order = |left: &usize, right: &usize| {
                let (left_value, right_value) = (rows[*left].cells[step], rows[*right].cells[step]);
                best_first(left_value, right_value, op).then(left.cmp(right))
            };
            candidates.select_nth_unstable_by(wanted, order);
        }
        for member in &candidates[wanted..] {
            rows[*member].cells[step] = absent();
        }
    }
}

/// NaN is worse than everything.
fn best_first(left: f64, right: f64, op: AggregateOp) -> Ordering {
    left.is_nan().cmp(&right.is_nan()).then_with(|| {
        let ascending = left.partial_cmp(&right).unwrap_or(Ordering::Equal);
        if op == AggregateOp::Topk { ascending.reverse() } else { ascending }
    })
}

/// A number from 0 to 1 that depends on the labels only: Prometheus' hash of its own encoding, so that both choose the same.
fn label_share(labels: &Labels) -> f64 {
    let mut encoded = Vec::new();
    for label in labels {
        for text in [&label.name, &label.value] {
            match u8::try_from(text.len()) {
                Ok(length) if length < 255 => encoded.push(length),
                _ => {
                    encoded.push(255);
                    encoded.extend_from_slice(&(text.len() as u32).to_le_bytes()[..3]);
                }
            }
            encoded.extend_from_slice(text.as_bytes());
        }
    }
    xxh64(&encoded, 0) as f64 / u64::MAX as f64
}

/// A negative ratio takes the complement from the other end.
fn is_in_ratio(share: f64, ratio: f64) -> bool {
    let ratio = ratio.clamp(-1.0, 1.0);
    ratio >= 0.0 && share < ratio || ratio < 0.0 && share >= 1.0 + ratio
}
