//! From fingerprint to series: an open-addressing table made for looking up whole batches.
//!
//! A bucket is one cache line of three entries, so a look-up costs one cache miss, and a batch has all its misses in flight at
//! once. The fingerprint is keyed and uniform: its upper half is the bucket's position, no hashing again. Entries are never
//! removed; what is forgotten at a cut is left out when the table is built anew.
#![allow(unsafe_code)]

use model::{Fingerprint, SeriesRef};

const BUCKET_ENTRIES: usize = 3;
/// Look-ups in flight: more than a core has line-fill buffers, few enough that the lines stay in the first-level cache.
const BATCH_LEN: usize = 64;

/// Entries are used from the front; `len` below three ends a probe.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Bucket {
    high: [u64; BUCKET_ENTRIES],
    low: [u64; BUCKET_ENTRIES],
    series: [u32; BUCKET_ENTRIES],
    len: u32,
}

const _: () = assert!(size_of::<Bucket>() == 64);

const EMPTY: Bucket =
    Bucket { high: [0; BUCKET_ENTRIES], low: [0; BUCKET_ENTRIES], series: [0; BUCKET_ENTRIES], len: 0 };

impl Bucket {
    /// One entry after the other: comparing all and picking without a branch was slower, because it waits for the line where
    /// a guessed branch goes on to the next look-up.
    #[inline]
    fn find(&self, (high, low): (u64, u64)) -> Option<SeriesRef> {
        (0..self.len as usize)
            .find(|index| self.high[*index] == high && self.low[*index] == low)
            .map(|index| SeriesRef(self.series[index]))
    }
}

pub(super) struct FingerprintTable {
    buckets: Vec<Bucket>,
    len: usize,
    /// Buckets ever looked at by [`FingerprintTable::insert`]: the measure of its cost.
    #[cfg(test)]
    insert_probes: u64,
}

impl FingerprintTable {
    pub(super) fn new() -> Self {
        Self {
            buckets: vec![EMPTY; 2],
            len: 0,
            #[cfg(test)]
            insert_probes: 0,
        }
    }

    /// Memory held.
    pub(super) fn bytes(&self) -> u64 {
        (self.buckets.capacity() * size_of::<Bucket>()) as u64
    }

    #[cfg(test)]
    pub(super) fn insert_probes(&self) -> u64 {
        self.insert_probes
    }

    /// All entries, in no order.
    pub(super) fn for_each(&self, mut take: impl FnMut(Fingerprint, SeriesRef)) {
        for bucket in &self.buckets {
            for index in 0..bucket.len as usize {
                let fingerprint = (u128::from(bucket.high[index]) << 64) | u128::from(bucket.low[index]);
                take(Fingerprint(fingerprint), SeriesRef(bucket.series[index]));
            }
        }
    }

    pub(super) fn get(&self, fingerprint: Fingerprint) -> Option<SeriesRef> {
        self.probe(halves(fingerprint))
    }

    /// Looks all up; `found` is cleared and then as long as `fingerprints`.
    pub(super) fn find(&self, fingerprints: &[Fingerprint], found: &mut Vec<Option<SeriesRef>>) {
        found.clear();
        found.reserve(fingerprints.len());
        for batch in fingerprints.chunks(BATCH_LEN) {
            for fingerprint in batch {
                prefetch(&self.buckets[self.home(halves(*fingerprint).0)]);
            }
            found.extend(batch.iter().map(|fingerprint| self.probe(halves(*fingerprint))));
        }
    }

    /// # Panics
    /// The fingerprint is already there, seen on its way: callers look first.
    pub(super) fn insert(&mut self, fingerprint: Fingerprint, series: SeriesRef) {
        // Above four fifths the probes of misses grow faster than the memory saved.
        if (self.len + 1) * 5 > self.buckets.len() * BUCKET_ENTRIES * 4 {
            self.grow();
        }
        self.place(halves(fingerprint), series);
        self.len += 1;
    }

    /// By half: with doubling the table would be half empty on average.
    fn grow(&mut self) {
        let larger = self.buckets.len() + self.buckets.len() / 2 + 1;
        let old = std::mem::replace(&mut self.buckets, vec![EMPTY; larger]);
        for bucket in old {
            for index in 0..bucket.len as usize {
                self.place((bucket.high[index], bucket.low[index]), SeriesRef(bucket.series[index]));
            }
        }
    }

    fn place(&mut self, (high, low): (u64, u64), series: SeriesRef) {
        let mut position = self.home(high);
        loop {
            #[cfg(test)]
            {
                self.insert_probes += 1;
            }
            let bucket = &mut self.buckets[position];
            assert!(bucket.find((high, low)).is_none(), "a fingerprint is inserted once");
            let at = bucket.len as usize;
            if at < BUCKET_ENTRIES {
                (bucket.high[at], bucket.low[at], bucket.series[at]) = (high, low, series.0);
                bucket.len += 1;
                return;
            }
            position = self.after(position);
        }
    }

    #[inline]
    fn probe(&self, key: (u64, u64)) -> Option<SeriesRef> {
        let mut position = self.home(key.0);
        loop {
            let bucket = &self.buckets[position];
            let found = bucket.find(key);
            if found.is_some() || (bucket.len as usize) < BUCKET_ENTRIES {
                return found;
            }
            position = self.after(position);
        }
    }

    /// Scales the upper half to the number of buckets: any number will do, and growth keeps the order.
    #[inline]
    fn home(&self, high: u64) -> usize {
        ((u128::from(high) * self.buckets.len() as u128) >> 64) as usize
    }

    #[inline]
    fn after(&self, position: usize) -> usize {
        if position + 1 == self.buckets.len() { 0 } else { position + 1 }
    }
}

#[inline]
fn halves(fingerprint: Fingerprint) -> (u64, u64) {
    ((fingerprint.0 >> 64) as u64, fingerprint.0 as u64)
}

/// Asks for the cache line at which `value` starts.
#[inline]
pub(super) fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch is a hint that reads and writes nothing a program can see; SSE belongs to every x86-64; the
        // address comes from a live reference.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}

#[cfg(test)]
mod tests {
    use model::FingerprintKey;

    use super::*;

    fn fingerprints(count: u32) -> Vec<Fingerprint> {
        let key = FingerprintKey::new(11);
        (0..count).map(|index| key.fingerprint(&index.to_le_bytes())).collect()
    }

    #[test]
    fn batches_find_what_was_inserted_and_nothing_else() {
        let all = fingerprints(20_000);
        let mut table = FingerprintTable::new();
        for (index, fingerprint) in all.iter().enumerate().take(10_000) {
            table.insert(*fingerprint, SeriesRef(index as u32));
        }
        let mut found = vec![Some(SeriesRef(9))];
        table.find(&all, &mut found);
        let expected: Vec<Option<SeriesRef>> = (0..20_000).map(|i| (i < 10_000).then_some(SeriesRef(i))).collect();
        assert_eq!(found, expected);
        assert_eq!(table.get(all[17]), Some(SeriesRef(17)));
    }

    /// Both halves decide, and a probe goes on over full buckets, the last one included.
    #[test]
    fn fingerprints_of_one_bucket_are_told_apart() {
        let mut table = FingerprintTable::new();
        let crowd: Vec<Fingerprint> = (0..50).map(|low| Fingerprint((u128::from(u64::MAX) << 64) | low)).collect();
        for (index, fingerprint) in crowd.iter().enumerate() {
            table.insert(*fingerprint, SeriesRef(index as u32));
        }
        let mut found = Vec::new();
        table.find(&crowd, &mut found);
        assert!(found.iter().zip(0..).all(|(series, index)| *series == Some(SeriesRef(index))), "{found:?}");
        assert_eq!(table.get(Fingerprint(3)), None);
    }

    #[test]
    fn inserts_cost_a_constant_number_of_probes() {
        let count = 100_000;
        let mut table = FingerprintTable::new();
        for (index, fingerprint) in fingerprints(count).into_iter().enumerate() {
            table.insert(fingerprint, SeriesRef(index as u32));
        }
        // Growth by half moves every entry three times at most on average; near the limit a probe meets about two buckets.
        assert!(table.insert_probes < u64::from(count) * 8, "{} probes", table.insert_probes);
        let per_series = table.bytes() / u64::from(count);
        assert!((26..=41).contains(&per_series), "{per_series} bytes per series");
    }
}
