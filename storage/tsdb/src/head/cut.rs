//! Cut and forget: the head's part of handing a range of time over to a block.
//!
//! A cut freezes what is earlier than a time and in no cut yet: open chunks and buffers of late samples there are sealed, and
//! every chunk is marked with the cut's number. Samples for that time may go on coming; they are the next cut's. Once the block is
//! safe, [`Head::without`] makes the head that follows: without the chunks of that cut and those before, and without the
//! series that have nothing else. Series are numbered anew there, in their order. Nothing here depends on anything but what
//! was appended and cut before, so that a replay of the log comes to the same.

use model::{Fingerprint, Offset, SeriesRef, TimeRange};

use super::late::LateCopy;
use super::postings::PairId;
use super::series::NONE;
use super::{Head, SealedChunk, Symbols};
use crate::read::{ChunkEncoding, ChunkSnapshot};

/// Counts the cuts of a head, from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CutNumber(pub u32);

impl CutNumber {
    /// Of chunks that are in no cut.
    pub(super) const NONE: Self = Self(0);

    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A cut that is not forgotten yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenCut {
    pub number: CutNumber,
    /// The block that it goes into.
    pub block: u128,
    /// What was earlier than this and in no cut is in it.
    pub before_ms: i64,
    /// The partition's records before this were applied.
    pub next: Offset,
}

/// What a cut has frozen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CutSize {
    pub series: u64,
    pub chunks: u64,
    pub bytes: u64,
}

/// Which series of a head go on in the one that follows: runs of (dropped, kept).
pub(crate) type Survivors = Vec<(u32, u32)>;

impl Head {
    /// The last cut; 0 before the first.
    #[must_use]
    pub fn last_cut(&self) -> CutNumber {
        self.last_cut
    }

    /// How often series were numbered anew.
    pub(crate) fn numbering(&self) -> u32 {
        self.numbering
    }

    /// For a head that goes on where another was.
    pub(crate) fn set_numbering(&mut self, numbering: u32) {
        self.numbering = numbering;
    }

    /// For a head that goes on where another was.
    pub(crate) fn set_cuts(&mut self, last: CutNumber, open: Vec<OpenCut>) {
        (self.last_cut, self.open_cuts) = (last, open);
    }

    /// Cuts that are not forgotten, oldest first.
    #[must_use]
    pub fn open_cuts(&self) -> &[OpenCut] {
        &self.open_cuts
    }

    /// The earliest time of a sample that is in no cut.
    #[must_use]
    pub fn uncut_min_ms(&self) -> Option<i64> {
        (self.uncut_min_ms < i64::MAX).then_some(self.uncut_min_ms)
    }

    /// Looks at all chunks.
    pub(crate) fn find_uncut_min(&mut self) {
        let min_ms = (0..self.series.len()).filter_map(|series| self.uncut_min_of(series)).min();
        self.uncut_min_ms = min_ms.unwrap_or(i64::MAX);
    }

    fn uncut_min_of(&self, series: u32) -> Option<i64> {
        let sealed = self.chunk_list(self.series.get(series).sealed).chain(self.chunk_list(self.newest_late(series)));
        let sealed = sealed.filter(|chunk| chunk.cut == CutNumber::NONE).map(|chunk| chunk.range.min_ms);
        let late = self.late_runs(series).map(|samples| samples[0].timestamp_ms);
        sealed.chain(late).chain(self.open_range_of(series).map(|range| range.min_ms)).min()
    }

    /// Freezes what is earlier than the cut's time, a multiple of the chunks' range, and in no cut yet.
    ///
    /// # Panics
    /// It is not the next one.
    pub fn cut(&mut self, open: OpenCut) -> CutSize {
        let OpenCut { number: cut, before_ms, .. } = open;
        assert_eq!(cut, self.last_cut.next(), "cuts are numbered one after the other");
        self.last_cut = cut;
        self.open_cuts.push(open);
        let mut size = CutSize::default();
        for series in 0..self.series.len() {
            if self.open_range_of(series).is_some_and(|range| range.max_ms < before_ms) {
                self.seal(series);
            }
            self.seal_late_before(series, before_ms);
            let chunks_before = size.chunks;
            for newest in [self.series.get(series).sealed, self.newest_late(series)] {
                self.mark_list(newest, cut, before_ms, &mut size);
            }
            size.series += u64::from(size.chunks > chunks_before);
        }
        self.find_uncut_min();
        size
    }

    fn mark_list(&mut self, newest: u32, cut: CutNumber, before_ms: i64, size: &mut CutSize) {
        let mut next = newest;
        while next != NONE {
            let chunk = self.sealed.get_mut(next);
            if chunk.cut == CutNumber::NONE && chunk.range.max_ms < before_ms {
                chunk.cut = cut;
                size.chunks += 1;
                size.bytes += chunk.bytes.len() as u64;
            }
            next = chunk.previous;
        }
    }

    /// The chunks of a cut that a series has: those in order oldest first, then those of late samples.
    pub(crate) fn cut_chunks(&self, series: u32, cut: CutNumber) -> Vec<ChunkSnapshot> {
        let of_cut = |newest: u32| {
            let chunks = self.chunk_list(newest).filter(|chunk| chunk.cut == cut);
            let snapshot = |chunk: &SealedChunk| {
                let (range, bytes) = (chunk.range, chunk.bytes.clone());
                ChunkSnapshot { range, encoding: ChunkEncoding::Xor, bytes }
            };
            let mut chunks: Vec<ChunkSnapshot> = chunks.map(snapshot).collect();
            chunks.reverse();
            chunks
        };
        let mut chunks = of_cut(self.series.get(series).sealed);
        chunks.extend(of_cut(self.newest_late(series)));
        chunks
    }

    /// The head that follows once the blocks of all cuts up to this one are safe, and which series went on.
    ///
    /// # Panics
    /// There was no such cut.
    pub(crate) fn without(&self, symbols: &mut Symbols, cut: CutNumber) -> (Self, Survivors) {
        assert!(cut <= self.last_cut, "only what was cut is forgotten");
        let mut head = Self::new(self.options);
        (head.numbering, head.last_cut) = (self.numbering + 1, self.last_cut);
        head.open_cuts = self.open_cuts.iter().copied().filter(|open| open.number > cut).collect();
        head.uncut_min_ms = self.uncut_min_ms;
        let mut fingerprints = vec![Fingerprint(0); self.series.len() as usize];
        self.fingerprints.for_each(|fingerprint, series| fingerprints[series.0 as usize] = fingerprint);
        let mut renumbering = Renumbering { pairs: vec![None; self.postings.len()], ..Renumbering::default() };
        let mut survivors = Survivors::new();
        for (series, fingerprint) in fingerprints.into_iter().enumerate() {
            let series = series as u32;
            if self.is_gone_after(series, cut) {
                match survivors.last_mut() {
                    Some((dropped, 0)) => *dropped += 1,
                    _ => survivors.push((1, 0)),
                }
                continue;
            }
            match survivors.last_mut() {
                Some((_, kept)) => *kept += 1,
                None => survivors.push((0, 1)),
            }
            let pairs = renumbering.renumber(self, &mut head, symbols, series);
            let added = head.push_series(pairs);
            head.fingerprints.insert(fingerprint, added);
            head.take_over(added, self, series, cut);
        }
        (head, survivors)
    }

    fn is_gone_after(&self, series: u32, cut: CutNumber) -> bool {
        let own = self.series.get(series);
        let stays = |chunk: &SealedChunk| chunk.cut == CutNumber::NONE || chunk.cut > cut;
        own.open.count() == 0
            && self.late_runs(series).len() == 0
            && !self.chunk_list(own.sealed).chain(self.chunk_list(self.newest_late(series))).any(stays)
    }

    /// Gives a new series what another head's series has beyond a cut.
    fn take_over(&mut self, added: SeriesRef, from: &Self, series: u32, cut: CutNumber) {
        let own = from.series.get(series);
        let sealed = self.keep_list(from, own.sealed, cut);
        let into = self.series.get_mut(added.0);
        (into.sealed, into.seal_at_ms) = (sealed, own.seal_at_ms);
        if own.open.count() > 0 {
            let range = from.open_range_of(series).expect("the open chunk has samples");
            let slot = self.arena.allocate_for(from.arena.slot(own.slot).len());
            let bytes = from.arena.slot(own.slot);
            self.arena.slot_mut(slot)[..bytes.len()].copy_from_slice(bytes);
            let into = self.series.get_mut(added.0);
            (into.open, into.slot) = (own.open, slot);
            self.widen(range);
        }
        if let Some(LateCopy { buffers, sealed }) = from.copy_of_late(series) {
            let sealed = self.keep_list(from, sealed, cut);
            self.put_late_copy(added.0, LateCopy { buffers, sealed });
        }
    }

    fn keep_list(&mut self, from: &Self, newest: u32, cut: CutNumber) -> u32 {
        let stays = |chunk: &&SealedChunk| chunk.cut == CutNumber::NONE || chunk.cut > cut;
        let chunks: Vec<&SealedChunk> = from.chunk_list(newest).filter(stays).collect();
        let mut newest = NONE;
        for chunk in chunks.into_iter().rev() {
            let SealedChunk { range, bytes, logged, cut, .. } = chunk;
            self.sealed_bytes += bytes.memory_bytes();
            self.widen(*range);
            let (range, bytes, logged, cut) = (*range, bytes.clone(), *logged, *cut);
            newest = self.sealed.push(SealedChunk { range, bytes, previous: newest, logged, cut });
        }
        newest
    }

    pub(super) fn open_range_of(&self, series: u32) -> Option<TimeRange> {
        let own = self.series.get(series);
        (own.open.count() > 0).then(|| super::append::open_range(self.arena.slot(own.slot), &own.open))
    }
}

/// From the label pairs of one head to those of the next.
#[derive(Default)]
struct Renumbering {
    pairs: Vec<Option<PairId>>,
    own: Vec<PairId>,
}

impl Renumbering {
    fn renumber(&mut self, from: &Head, into: &mut Head, symbols: &mut Symbols, series: u32) -> &[PairId] {
        self.own.clear();
        for pair in from.pairs_of(series) {
            let renumbered = *self.pairs[pair.0 as usize].get_or_insert_with(|| {
                let pair = from.postings.pair(*pair);
                into.postings.intern(symbols, pair.name, pair.value)
            });
            self.own.push(renumbered);
        }
        &self.own
    }
}
