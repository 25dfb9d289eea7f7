//! One segment file of a partition: how it is found again after a crash, and how batches are found and read in it.
//!
//! The last segment of a partition is *live*: an [`AppendFile`] that grows. The others are sealed and opened only to be read.

use std::cell::{Cell, Ref, RefCell};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use bytes::Bytes;
use disk::{Access, Disk, DiskError, DiskFile, OpenMode};

use super::append_file::{AppendFile, DATA_START, FileIdentity, FileKind, Opened, check_header};
use super::index::SegmentIndex;
use super::space::Space;
use super::window::Window;
use crate::batch::{BatchHeader, HEADER_BYTES, has_valid_crc};
use crate::error::BrokerError;

const SCAN_BYTES: usize = 1 << 20;
const LOOK_BYTES: usize = 64 << 10;

pub(super) struct Segment<D: Disk> {
    pub base_offset: i64,
    path: PathBuf,
    index: RefCell<SegmentIndex>,
    live: RefCell<Option<Rc<AppendFile<D::File>>>>,
    /// What a sealed file occupies.
    sealed_bytes: Cell<u64>,
}

/// A segment's file for reading.
enum Source<F> {
    Live(Rc<AppendFile<F>>),
    Sealed(F),
}

/// What opening the last segment found.
pub(super) enum LastSegment<D: Disk> {
    Segment(Segment<D>),
    /// A crash fell into its creation.
    Unfinished,
}

impl<D: Disk> Segment<D> {
    /// Makes an empty live segment; the folder is synced too.
    pub async fn create(disk: &D, dir: &Path, identity: FileIdentity) -> Result<Self, DiskError> {
        let path = segment_path(dir, identity.base_offset);
        let file = AppendFile::create(disk, &path, identity).await?;
        disk.sync_dir(dir).await?;
        Ok(Self::live(path, SegmentIndex::new(identity.base_offset), file, identity.base_offset))
    }

    fn live(path: PathBuf, index: SegmentIndex, file: AppendFile<D::File>, base_offset: i64) -> Self {
        Self {
            base_offset,
            path,
            index: RefCell::new(index),
            live: RefCell::new(Some(Rc::new(file))),
            sealed_bytes: Cell::new(0),
        }
    }

    /// Opens the newest segment: what follows the last valid batch is cut off, unless somebody was promised it.
    pub async fn open_last(
        disk: &D,
        dir: &Path,
        identity: FileIdentity,
        space: &Space,
        each: impl FnMut(&BatchHeader),
    ) -> Result<LastSegment<D>, BrokerError> {
        let path = segment_path(dir, identity.base_offset);
        let (file, synced) = match AppendFile::open(disk, &path, identity).await? {
            Opened::File { file, synced } => (file, synced),
            Opened::Unfinished => return Ok(LastSegment::Unfinished),
        };
        space.count(file.allocated());
        let index = scan(file.file(), identity.base_offset, file.allocated(), each).await?;
        if index.end < synced {
            let what = format!("no valid batch with offset {}, although it was acknowledged", index.end_offset);
            return Err(BrokerError::damaged(&path, index.end, what));
        }
        if index.end < file.end() {
            tracing::debug!(path = %path.display(), from = index.end, to = file.end(), "cutting the tail of a segment");
        }
        file.cut(index.end, space).await?;
        Ok(LastSegment::Segment(Self::live(path, index, file, identity.base_offset)))
    }

    /// Opens an older segment that must end where the next one begins.
    pub async fn open_sealed(
        disk: &D,
        dir: &Path,
        identity: FileIdentity,
        end_offset: i64,
        space: &Space,
    ) -> Result<Self, BrokerError> {
        let path = segment_path(dir, identity.base_offset);
        let file = disk.open(&path, OpenMode::Read, Access::Buffered).await?;
        check_header(&path, &file.read_at(0, DATA_START as usize).await?, identity)?;
        let size = file.size().await?;
        let saved = SegmentIndex::load(disk, &index_path(dir, identity.base_offset), identity.base_offset).await?;
        let index = match saved {
            Some(index) if index.end <= size && index.end_offset == end_offset => index,
            _ => {
                let index = scan(&file, identity.base_offset, size, |_| {}).await?;
                index.save(disk, &index_path(dir, identity.base_offset)).await?;
                index
            }
        };
        if index.end_offset != end_offset {
            let found = index.end_offset;
            let what = format!("no valid batch with offset {found}, although the next segment begins at {end_offset}");
            return Err(BrokerError::damaged(&path, index.end, what));
        }
        space.count(size);
        let (index, live) = (RefCell::new(index), RefCell::new(None));
        Ok(Self { base_offset: identity.base_offset, path, index, live, sealed_bytes: Cell::new(size) })
    }

    pub fn index(&self) -> Ref<'_, SegmentIndex> {
        self.index.borrow()
    }

    /// Makes a synced batch known.
    pub fn publish(&self, header: &BatchHeader) {
        self.index.borrow_mut().push(header);
    }

    /// The growing file.
    ///
    /// # Panics
    /// The segment is sealed.
    pub fn live_file(&self) -> Rc<AppendFile<D::File>> {
        Rc::clone(self.live.borrow().as_ref().expect("only the last segment is written, and it is live"))
    }

    /// What it takes from the budget.
    pub fn counted_bytes(&self) -> u64 {
        self.live.borrow().as_ref().map_or(self.sealed_bytes.get(), |file| file.allocated())
    }

    /// Ends the file and saves the index; readers that have it open go on.
    pub async fn seal(&self, disk: &D, space: &Space) -> Result<(), DiskError> {
        let file = self.live_file();
        let index = self.index().clone();
        assert_eq!(file.end(), index.end, "a segment is sealed after a sync");
        file.cut(index.end, space).await?;
        index.save(disk, &self.path.with_extension("index")).await?;
        self.sealed_bytes.set(file.allocated());
        *self.live.borrow_mut() = None;
        Ok(())
    }

    /// Removes the files of a sealed segment, durably.
    pub async fn remove(&self, disk: &D, space: &Space) -> Result<(), DiskError> {
        assert!(self.live.borrow().is_none(), "the live segment is never removed");
        disk.remove(&self.path).await?;
        match disk.remove(&self.path.with_extension("index")).await {
            Err(error) if error.kind != disk::DiskErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // One at a time: of two removals a crash may undo the older one only, and that would leave a hole.
        disk.sync_dir(self.path.parent().expect("a segment lies in a folder")).await?;
        space.give_back(self.counted_bytes());
        Ok(())
    }

    /// The first batch at or after `from` (a batch's offset and position) for which `is_it` holds: position and header.
    pub async fn find(
        &self,
        disk: &D,
        from: (i64, u64),
        is_it: impl Fn(&BatchHeader) -> bool,
    ) -> Result<Option<(u64, BatchHeader)>, BrokerError> {
        let source = self.source(disk).await?;
        let end = self.index().end;
        let mut window = Window::new(source.file(), LOOK_BYTES);
        let (mut offset, mut position) = from;
        while position < end {
            let header = BatchHeader::read(window.get(position, HEADER_BYTES).await?);
            let Some(header) = header.filter(|header| header.is_stored_at(offset)) else {
                return Err(self.damaged_at(position, offset));
            };
            if is_it(&header) {
                return Ok(Some((position, header)));
            }
            position += header.bytes as u64;
            offset = header.next_offset();
        }
        Ok(None)
    }

    /// Shows the headers of all batches.
    pub async fn each_header(&self, disk: &D, each: impl FnMut(&BatchHeader)) -> Result<(), BrokerError> {
        let each = RefCell::new(each);
        let see = |header: &BatchHeader| {
            (*each.borrow_mut())(header);
            false
        };
        self.find(disk, (self.base_offset, DATA_START), see).await.map(drop)
    }

    /// Reads whole batches from `position`, where the batch of `offset` begins: at most `len` bytes, which must hold one at least.
    ///
    /// Gives the bytes and the offset after them.
    pub async fn read(&self, disk: &D, offset: i64, position: u64, len: usize) -> Result<(Bytes, i64), BrokerError> {
        let source = self.source(disk).await?;
        let len = len.min(usize::try_from(self.index().end.saturating_sub(position)).unwrap_or(usize::MAX));
        let bytes = Bytes::from(source.file().read_at(position, len).await?);
        let (mut next_offset, mut end) = (offset, 0);
        while let Some(header) = BatchHeader::read(&bytes[end..]) {
            if !header.is_stored_at(next_offset) {
                return Err(self.damaged_at(position + end as u64, next_offset));
            }
            let Some(batch) = bytes.get(end..end + header.bytes) else { break };
            // What is live was written by this process or checked when it opened; what is sealed may have rotten since.
            if matches!(source, Source::Sealed(_)) && !has_valid_crc(batch, &header) {
                return Err(self.damaged_at(position + end as u64, next_offset));
            }
            end += header.bytes;
            next_offset = header.next_offset();
        }
        if end == 0 {
            return Err(self.damaged_at(position, offset));
        }
        Ok((bytes.slice(..end), next_offset))
    }

    async fn source(&self, disk: &D) -> Result<Source<D::File>, DiskError> {
        if let Some(file) = &*self.live.borrow() {
            return Ok(Source::Live(Rc::clone(file)));
        }
        Ok(Source::Sealed(disk.open(&self.path, OpenMode::Read, Access::Buffered).await?))
    }

    fn damaged_at(&self, position: u64, offset: i64) -> BrokerError {
        BrokerError::damaged(&self.path, position, format!("no valid batch with offset {offset}"))
    }
}

impl<F: DiskFile> Source<F> {
    fn file(&self) -> &F {
        match self {
            Self::Live(file) => file.file(),
            Self::Sealed(file) => file,
        }
    }
}

/// Walks the batches from the start and stops before the first one that is not valid; `each` sees the valid ones.
async fn scan<F: DiskFile>(
    file: &F,
    base_offset: i64,
    size: u64,
    mut each: impl FnMut(&BatchHeader),
) -> Result<SegmentIndex, DiskError> {
    let mut index = SegmentIndex::new(base_offset);
    let mut window = Window::new(file, SCAN_BYTES);
    while index.end < size {
        let header = BatchHeader::read(window.get(index.end, HEADER_BYTES).await?);
        let Some(header) = header.filter(|header| header.is_stored_at(index.end_offset)) else { break };
        if index.end + header.bytes as u64 > size {
            break;
        }
        let batch = window.get(index.end, header.bytes).await?;
        if batch.len() < header.bytes || !has_valid_crc(batch, &header) {
            break;
        }
        index.push(&header);
        each(&header);
    }
    Ok(index)
}

/// The identity of the segment that begins at `base_offset`.
pub(super) fn identity(topic: uuid::Uuid, partition: i32, base_offset: i64) -> FileIdentity {
    FileIdentity { kind: FileKind::Segment, topic, partition, base_offset }
}

/// Named by base offset, as Kafka does, in digits that sort.
pub(super) fn segment_path(dir: &Path, base_offset: i64) -> PathBuf {
    dir.join(format!("{base_offset:020}.log"))
}

/// The copy of what is known of producers at `base_offset`.
pub(super) fn producers_path(dir: &Path, base_offset: i64) -> PathBuf {
    segment_path(dir, base_offset).with_extension("producers")
}

fn index_path(dir: &Path, base_offset: i64) -> PathBuf {
    segment_path(dir, base_offset).with_extension("index")
}

/// The base offset in the name of a segment or of an index.
pub(super) fn base_offset_of(name: &str, extension: &str) -> Option<i64> {
    let digits = name.strip_suffix(extension)?.strip_suffix('.')?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}
