//! What a head holds, in numbers. What became of samples is counted by the head's owner, per tenant.

/// As it is now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HeadCounters {
    pub series: u64,
    pub chunks_open: u64,
    pub chunks_sealed: u64,
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
    /// Late samples that are in no chunk yet, and what reading again remembers.
    pub late: u64,
}

impl HeadBytes {
    #[must_use]
    pub fn total(&self) -> u64 {
        self.series + self.postings + self.chunks_open + self.chunks_sealed + self.late
    }
}
