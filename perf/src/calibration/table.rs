//! The yardstick's table from fingerprint to series: open addressing, half full, never grows.

/// Two of them are in a cache line of 64 bytes.
#[derive(Clone, Copy, Default)]
#[repr(align(32))]
struct Entry {
    fingerprint: u128,
    /// One more than the series; 0 is free.
    series: u32,
}

const _: () = assert!(size_of::<Entry>() == 32);

pub struct Table {
    entries: Vec<Entry>,
}

impl Table {
    pub fn new(series: usize) -> Self {
        Self { entries: vec![Entry::default(); (series * 2).next_power_of_two()] }
    }

    /// Reads the line where a fingerprint would be: loads that do not wait for each other do what a prefetch does.
    #[inline]
    pub fn touch(&self, fingerprint: u128) -> u64 {
        u64::from(self.entries[self.home(fingerprint)].series)
    }

    #[inline]
    pub fn find(&self, fingerprint: u128) -> Option<u32> {
        let mut at = self.home(fingerprint);
        loop {
            let entry = &self.entries[at];
            if entry.series == 0 {
                return None;
            }
            if entry.fingerprint == fingerprint {
                return Some(entry.series - 1);
            }
            at = (at + 1) & (self.entries.len() - 1);
        }
    }

    /// One that is not there yet.
    pub fn insert(&mut self, fingerprint: u128, series: u32) -> u32 {
        let mut at = self.home(fingerprint);
        while self.entries[at].series != 0 {
            at = (at + 1) & (self.entries.len() - 1);
        }
        self.entries[at] = Entry { fingerprint, series: series + 1 };
        series
    }

    #[inline]
    fn home(&self, fingerprint: u128) -> usize {
        (fingerprint >> 64) as usize & (self.entries.len() - 1)
    }
}
