//! One simulated file: what a reader sees, what the device has for certain, and the changes between the two.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::random::{Random, Survival};

/// What a device writes whole or not at all.
pub(super) const SECTOR_BYTES: usize = 512;

type Sector = Rc<[u8; SECTOR_BYTES]>;

/// Sparse bytes: a missing sector reads as zeros.
#[derive(Clone, Default, Debug)]
pub(super) struct Content {
    sectors: BTreeMap<u64, Sector>,
    len: u64,
}

/// One unsynced change.
#[derive(Clone, Debug)]
enum Change {
    Sector(u64, Sector),
    Len(u64),
}

#[derive(Default, Debug)]
pub(super) struct Inode {
    seen: Content,
    durable: Content,
    pending: Vec<Change>,
    /// How many changes left `pending` so far: turns a place in it into a position that a sync can remember.
    settled_count: u64,
    reserved_bytes: u64,
}

impl Inode {
    pub(super) fn with_content(content: Content) -> Self {
        Self { seen: content.clone(), durable: content, ..Self::default() }
    }

    pub(super) fn len(&self) -> u64 {
        self.seen.len
    }

    /// Bytes that count against the capacity: no discount for holes.
    pub(super) fn charged_bytes(&self) -> u64 {
        Self::charge(self.seen.len.max(self.reserved_bytes))
    }

    pub(super) fn charge(len: u64) -> u64 {
        len.next_multiple_of(crate::BLOCK_BYTES as u64)
    }

    pub(super) fn read(&self, offset: u64, len: usize) -> Vec<u8> {
        self.seen.read(offset, len)
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let (index, start) = (at / SECTOR_BYTES as u64, (at % SECTOR_BYTES as u64) as usize);
            let count = (SECTOR_BYTES - start).min(bytes.len() - done);
            let mut sector = self.seen.sectors.get(&index).map_or([0; SECTOR_BYTES], |sector| **sector);
            sector[start..start + count].copy_from_slice(&bytes[done..done + count]);
            self.change(Change::Sector(index, Rc::new(sector)));
            done += count;
        }
        let end = offset + bytes.len() as u64;
        if end > self.seen.len {
            self.change(Change::Len(end));
        }
    }

    pub(super) fn allocate(&mut self, len: u64) {
        self.reserved_bytes = self.reserved_bytes.max(len);
        if len > self.seen.len {
            self.change(Change::Len(len));
        }
    }

    pub(super) fn truncate(&mut self, len: u64) {
        assert!(len <= self.seen.len, "truncate never makes a file longer");
        self.reserved_bytes = len;
        self.change(Change::Len(len));
    }

    /// The position up to which a sync that starts now reaches.
    pub(super) fn sync_position(&self) -> u64 {
        self.settled_count + self.pending.len() as u64
    }

    pub(super) fn sync_to(&mut self, position: u64) {
        for change in self.settle_to(position) {
            self.durable.apply(&change);
        }
    }

    /// A failed sync: as on Linux, the changes are still seen but will never reach the device, and a later sync succeeds.
    pub(super) fn lose_to(&mut self, position: u64) {
        drop(self.settle_to(position));
    }

    fn settle_to(&mut self, position: u64) -> Vec<Change> {
        let count = position.saturating_sub(self.settled_count) as usize;
        self.settled_count += count as u64;
        self.pending.drain(..count).collect()
    }

    fn change(&mut self, change: Change) {
        self.seen.apply(&change);
        self.pending.push(change);
    }

    /// What a power cut leaves. Sectors survive one by one; changes of the length in order, as a journal keeps them.
    pub(super) fn survivor(&self, survival: Survival, random: &mut Random) -> Content {
        let lens = self.pending.iter().filter(|change| matches!(change, Change::Len(_))).count() as u64;
        let mut lens_kept = (0..lens).take_while(|_| survival.keeps(random)).count();
        let mut content = self.durable.clone();
        for change in &self.pending {
            let is_kept = match change {
                Change::Sector(..) => survival.keeps(random),
                Change::Len(_) => {
                    let is_kept = lens_kept > 0;
                    lens_kept = lens_kept.saturating_sub(1);
                    is_kept
                }
            };
            if is_kept {
                content.apply(change);
            }
        }
        content.drop_beyond_end();
        content
    }

    /// Flips bits of what is stored, seen and on its way alike.
    pub(super) fn rot(&mut self, offset: u64, len: u64, random: &mut Random) {
        for at in offset..offset + len {
            let flip = 1u8 << random.below(8);
            let (index, byte) = (at / SECTOR_BYTES as u64, (at % SECTOR_BYTES as u64) as usize);
            self.seen.flip(index, byte, flip);
            self.durable.flip(index, byte, flip);
            for change in &mut self.pending {
                if let Change::Sector(changed, sector) = change
                    && *changed == index
                {
                    Rc::make_mut(sector)[byte] ^= flip;
                }
            }
        }
    }
}

impl Content {
    fn read(&self, offset: u64, len: usize) -> Vec<u8> {
        let len = len.min(usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX));
        let mut bytes = vec![0; len];
        let mut done = 0;
        while done < len {
            let at = offset + done as u64;
            let start = (at % SECTOR_BYTES as u64) as usize;
            let count = (SECTOR_BYTES - start).min(len - done);
            if let Some(sector) = self.sectors.get(&(at / SECTOR_BYTES as u64)) {
                bytes[done..done + count].copy_from_slice(&sector[start..start + count]);
            }
            done += count;
        }
        bytes
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Sector(index, sector) => {
                self.sectors.insert(*index, Rc::clone(sector));
            }
            Change::Len(len) => {
                let is_shorter = *len < self.len;
                self.len = *len;
                if is_shorter {
                    self.drop_beyond_end();
                }
            }
        }
    }

    fn drop_beyond_end(&mut self) {
        drop(self.sectors.split_off(&self.len.div_ceil(SECTOR_BYTES as u64)));
        let rest = (self.len % SECTOR_BYTES as u64) as usize;
        if rest > 0
            && let Some(last) = self.sectors.get_mut(&(self.len / SECTOR_BYTES as u64))
        {
            Rc::make_mut(last)[rest..].fill(0);
        }
    }

    fn flip(&mut self, index: u64, byte: usize, flip: u8) {
        let sector = self.sectors.entry(index).or_insert_with(|| Rc::new([0; SECTOR_BYTES]));
        Rc::make_mut(sector)[byte] ^= flip;
    }
}
