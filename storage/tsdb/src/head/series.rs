//! What a head keeps of each series: one cache line for appending, and the labels apart from it.

use crate::chunk::XorAppender;

use super::arena::Slot;
use super::postings::PairId;

/// "No sealed chunk".
pub(super) const NONE: u32 = u32::MAX;

/// Everything an append looks at, in one line; labels and sealed chunks are one step away.
#[repr(align(64))]
pub(super) struct Series {
    pub(super) open: XorAppender,
    /// The open chunk's samples are earlier than this. Meaningless while the chunk is empty.
    pub(super) seal_at_ms: i64,
    pub(super) slot: Slot,
    /// The newest sealed chunk or [`NONE`].
    pub(super) sealed: u32,
    pub(super) labels: LabelsAt,
}

const _: () = assert!(size_of::<Series>() == 64);

/// Where a series' label pairs are.
#[derive(Clone, Copy)]
pub(super) struct LabelsAt {
    start: u32,
    len: u16,
}

/// The label pairs of all series, each series' run in one page.
pub(super) struct LabelPool {
    pages: Vec<Vec<PairId>>,
}

const PAGE_BITS: u32 = 14;
const PAGE_PAIRS: usize = 1 << PAGE_BITS;
const _: () = assert!(super::LABELS_MAX <= PAGE_PAIRS && super::LABELS_MAX <= u16::MAX as usize);

impl LabelPool {
    pub(super) fn new() -> Self {
        Self { pages: Vec::new() }
    }

    /// # Panics
    /// More pairs than a page holds; 2^32 pairs: both beyond the limits of labels and series.
    pub(super) fn push(&mut self, pairs: &[PairId]) -> LabelsAt {
        assert!(pairs.len() <= super::LABELS_MAX, "labels were counted before");
        let has_room = self.pages.last().is_some_and(|page| page.len() + pairs.len() <= PAGE_PAIRS);
        if !has_room {
            let capacity = if self.pages.is_empty() { 0 } else { PAGE_PAIRS };
            self.pages.push(Vec::with_capacity(capacity));
        }
        let page_index = self.pages.len() - 1;
        let page = &mut self.pages[page_index];
        let start = u32::try_from((page_index << PAGE_BITS) + page.len()).expect("fewer than 2^32 label pairs");
        page.extend_from_slice(pairs);
        LabelsAt { start, len: pairs.len() as u16 }
    }

    #[inline]
    pub(super) fn get(&self, at: LabelsAt) -> &[PairId] {
        let (page, within) = ((at.start >> PAGE_BITS) as usize, at.start as usize % PAGE_PAIRS);
        &self.pages[page][within..within + usize::from(at.len)]
    }

    /// Memory held.
    pub(super) fn bytes(&self) -> u64 {
        let first = self.pages.first().map_or(0, Vec::capacity);
        let pairs = first + self.pages.len().saturating_sub(1) * PAGE_PAIRS;
        (pairs * size_of::<PairId>()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_do_not_cross_pages() {
        let mut pool = LabelPool::new();
        let pairs: Vec<PairId> = (0..100).map(PairId).collect();
        let runs: Vec<LabelsAt> = (0..1000).map(|i| pool.push(&pairs[..i % 101])).collect();
        for (index, run) in runs.into_iter().enumerate() {
            assert_eq!(pool.get(run), &pairs[..index % 101], "{index}");
        }
    }
}
