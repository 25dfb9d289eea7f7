//! Where a partition would go: a pure function from what is there and what is wanted to a move or a refusal.
//!
//! Offsets here are the next to consume; what a group stores is the last consumed record.

use std::fmt;
use std::ops::Range;

use crate::cluster::Bounds;
use crate::time;

/// Where to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    Earliest,
    Latest,
    /// The next offset to consume.
    Offset(i64),
    /// The first record with this timestamp or a later one.
    Time {
        unix_ms: i64,
    },
    /// Records forward, or back where negative.
    Shift(i64),
}

impl Target {
    /// `earliest`, `latest`, `offset:N`, `time:T` or `shift:N`.
    ///
    /// # Errors
    /// A sentence that says what would be right.
    pub fn parse(text: &str, now_ms: i64) -> Result<Self, String> {
        let (name, value) = text.split_once(':').unwrap_or((text, ""));
        let number =
            |value: &str| value.parse::<i64>().map_err(|_| format!("{value:?} is no number: write --to {name}:100"));
        match (name, value) {
            ("earliest", "") => Ok(Self::Earliest),
            ("latest", "") => Ok(Self::Latest),
            ("offset", value) => number(value).and_then(|offset| {
                if offset < 0 { Err(format!("offset {offset} is negative")) } else { Ok(Self::Offset(offset)) }
            }),
            ("time", value) => time::parse_time(value, now_ms).map(|unix_ms| Self::Time { unix_ms }),
            ("shift", value) => number(value).map(Self::Shift),
            _ => Err(format!("{text:?} is no target: write earliest, latest, offset:N, time:T or shift:N")),
        }
    }
}

/// What Kafka finds for a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimeFound {
    At(i64),
    NoRecordThatLate { newest_ms: Option<i64> },
}

/// What is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Facts {
    pub partition: i32,
    /// None where nothing is committed.
    pub next_offset: Option<i64>,
    pub log: Bounds,
    /// Asked only for a target that is a time.
    pub time_found: Option<TimeFound>,
}

/// A move that can be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Move {
    pub partition: i32,
    pub from: Option<i64>,
    pub to: i64,
    log: Bounds,
}

/// What a move does to records that are in the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    ReadsAgain(Range<i64>),
    Skips(Range<i64>),
    Nothing,
    /// The group had no position before.
    Sets,
}

/// Why a move is not made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    OutsideOfLog { partition: i32, offset: i64, log: Bounds },
    FutureTime { unix_ms: i64, now_ms: i64 },
    NoRecordThatLate { partition: i32, unix_ms: i64, newest_ms: Option<i64> },
    NothingToShift { partition: i32 },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutsideOfLog { partition, offset, log: Bounds { start, end } } => write!(
                f,
                "offset {offset} is outside of the log of partition {partition}, which holds {start} to {end} ({end} being the next to be written)"
            ),
            Self::FutureTime { unix_ms, now_ms } => {
                write!(f, "{} lies in the future: now is {}", time::rfc3339(*unix_ms), time::rfc3339(*now_ms))
            }
            Self::NoRecordThatLate { partition, unix_ms, newest_ms } => {
                let newest = newest_ms.map_or("cannot be read".to_owned(), |ms| format!("is of {}", time::rfc3339(ms)));
                let asked = time::rfc3339(*unix_ms);
                write!(
                    f,
                    "partition {partition} has no record of {asked} or later, its newest {newest}: name an earlier time, or say --to latest for its end"
                )
            }
            Self::NothingToShift { partition } => {
                write!(f, "the group has committed nothing for partition {partition}, so there is nothing to shift")
            }
        }
    }
}

/// The move that a target means for a partition.
///
/// # Errors
/// See [`Refusal`].
pub fn plan(facts: &Facts, target: Target, now_ms: i64) -> Result<Move, Refusal> {
    let Facts { partition, next_offset, log, time_found } = *facts;
    let to = match target {
        Target::Earliest => log.start,
        Target::Latest => log.end,
        Target::Offset(offset) => offset,
        Target::Shift(by) => next_offset.ok_or(Refusal::NothingToShift { partition })?.saturating_add(by),
        Target::Time { unix_ms } if unix_ms > now_ms => return Err(Refusal::FutureTime { unix_ms, now_ms }),
        // An empty log has one position only; no record is passed over by taking it.
        Target::Time { .. } if log.start == log.end => log.end,
        Target::Time { unix_ms } => match time_found {
            Some(TimeFound::At(offset)) => offset,
            Some(TimeFound::NoRecordThatLate { newest_ms }) => {
                return Err(Refusal::NoRecordThatLate { partition, unix_ms, newest_ms });
            }
            None => return Err(Refusal::NoRecordThatLate { partition, unix_ms, newest_ms: None }),
        },
    };
    if to < log.start || to > log.end {
        return Err(Refusal::OutsideOfLog { partition, offset: to, log });
    }
    Ok(Move { partition, from: next_offset, to, log })
}

impl Move {
    /// What it means in Mimir's words; None is "before the first record".
    pub fn last_consumed(&self) -> Option<i64> {
        (self.to > 0).then(|| self.to - 1)
    }

    pub fn effect(&self) -> Effect {
        let Some(from) = self.from else { return Effect::Sets };
        // What retention took can be neither skipped nor read again.
        let from = from.clamp(self.log.start, self.log.end);
        match self.to.cmp(&from) {
            std::cmp::Ordering::Less => Effect::ReadsAgain(self.to..from),
            std::cmp::Ordering::Greater => Effect::Skips(from..self.to),
            std::cmp::Ordering::Equal => Effect::Nothing,
        }
    }
}

impl Effect {
    pub fn name(&self) -> &'static str {
        match self {
            Self::ReadsAgain(_) => "reads again",
            Self::Skips(_) => "skips",
            Self::Nothing => "nothing",
            Self::Sets => "sets",
        }
    }

    /// The offsets concerned, where there are any.
    pub fn range(&self) -> Option<Range<i64>> {
        match self {
            Self::ReadsAgain(range) | Self::Skips(range) => Some(range.clone()),
            Self::Nothing | Self::Sets => None,
        }
    }
}

#[cfg(test)]
mod plan_test;
