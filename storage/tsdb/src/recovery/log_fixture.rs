//! Small logs on a simulated disk, and what a replay of them shows. For the tests of recovery.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use disk::{Access, BLOCK_BYTES, Disk, DiskFile, OpenMode, SimDisk};
use model::{Offset, PartitionId, Sample, SeriesRef, ShardId, TenantId};

use super::{FramePlace, RecoveryError, Replay, Survey, folder_name, replay};
use crate::wal::{
    Epoch, Generation, Malformed, PartHeader, Progress, RecordIdentity, Section, SegmentHeader, SegmentId, Turn,
    WalOptions, file_name,
};

pub(crate) const ROOT: &str = "/wal";
pub(crate) const BLOCK: u64 = BLOCK_BYTES as u64;

/// A header and seven blocks a segment; parts of at most three blocks.
pub(crate) const OPTIONS: WalOptions =
    WalOptions { segment_bytes: 8 * BLOCK, reserve_segments: 1, part_bytes_max: 8192, bytes_max: 1 << 30 };

pub(crate) fn dir(shard: u16) -> PathBuf {
    Path::new(ROOT).join(folder_name(ShardId(shard)))
}

pub(crate) fn segment_path(shard: u16, segment: u64) -> PathBuf {
    dir(shard).join(file_name(SegmentId(segment)))
}

/// Of eight bytes in the log.
fn value_of(partition: PartitionId) -> f64 {
    f64::from(partition.0) + 0.1
}

/// Adds one record to a turn: `count` samples of a partition that all can be known again by the record's offset.
pub(crate) fn add_record(turn: &mut Turn, partition: PartitionId, epoch: Epoch, offset: i64, count: u32) {
    turn.begin(&TenantId::anonymous(), partition, epoch);
    for index in 0..count {
        turn.sample(SeriesRef(index), Sample { timestamp_ms: offset, value: value_of(partition) });
    }
    turn.progress(&Progress {
        partition,
        epoch,
        generation: Generation(1),
        first: Offset(offset),
        next: Offset(offset + 1),
        last: Some(RecordIdentity { offset: Offset(offset), timestamp_ms: offset, batch_crc: offset as u32 }),
    });
}

/// What a replay showed of each partition.
#[derive(Default, Debug)]
pub(crate) struct Seen {
    /// `(offset, samples)` of each record, in order of replay.
    pub(crate) records: BTreeMap<PartitionId, Vec<(i64, u32)>>,
    open: BTreeMap<PartitionId, (i64, u32)>,
}

impl Seen {
    pub(crate) async fn all(disk: &SimDisk, survey: &Survey) -> Result<Self, RecoveryError> {
        let mut seen = Self::default();
        replay(disk, survey, &|_| true, &mut seen).await?;
        assert!(seen.open.is_empty(), "samples without progress: {:?}", seen.open);
        Ok(seen)
    }
}

impl Replay for Seen {
    type Error = Malformed;

    fn section(&mut self, _: FramePlace, section: Section<'_>) -> Result<(), Malformed> {
        match section {
            Section::Samples(mut samples) => {
                let partition = samples.owner.partition;
                while let Some((series_ref, sample)) = samples.next_sample()? {
                    let open = self.open.entry(partition).or_insert((sample.timestamp_ms, 0));
                    assert_eq!(*open, (sample.timestamp_ms, series_ref.0), "one record after the other, each once");
                    assert_eq!(sample.value, value_of(partition));
                    open.1 += 1;
                }
            }
            Section::Progress(progress) => {
                let samples = self.open.remove(&progress.partition);
                assert!(samples.is_none_or(|(offset, _)| offset == progress.first.0), "{progress:?} {samples:?}");
                let count = samples.map_or(0, |(_, count)| count);
                self.records.entry(progress.partition).or_default().push((progress.first.0, count));
            }
            other => panic!("{other:?}"),
        }
        Ok(())
    }
}

/// Writes durably, past every rule.
pub(crate) async fn overwrite(disk: &SimDisk, path: &Path, offset: u64, bytes: &[u8]) {
    let file = disk.open(path, OpenMode::ReadWrite, Access::Buffered).await.unwrap();
    file.write_at(offset, bytes).await.unwrap();
    file.sync().await.unwrap();
}

pub(crate) async fn shorten(disk: &SimDisk, path: &Path, len: u64) {
    let file = disk.open(path, OpenMode::ReadWrite, Access::Buffered).await.unwrap();
    file.truncate(len).await.unwrap();
    file.sync().await.unwrap();
}

pub(crate) async fn put_part(disk: &SimDisk, segment: u64, offset: u64, header: PartHeader, turn: &mut Turn) {
    let mut bytes = Vec::new();
    let (data, marks) = turn.payload();
    header.encode(SegmentId(segment), data, marks, &mut bytes);
    overwrite(disk, &segment_path(0, segment), offset, &bytes).await;
}

pub(crate) async fn put_header(disk: &SimDisk, segment: u64, header: &SegmentHeader) {
    overwrite(disk, &segment_path(0, segment), 0, &header.encode()).await;
}
