//! One partition: its segments, its high watermark, and the turn that appends to it.
//!
//! Appending happens in turns, one at a time; reading goes on meanwhile and sees only what is published, which is what is synced.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use disk::{Disk, DiskError, DiskErrorKind};
use uuid::Uuid;

use super::log_start;
use super::positions::Positions;
use super::producers::{Before, Producers, Verdict};
use super::segment::{LastSegment, Segment, base_offset_of, identity, producers_path, segment_path};
use super::space::Space;
use super::waiters::Waiter;
use crate::batch::{BatchHeader, RecordBatch};
use crate::counters::{BrokerCounters, add};
use crate::error::{BrokerError, Refusal};

/// Small batches are gathered to writes of this size.
const WRITE_BYTES: usize = 1 << 20;

pub(super) struct Partition<D: Disk> {
    topic: Uuid,
    number: i32,
    dir: PathBuf,
    segment_bytes_max: u64,
    segments: RefCell<VecDeque<Rc<Segment<D>>>>,
    pub positions: Positions,
    pub waiters: RefCell<Vec<Rc<Waiter>>>,
    /// Records before it were deleted.
    begin: Cell<i64>,
    producers: RefCell<Producers>,
    /// Retention does not pass it; `None` until it was told.
    pub retention_floor: Cell<Option<i64>>,
}

/// What became of one batch: its base offset.
pub(super) type Appended = Result<i64, Refusal>;

impl<D: Disk> Partition<D> {
    /// Makes the folder and the first segment.
    pub async fn create(
        disk: &D,
        dir: PathBuf,
        topic: Uuid,
        number: i32,
        segment_bytes_max: u64,
        space: &Space,
    ) -> Result<Self, DiskError> {
        disk.create_dir(&dir).await?;
        let first = Segment::create(disk, &dir, identity(topic, number, 0)).await?;
        space.count(first.live_file().allocated());
        Ok(Self::new(dir, topic, number, segment_bytes_max, VecDeque::from([Rc::new(first)])))
    }

    fn new(dir: PathBuf, topic: Uuid, number: i32, segment_bytes_max: u64, segments: VecDeque<Rc<Segment<D>>>) -> Self {
        Self {
            topic,
            number,
            dir,
            segment_bytes_max,
            segments: RefCell::new(segments),
            positions: Positions::default(),
            waiters: RefCell::default(),
            begin: Cell::new(0),
            producers: RefCell::default(),
            retention_floor: Cell::new(None),
        }
    }

    /// Finds the segments again; the torn tail of the last one is cut.
    pub async fn open(
        disk: &D,
        dir: PathBuf,
        topic: Uuid,
        number: i32,
        segment_bytes_max: u64,
        space: &Space,
    ) -> Result<Self, BrokerError> {
        let mut base_offsets = list_segments(disk, &dir).await?;
        let (last, producers) = loop {
            let Some(base_offset) = base_offsets.pop() else {
                return Err(BrokerError::damaged(&dir, 0, "the folder of a partition has no segment"));
            };
            let mut producers = Producers::load(disk, &producers_path(&dir, base_offset), base_offset).await?;
            let each = |header: &BatchHeader| drop(producers.as_mut().map(|producers| producers.push(header)));
            match Segment::open_last(disk, &dir, identity(topic, number, base_offset), space, each).await? {
                LastSegment::Segment(segment) => break (segment, producers),
                LastSegment::Unfinished => {
                    disk.remove(&segment_path(&dir, base_offset)).await?;
                    disk.sync_dir(&dir).await?;
                }
            }
        };
        let mut segments = VecDeque::from([Rc::new(last)]);
        for base_offset in base_offsets.into_iter().rev() {
            let end_offset = segments[0].base_offset;
            let identity = identity(topic, number, base_offset);
            let segment = Segment::open_sealed(disk, &dir, identity, end_offset, space).await?;
            segments.push_front(Rc::new(segment));
        }
        let begin = log_start::load(disk, &dir).await?;
        let partition = Self::new(dir, topic, number, segment_bytes_max, segments);
        if begin > partition.high_watermark() {
            let what = format!("it begins with {begin}, and its last segment ends at {}", partition.high_watermark());
            return Err(BrokerError::damaged(&partition.dir, 0, what));
        }
        partition.begin.set(begin);
        match producers {
            Some(producers) => *partition.producers.borrow_mut() = producers,
            None if partition.segments().iter().any(|it| it.index().has_producers) => {
                partition.find_producers(disk).await?;
            }
            None => {}
        }
        Ok(partition)
    }

    /// Reads what is known of producers from all segments, and keeps a copy.
    async fn find_producers(&self, disk: &D) -> Result<(), BrokerError> {
        let mut producers = Producers::default();
        for segment in self.segments() {
            if Rc::ptr_eq(&segment, &self.live_segment()) {
                producers.save(disk, &producers_path(&self.dir, segment.base_offset), segment.base_offset).await?;
            }
            match segment.each_header(disk, |header| drop(producers.push(header))).await {
                // Who reads it will be told; the producers of a damaged segment are forgotten from there on.
                Err(error @ BrokerError::Damaged { .. }) => tracing::error!(%error, "producers are not all known"),
                read => read?,
            }
        }
        *self.producers.borrow_mut() = producers;
        Ok(())
    }

    /// The first offset that is still there.
    pub fn start_offset(&self) -> i64 {
        self.segments.borrow()[0].base_offset.max(self.begin.get())
    }

    /// Begins with `offset` from now on, durably. `false`: there is no room, and nothing changed.
    pub async fn begin_at(&self, disk: &D, offset: i64) -> Result<bool, DiskError> {
        assert!(offset <= self.high_watermark(), "only what is there is deleted");
        match log_start::save(disk, &self.dir, offset).await {
            Err(error) if error.kind == DiskErrorKind::NoSpace => return Ok(false),
            saved => saved?,
        }
        self.begin.set(offset);
        Ok(true)
    }

    /// The offset after the last synced record: nothing beyond is given out.
    pub fn high_watermark(&self) -> i64 {
        self.live_segment().index().end_offset
    }

    pub fn live_segment(&self) -> Rc<Segment<D>> {
        Rc::clone(self.segments.borrow().back().expect("a partition has a segment"))
    }

    /// The segment that holds `offset`, which must be in the log.
    pub fn segment_of(&self, offset: i64) -> Rc<Segment<D>> {
        let segments = self.segments.borrow();
        let passed = segments.partition_point(|segment| segment.base_offset <= offset);
        Rc::clone(&segments[passed.saturating_sub(1)])
    }

    /// All segments, oldest first.
    pub fn segments(&self) -> Vec<Rc<Segment<D>>> {
        self.segments.borrow().iter().map(Rc::clone).collect()
    }

    /// Bytes that a reader at `offset` has before it: an estimate from the index that is 0 only at the end, and that stops
    /// counting at `enough`.
    pub fn available_bytes(&self, offset: i64, enough: u64) -> u64 {
        if offset >= self.high_watermark() {
            return 0;
        }
        let segments = self.segments.borrow();
        let first = segments.partition_point(|segment| segment.base_offset <= offset).saturating_sub(1);
        let mut bytes = 0;
        for (place, segment) in segments.iter().enumerate().skip(first) {
            let index = segment.index();
            let known = self.positions.get(segment.base_offset, offset);
            let from = if place == first { known.unwrap_or_else(|| index.floor_of_offset(offset).1) } else { 0 };
            bytes += index.end.saturating_sub(from.max(super::append_file::DATA_START));
            if bytes >= enough {
                break;
            }
        }
        bytes.max(1)
    }

    /// Appends batches and syncs them; gives for each its base offset. An error is fatal.
    pub async fn append(
        &self,
        disk: &D,
        space: &Space,
        counters: &BrokerCounters,
        batches: &[&RecordBatch],
    ) -> Result<Vec<Appended>, BrokerError> {
        let mut run = Run::new(self.live_segment(), &self.producers, batches.len());
        for (place, batch) in batches.iter().enumerate() {
            if !run.is_new(place, batch) {
                continue;
            }
            if run.is_over(batch.len(), self.segment_bytes_max) {
                run.write().await?;
                run.sync(counters).await?;
                match self.roll(disk, space).await {
                    Ok(()) => run.segment = self.live_segment(),
                    Err(error) if error.kind == DiskErrorKind::NoSpace => {
                        run.outcomes[place] = Err(Refusal::NoSpace);
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            run.add(place, batch, space).await?;
        }
        run.write().await?;
        run.sync(counters).await?;
        Ok(run.outcomes)
    }

    /// Begins the next segment. Everything is synced before, so whatever a crash leaves of this is complete up to the new one's base.
    pub async fn roll(&self, disk: &D, space: &Space) -> Result<(), DiskError> {
        let old = self.live_segment();
        let base_offset = old.index().end_offset;
        assert!(base_offset > old.base_offset, "an empty segment is not rolled");
        let identity = identity(self.topic, self.number, base_offset);
        let producers = self.producers.borrow().clone();
        if !producers.is_empty() {
            producers.save(disk, &producers_path(&self.dir, base_offset), base_offset).await?;
        }
        let new = match Segment::create(disk, &self.dir, identity).await {
            Err(error) if error.kind == DiskErrorKind::NoSpace => {
                remove_if_there(disk, &segment_path(&self.dir, base_offset)).await?;
                return Err(error);
            }
            created => created?,
        };
        space.count(new.live_file().allocated());
        if !producers.is_empty() {
            remove_if_there(disk, &producers_path(&self.dir, old.base_offset)).await?;
        }
        // The new one is in the row before the old one is sealed: a reader in between sees no gap.
        self.segments.borrow_mut().push_back(Rc::new(new));
        old.seal(disk, space).await
    }

    /// Removes the oldest segment.
    ///
    /// # Panics
    /// It is the live one.
    pub async fn remove_oldest(&self, disk: &D, space: &Space) -> Result<(), DiskError> {
        let oldest = {
            let mut segments = self.segments.borrow_mut();
            assert!(segments.len() > 1, "the live segment stays");
            segments.pop_front().expect("there are two")
        };
        oldest.remove(disk, space).await
    }

    /// Marks all as synced, so that the next start knows it.
    pub async fn close(&self, space: &Space) -> Result<(), DiskError> {
        let segment = self.live_segment();
        let end = segment.index().end;
        segment.live_file().cut(end, space).await
    }

    /// Uncounts what its files occupy, before they are removed.
    pub fn give_back_space(&self, space: &Space) {
        let segments = self.segments.borrow();
        for segment in segments.iter() {
            space.give_back(segment.counted_bytes());
        }
    }

    /// Bytes of all its batches.
    pub fn data_bytes(&self) -> u64 {
        self.segments.borrow().iter().map(|segment| segment.index().end).sum()
    }
}

/// The work of one turn on one partition.
struct Run<'a, D: Disk> {
    segment: Rc<Segment<D>>,
    producers: &'a RefCell<Producers>,
    next_offset: i64,
    buffer: Vec<u8>,
    /// In the buffer, with their places in `outcomes`.
    buffered: Vec<(usize, BatchHeader, Option<Before>)>,
    /// Repetitions of what is in the buffer.
    repeated: Vec<(usize, i64)>,
    /// In the file, not synced.
    written: Vec<BatchHeader>,
    outcomes: Vec<Appended>,
}

impl<'a, D: Disk> Run<'a, D> {
    fn new(segment: Rc<Segment<D>>, producers: &'a RefCell<Producers>, batch_count: usize) -> Self {
        let next_offset = segment.index().end_offset;
        let outcomes = vec![Err(Refusal::Stopping); batch_count];
        let (buffer, buffered, repeated, written) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { segment, producers, next_offset, buffer, buffered, repeated, written, outcomes }
    }

    /// Whether a batch is to be appended; if not, its outcome is known or will be with the buffer's.
    fn is_new(&mut self, place: usize, batch: &RecordBatch) -> bool {
        match self.producers.borrow().check(batch.header()) {
            Ok(Verdict::Append) => return true,
            Ok(Verdict::Repeated(base_offset)) => {
                let is_buffered = self.buffered.first().is_some_and(|(_, first, _)| base_offset >= first.base_offset);
                if is_buffered {
                    self.repeated.push((place, base_offset));
                } else {
                    self.outcomes[place] = Ok(base_offset);
                }
            }
            Err(refusal) => self.outcomes[place] = Err(refusal),
        }
        false
    }

    fn end(&self) -> u64 {
        self.segment.live_file().end() + self.buffer.len() as u64
    }

    /// Whether a batch of `len` bytes belongs into the next segment.
    fn is_over(&self, len: usize, segment_bytes_max: u64) -> bool {
        let data_bytes = self.end() - super::append_file::DATA_START;
        data_bytes > 0 && data_bytes + len as u64 > segment_bytes_max
    }

    async fn add(&mut self, place: usize, batch: &RecordBatch, space: &Space) -> Result<(), DiskError> {
        if !self.segment.live_file().reserve(self.end() + batch.len() as u64, space).await? {
            self.outcomes[place] = Err(Refusal::NoSpace);
            return Ok(());
        }
        let header = batch.store(self.next_offset, &mut self.buffer);
        self.next_offset = header.next_offset();
        let before = self.producers.borrow_mut().push(&header);
        self.buffered.push((place, header, before));
        if self.buffer.len() >= WRITE_BYTES {
            self.write().await?;
        }
        Ok(())
    }

    async fn write(&mut self) -> Result<(), DiskError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        match self.segment.live_file().append(&self.buffer).await {
            Ok(()) => {
                for (place, header, _) in self.buffered.drain(..) {
                    self.outcomes[place] = Ok(header.base_offset);
                    self.written.push(header);
                }
                self.repeated.drain(..).for_each(|(place, base_offset)| self.outcomes[place] = Ok(base_offset));
            }
            // Some file systems find out only now. The next write goes to the same place, so nothing of this one stays.
            Err(error) if error.kind == DiskErrorKind::NoSpace => {
                self.next_offset = self.buffered[0].1.base_offset;
                for (place, _, before) in self.buffered.drain(..).rev() {
                    self.outcomes[place] = Err(Refusal::NoSpace);
                    before.into_iter().for_each(|before| self.producers.borrow_mut().undo(before));
                }
                self.repeated.drain(..).for_each(|(place, _)| self.outcomes[place] = Err(Refusal::NoSpace));
            }
            Err(error) => return Err(error),
        }
        self.buffer.clear();
        Ok(())
    }

    async fn sync(&mut self, counters: &BrokerCounters) -> Result<(), DiskError> {
        if self.written.is_empty() {
            return Ok(());
        }
        self.segment.live_file().sync().await?;
        add(&counters.syncs, 1);
        for header in self.written.drain(..) {
            self.segment.publish(&header);
            add(&counters.produced_batches, 1);
            add(&counters.produced_bytes, header.bytes);
            add(&counters.produced_records, header.record_count.unsigned_abs() as usize);
        }
        Ok(())
    }
}

/// Base offsets of the segments in a folder, in order; files that belong to one that is gone are removed.
async fn list_segments<D: Disk>(disk: &D, dir: &Path) -> Result<Vec<i64>, DiskError> {
    let entries = disk.list(dir).await?;
    let base_offsets: Vec<i64> = entries.iter().filter_map(|entry| base_offset_of(&entry.name, "log")).collect();
    for entry in &entries {
        let beside = base_offset_of(&entry.name, "index").or_else(|| base_offset_of(&entry.name, "producers"));
        if beside.is_some_and(|base_offset| base_offsets.binary_search(&base_offset).is_err()) {
            disk.remove(&dir.join(&entry.name)).await?;
        }
    }
    Ok(base_offsets)
}

async fn remove_if_there<D: Disk>(disk: &D, path: &Path) -> Result<(), DiskError> {
    match disk.remove(path).await {
        Err(error) if error.kind == DiskErrorKind::NotFound => Ok(()),
        result => result,
    }
}
