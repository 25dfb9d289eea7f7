//! What a checkpoint says of itself: which frames are in it, the marks of its partitions, and the files that it counts on.
//!
//! Blocks of a checkpoint, by their first byte:
//! - 1 begin, first: LSN, check of the fingerprint key (8 bytes), then sections as in a frame of the log: the log's identity,
//!   and for each partition a progress from and to its mark, its configured position, and where it reads again a reset from
//!   the offset up to which it does
//! - 2 head: tenant, partition, count of series, how often they were numbered anew, last cut, and those that are
//!   not forgotten: count, then number, ULID, time and offset of each
//! - 3 slice of the head before it: first series, stamp (LSN), contents of up to [`super::SLICE_SERIES`] series
//! - 5 late samples of the slice before it
//! - 4 end, last: newest stamp, then the `.series` and the `.chunks` files, each a count and (number, end)
//!
//! A `.series` block: tenant, partition, epoch with the numbering in the bits above its 32, first series, count, definitions.

use std::collections::BTreeMap;
use std::path::Path;

use disk::Disk;
use model::{FingerprintKey, Offset, PartitionId, ShardId};

use super::framed::{FileExtent, FileKind, FramedReader, damaged, file_name, parse_file_name};
use crate::recovery::RecoveryError;
use crate::wal::{
    Epoch, Fields, LogIdentity, Lsn, Malformed, PositionNote, Progress, Reset, Section, Sections, StartupPosition,
    Turn, put_varint,
};

pub(super) const BEGIN: u8 = 1;
pub(super) const HEAD: u8 = 2;
pub(super) const SLICE: u8 = 3;
pub(super) const END: u8 = 4;
pub(super) const LATE: u8 = 5;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Manifest {
    /// Of its file.
    pub(crate) number: u64,
    /// Length of its file.
    pub(crate) bytes: u64,
    /// All frames up to here are in it.
    pub(crate) lsn: Lsn,
    /// The newest frame that it holds anything of.
    pub(crate) last: Lsn,
    pub(crate) key_check: u64,
    pub(crate) identity: Option<LogIdentity>,
    pub(crate) marks: BTreeMap<PartitionId, PartitionMark>,
    pub(super) series: Vec<FileExtent>,
    pub(super) chunks: Vec<FileExtent>,
}

/// Where a partition stood.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PartitionMark {
    /// From and to there.
    pub(crate) progress: Progress,
    /// The configured position that it had obeyed.
    pub(crate) position: Option<StartupPosition>,
    /// Records below this are read again.
    pub(crate) again_until: Option<Offset>,
}

impl Manifest {
    /// Of nothing yet.
    pub(crate) fn empty(key: &FingerprintKey) -> Self {
        Self {
            number: 0,
            bytes: 0,
            lsn: Lsn(0),
            last: Lsn(0),
            key_check: key_check(key),
            identity: None,
            marks: BTreeMap::new(),
            series: Vec::new(),
            chunks: Vec::new(),
        }
    }
}

/// Two keys with the same check are the same key, but for chance.
pub(super) fn key_check(key: &FingerprintKey) -> u64 {
    key.fingerprint(b"the key of this checkpoint").0 as u64
}

impl Manifest {
    /// The epoch of a partition's state in it.
    pub(crate) fn epoch(&self, partition: PartitionId) -> Option<Epoch> {
        self.marks.get(&partition).map(|mark| mark.progress.epoch)
    }

    pub(super) fn put_begin(&self, out: &mut Vec<u8>) {
        out.push(BEGIN);
        put_varint(self.lsn.0, out);
        out.extend_from_slice(&self.key_check.to_le_bytes());
        let mut turn = Turn::new();
        if let Some(identity) = &self.identity {
            turn.identity(identity);
        }
        for PartitionMark { progress, position, again_until } in self.marks.values() {
            turn.progress(progress);
            let Progress { partition, epoch, generation, next: to, .. } = *progress;
            if let Some(position) = *position {
                turn.position(&PositionNote { partition, epoch, position });
            }
            if let Some(from) = *again_until {
                turn.reset(&Reset { partition, epoch, generation, from, to });
            }
        }
        let (data, marks) = turn.payload();
        out.extend_from_slice(data);
        out.extend_from_slice(marks);
    }

    pub(super) fn put_end(&self, out: &mut Vec<u8>) {
        out.push(END);
        put_varint(self.last.0, out);
        for files in [&self.series, &self.chunks] {
            put_varint(files.len() as u64, out);
            for file in files {
                put_varint(file.number, out);
                put_varint(file.end, out);
            }
        }
    }

    fn take_begin(number: u64, payload: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::new(payload);
        if fields.byte()? != BEGIN {
            return Err(Malformed::OutOfRange { what: "the first block" });
        }
        let lsn = Lsn(fields.varint()?);
        let key_check = u64::from_le_bytes(fields.array()?);
        let (mut identity, mut marks) = (None, BTreeMap::new());
        let mut sections = Sections::new(fields.rest());
        while let Some(section) = sections.next_section()? {
            match section {
                Section::Identity(found) => identity = Some(found),
                Section::Progress(progress) => {
                    let mark = PartitionMark { progress, position: None, again_until: None };
                    marks.insert(progress.partition, mark);
                }
                Section::Position(note) => {
                    let mark = marks.get_mut(&note.partition);
                    let mark = mark.ok_or(Malformed::OutOfRange { what: "a position without progress" })?;
                    mark.position = Some(note.position);
                }
                Section::Reset(reset) => {
                    let mark = marks.get_mut(&reset.partition);
                    let mark = mark.ok_or(Malformed::OutOfRange { what: "a reset without progress" })?;
                    mark.again_until = Some(reset.from);
                }
                _ => return Err(Malformed::OutOfRange { what: "a section of a checkpoint" }),
            }
        }
        let (series, chunks) = (Vec::new(), Vec::new());
        Ok(Self { number, bytes: 0, lsn, last: lsn, key_check, identity, marks, series, chunks })
    }

    fn take_end(&mut self, payload: &[u8]) -> Result<(), Malformed> {
        let mut fields = Fields::new(payload);
        if fields.byte()? != END {
            return Err(Malformed::OutOfRange { what: "the last block" });
        }
        self.last = Lsn(fields.varint()?);
        for files in [&mut self.series, &mut self.chunks] {
            let count: usize = fields.number("a count of files")?;
            for _ in 0..count {
                files.push(FileExtent { number: fields.varint()?, end: fields.varint()? });
            }
        }
        Ok(())
    }
}

/// The checkpoints of a shard's folder, newest first; of damaged ones, what is wrong with them. Every byte of them is read and
/// checked.
///
/// # Errors
/// The disk failed, or a newer release wrote one.
pub(crate) async fn survey_checkpoints<D: Disk>(
    disk: &D,
    dir: &Path,
    shard: ShardId,
) -> Result<(Vec<Manifest>, Vec<RecoveryError>), RecoveryError> {
    let entries = disk.list(dir).await?;
    let names = entries.iter().filter_map(|entry| parse_file_name(&entry.name));
    let mut numbers: Vec<u64> = names.filter(|(kind, _)| *kind == FileKind::Checkpoint).map(|name| name.1).collect();
    numbers.sort_unstable_by(|left, right| right.cmp(left));
    let (mut manifests, mut damages) = (Vec::new(), Vec::new());
    for number in numbers {
        match read_manifest(disk, dir, shard, number).await {
            Ok(manifest) => manifests.push(manifest),
            Err(error @ (RecoveryError::Disk(_) | RecoveryError::Unsupported { .. })) => return Err(error),
            Err(error) => damages.push(error),
        }
    }
    Ok((manifests, damages))
}

async fn read_manifest<D: Disk>(disk: &D, dir: &Path, shard: ShardId, number: u64) -> Result<Manifest, RecoveryError> {
    let path = dir.join(file_name(FileKind::Checkpoint, number));
    let mut reader = FramedReader::open(disk, path, FileKind::Checkpoint, shard, (number, None)).await?;
    let malformed = |path: &Path, malformed: Malformed| damaged(path, 0, &malformed.to_string());
    let begin = reader.next().await?.map(|payload| Manifest::take_begin(number, payload)).transpose();
    let begin = begin.map_err(|error| malformed(reader.path(), error))?;
    let mut manifest = begin.ok_or_else(|| damaged(reader.path(), 0, "it is empty"))?;
    let mut last = Vec::new();
    while let Some(payload) = reader.next().await? {
        // Only the end is kept; slices are far larger.
        last.clear();
        if payload.first() == Some(&END) {
            last.extend_from_slice(payload);
        }
    }
    manifest.take_end(&last).map_err(|error| malformed(reader.path(), error))?;
    manifest.bytes = reader.at();
    Ok(manifest)
}
