//! Moving a group: what a target means for a partition (`plan`), and the facts and the doing around it (`survey`, `execute`).

pub mod execute;
pub mod plan;
pub mod survey;
