//! PromQL: parser, engine, and the runner of Prometheus-style test scripts.
//!
//! The engine evaluates series by series over all steps in columns. It knows no disk, no tenant, no clock and no thread:
//! samples come through [`Select`], interruption through [`Interrupt`]. The specification is Prometheus 3; what is not
//! evaluated yet is refused with [`QueryError::Unsupported`], never answered approximately.

pub mod ast;
pub mod function;
pub mod parser;
pub mod script;

mod annotations;
mod calendar;
mod engine;
mod error;
mod eval;
mod number;
mod result;
mod select;
mod text;

pub use annotations::{Annotations, Severity};
pub use engine::{Engine, EngineOptions, Interrupt, NameRemoval, QueryContext, RangeTimes};
pub use error::{ParseError, Position, QueryError};
pub use result::{Answer, InstantSample, QueryResult, QueryStats, ResultSeries};
pub use select::{Select, SelectError, SelectHints, SelectRequest, Series, Values};
