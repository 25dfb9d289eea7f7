//! Prints a tree as Prometheus does: what it prints parses to the same tree (places aside).

use std::fmt::{Display, Formatter, Result, Write};

use model::{METRIC_NAME, MatchOp, Matcher};

use super::{
    Aggregate, At, Binary, BinaryOp, Boundary, Call, Cardinality, DurationExpr, Expr, Extent, Grouping, Matching,
    MatrixSelector, NumberLiteral, Shift, Subquery, VectorSelector,
};
use crate::number::decimal;
use crate::text::quote;

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Number(literal) => literal.fmt(f),
            Self::String(literal) => f.write_str(&quote(&literal.value)),
            Self::Vector(selector) => selector.fmt(f),
            Self::Matrix(selector) => selector.fmt(f),
            Self::Subquery(subquery) => subquery.fmt(f),
            Self::Call(call) => call.fmt(f),
            Self::Aggregate(aggregate) => aggregate.fmt(f),
            Self::Binary(binary) => binary.fmt(f),
            Self::Unary(unary) => write!(f, "{}{}", unary.op.as_str(), unary.expr),
            Self::Paren(paren) => write!(f, "({})", paren.expr),
            Self::StepInvariant(inner) => inner.fmt(f),
        }
    }
}

impl Display for NumberLiteral {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        if !self.is_duration {
            return f.write_str(&decimal(self.value));
        }
        if self.value < 0.0 {
            f.write_char('-')?;
        }
        write_duration(f, (self.value.abs() * 1e3).round() as i64)
    }
}

impl Display for VectorSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write_selector(f, self)?;
        write_at(f, self.shift.at)?;
        write_boundary(f, self.boundary)?;
        write_offset(f, &self.shift.offset)
    }
}

impl Display for MatrixSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write_selector(f, &self.selector)?;
        write!(f, "[{}]", self.range)?;
        write_boundary(f, self.selector.boundary)?;
        write_shift(f, &self.selector.shift)
    }
}

impl Display for Subquery {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{}[{}:", self.expr, self.range)?;
        if let Some(step) = &self.step {
            step.fmt(f)?;
        }
        f.write_char(']')?;
        write_shift(f, &self.shift)
    }
}

impl Display for Call {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{}(", self.function.name)?;
        for (index, arg) in self.args.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            arg.fmt(f)?;
        }
        f.write_char(')')
    }
}

impl Display for Aggregate {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(self.op.as_str())?;
        match &self.grouping {
            Grouping::By(labels) if labels.is_empty() => {}
            Grouping::By(labels) => write_labels(f, " by (", labels, ") ")?,
            Grouping::Without(labels) => write_labels(f, " without (", labels, ") ")?,
        }
        f.write_char('(')?;
        if let Some(param) = &self.param {
            write!(f, "{param}, ")?;
        }
        write!(f, "{})", self.expr)
    }
}

impl Display for Binary {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match &self.left {
            // `+Inf ^ x` would be read as `+(Inf ^ x)`.
            Expr::Number(literal) if self.op == BinaryOp::Power && literal.value == f64::INFINITY => {
                f.write_str("Inf")?;
            }
            left => left.fmt(f)?,
        }
        write!(f, " {}", self.op.as_str())?;
        if self.return_bool {
            f.write_str(" bool")?;
        }
        if let Some(matching) = &self.matching {
            matching.fmt(f)?;
        }
        write!(f, " {}", self.right)
    }
}

impl Display for Matching {
    /// With a space before each part.
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let group = match self.cardinality {
            Cardinality::ManyToOne => Some(" group_left ("),
            Cardinality::OneToMany => Some(" group_right ("),
            Cardinality::OneToOne | Cardinality::ManyToMany => None,
        };
        if self.is_on || !self.labels.is_empty() || group.is_some() {
            write_labels(f, if self.is_on { " on (" } else { " ignoring (" }, &self.labels, ")")?;
        }
        if let Some(opening) = group {
            write_labels(f, opening, &self.include, ")")?;
        }
        match (self.fill_left, self.fill_right) {
            (Some(left), Some(right)) if left == right => write!(f, " fill ({})", decimal(left)),
            (left, right) => {
                for (name, value) in [("left", left), ("right", right)] {
                    if let Some(value) = value {
                        write!(f, " fill_{name} ({})", decimal(value))?;
                    }
                }
                Ok(())
            }
        }
    }
}

impl Display for Extent {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Milliseconds(milliseconds) => {
                if *milliseconds < 0 {
                    f.write_char('-')?;
                }
                write_duration(f, milliseconds.saturating_abs())
            }
            Self::Expression(expr) => expr.fmt(f),
        }
    }
}

impl Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Number(literal) => literal.fmt(f),
            Self::Step(_) => f.write_str("step()"),
            Self::Range(_) => f.write_str("range()"),
            Self::Min(pair) => write!(f, "min_of({}, {})", pair.left, pair.right),
            Self::Max(pair) => write!(f, "max_of({}, {})", pair.left, pair.right),
            Self::Negative(inner, _) => write!(f, "-{inner}"),
            Self::Binary(op, pair) => write!(f, "{} {} {}", pair.left, op.as_str(), pair.right),
            Self::Paren(inner, _) => write!(f, "({inner})"),
        }
    }
}

/// Name and braces, without modifiers.
fn write_selector(f: &mut Formatter<'_>, selector: &VectorSelector) -> Result {
    f.write_str(&selector.name)?;
    let is_name = |matcher: &Matcher| {
        &*matcher.name == METRIC_NAME
            && matcher.op == MatchOp::Equal
            && *matcher.value == *selector.name
            && !matcher.value.is_empty()
    };
    let mut matchers: Vec<String> =
        selector.matchers.iter().filter(|matcher| !is_name(matcher)).map(matcher_text).collect();
    matchers.sort();
    if !matchers.is_empty() {
        write!(f, "{{{}}}", matchers.join(","))?;
    } else if selector.name.is_empty() {
        f.write_str("{}")?;
    }
    Ok(())
}

fn matcher_text(matcher: &Matcher) -> String {
    let op = match matcher.op {
        MatchOp::Equal => "=",
        MatchOp::NotEqual => "!=",
        MatchOp::Regex => "=~",
        MatchOp::NotRegex => "!~",
    };
    format!("{}{op}{}", label_name(&matcher.name), quote(&matcher.value))
}

/// Quoted unless it is a word of ASCII letters, digits and underscores.
fn label_name(name: &str) -> String {
    let is_word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let starts_right = name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
    if is_word && starts_right { name.to_owned() } else { quote(name) }
}

fn write_labels(f: &mut Formatter<'_>, opening: &str, labels: &[String], closing: &str) -> Result {
    f.write_str(opening)?;
    for (index, label) in labels.iter().enumerate() {
        f.write_str(if index == 0 { "" } else { ", " })?;
        // Infinity and NaN are numbers where a label is expected without quotes.
        if label.eq_ignore_ascii_case("inf") || label.eq_ignore_ascii_case("nan") {
            f.write_str(&quote(label))?;
        } else {
            f.write_str(&label_name(label))?;
        }
    }
    f.write_str(closing)
}

fn write_shift(f: &mut Formatter<'_>, shift: &Shift) -> Result {
    write_at(f, shift.at)?;
    write_offset(f, &shift.offset)
}

fn write_at(f: &mut Formatter<'_>, at: Option<At>) -> Result {
    match at {
        None => Ok(()),
        Some(At::Timestamp(milliseconds)) => {
            let sign = if milliseconds < 0 { "-" } else { "" };
            let magnitude = milliseconds.unsigned_abs();
            write!(f, " @ {sign}{}.{:03}", magnitude / 1_000, magnitude % 1_000)
        }
        Some(At::Start) => f.write_str(" @ start()"),
        Some(At::End) => f.write_str(" @ end()"),
    }
}

fn write_boundary(f: &mut Formatter<'_>, boundary: Boundary) -> Result {
    f.write_str(match boundary {
        Boundary::Plain => "",
        Boundary::Anchored => " anchored",
        Boundary::Smoothed => " smoothed",
    })
}

fn write_offset(f: &mut Formatter<'_>, offset: &Extent) -> Result {
    if offset.is_zero() { Ok(()) } else { write!(f, " offset {offset}") }
}

/// `1h30m`: years and weeks only where nothing remains, since `90d` reads better than `12w6d`.
pub(crate) fn write_duration(out: &mut impl Write, milliseconds: i64) -> Result {
    if milliseconds == 0 {
        return out.write_str("0s");
    }
    let units = [
        ("y", 365 * 86_400_000, true),
        ("w", 7 * 86_400_000, true),
        ("d", 86_400_000, false),
        ("h", 3_600_000, false),
        ("m", 60_000, false),
        ("s", 1_000, false),
        ("ms", 1, false),
    ];
    let mut rest = milliseconds;
    for (unit, length, only_exact) in units {
        let count = rest / length;
        if count > 0 && (!only_exact || rest % length == 0) {
            write!(out, "{count}{unit}")?;
            rest -= count * length;
        }
    }
    Ok(())
}
