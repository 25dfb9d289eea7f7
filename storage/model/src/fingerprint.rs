//! Identity of a series without strings: a keyed 128-bit hash of its canonical label encoding.
//!
//! Canonical means: the `labels` fields of a remote write 1 `TimeSeries` (`0a len (0a len name) (12 len value)`), sorted by
//! name, lengths in their shortest form, nothing else between. The hash is XXH3-128 with a secret that is made from the key,
//! so that nobody who does not know the key can aim collisions at a node.

use xxhash_rust::xxh3;

/// A series' identity within one topic.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Fingerprint(pub u128);

/// The key of the fingerprint function: made once per topic and kept with it.
#[derive(Clone)]
pub struct FingerprintKey {
    seed: u64,
    secret: Box<[u8; 192]>,
}

impl FingerprintKey {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, secret: Box::new(xxhash_rust::const_xxh3::const_custom_default_secret(seed)) }
    }

    /// What must be stored to make the same key again.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Hashes canonical label bytes.
    #[must_use]
    #[inline]
    pub fn fingerprint(&self, canonical_labels: &[u8]) -> Fingerprint {
        Fingerprint(xxh3::xxh3_128_with_secret(canonical_labels, &*self.secret))
    }
}

impl std::fmt::Debug for FingerprintKey {
    /// The seed stays out of logs: knowing it allows to aim collisions.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FingerprintKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_separate() {
        let (a, b) = (FingerprintKey::new(1), FingerprintKey::new(2));
        assert_eq!(a.fingerprint(b"labels"), FingerprintKey::new(1).fingerprint(b"labels"));
        assert_ne!(a.fingerprint(b"labels"), b.fingerprint(b"labels"));
        assert_ne!(a.fingerprint(b"labels"), a.fingerprint(b"labelt"));
    }
}
