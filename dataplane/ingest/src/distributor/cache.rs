//! What is known of a series after it was checked once: fingerprint -> verdict. Bounded: two generations, the older one is
//! dropped whole when the younger is full, and what is used moves over.

use std::hash::{BuildHasherDefault, Hasher};

use hashbrown::HashMap;
use model::Fingerprint;

/// Verdicts on series of all tenants; the caller mixes the tenant into the fingerprint.
pub struct SeriesCache<V> {
    young: Generation<V>,
    old: Generation<V>,
    series_max: usize,
}

type Generation<V> = HashMap<Key, V, BuildHasherDefault<FingerprintHasher>>;

/// A fingerprint in four parts: as one `u128` it would pad each entry from 20 to 32 bytes.
#[derive(Clone, Copy)]
struct Key([u32; 4]);

impl Key {
    #[inline]
    fn new(fingerprint: Fingerprint) -> Self {
        let bits = fingerprint.0;
        Self([bits as u32, (bits >> 32) as u32, (bits >> 64) as u32, (bits >> 96) as u32])
    }

    #[inline]
    fn low(&self) -> u64 {
        u64::from(self.0[0]) | u64::from(self.0[1]) << 32
    }

    #[inline]
    fn high(&self) -> u64 {
        u64::from(self.0[2]) | u64::from(self.0[3]) << 32
    }
}

/// By halves: as arrays they would be compared by a call.
impl PartialEq for Key {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        (self.low() == other.low()) & (self.high() == other.high())
    }
}

impl Eq for Key {}

impl std::hash::Hash for Key {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.low());
    }
}

/// Hashes nothing: a fingerprint is a hash already, and a keyed one.
#[derive(Clone, Copy, Default)]
pub struct FingerprintHasher(u64);

impl Hasher for FingerprintHasher {
    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("a key is written as one u64")
    }

    #[inline]
    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

impl<V: Copy> SeriesCache<V> {
    /// Holds at least `series_max` series that are in use, at most twice as many.
    pub fn new(series_max: usize) -> Self {
        Self { young: Generation::default(), old: Generation::default(), series_max: series_max.max(1) }
    }

    #[inline]
    pub fn find(&mut self, fingerprint: Fingerprint) -> Option<V> {
        if let Some(verdict) = self.young.get(&Key::new(fingerprint)) {
            return Some(*verdict);
        }
        self.find_old(fingerprint)
    }

    fn find_old(&mut self, fingerprint: Fingerprint) -> Option<V> {
        let verdict = self.old.remove(&Key::new(fingerprint))?;
        self.keep(fingerprint, verdict);
        Some(verdict)
    }

    pub fn keep(&mut self, fingerprint: Fingerprint, verdict: V) {
        if self.young.len() >= self.series_max {
            std::mem::swap(&mut self.young, &mut self.old);
            // The table itself is used again: at this size it would be as large the next time.
            self.young.clear();
        }
        self.young.insert(Key::new(fingerprint), verdict);
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
        let mut cache = SeriesCache::new(4);
        cache.keep(Fingerprint(1), 10);
        for other in 100..200 {
            cache.keep(Fingerprint(other), 0);
            assert_eq!(cache.find(Fingerprint(1)), Some(10), "{other}");
            assert!(cache.len() <= 8);
        }
        assert_eq!(cache.find(Fingerprint(100)), None);
    }

    #[test]
    fn all_bits_of_a_fingerprint_count() {
        let mut cache = SeriesCache::new(200);
        for bit in 0..128 {
            cache.keep(Fingerprint(1 << bit), bit);
        }
        for bit in 0..128 {
            assert_eq!(cache.find(Fingerprint(1 << bit)), Some(bit));
            assert_eq!(cache.find(Fingerprint(1 << bit | 1 << ((bit + 1) % 128))), None);
        }
    }
}
