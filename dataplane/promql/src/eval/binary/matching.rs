//! Arithmetic and comparison between vectors: pairs of series by the labels that must agree.

use std::collections::HashMap;

use model::{Label, Labels, METRIC_NAME};

use super::super::column::{DUPLICATE_LABELS, Row, Steps, absent, is_absent, push_key, retain};
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
        let mut known: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut key = Vec::new();
        let mut number = |rows: &[Row]| -> Vec<usize> {
            let numbers = rows.iter().map(|row| {
                key.clear();
                push_key(row.labels.iter().filter(|label| is_matched(label, matching)), &mut key);
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

fn is_matched(label: &Label, matching: &Matching) -> bool {
    let is_named = matching.labels.iter().any(|name| **name == *label.name);
    if matching.is_on { is_named } else { !is_named && &*label.name != METRIC_NAME }
}

/// One evaluation of one operator. "Many" is the left operand, unless `group_right` says otherwise.
struct Match<'a> {
    binary: &'a Binary,
    matching: &'a Matching,
    many: Vec<Row>,
    one: Vec<Row>,
    removal: NameRemoval,
    steps: Steps,
    /// Results, and where those of given labels are.
    results: Vec<Row>,
    places: HashMap<Labels, usize>,
}

impl Evaluator<'_> {
    pub(super) fn matched(&mut self, binary: &Binary, steps: Steps) -> Evaluated<Vec<Row>> {
        let default = Matching::default();
        let matching = binary.matching.as_ref().unwrap_or(&default);
        if matching.fill_left.is_some() || matching.fill_right.is_some() {
            return Err(QueryError::Unsupported("fill modifiers".to_owned()));
        }
        let left = self.vector(&binary.left, steps)?;
        let right = self.vector(&binary.right, steps)?;
        if vector_function(binary.op).is_none() {
            self.note_trim(binary, left.is_empty() || right.is_empty());
            return Ok(Vec::new());
        }
        let signatures = Signatures::new(&left, &right, matching);
        let is_swapped = matching.cardinality == Cardinality::OneToMany;
        let (many, one) = if is_swapped { (right, left) } else { (left, right) };
        let (many_groups, one_groups) =
            if is_swapped { (signatures.right, signatures.left) } else { (signatures.left, signatures.right) };
        let removal = self.options.name_removal;
        let (results, places) = (Vec::new(), HashMap::new());
        let mut matched = Match { binary, matching, many, one, removal, steps, results, places };
        let many_members = members(&many_groups, signatures.count);
        let one_members = members(&one_groups, signatures.count);
        for ones in &one_members {
            matched.check_unique(ones)?;
        }
        // In the order of the "many" rows, which is the order of an instant result.
        let mut attempts: HashMap<usize, Attempts> = HashMap::new();
        for (row, group) in many_groups.iter().enumerate() {
            self.check_interrupt()?;
            if !one_members[*group].is_empty() {
                let is_alone = many_members[*group].len() == 1;
                let attempts = (!is_alone).then(|| attempts.entry(*group).or_default());
                matched.pair(row, &one_members[*group], attempts)?;
            }
        }
        let mut rows = matched.results;
        rows.retain(|row| !row.is_empty());
        Ok(rows)
    }
}

fn members(groups: &[usize], count: usize) -> Vec<Vec<usize>> {
    let mut members = vec![Vec::new(); count];
    for (row, group) in groups.iter().enumerate() {
        members[*group].push(row);
    }
    members
}

/// Steps at which something of a group was already matched: by result (many-to-one), or at all (one-to-one).
type Attempts = HashMap<usize, Vec<bool>>;

impl Match<'_> {
    /// The "one" side has at most one series of a group at a time, wherever the other side has anything.
    fn check_unique(&self, ones: &[usize]) -> Evaluated<()> {
        if ones.len() < 2 {
            return Ok(());
        }
        let mut owners: Vec<Option<usize>> = vec![None; self.steps.count];
        for row in ones {
            for (step, cell) in self.one[*row].cells.iter().enumerate() {
                if is_absent(*cell) {
                    continue;
                }
                match owners[step] {
                    None => owners[step] = Some(*row),
                    Some(other) if self.many.iter().any(|many| !is_absent(many.cells[step])) => {
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
        let group = retain(first, |label| is_matched(label, self.matching));
        let (mut first, mut second) = (first.to_string(), second.to_string());
        if first > second {
            std::mem::swap(&mut first, &mut second);
        }
        QueryError::Execution(format!(
            "found duplicate series for the match group {group} on the {side} hand-side of the operation: [{first}, \
             {second}];many-to-many matching not allowed: matching labels must be unique on one side"
        ))
    }

    /// Computes one "many" row against the "one" rows of its group.
    fn pair(&mut self, many: usize, ones: &[usize], mut attempts: Option<&mut Attempts>) -> Evaluated<()> {
        let function = vector_function(self.binary.op).expect("trims were handled");
        let is_swapped = self.matching.cardinality == Cardinality::OneToMany;
        let is_one_to_one = self.matching.cardinality == Cardinality::OneToOne;
        for one in ones {
            let labels = self.result_labels(&self.many[many].labels, &self.one[*one].labels);
            let place = self.place(labels);
            for step in 0..self.steps.count {
                let (many_value, one_value) = (self.many[many].cells[step], self.one[*one].cells[step]);
                if is_absent(many_value) || is_absent(one_value) {
                    continue;
                }
                if let Some(attempts) = &mut attempts {
                    let key = if is_one_to_one { 0 } else { place };
                    let tried = attempts.entry(key).or_insert_with(|| vec![false; self.steps.count]);
                    if std::mem::replace(&mut tried[step], true) {
                        return Err(multiple_matches(is_one_to_one));
                    }
                }
                let (left, right) = if is_swapped { (one_value, many_value) } else { (many_value, one_value) };
                let value = match function(left, right) {
                    Cell::Value(value) => value,
                    Cell::Kept if self.binary.return_bool => 1.0,
                    Cell::Filtered if self.binary.return_bool => 0.0,
                    Cell::Kept => left,
                    Cell::Filtered => absent(),
                };
                if is_absent(value) {
                    continue;
                }
                let cell = &mut self.results[place].cells[step];
                if !is_absent(*cell) {
                    return Err(QueryError::Execution(DUPLICATE_LABELS.to_owned()));
                }
                *cell = value;
            }
        }
        Ok(())
    }

    fn place(&mut self, labels: Labels) -> usize {
        if let Some(place) = self.places.get(&labels) {
            return *place;
        }
        let place = self.results.len();
        let drop_name = self.binary.return_bool;
        self.results.push(Row { drop_name, ..Row::empty(labels.clone(), self.steps.count) });
        self.places.insert(labels, place);
        place
    }

    fn result_labels(&self, many: &Labels, one: &Labels) -> Labels {
        let matching = self.matching;
        let drops_name =
            self.binary.op.is_arithmetic() || self.binary.return_bool && self.removal == NameRemoval::Immediate;
        let is_named = |name: &str| matching.labels.iter().any(|label| label == name);
        let is_included = |name: &str| matching.include.iter().any(|label| label == name);
        let is_kept = |label: &Label| {
            let is_in_match = match matching.cardinality {
                Cardinality::OneToOne => is_named(&label.name) == matching.is_on,
                _ => true,
            };
            is_in_match && !(drops_name && super::super::column::is_metric_label(&label.name))
        };
        let kept = many.iter().filter(|label| is_kept(label) && !is_included(&label.name));
        let included = one.iter().filter(|label| is_included(&label.name));
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
