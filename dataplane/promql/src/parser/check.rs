//! Checks of a whole tree: types of operands and arguments, selectors that select everything, matching that makes no sense.

use model::METRIC_NAME;

use crate::ast::{Aggregate, AggregateOp, Binary, Call, Cardinality, Expr, VectorSelector};
use crate::error::{ParseError, Position};
use crate::function::{Arity, ValueType};
use crate::text::quote;

/// Checks the tree, children first, and settles the cardinality of matching.
pub(super) fn check(query: &str, expr: &mut Expr) -> Result<(), ParseError> {
    Checker { query }.check(expr).map(|_| ())
}

type Checked<T> = Result<T, ParseError>;

struct Checker<'a> {
    query: &'a str,
}

impl Checker<'_> {
    fn error<T>(&self, position: Position, message: impl Into<String>) -> Checked<T> {
        Err(ParseError::new(self.query, position, message))
    }

    fn check(&self, expr: &mut Expr) -> Checked<ValueType> {
        match expr {
            Expr::Number(_) | Expr::String(_) => {}
            Expr::Vector(selector) => self.selector(selector)?,
            Expr::Matrix(matrix) => self.selector(&matrix.selector)?,
            Expr::Aggregate(aggregate) => self.aggregate(aggregate)?,
            Expr::Binary(binary) => self.binary(binary)?,
            Expr::Call(call) => self.call(call)?,
            Expr::Paren(paren) => {
                self.check(&mut paren.expr)?;
            }
            Expr::StepInvariant(inner) => {
                self.check(inner)?;
            }
            Expr::Unary(unary) => {
                let found = self.check(&mut unary.expr)?;
                if !matches!(found, ValueType::Scalar | ValueType::Vector) {
                    let message = format!(
                        "unary expression only allowed on expressions of type scalar or instant vector, got {}",
                        quote(found.documented())
                    );
                    return self.error(unary.position, message);
                }
            }
            Expr::Subquery(subquery) => {
                let found = self.check(&mut subquery.expr)?;
                if found != ValueType::Vector {
                    let message = format!("subquery is only allowed on instant vector, got {} instead", found.as_str());
                    return self.error(subquery.position, message);
                }
            }
        }
        Ok(expr.value_type())
    }

    fn selector(&self, selector: &VectorSelector) -> Checked<()> {
        let position = selector.position;
        let Some((_, inside)) = selector.matchers.split_last().filter(|_| !selector.name.is_empty()) else {
            // Selecting everything is more likely a slip than meant.
            if selector.matchers.iter().all(model::Matcher::matches_empty) {
                return self.error(position, "vector selector must contain at least one non-empty matcher");
            }
            return Ok(());
        };
        match inside.iter().find(|matcher| &*matcher.name == METRIC_NAME) {
            Some(matcher) => {
                let (name, value) = (quote(&selector.name), quote(&matcher.value));
                self.error(position, format!("metric name must not be set twice: {name} or {value}"))
            }
            None => Ok(()),
        }
    }

    fn expect(&self, expr: &mut Expr, expected: ValueType, context: &str) -> Checked<()> {
        let found = self.check(expr)?;
        if found == expected {
            return Ok(());
        }
        let message = format!("expected type {} in {context}, got {}", expected.documented(), found.documented());
        self.error(expr.position(), message)
    }

    fn aggregate(&self, aggregate: &mut Aggregate) -> Checked<()> {
        self.expect(&mut aggregate.expr, ValueType::Vector, "aggregation expression")?;
        let expected = if aggregate.op == AggregateOp::CountValues { ValueType::String } else { ValueType::Scalar };
        match &mut aggregate.param {
            Some(param) => self.expect(param, expected, "aggregation parameter"),
            None => Ok(()),
        }
    }

    fn call(&self, call: &mut Call) -> Checked<()> {
        let function = call.function;
        let (params, given) = (function.params.len(), call.args.len());
        let name = quote(function.name);
        let (least, most) = match function.arity {
            Arity::Exact if params != given => {
                let message = format!("expected {params} argument(s) in call to {name}, got {given}");
                return self.error(call.position, message);
            }
            Arity::Exact => (params, params),
            Arity::UpTo(count) => (params - 1, params - 1 + count),
            Arity::Any => (params - 1, usize::MAX),
        };
        if given < least {
            let message = format!("expected at least {least} argument(s) in call to {name}, got {given}");
            return self.error(call.position, message);
        }
        if given > most {
            let message = format!("expected at most {most} argument(s) in call to {name}, got {given}");
            return self.error(call.position, message);
        }
        if function.name == "info" && given > 1 {
            self.info_selector(&mut call.args[1])?;
            return self.argument(call, 0);
        }
        (0..given).try_for_each(|index| self.argument(call, index))
    }

    fn argument(&self, call: &mut Call, index: usize) -> Checked<()> {
        let function = call.function;
        let expected = function.params[index.min(function.params.len() - 1)];
        let arg = &mut call.args[index];
        let found = self.check(arg)?;
        if found == expected {
            return Ok(());
        }
        let message = format!(
            "expected type {} in call to function {}, got {}",
            expected.documented(),
            quote(function.name),
            found.documented()
        );
        self.error(arg.position(), message)
    }

    /// The second argument of `info` names labels, so it may be empty, and has no metric of its own.
    fn info_selector(&self, arg: &mut Expr) -> Checked<()> {
        match arg {
            Expr::Vector(selector) if selector.name.is_empty() => Ok(()),
            Expr::Vector(selector) => {
                self.error(selector.position, "expected label selectors only, got vector selector instead")
            }
            other => self.error(other.position(), "expected label selectors only"),
        }
    }

    fn binary(&self, binary: &mut Binary) -> Checked<()> {
        let left = self.check(&mut binary.left)?;
        let right = self.check(&mut binary.right)?;
        let op = binary.op;
        if binary.return_bool && !op.is_comparison() {
            let place = self.operator_place(binary);
            return self.error(place, "bool modifier can only be used on comparison operators");
        }
        let both_scalars = (left, right) == (ValueType::Scalar, ValueType::Scalar);
        if op.is_comparison() && !binary.return_bool && both_scalars {
            let place = self.operator_place(binary);
            return self.error(place, "comparisons between scalars must use BOOL modifier");
        }
        self.included_labels(binary)?;
        for (found, operand) in [(left, &binary.left), (right, &binary.right)] {
            if !matches!(found, ValueType::Scalar | ValueType::Vector) {
                let message = "binary expression must contain only scalar and instant vector types";
                return self.error(operand.position(), message);
            }
        }
        let position = Position::spanning(binary.left.position(), binary.right.position());
        self.matching(binary, left == ValueType::Vector && right == ValueType::Vector, position)
    }

    fn included_labels(&self, binary: &Binary) -> Checked<()> {
        let Some(matching) = binary.matching.as_ref().filter(|matching| matching.is_on) else { return Ok(()) };
        match matching.labels.iter().find(|label| matching.include.contains(label)) {
            Some(label) => {
                let message = format!("label {} must not occur in ON and GROUP clause at once", quote(label));
                self.error(self.operator_place(binary), message)
            }
            None => Ok(()),
        }
    }

    fn matching(&self, binary: &mut Binary, is_between_vectors: bool, position: Position) -> Checked<()> {
        let Some(matching) = &mut binary.matching else { return Ok(()) };
        let has_fill = matching.fill_left.is_some() || matching.fill_right.is_some();
        let op = binary.op;
        if !is_between_vectors {
            if !matching.labels.is_empty() {
                return self.error(position, "vector matching only allowed between instant vectors");
            }
            if has_fill {
                return self.error(position, "filling in missing series only allowed between instant vectors");
            }
            binary.matching = None;
            if op.is_set() {
                let message = format!("set operator {} not allowed in binary scalar expression", quote(op.as_str()));
                return self.error(position, message);
            }
            return Ok(());
        }
        if !op.is_set() {
            return Ok(());
        }
        if matching.cardinality != Cardinality::OneToOne {
            let message = format!("no grouping allowed for {} operation", quote(op.as_str()));
            return self.error(position, message);
        }
        if has_fill {
            return self.error(position, "filling in missing series not allowed for set operators");
        }
        matching.cardinality = Cardinality::ManyToMany;
        Ok(())
    }

    /// The operator with its modifiers, between the operands.
    fn operator_place(&self, binary: &Binary) -> Position {
        let (start, end) = (binary.left.position().end, binary.right.position().start);
        let between = self.query.get(start..end).unwrap_or_default();
        let leading = between.len() - between.trim_start().len();
        Position::new(start + leading, start + between.trim_end().len())
    }
}
