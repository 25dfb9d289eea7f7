//! The children of a node, for those who look at or change a whole tree.

use super::Expr;

impl Expr {
    /// The direct children, in the order of the text (the parameter of an aggregation last).
    pub fn children(&self) -> Vec<&Self> {
        match self {
            Self::Number(_) | Self::String(_) | Self::Vector(_) | Self::Matrix(_) => Vec::new(),
            Self::Subquery(subquery) => vec![&subquery.expr],
            Self::Call(call) => call.args.iter().collect(),
            Self::Aggregate(aggregate) => std::iter::once(&aggregate.expr).chain(&aggregate.param).collect(),
            Self::Binary(binary) => vec![&binary.left, &binary.right],
            Self::Unary(unary) => vec![&unary.expr],
            Self::Paren(paren) => vec![&paren.expr],
            Self::StepInvariant(inner) => vec![inner],
        }
    }

    /// As [`Self::children`], to change them.
    pub fn children_mut(&mut self) -> Vec<&mut Self> {
        match self {
            Self::Number(_) | Self::String(_) | Self::Vector(_) | Self::Matrix(_) => Vec::new(),
            Self::Subquery(subquery) => vec![&mut subquery.expr],
            Self::Call(call) => call.args.iter_mut().collect(),
            Self::Aggregate(aggregate) => std::iter::once(&mut aggregate.expr).chain(&mut aggregate.param).collect(),
            Self::Binary(binary) => vec![&mut binary.left, &mut binary.right],
            Self::Unary(unary) => vec![&mut unary.expr],
            Self::Paren(paren) => vec![&mut paren.expr],
            Self::StepInvariant(inner) => vec![inner],
        }
    }
}
