//! The tree of an expression, with places in the text. Built by the parser, printed by [`std::fmt::Display`].
//!
//! Nodes are plain data; what a tree may not say (types, arities) the parser has checked.

mod duration;
mod operator;
pub(crate) mod print;
mod walk;

use model::Matcher;

pub use duration::{DurationExpr, DurationOp, DurationPair, Extent};
pub(crate) use operator::UNARY_PRECEDENCE;
pub use operator::{AggregateOp, BinaryOp, UnaryOp};

use crate::Position;
use crate::function::{Function, ValueType};

/// An expression.
#[derive(Clone, PartialEq, Debug)]
pub enum Expr {
    Number(NumberLiteral),
    String(StringLiteral),
    Vector(VectorSelector),
    Matrix(MatrixSelector),
    Subquery(Box<Subquery>),
    Call(Call),
    Aggregate(Box<Aggregate>),
    Binary(Box<Binary>),
    Unary(Box<Unary>),
    Paren(Box<Paren>),
    /// Gives the same value at every step, so one evaluation suffices. Made by the engine, never by the parser.
    StepInvariant(Box<Expr>),
}

#[derive(Clone, PartialEq, Debug)]
pub struct NumberLiteral {
    pub value: f64,
    /// Written as a duration (`5m`): `value` is in seconds and it is printed as a duration again.
    pub is_duration: bool,
    pub position: Position,
}

#[derive(Clone, PartialEq, Debug)]
pub struct StringLiteral {
    pub value: String,
    pub position: Position,
}

/// `name{matchers} @ at offset extent`.
#[derive(Clone, PartialEq, Debug)]
pub struct VectorSelector {
    /// The name before the braces, empty without one. It is among the matchers as well, as the last.
    pub name: String,
    pub matchers: Vec<Matcher>,
    pub shift: Shift,
    pub boundary: Boundary,
    pub position: Position,
}

/// How a selector moves the time it looks at.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Shift {
    pub at: Option<At>,
    /// Zero when absent.
    pub offset: Extent,
}

/// The `@` modifier.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum At {
    /// Milliseconds since the Unix epoch.
    Timestamp(i64),
    Start,
    End,
}

/// What happens at the edges of a window.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Boundary {
    #[default]
    Plain,
    /// `anchored`: the last sample before the window counts as its beginning.
    Anchored,
    /// `smoothed`: values at the edges are interpolated.
    Smoothed,
}

/// `selector[range]`. The modifiers stand after the bracket but belong to the selector.
#[derive(Clone, PartialEq, Debug)]
pub struct MatrixSelector {
    pub selector: VectorSelector,
    pub range: Extent,
    pub position: Position,
}

/// `expr[range:step]`.
#[derive(Clone, PartialEq, Debug)]
pub struct Subquery {
    pub expr: Expr,
    pub range: Extent,
    /// The engine's default when absent.
    pub step: Option<Extent>,
    pub shift: Shift,
    pub position: Position,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Call {
    pub function: &'static Function,
    pub args: Vec<Expr>,
    pub position: Position,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Aggregate {
    pub op: AggregateOp,
    pub expr: Expr,
    /// k, q, ratio or label name, for the operators that have one.
    pub param: Option<Expr>,
    pub grouping: Grouping,
    pub position: Position,
}

/// `by (...)` or `without (...)`; neither is `By` with no labels.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Grouping {
    By(Vec<String>),
    Without(Vec<String>),
}

impl Grouping {
    #[must_use]
    pub fn labels(&self) -> &[String] {
        match self {
            Self::By(labels) | Self::Without(labels) => labels,
        }
    }
}

#[derive(Clone, PartialEq, Debug)]
pub struct Binary {
    pub op: BinaryOp,
    pub left: Expr,
    pub right: Expr,
    /// `bool`: comparisons give 0 and 1 instead of filtering.
    pub return_bool: bool,
    /// Only between two vectors.
    pub matching: Option<Matching>,
}

/// How the series of two vectors find each other.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Matching {
    pub cardinality: Cardinality,
    /// `on (...)` or `ignoring (...)`.
    pub labels: Vec<String>,
    pub is_on: bool,
    /// Labels of `group_left (...)` or `group_right (...)`.
    pub include: Vec<String>,
    /// Value in place of a missing left (right) partner.
    pub fill_left: Option<f64>,
    pub fill_right: Option<f64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Cardinality {
    #[default]
    OneToOne,
    /// `group_left`
    ManyToOne,
    /// `group_right`
    OneToMany,
    /// Set operators.
    ManyToMany,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Unary {
    pub op: UnaryOp,
    pub expr: Expr,
    pub position: Position,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Paren {
    pub expr: Expr,
    pub position: Position,
}

impl Expr {
    /// The type that the expression evaluates to.
    #[must_use]
    pub fn value_type(&self) -> ValueType {
        match self {
            Self::Number(_) => ValueType::Scalar,
            Self::String(_) => ValueType::String,
            Self::Vector(_) | Self::Aggregate(_) => ValueType::Vector,
            Self::Matrix(_) | Self::Subquery(_) => ValueType::Matrix,
            Self::Call(call) => call.function.returns,
            Self::Binary(binary) => match (binary.left.value_type(), binary.right.value_type()) {
                (ValueType::Scalar, ValueType::Scalar) => ValueType::Scalar,
                _ => ValueType::Vector,
            },
            Self::Unary(unary) => unary.expr.value_type(),
            Self::Paren(paren) => paren.expr.value_type(),
            Self::StepInvariant(inner) => inner.value_type(),
        }
    }

    /// Where the expression stands.
    #[must_use]
    pub fn position(&self) -> Position {
        match self {
            Self::Number(literal) => literal.position,
            Self::String(literal) => literal.position,
            Self::Vector(selector) => selector.position,
            Self::Matrix(selector) => selector.position,
            Self::Subquery(subquery) => subquery.position,
            Self::Call(call) => call.position,
            Self::Aggregate(aggregate) => aggregate.position,
            Self::Binary(binary) => Position::spanning(binary.left.position(), binary.right.position()),
            Self::Unary(unary) => unary.position,
            Self::Paren(paren) => paren.position,
            Self::StepInvariant(inner) => inner.position(),
        }
    }

    /// The expression inside any number of parentheses.
    #[must_use]
    pub fn without_parens(&self) -> &Self {
        let mut expr = self;
        while let Self::Paren(paren) = expr {
            expr = &paren.expr;
        }
        expr
    }
}
