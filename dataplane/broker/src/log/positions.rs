//! Remembers where the last readers of a partition stopped: who reads on needs no search, and nothing is read twice.

use std::cell::RefCell;
use std::collections::VecDeque;

const REMEMBERED_MAX: usize = 16;

#[derive(Default)]
pub(super) struct Positions {
    newest_last: RefCell<VecDeque<Known>>,
}

#[derive(Clone, Copy)]
struct Known {
    segment: i64,
    offset: i64,
    position: u64,
}

impl Positions {
    /// In the segment with this base offset, the batch that begins with `offset` is (or will be) at `position`.
    pub fn remember(&self, segment: i64, offset: i64, position: u64) {
        let mut known = self.newest_last.borrow_mut();
        known.retain(|known| known.segment != segment || known.offset != offset);
        if known.len() == REMEMBERED_MAX {
            known.pop_front();
        }
        known.push_back(Known { segment, offset, position });
    }

    pub fn get(&self, segment: i64, offset: i64) -> Option<u64> {
        let known = self.newest_last.borrow();
        known.iter().rev().find(|known| known.segment == segment && known.offset == offset).map(|known| known.position)
    }
}
