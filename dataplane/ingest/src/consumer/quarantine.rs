//! Batches and records that cannot be read, kept in a bounded file beside the log until an operator looks at them.
//!
//! Append-only, through the page cache, synced before the progress that passes them. A record may stand here twice: the node
//! may have ended between the two. Format, little-endian: head `WHQUAR01`, then entries of
//!
//! `u32 CRC32C of what follows, u32 payload length, i32 partition, u32 generation, i64 first offset, i64 next offset,
//! u16 reason length, reason (UTF-8), payload` (a Kafka batch, or a record's value).

use std::path::{Path, PathBuf};

use disk::{Access, Disk, DiskError, DiskErrorKind, DiskFile, OpenMode};
use model::{Offset, PartitionId, ShardId};
use tsdb::wal::Generation;

const MAGIC: &[u8; 8] = b"WHQUAR01";
/// CRC, payload length, partition, generation, first, next, reason length.
const HEAD_BYTES: usize = 4 + 4 + 4 + 4 + 8 + 8 + 2;
/// A reason is cut to so many bytes.
const REASON_BYTES_MAX: usize = 512;
/// A payload beyond this is a lie of a damaged file.
const PAYLOAD_BYTES_MAX: usize = 256 << 20;

/// What was put aside, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quarantined {
    pub partition: PartitionId,
    pub generation: Generation,
    /// Offsets `first..next` are passed over.
    pub first: Offset,
    pub next: Offset,
    pub reason: String,
    pub payload: Vec<u8>,
}

/// Where a shard keeps them below the data folder's `quarantine`.
#[must_use]
pub fn quarantine_path(dir: &Path, shard: ShardId) -> PathBuf {
    dir.join(format!("shard-{:05}.quarantine", shard.0))
}

/// The open file of one shard.
pub(super) struct Quarantine<D: Disk> {
    disk: D,
    path: PathBuf,
    file: Option<D::File>,
    len: u64,
    bytes_max: u64,
}

/// What became of the entries of a turn.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Kept {
    pub kept: u64,
    pub dropped: u64,
}

impl<D: Disk> Quarantine<D> {
    /// The file is made with the first entry. What a crash left half-written at its end is written over.
    pub(super) async fn open(disk: D, dir: &Path, shard: ShardId, bytes_max: u64) -> Result<Self, DiskError> {
        let path = quarantine_path(dir, shard);
        let file = match disk.open(&path, OpenMode::ReadWrite, Access::Buffered).await {
            Ok(file) => Some(file),
            Err(error) if error.kind == DiskErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let len = match &file {
            Some(file) => whole_len(file).await?,
            None => 0,
        };
        Ok(Self { disk, path, file, len, bytes_max })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.len
    }

    /// Appends and syncs. Entries for which there is no room are dropped, which is told.
    ///
    /// # Errors
    /// The file failed for another reason than want of space.
    pub(super) async fn keep(&mut self, entries: &[Quarantined]) -> Result<Kept, DiskError> {
        let mut kept = Kept::default();
        let mut bytes = if self.len == 0 { MAGIC.to_vec() } else { Vec::new() };
        for entry in entries {
            let before = bytes.len();
            encode(entry, &mut bytes);
            if self.len + bytes.len() as u64 > self.bytes_max {
                bytes.truncate(before);
                kept.dropped += 1;
            } else {
                kept.kept += 1;
            }
        }
        if kept.kept == 0 {
            return Ok(kept);
        }
        match self.append(&bytes).await {
            Ok(()) => self.len += bytes.len() as u64,
            Err(error) if error.kind == DiskErrorKind::NoSpace => {
                return Ok(Kept { kept: 0, dropped: entries.len() as u64 });
            }
            Err(error) => return Err(error),
        }
        Ok(kept)
    }

    async fn append(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        if self.file.is_none() {
            let dir = self.path.parent().unwrap_or(Path::new("")).to_owned();
            self.disk.create_dir(&dir).await?;
            self.file = Some(self.disk.open(&self.path, OpenMode::CreateNew, Access::Buffered).await?);
            self.disk.sync_dir(&dir).await?;
        }
        let file = self.file.as_ref().expect("just made");
        file.write_at(self.len, bytes).await?;
        file.sync().await
    }
}

fn encode(entry: &Quarantined, out: &mut Vec<u8>) {
    let start = out.len();
    let reason = cut(&entry.reason, REASON_BYTES_MAX);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(entry.payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&entry.partition.0.to_le_bytes());
    out.extend_from_slice(&entry.generation.0.to_le_bytes());
    out.extend_from_slice(&entry.first.0.to_le_bytes());
    out.extend_from_slice(&entry.next.0.to_le_bytes());
    out.extend_from_slice(&(reason.len() as u16).to_le_bytes());
    out.extend_from_slice(reason.as_bytes());
    out.extend_from_slice(&entry.payload);
    let crc = crc32c::crc32c(&out[start + 4..]);
    out[start..start + 4].copy_from_slice(&crc.to_le_bytes());
}

fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Up to where the file holds whole entries.
async fn whole_len<F: DiskFile>(file: &F) -> Result<u64, DiskError> {
    let mut reader = QuarantineReader::open(file).await?;
    while reader.next_entry().await?.is_some() {}
    Ok(reader.at)
}

/// Reads a shard's file from the start.
pub struct QuarantineReader<'a, F: DiskFile> {
    file: &'a F,
    at: u64,
    len: u64,
}

impl<'a, F: DiskFile> QuarantineReader<'a, F> {
    /// # Errors
    /// The file cannot be read.
    pub async fn open(file: &'a F) -> Result<Self, DiskError> {
        let len = file.size().await?;
        let is_ours = file.read_at(0, MAGIC.len()).await? == MAGIC;
        Ok(Self { file, at: if is_ours { MAGIC.len() as u64 } else { 0 }, len: if is_ours { len } else { 0 } })
    }

    /// The next entry; none at the end, or where the rest is damaged or was never written whole.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn next_entry(&mut self) -> Result<Option<Quarantined>, DiskError> {
        let head = self.file.read_at(self.at, HEAD_BYTES).await?;
        let Some(rest_bytes) = rest_bytes(&head) else { return Ok(None) };
        if self.at + (HEAD_BYTES + rest_bytes) as u64 > self.len {
            return Ok(None);
        }
        let entry = self.file.read_at(self.at, HEAD_BYTES + rest_bytes).await?;
        let decoded = decode(&entry);
        if decoded.is_some() {
            self.at += entry.len() as u64;
        }
        Ok(decoded)
    }
}

/// Bytes behind an entry's head, if that can be.
fn rest_bytes(head: &[u8]) -> Option<usize> {
    let head: &[u8; HEAD_BYTES] = head.try_into().ok()?;
    let payload = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
    let reason = u16::from_le_bytes([head[HEAD_BYTES - 2], head[HEAD_BYTES - 1]]) as usize;
    (payload <= PAYLOAD_BYTES_MAX && reason <= REASON_BYTES_MAX).then_some(payload + reason)
}

fn decode(entry: &[u8]) -> Option<Quarantined> {
    let (crc, checked) = entry.split_first_chunk::<4>()?;
    if crc32c::crc32c(checked) != u32::from_le_bytes(*crc) {
        return None;
    }
    let (_payload_bytes, rest) = checked.split_first_chunk::<4>()?;
    let (partition, rest) = rest.split_first_chunk::<4>()?;
    let (generation, rest) = rest.split_first_chunk::<4>()?;
    let (first, rest) = rest.split_first_chunk::<8>()?;
    let (next, rest) = rest.split_first_chunk::<8>()?;
    let (reason_bytes, rest) = rest.split_first_chunk::<2>()?;
    let (reason, payload) = rest.split_at_checked(u16::from_le_bytes(*reason_bytes).into())?;
    Some(Quarantined {
        partition: PartitionId(i32::from_le_bytes(*partition)),
        generation: Generation(u32::from_le_bytes(*generation)),
        first: Offset(i64::from_le_bytes(*first)),
        next: Offset(i64::from_le_bytes(*next)),
        reason: String::from_utf8_lossy(reason).into_owned(),
        payload: payload.to_vec(),
    })
}
