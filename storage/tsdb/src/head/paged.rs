//! A vector that grows by pages: no doubling, so a million series never have to be copied in one turn, nor held twice.

/// Elements of a page. A power of two, so that an index splits by shifts.
const PAGE_LEN: usize = 1024;

/// Append-only, indexed by `u32`.
pub(super) struct Paged<T> {
    pages: Vec<Vec<T>>,
    len: u32,
}

impl<T> Paged<T> {
    pub(super) fn new() -> Self {
        Self { pages: Vec::new(), len: 0 }
    }

    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// # Panics
    /// There are `u32::MAX` elements: callers have lower limits.
    pub(super) fn push(&mut self, element: T) -> u32 {
        let index = self.len;
        let (page, within) = split(index);
        if within == 0 {
            // The first page grows as it fills: a small head stays small.
            let capacity = if page == 0 { 4 } else { PAGE_LEN };
            self.pages.push(Vec::with_capacity(capacity));
        }
        self.pages[page].push(element);
        self.len = index.checked_add(1).expect("fewer elements than u32::MAX");
        index
    }

    #[inline]
    pub(super) fn get(&self, index: u32) -> &T {
        let (page, within) = split(index);
        &self.pages[page][within]
    }

    #[inline]
    pub(super) fn get_mut(&mut self, index: u32) -> &mut T {
        let (page, within) = split(index);
        &mut self.pages[page][within]
    }

    /// Memory held.
    pub(super) fn bytes(&self) -> u64 {
        let first = self.pages.first().map_or(0, Vec::capacity);
        let elements = first + self.pages.len().saturating_sub(1) * PAGE_LEN;
        (elements * size_of::<T>() + self.pages.capacity() * size_of::<Vec<T>>()) as u64
    }
}

#[inline]
fn split(index: u32) -> (usize, usize) {
    let index = index as usize;
    (index / PAGE_LEN, index % PAGE_LEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_cross_pages() {
        let mut paged = Paged::new();
        for index in 0..3000u32 {
            assert_eq!(paged.push(index), index);
        }
        *paged.get_mut(1024) = 7;
        assert_eq!((paged.len(), *paged.get(1023), *paged.get(1024), *paged.get(2999)), (3000, 1023, 7, 2999));
        assert!((3072 * 4..3072 * 4 + 200).contains(&paged.bytes()), "{}", paged.bytes());
    }
}
