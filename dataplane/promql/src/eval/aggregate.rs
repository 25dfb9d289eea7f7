//! Aggregations: which series belong together, and those operators that take one value after the other.
//!
//! Series are added one by one, each over all steps; per step the order of values is the order of series.

use std::collections::HashMap;

use model::{Label, Labels, METRIC_NAME};

use super::column::{Names, Row, Scalars, Steps, absent, is_absent, push_key, retain, with_label};
use super::quantile::{is_quantile, quantile};
use super::sort::literal;
use super::sum::{Mean, Sum};
use super::{Evaluated, Evaluator};
use crate::QueryError;
use crate::ast::{Aggregate, AggregateOp, Grouping};
use crate::number::decimal;
use crate::text::quote;

/// Rows that become one.
pub(super) struct Group {
    pub labels: Labels,
    pub drop_name: bool,
    /// Indices of rows.
    pub members: Vec<usize>,
}

impl Evaluator<'_> {
    pub(super) fn aggregate(&mut self, aggregate: &Aggregate, steps: Steps) -> Evaluated<Vec<Row>> {
        let op = aggregate.op;
        if op == AggregateOp::CountValues {
            return self.count_values(aggregate, steps);
        }
        let param = match &aggregate.param {
            Some(param) => Some(self.scalars(param, steps)?),
            None => None,
        };
        let rows = self.vector(&aggregate.expr, steps)?;
        let groups = groups_of(&rows, &aggregate.grouping);
        self.budget.charge((groups.len() * steps.count) as u64)?;
        Ok(match (op, param) {
            (AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::Limitk | AggregateOp::LimitRatio, Some(param)) => {
                self.choose(aggregate, rows, &groups, &param, steps)?
            }
            (AggregateOp::Quantile, Some(q)) => {
                let place = aggregate.param.as_ref().map(crate::ast::Expr::position).unwrap_or_default();
                for q in q.iter(steps.count).filter(|q| !is_quantile(*q)) {
                    self.warn_quantile(place, q);
                }
                fold_groups(groups, |group| quantile_cells(group, &rows, &q, steps))
            }
            _ => fold_groups(groups, |group| fold(op, group, &rows, steps)),
        })
    }

    /// One series per group and value.
    fn count_values(&mut self, aggregate: &Aggregate, steps: Steps) -> Evaluated<Vec<Row>> {
        let label = aggregate.param.as_ref().and_then(literal).unwrap_or_default();
        if label.is_empty() {
            return Err(QueryError::Execution(format!("invalid label name {}", quote(label))));
        }
        let grouping = match &aggregate.grouping {
            Grouping::By(labels) => Grouping::By(labels.iter().cloned().chain([label.to_owned()]).collect()),
            without => without.clone(),
        };
        let group_labels = GroupLabels::new(&grouping);
        let mut counted: Vec<Row> = Vec::new();
        let mut places: HashMap<Labels, usize> = HashMap::new();
        for row in self.vector(&aggregate.expr, steps)? {
            self.check_interrupt()?;
            // The value that a step before had, and where it is counted.
            let mut last: Option<(u64, usize)> = None;
            for (step, cell) in row.cells.iter().enumerate().filter(|(_, cell)| !is_absent(**cell)) {
                let place = match last {
                    Some((bits, place)) if bits == cell.to_bits() => place,
                    _ => {
                        let labels = group_labels.of(&with_label(&row.labels, label, &decimal(*cell)));
                        if !places.contains_key(&labels) {
                            self.budget.charge(steps.count as u64)?;
                            places.insert(labels.clone(), counted.len());
                            counted.push(Row::empty(labels.clone(), steps.count));
                        }
                        places[&labels]
                    }
                };
                last = Some((cell.to_bits(), place));
                let count = &mut counted[place].cells[step];
                *count = if is_absent(*count) { 1.0 } else { *count + 1.0 };
            }
        }
        Ok(counted)
    }
}

/// Which labels tell groups apart.
struct GroupLabels<'a> {
    names: Names<'a>,
    is_by: bool,
}

impl<'a> GroupLabels<'a> {
    fn new(grouping: &'a Grouping) -> Self {
        Self { names: Names::new(grouping.labels()), is_by: matches!(grouping, Grouping::By(_)) }
    }

    fn has(&self, label: &Label) -> bool {
        let is_named = self.names.contains(&label.name);
        if self.is_by { is_named } else { !is_named && &*label.name != METRIC_NAME }
    }

    fn of(&self, labels: &Labels) -> Labels {
        retain(labels, |label| self.has(label))
    }
}

/// Groups in the order of their first member.
fn groups_of(rows: &[Row], grouping: &Grouping) -> Vec<Group> {
    let group_labels = GroupLabels::new(grouping);
    let mut groups: Vec<Group> = Vec::new();
    let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut key = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        key.clear();
        push_key(row.labels.iter().filter(|label| group_labels.has(label)), &mut key);
        // Looked up first, because `entry` wants a key of its own each time.
        let place = match places.get(&key) {
            Some(place) => *place,
            None => {
                places.insert(key.clone(), groups.len());
                let labels = group_labels.of(&row.labels);
                groups.push(Group { labels, drop_name: false, members: Vec::new() });
                groups.len() - 1
            }
        };
        groups[place].members.push(index);
        groups[place].drop_name |= row.drop_name;
    }
    groups
}

fn fold_groups(groups: Vec<Group>, mut cells_of: impl FnMut(&Group) -> Vec<f64>) -> Vec<Row> {
    let rows = groups.into_iter().map(|group| {
        let cells = cells_of(&group);
        Row { labels: group.labels, drop_name: group.drop_name, cells }
    });
    rows.collect()
}

fn fold(op: AggregateOp, group: &Group, rows: &[Row], steps: Steps) -> Vec<f64> {
    match op {
        AggregateOp::Sum => accumulate(group, rows, steps, Sum::new, Sum::add, |sum| sum.total()),
        AggregateOp::Avg => accumulate(group, rows, steps, Mean::new, Mean::add, Mean::total),
        AggregateOp::Count => accumulate(group, rows, steps, |_| 1.0, |count, _| *count += 1.0, |count| *count),
        AggregateOp::Group => accumulate(group, rows, steps, |_| 1.0, |_, _| {}, |one| *one),
        AggregateOp::Min => accumulate(group, rows, steps, |value| value, keep_smaller, |kept| *kept),
        AggregateOp::Max => accumulate(group, rows, steps, |value| value, keep_larger, |kept| *kept),
        AggregateOp::Stdvar => accumulate(group, rows, steps, Spread::new, Spread::add, Spread::variance),
        AggregateOp::Stddev => {
            accumulate(group, rows, steps, Spread::new, Spread::add, |spread| spread.variance().sqrt())
        }
        _ => panic!("{} is no fold over values", op.as_str()),
    }
}

/// NaN gives way to everything.
fn keep_smaller(kept: &mut f64, value: f64) {
    if *kept > value || kept.is_nan() {
        *kept = value;
    }
}

fn keep_larger(kept: &mut f64, value: f64) {
    if *kept < value || kept.is_nan() {
        *kept = value;
    }
}

/// One state per step, made of its first value; members are added row by row.
fn accumulate<S: Clone>(
    group: &Group,
    rows: &[Row],
    steps: Steps,
    new: impl Fn(f64) -> S,
    add: impl Fn(&mut S, f64),
    finish: impl Fn(&S) -> f64,
) -> Vec<f64> {
    let mut states: Vec<Option<S>> = vec![None; steps.count];
    for member in &group.members {
        for (state, cell) in states.iter_mut().zip(&rows[*member].cells) {
            if is_absent(*cell) {
                continue;
            }
            match state {
                Some(state) => add(state, *cell),
                None => *state = Some(new(*cell)),
            }
        }
    }
    states.iter().map(|state| state.as_ref().map_or_else(absent, &finish)).collect()
}

/// Mean and squared distances (Welford).
#[derive(Clone)]
struct Spread {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Spread {
    fn new(value: f64) -> Self {
        Self { count: 1.0, mean: value, squares: if value.is_finite() { 0.0 } else { f64::NAN } }
    }

    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let delta = value - self.mean;
        self.mean += delta / self.count;
        self.squares += delta * (value - self.mean);
    }

    fn variance(&self) -> f64 {
        self.squares / self.count
    }
}

fn quantile_cells(group: &Group, rows: &[Row], q: &Scalars, steps: Steps) -> Vec<f64> {
    let mut values = Vec::with_capacity(group.members.len());
    let cells = (0..steps.count).map(|step| {
        values.clear();
        values.extend(group.members.iter().map(|member| rows[*member].cells[step]).filter(|cell| !is_absent(*cell)));
        if values.is_empty() { absent() } else { quantile(q.at(step), &mut values) }
    });
    cells.collect()
}
