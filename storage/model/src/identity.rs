//! Newtypes for every id and offset, so that two integers of different meaning can never change places.

use std::fmt;
use std::sync::Arc;

/// A Kafka partition's number, never negative.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PartitionId(pub i32);

/// A Kafka offset: always the *next* one to do (an exclusive end), so that lag is a plain subtraction.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Offset(pub i64);

/// A shard: one core's executor and what it owns. Counts from 0 on each node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ShardId(pub u16);

/// Position of a series in the head of one (tenant, partition). Means nothing in another head.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SeriesRef(pub u32);

/// Owner of series. Valid by construction (Mimir's rules): 1 to 150 bytes of `[A-Za-z0-9!-_.*'()]`, not `.` or `..`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TenantId(Arc<str>);

impl TenantId {
    /// Longest tenant id in bytes.
    pub const BYTES_MAX: usize = 150;

    /// Checks and wraps a tenant id.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn new(text: &str) -> Result<Self, TenantIdError> {
        if text.is_empty() {
            return Err(TenantIdError::Empty);
        }
        if text.len() > Self::BYTES_MAX {
            return Err(TenantIdError::TooLong { bytes: text.len() });
        }
        if text == "." || text == ".." || text == "__mimir_cluster" {
            return Err(TenantIdError::Reserved);
        }
        if let Some(character) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || "!-_.*'()".contains(*c))) {
            return Err(TenantIdError::Character { character });
        }
        Ok(Self(text.into()))
    }

    /// The tenant of a node that has multi-tenancy off.
    #[must_use]
    pub fn anonymous() -> Self {
        Self("anonymous".into())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a text is not a tenant id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TenantIdError {
    #[error("the tenant id is empty")]
    Empty,
    #[error("the tenant id has {bytes} bytes, the limit is {}", TenantId::BYTES_MAX)]
    TooLong { bytes: usize },
    #[error("the tenant id is a reserved name")]
    Reserved,
    #[error("the tenant id contains {character:?}; letters, digits and !-_.*'() are allowed")]
    Character { character: char },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenant_ids_follow_the_rules() {
        for good in ["anonymous", "team-a", "a.b", "A_1!*'()"] {
            assert!(TenantId::new(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "a|b", "tenänt", "__mimir_cluster", &"x".repeat(151)] {
            assert!(TenantId::new(bad).is_err(), "{bad}");
        }
    }
}
