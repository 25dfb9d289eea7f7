//! Arithmetic and comparison between vectors: pairs of series by the labels that must agree.

use std::collections::HashMap;

use model::{Label, Labels, METRIC_NAME};

use super::super::column::{DUPLICATE_LABELS, Names, Row, Steps, is_absent, is_metric_label, push_key, retain};
use super::super::{Evaluated, Evaluator};
use super::arithmetic::{Cell, vector_function};
use crate::QueryError;
use crate::ast::{Binary, Cardinality, Matching};
use crate::engine::NameRemoval;

/// Numbers the groups of series that match each other.
pub(super) struct Signatures {
    /// Group of each row, left operand first.
    pub left: Vec<usize>,
    pub right: Vec<usize>,
    pub count: usize,
}

impl Signatures {
    pub fn new(left: &[Row], right: &[Row], matching: &Matching) -> Self {
        let match_labels = MatchLabels::new(matching);
        let mut known: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut key = Vec::new();
        let mut number = |rows: &[Row]| -> Vec<usize> {
            let numbers = rows.iter().map(|row| {
                key.clear();
                push_key(row.labels.iter().filter(|label| match_labels.has(label)), &mut key);
                match known.get(&key) {
                    Some(number) => *number,
                    None => {
                        known.insert(key.clone(), known.len());
                        known.len() - 1
                    }
                }
            });
            numbers.collect()
        };
        let (left, right) = (number(left), number(right));
        Self { left, right, count: known.len() }
    }
}

/// Which labels must agree.
struct MatchLabels<'a> {
    names: Names<'a>,
    is_on: bool,
}

impl<'a> MatchLabels<'a> {
    fn new(matching: &'a Matching) -> Self {
        Self { names: Names::new(&matching.labels), is_on: matching.is_on }
    }

    fn has(&self, label: &Label) -> bool {
        let is_named = self.names.contains(&label.name);
        if self.is_on { is_named } else { !is_named && &*label.name != METRIC_NAME }
    }
}

/// One evaluation of one operator. "Many" is the left operand, unless `group_right` says otherwise.
struct Match<'a, 'q> {
    evaluator: &'a mut Evaluator<'q>,
    binary: &'a Binary,
    matching: &'a Matching,
    match_labels: MatchLabels<'a>,
    included: Names<'a>,
    operation: fn(f64, f64) -> Cell,
    many: Vec<Row>,
    one: Vec<Row>,
    steps: Steps,
    /// Results, and where those of given labels are.
    results: Vec<Row>,
    places: HashMap<Labels, usize>,
}

/// Rows of one signature.
#[derive(Clone, Default)]
struct Group {
    many: Vec<usize>,
    one: Vec<usize>,
    /// Steps at which something was already matched: by result (many-to-one), or at all (one-to-one). Only kept where more
    /// than one "many" row could be.
    attempts: HashMap<usize, Vec<bool>>,
}

impl Evaluator<'_> {
    pub(super) fn matched(&mut self, binary: &Binary, steps: Steps) -> Evaluated<Vec<Row>> {
        let default = Matching::default();
        let matching = binary.matching.as_ref().unwrap_or(&default);
        let is_swapped = matching.cardinality == Cardinality::OneToMany;
        if is_swapped && matching.fill_left != matching.fill_right {
            // Prometheus' manual and code disagree on which side is meant.
            return Err(QueryError::Unsupported("different fill values with group_right".to_owned()));
        }
        let left = self.vector(&binary.left, steps)?;
        let right = self.vector(&binary.right, steps)?;
        let Some(operation) = vector_function(binary.op) else {
            self.note_trim(binary, left.is_empty() || right.is_empty());
            return Ok(Vec::new());
        };
        let signatures = Signatures::new(&left, &right, matching);
        let (many, one) = if is_swapped { (right, left) } else { (left, right) };
        let (many_groups, one_groups) =
            if is_swapped { (signatures.right, signatures.left) } else { (signatures.left, signatures.right) };
        let mut groups = vec![Group::default(); signatures.count];
        many_groups.iter().enumerate().for_each(|(row, group)| groups[*group].many.push(row));
        one_groups.iter().enumerate().for_each(|(row, group)| groups[*group].one.push(row));
        let (results, places) = (Vec::new(), HashMap::new());
        let (match_labels, included) = (MatchLabels::new(matching), Names::new(&matching.include));
        let mut matched = Match {
            evaluator: self,
            binary,
            matching,
            match_labels,
            included,
            operation,
            many,
            one,
            steps,
            results,
            places,
        };
        for group in &groups {
            matched.check_unique(&group.one)?;
        }
        // In the order of the "many" rows, which is the order of an instant result.
        for (row, group) in many_groups.iter().enumerate() {
            matched.evaluator.check_interrupt()?;
            matched.pair(row, &mut groups[*group])?;
        }
        if let Some(fill) = matching.fill_left {
            for (row, group) in one_groups.iter().enumerate() {
                matched.fill_many(row, &mut groups[*group], fill)?;
            }
        }
        let mut rows = matched.results;
        rows.retain(|row| !row.is_empty());
        Ok(rows)
    }
}

impl Match<'_, '_> {
    /// The "one" side has at most one series of a group at a time, wherever the other side has anything.
    fn check_unique(&self, ones: &[usize]) -> Evaluated<()> {
        if ones.len() < 2 {
            return Ok(());
        }
        let has_fill = self.matching.fill_left.is_some() || self.matching.fill_right.is_some();
        let mut owners: Vec<Option<usize>> = vec![None; self.steps.count];
        for row in ones {
            for (step, cell) in self.one[*row].cells.iter().enumerate() {
                if is_absent(*cell) {
                    continue;
                }
                match owners[step] {
                    None => owners[step] = Some(*row),
                    Some(other) if has_fill || self.many.iter().any(|many| !is_absent(many.cells[step])) => {
                        return Err(self.duplicate(&self.one[other].labels, &self.one[*row].labels));
                    }
                    Some(_) => {}
                }
            }
        }
        Ok(())
    }

    fn duplicate(&self, first: &Labels, second: &Labels) -> QueryError {
        let side = if self.matching.cardinality == Cardinality::OneToMany { "left" } else { "right" };
        let group = self.matched_labels(first);
        let (mut first, mut second) = (first.to_string(), second.to_string());
        if first > second {
            std::mem::swap(&mut first, &mut second);
        }
        QueryError::Execution(format!(
            "found duplicate series for the match group {group} on the {side} hand-side of the operation: [{first}, \
             {second}];many-to-many matching not allowed: matching labels must be unique on one side"
        ))
    }

    /// Computes one "many" row against the "one" rows of its group, and against the fill where there is none of those.
    fn pair(&mut self, many: usize, group: &mut Group) -> Evaluated<()> {
        for one in group.one.clone() {
            let labels = self.result_labels(&self.many[many].labels, &self.one[one].labels);
            let place = self.place(labels)?;
            for step in 0..self.steps.count {
                let (many_value, one_value) = (self.many[many].cells[step], self.one[one].cells[step]);
                if !is_absent(many_value) && !is_absent(one_value) {
                    self.compute(step, (many_value, one_value), place, group)?;
                }
            }
        }
        let Some(fill) = self.matching.fill_right else { return Ok(()) };
        let labels = &self.many[many].labels;
        let labels = self.result_labels(labels, &self.matched_labels(labels));
        let place = self.place(labels)?;
        for step in 0..self.steps.count {
            let value = self.many[many].cells[step];
            let is_alone = group.one.iter().all(|one| is_absent(self.one[*one].cells[step]));
            if !is_absent(value) && is_alone {
                self.compute(step, (value, fill), place, group)?;
            }
        }
        Ok(())
    }

    /// Computes one "one" row against the fill, where its group has nothing on the other side.
    fn fill_many(&mut self, one: usize, group: &mut Group, fill: f64) -> Evaluated<()> {
        let labels = &self.one[one].labels;
        let labels = self.result_labels(&self.matched_labels(labels), labels);
        let place = self.place(labels)?;
        for step in 0..self.steps.count {
            let value = self.one[one].cells[step];
            let is_alone = group.many.iter().all(|many| is_absent(self.many[*many].cells[step]));
            if !is_absent(value) && is_alone {
                self.compute(step, (fill, value), place, group)?;
            }
        }
        Ok(())
    }

    /// The value of one pair, "many" first.
    fn compute(&mut self, step: usize, pair: (f64, f64), place: usize, group: &mut Group) -> Evaluated<()> {
        if group.many.len() > 1 {
            let is_one_to_one = self.matching.cardinality == Cardinality::OneToOne;
            let key = if is_one_to_one { 0 } else { place };
            let tried = group.attempts.entry(key).or_insert_with(|| vec![false; self.steps.count]);
            if std::mem::replace(&mut tried[step], true) {
                return Err(multiple_matches(is_one_to_one));
            }
        }
        let is_swapped = self.matching.cardinality == Cardinality::OneToMany;
        let (left, right) = if is_swapped { (pair.1, pair.0) } else { pair };
        let value = match (self.operation)(left, right) {
            Cell::Value(value) => value,
            Cell::Kept if self.binary.return_bool => 1.0,
            Cell::Filtered if self.binary.return_bool => 0.0,
            Cell::Kept => left,
            Cell::Filtered => return Ok(()),
        };
        let cell = &mut self.results[place].cells[step];
        if !is_absent(*cell) {
            return Err(QueryError::Execution(DUPLICATE_LABELS.to_owned()));
        }
        *cell = value;
        Ok(())
    }

    /// Where the result with these labels is. Series that take turns over time can make more results than operands, so each
    /// is charged.
    fn place(&mut self, labels: Labels) -> Evaluated<usize> {
        if let Some(place) = self.places.get(&labels) {
            return Ok(*place);
        }
        self.evaluator.budget.charge(self.steps.count as u64)?;
        let place = self.results.len();
        let drop_name = self.binary.return_bool;
        self.results.push(Row { drop_name, ..Row::empty(labels.clone(), self.steps.count) });
        self.places.insert(labels, place);
        Ok(place)
    }

    fn matched_labels(&self, labels: &Labels) -> Labels {
        retain(labels, |label| self.match_labels.has(label))
    }

    fn result_labels(&self, many: &Labels, one: &Labels) -> Labels {
        let matching = self.matching;
        let is_removed_now = self.evaluator.options.name_removal == NameRemoval::Immediate;
        let drops_name = self.binary.op.is_arithmetic() || self.binary.return_bool && is_removed_now;
        let is_kept = |label: &Label| {
            let is_in_match = match matching.cardinality {
                Cardinality::OneToOne => self.match_labels.names.contains(&label.name) == matching.is_on,
                _ => true,
            };
            is_in_match && !(drops_name && is_metric_label(&label.name))
        };
        let kept = many.iter().filter(|label| is_kept(label) && !self.included.contains(&label.name));
        let included = one.iter().filter(|label| self.included.contains(&label.name));
        Labels::new(kept.chain(included).cloned().collect())
    }
}

fn multiple_matches(is_one_to_one: bool) -> QueryError {
    let message = if is_one_to_one {
        "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
    } else {
        "multiple matches for labels: grouping labels must ensure unique matches"
    };
    QueryError::Execution(message.to_owned())
}
