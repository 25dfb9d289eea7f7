//! What a head counts: refusals by reason, and memory by owner. Plain numbers that the owner of the head reads when asked.

use model::RejectReason;

/// Counted since the head was made; bytes and series as they are now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HeadCounters {
    pub series: u64,
    pub chunks_open: u64,
    pub chunks_sealed: u64,
    pub samples_appended: u64,
    /// Samples that were there already, to the bit: what a repeated push brings.
    pub samples_equal: u64,
    pub rejected: RejectCounters,
    pub bytes: HeadBytes,
}

/// Memory held by a head, by owner; symbols are the tenant's, see [`super::Symbols::bytes`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HeadBytes {
    /// Series, their labels, the fingerprint table.
    pub series: u64,
    pub postings: u64,
    pub chunks_open: u64,
    pub chunks_sealed: u64,
}

impl HeadBytes {
    #[must_use]
    pub fn total(&self) -> u64 {
        self.series + self.postings + self.chunks_open + self.chunks_sealed
    }
}

/// One counter per reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RejectCounters([u64; RejectReason::ALL.len()]);

impl RejectCounters {
    #[must_use]
    pub fn get(&self, reason: RejectReason) -> u64 {
        self.0[reason as usize]
    }

    /// Reasons that were met, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (RejectReason, u64)> {
        RejectReason::ALL.into_iter().zip(self.0).filter(|(_, count)| *count > 0)
    }

    pub(super) fn add(&mut self, reason: RejectReason) {
        self.0[reason as usize] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counters are indexed by the reason's number, and listed by its place in `ALL`.
    #[test]
    fn every_reason_has_its_own_counter() {
        for (index, reason) in RejectReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
            let mut counters = RejectCounters::default();
            counters.add(reason);
            assert_eq!((counters.get(reason), counters.iter().collect::<Vec<_>>()), (1, vec![(reason, 1)]));
        }
    }
}
