//! What can be measured: one file a scenario, each with its options and a `run` that gives a report.
//!
//! A new scenario is a new file here and a line in [`Scenario`].

mod count;
mod ingest;
mod push;
mod query;
mod questions;
mod restart;

pub mod compare;

use clap::Subcommand;

use crate::failure::Failure;
use crate::report::Report;

#[derive(Subcommand, Debug)]
pub enum Scenario {
    Push(push::Push),
    Restart(restart::Restart),
    Ingest(ingest::Ingest),
    Query(query::Query),
}

impl Scenario {
    /// # Errors
    /// It could not be measured. A measurement whose count is wrong is no error here: the report says it.
    pub fn run(&self) -> Result<Report, Failure> {
        match self {
            Self::Push(push) => push.run(),
            Self::Restart(restart) => restart.run(),
            Self::Ingest(ingest) => ingest.run(),
            Self::Query(query) => query.run(),
        }
    }
}
