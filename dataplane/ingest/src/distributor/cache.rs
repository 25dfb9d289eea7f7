//! What is known of a series after it was checked once: fingerprint -> token. Bounded: two generations, the older one is
//! dropped whole when the younger is full, and what is used moves over.

use hashbrown::HashMap;
use model::Fingerprint;

/// Hashes nothing: a fingerprint is a hash already.
#[derive(Clone, Copy, Default)]
pub struct FingerprintHasher(u64);

impl std::hash::Hasher for FingerprintHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("a fingerprint is written as one u128")
    }

    fn write_u128(&mut self, value: u128) {
        self.0 = value as u64;
    }
}

type Generation = HashMap<Fingerprint, u32, std::hash::BuildHasherDefault<FingerprintHasher>>;

/// Tokens of valid series of one tenant.
#[derive(Default)]
pub struct TokenCache {
    young: Generation,
    old: Generation,
    series_max: usize,
}

impl TokenCache {
    /// Holds at least `series_max` series that are in use, at most twice as many.
    pub fn new(series_max: usize) -> Self {
        Self { series_max, ..Self::default() }
    }

    #[inline]
    pub fn find(&mut self, fingerprint: Fingerprint) -> Option<u32> {
        if let Some(token) = self.young.get(&fingerprint) {
            return Some(*token);
        }
        let token = *self.old.get(&fingerprint)?;
        self.keep(fingerprint, token);
        Some(token)
    }

    pub fn keep(&mut self, fingerprint: Fingerprint, token: u32) {
        if self.young.len() >= self.series_max {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(fingerprint, token);
    }

    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_goes() {
        let mut cache = TokenCache::new(4);
        cache.keep(Fingerprint(1), 10);
        for other in 100..200 {
            cache.keep(Fingerprint(other), 0);
            assert_eq!(cache.find(Fingerprint(1)), Some(10), "{other}");
            assert!(cache.len() <= 9);
        }
        assert_eq!(cache.find(Fingerprint(100)), None);
    }
}
