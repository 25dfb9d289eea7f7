//! Where open chunks live: slots of a few sizes in pages of one size.
//!
//! All series of a scrape grow through the sizes together, so a page whose slots are all free goes back to a stock that
//! every size takes from: memory follows what is open now, not the sum of what each size once held.

/// Slot sizes, finer where full chunks end (2 to 9 bytes a sample): there a slot lives longest. The last holds the longest
/// chunk.
const SLOT_BYTES: [usize; 19] =
    [48, 64, 96, 128, 160, 192, 256, 320, 384, 448, 512, 640, 768, 896, 1024, 1152, 1344, 1792, super::CHUNK_BYTES_MAX];
const PAGE_BYTES: usize = 16 << 10;
/// A slot's number: the page, then this many bits of place within the page.
const PLACE_BITS: u32 = 9;
const NONE: u32 = u32::MAX;
const NO_PLACE: u16 = u16::MAX;

const _: () = assert!(PAGE_BYTES / SLOT_BYTES[0] <= 1 << PLACE_BITS);

/// A slot in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Slot(u32);

impl Slot {
    /// For a series that has no open chunk; never given out, never to be looked up.
    pub(super) const NONE: Self = Self(NONE);
}

pub(super) struct ChunkArena {
    pages: Vec<Page>,
    /// Pages without a slot in use, of no size.
    stock: Vec<u32>,
    /// For each size the first page that has a free slot; the others follow by [`Page::next`].
    open_pages: [u32; SLOT_BYTES.len()],
    slots_used: u64,
    /// Bytes ever copied by [`ChunkArena::grow`]: the measure of its cost.
    #[cfg(test)]
    bytes_moved: u64,
}

struct Page {
    bytes: Box<[u8]>,
    size: u8,
    used: u16,
    /// Slots from here on were never used.
    fresh: u16,
    /// First freed slot; its first two bytes name the next.
    freed: u16,
    previous: u32,
    next: u32,
}

impl ChunkArena {
    pub(super) fn new() -> Self {
        Self {
            pages: Vec::new(),
            stock: Vec::new(),
            open_pages: [NONE; SLOT_BYTES.len()],
            slots_used: 0,
            #[cfg(test)]
            bytes_moved: 0,
        }
    }

    /// Memory held.
    pub(super) fn bytes(&self) -> u64 {
        let table = self.pages.capacity() * size_of::<Page>() + self.stock.capacity() * size_of::<u32>();
        (self.pages.len() * PAGE_BYTES + table) as u64
    }

    #[cfg(test)]
    pub(super) fn bytes_moved(&self) -> u64 {
        self.bytes_moved
    }

    pub(super) fn slots_used(&self) -> u64 {
        self.slots_used
    }

    /// A slot of the smallest size, its bytes unspecified.
    pub(super) fn allocate(&mut self) -> Slot {
        self.allocate_of(0)
    }

    /// A slot of the smallest size that holds so many bytes.
    ///
    /// # Panics
    /// No chunk is that long.
    pub(super) fn allocate_for(&mut self, bytes: usize) -> Slot {
        let size = SLOT_BYTES.iter().position(|size| *size >= bytes);
        self.allocate_of(size.expect("the largest slot holds the longest chunk"))
    }

    #[inline]
    pub(super) fn slot(&self, slot: Slot) -> &[u8] {
        let (page, place) = slot.split();
        let page = &self.pages[page];
        let size = SLOT_BYTES[usize::from(page.size)];
        &page.bytes[place * size..(place + 1) * size]
    }

    #[inline]
    pub(super) fn slot_mut(&mut self, slot: Slot) -> &mut [u8] {
        let (page, place) = slot.split();
        let page = &mut self.pages[page];
        let size = SLOT_BYTES[usize::from(page.size)];
        &mut page.bytes[place * size..(place + 1) * size]
    }

    /// Moves the first `len` bytes to a slot of the next size and frees the old one.
    ///
    /// # Panics
    /// The slot is of the largest size.
    pub(super) fn grow(&mut self, slot: Slot, len: usize) -> Slot {
        let (page, place) = slot.split();
        let size = usize::from(self.pages[page].size);
        assert!(size + 1 < SLOT_BYTES.len(), "the largest slot holds the longest chunk");
        let grown = self.allocate_of(size + 1);
        let (grown_page, grown_place) = grown.split();
        let [from, to] = self.pages.get_disjoint_mut([page, grown_page]).expect("sizes do not share pages");
        let (from_at, to_at) = (place * SLOT_BYTES[size], grown_place * SLOT_BYTES[size + 1]);
        to.bytes[to_at..to_at + len].copy_from_slice(&from.bytes[from_at..from_at + len]);
        #[cfg(test)]
        {
            self.bytes_moved += len as u64;
        }
        self.free(slot);
        grown
    }

    pub(super) fn free(&mut self, slot: Slot) {
        let (page_index, place) = slot.split();
        let page = &mut self.pages[page_index];
        let size = usize::from(page.size);
        let was_full = usize::from(page.used) == PAGE_BYTES / SLOT_BYTES[size];
        page.used -= 1;
        self.slots_used -= 1;
        if page.used == 0 {
            if !was_full {
                self.unlink(page_index);
            }
            self.stock.push(page_index as u32);
            return;
        }
        let at = place * SLOT_BYTES[size];
        page.bytes[at..at + 2].copy_from_slice(&page.freed.to_le_bytes());
        page.freed = place as u16;
        if was_full {
            self.link(page_index);
        }
    }

    fn allocate_of(&mut self, size: usize) -> Slot {
        let page_index = match self.open_pages[size] {
            NONE => self.open_page(size),
            page_index => page_index as usize,
        };
        let page = &mut self.pages[page_index];
        let place = match page.freed {
            NO_PLACE => {
                page.fresh += 1;
                page.fresh - 1
            }
            place => {
                let at = usize::from(place) * SLOT_BYTES[size];
                page.freed = u16::from_le_bytes([page.bytes[at], page.bytes[at + 1]]);
                place
            }
        };
        page.used += 1;
        self.slots_used += 1;
        if usize::from(page.used) == PAGE_BYTES / SLOT_BYTES[size] {
            self.unlink(page_index);
        }
        Slot((page_index as u32) << PLACE_BITS | u32::from(place))
    }

    fn open_page(&mut self, size: usize) -> usize {
        let page_index = match self.stock.pop() {
            Some(page_index) => page_index as usize,
            None => {
                assert!(self.pages.len() < (NONE >> PLACE_BITS) as usize, "fewer pages than slot numbers");
                let bytes = vec![0; PAGE_BYTES].into_boxed_slice();
                self.pages.push(Page {
                    bytes,
                    size: 0,
                    used: 0,
                    fresh: 0,
                    freed: NO_PLACE,
                    previous: NONE,
                    next: NONE,
                });
                self.pages.len() - 1
            }
        };
        let page = &mut self.pages[page_index];
        (page.size, page.fresh, page.freed) = (size as u8, 0, NO_PLACE);
        self.link(page_index);
        page_index
    }

    /// Puts a page in front of the open pages of its size.
    fn link(&mut self, page_index: usize) {
        let size = usize::from(self.pages[page_index].size);
        let next = self.open_pages[size];
        (self.pages[page_index].previous, self.pages[page_index].next) = (NONE, next);
        if next != NONE {
            self.pages[next as usize].previous = page_index as u32;
        }
        self.open_pages[size] = page_index as u32;
    }

    fn unlink(&mut self, page_index: usize) {
        let Page { size, previous, next, .. } = self.pages[page_index];
        match previous {
            NONE => self.open_pages[usize::from(size)] = next,
            previous => self.pages[previous as usize].next = next,
        }
        if next != NONE {
            self.pages[next as usize].previous = previous;
        }
    }
}

impl Slot {
    #[inline]
    fn split(self) -> (usize, usize) {
        ((self.0 >> PLACE_BITS) as usize, (self.0 & ((1 << PLACE_BITS) - 1)) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every slot keeps its own bytes while all move through the sizes, and the memory of a size that was left is used again.
    #[test]
    fn slots_keep_their_bytes_and_pages_change_their_size() {
        let mut arena = ChunkArena::new();
        let mut slots: Vec<Slot> = (0..2000).map(|_| arena.allocate()).collect();
        for (index, slot) in slots.iter().enumerate() {
            arena.slot_mut(*slot).fill(index as u8);
        }
        for size in 1..SLOT_BYTES.len() {
            for (index, slot) in slots.iter_mut().enumerate() {
                *slot = arena.grow(*slot, SLOT_BYTES[size - 1]);
                assert_eq!(arena.slot(*slot).len(), SLOT_BYTES[size]);
                arena.slot_mut(*slot)[SLOT_BYTES[size - 1]..].fill(index as u8);
            }
            for (index, slot) in slots.iter().enumerate() {
                assert!(arena.slot(*slot).iter().all(|byte| *byte == index as u8), "slot {index} of size {size}");
            }
            let pages_needed = slots.len().div_ceil(PAGE_BYTES / SLOT_BYTES[size]);
            // Two more: the page of the smaller size that is being left, the one of the larger that is being filled.
            assert!(arena.pages.len() <= pages_needed + 2, "{} pages, {pages_needed} needed", arena.pages.len());
        }
        let pages = arena.pages.len();
        slots.drain(..).for_each(|slot| arena.free(slot));
        assert_eq!((arena.slots_used, arena.stock.len()), (0, pages));
        (0..2000).for_each(|_| slots.push(arena.allocate()));
        assert_eq!(arena.pages.len(), pages, "the stock is used before memory is asked for");
        slots.sort_unstable_by_key(|slot| slot.0);
        slots.dedup();
        assert_eq!(slots.len(), 2000, "no slot is given out twice");
    }

    #[test]
    fn frees_in_any_order_leave_every_slot_usable() {
        let mut arena = ChunkArena::new();
        let mut held: Vec<(Slot, u8)> = Vec::new();
        let mut state = 1u64;
        for round in 0..20_000u32 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let pick = (state >> 33) as usize;
            if held.len() > 700 || (pick.is_multiple_of(3) && !held.is_empty()) {
                let (slot, mark) = held.swap_remove(pick % held.len());
                assert!(arena.slot(slot).iter().all(|byte| *byte == mark), "round {round}");
                arena.free(slot);
            } else {
                let mark = round as u8;
                let slot = arena.allocate();
                arena.slot_mut(slot).fill(mark);
                held.push((slot, mark));
            }
        }
        assert_eq!(arena.slots_used, held.len() as u64);
    }
}
