//! `label_replace` and `label_join`: functions that look at labels only.

use regex_automata::meta::Regex;
use regex_automata::util::{captures::Captures, interpolate, syntax};

use model::METRIC_NAME;

use super::column::{Row, Steps, combine, with_label};
use super::sort::literal;
use super::{Evaluated, Evaluator};
use crate::QueryError;
use crate::ast::Call;

/// Bound on a compiled expression.
const REGEX_BYTES_MAX: usize = 10 << 20;

impl Evaluator<'_> {
    /// `label_replace(v, destination, replacement, source, regex)`
    pub(super) fn label_replace(&mut self, call: &Call, steps: Steps) -> Evaluated<Vec<Row>> {
        let texts = texts(call);
        let [destination, replacement, source, pattern] = texts[..] else {
            panic!("the type check let label_replace through with {} texts", texts.len())
        };
        let regex = compile(pattern).ok_or_else(|| refuse("regular expression in label_replace()", pattern))?;
        if destination.is_empty() {
            return Err(refuse("destination label name in label_replace()", destination));
        }
        let mut captures = regex.create_captures();
        let mut rows = self.vector(&call.args[0], steps)?;
        for row in &mut rows {
            let value = row.labels.get(source).to_owned();
            regex.captures(&value, &mut captures);
            if !captures.is_match() {
                continue;
            }
            let replaced = expand(&regex, &captures, replacement, &value);
            row.labels = with_label(&row.labels, destination, &replaced);
            row.drop_name &= destination != METRIC_NAME;
        }
        combine(rows)
    }

    /// `label_join(v, destination, separator, source...)`
    pub(super) fn label_join(&mut self, call: &Call, steps: Steps) -> Evaluated<Vec<Row>> {
        let texts = texts(call);
        let [destination, separator, sources @ ..] = &texts[..] else {
            panic!("the type check let label_join through with {} texts", texts.len())
        };
        if let Some(source) = sources.iter().find(|source| source.is_empty()) {
            return Err(refuse("source label name in label_join()", source));
        }
        if destination.is_empty() {
            return Err(refuse("destination label name in label_join()", destination));
        }
        let mut rows = self.vector(&call.args[0], steps)?;
        for row in &mut rows {
            let values: Vec<&str> = sources.iter().map(|source| row.labels.get(source)).collect();
            let joined = values.join(separator);
            row.labels = with_label(&row.labels, destination, &joined);
            row.drop_name &= *destination != METRIC_NAME;
        }
        combine(rows)
    }
}

fn texts(call: &Call) -> Vec<&str> {
    call.args[1..].iter().filter_map(literal).collect()
}

fn refuse(what: &str, text: &str) -> QueryError {
    QueryError::Execution(format!("invalid {what}: {text}"))
}

fn compile(pattern: &str) -> Option<Regex> {
    Regex::builder()
        .configure(Regex::config().nfa_size_limit(Some(REGEX_BYTES_MAX)))
        .syntax(syntax::Config::new().dot_matches_new_line(true))
        .build(&format!("^(?:{pattern})$"))
        .ok()
}

/// `$1`, `${1}` and `${name}` stand for groups, `$$` for a dollar; a group that matched nothing is empty.
fn expand(regex: &Regex, captures: &Captures, replacement: &str, value: &str) -> String {
    let mut expanded = String::new();
    interpolate::string(
        replacement,
        |index, out| out.push_str(captures.get_group(index).map_or("", |span| &value[span.range()])),
        |name| regex.group_info().to_index(captures.pattern()?, name),
        &mut expanded,
    );
    expanded
}
