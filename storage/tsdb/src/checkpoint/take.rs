//! Takes a checkpoint, piece by piece: the store fills buffers between turns, the pieces are written while it goes on.

use std::collections::VecDeque;
use std::path::PathBuf;

use disk::{Disk, DiskError, DiskErrorKind, Operation};
use model::{PartitionId, TenantId};

use super::files::{CheckpointFiles, TEMPORARY};
use super::framed::{FileKind, FramedWriter, file_name};
use super::manifest::{HEAD, LATE, SLICE};
use super::{Manifest, SLICE_SERIES};
use crate::head::{ChunkFiles, Head, LabelDictionary, Symbols};
use crate::wal::{Epoch, Lsn, put_bytes, put_varint};

/// A checkpoint on its way. Dropping it leaves files that the next one removes.
#[derive(Debug)]
#[must_use = "a checkpoint that is not gone on with is lost"]
pub struct Checkpoint<D: Disk> {
    pub(crate) files: CheckpointFiles<D>,
    pub(crate) stage: CheckpointStage,
    pub(crate) manifest: Manifest,
    file: Option<FramedWriter<D::File>>,
    pub(crate) heads: VecDeque<HeadTask>,
    dictionary: LabelDictionary,
    /// Those of the chunk log that are named.
    chunk_files: ChunkFiles,
    is_ended: bool,
}

/// Whether nothing happened for want of space, so that it can be tried again. A failed sync is never tried again.
#[must_use]
pub fn is_out_of_space(error: &DiskError) -> bool {
    error.kind == DiskErrorKind::NoSpace && error.operation != Operation::Sync
}

/// What comes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CheckpointStage {
    /// Files are to be opened.
    Opening,
    /// The store is to say what is taken.
    Opened,
    Begun,
    /// All is taken; the log must have it before it counts.
    Taken,
    /// To be synced and named.
    Publishing,
    Published,
}

/// A head that is still to be taken, or the rest of it.
#[derive(Debug)]
pub(crate) struct HeadTask {
    pub(crate) tenant: TenantId,
    pub(crate) partition: PartitionId,
    pub(crate) epoch: Epoch,
    /// Series whose definitions are in the series log.
    pub(crate) defined: u32,
    /// Series whose contents are taken.
    pub(crate) taken: u32,
    /// Series that the head had when the checkpoint began: later ones are in the log behind it.
    pub(crate) end: u32,
    /// A head without series is a line of its own.
    pub(crate) is_told: bool,
}

impl HeadTask {
    pub(crate) fn is_done(&self) -> bool {
        self.defined == self.end && self.taken == self.end && (self.end > 0 || self.is_told)
    }
}

impl<D: Disk> Checkpoint<D> {
    pub(crate) fn new(files: CheckpointFiles<D>, manifest: Manifest) -> Self {
        let (stage, heads, dictionary) = (CheckpointStage::Opening, VecDeque::new(), LabelDictionary::default());
        let chunk_files = ChunkFiles::new();
        Self { files, stage, manifest, file: None, heads, dictionary, chunk_files, is_ended: false }
    }

    /// Does what is to be done with files now. If that failed for want of space ([`is_out_of_space`]) it can be run again, as
    /// if nothing had happened; any other failure must end the process.
    pub async fn run(mut self) -> (Self, Result<(), DiskError>) {
        let result = match self.stage {
            CheckpointStage::Opening => self.open().await,
            CheckpointStage::Begun => self.flush().await,
            CheckpointStage::Publishing => self.publish().await,
            CheckpointStage::Opened | CheckpointStage::Taken | CheckpointStage::Published => Ok(()),
        };
        (self, result)
    }

    async fn flush(&mut self) -> Result<(), DiskError> {
        self.files.flush().await?;
        self.writer().flush().await?;
        self.files.open_writers().await
    }

    async fn open(&mut self) -> Result<(), DiskError> {
        self.manifest.number = self.files.take_number();
        let (number, shard) = (self.manifest.number, self.files.shard);
        let path = self.temporary_path();
        self.file = Some(FramedWriter::create(&self.files.disk, &path, FileKind::Checkpoint, shard, number).await?);
        self.files.open_writers().await?;
        self.stage = CheckpointStage::Opened;
        Ok(())
    }

    fn temporary_path(&self) -> PathBuf {
        self.files.dir.join(format!("{}{TEMPORARY}", file_name(FileKind::Checkpoint, self.manifest.number)))
    }

    fn writer(&mut self) -> &mut FramedWriter<D::File> {
        self.file.as_mut().expect("opened before anything is taken")
    }

    /// What all of it begins with.
    pub(crate) fn begin(&mut self) {
        let file = self.file.as_mut().expect("opened before anything is taken");
        file.put(|out| self.manifest.put_begin(out));
        self.stage = CheckpointStage::Begun;
    }

    /// Whether enough is in memory to be written.
    pub(crate) fn wants_run(&self) -> bool {
        let writers = self.file.iter().chain(&self.files.series).chain(&self.files.chunks);
        writers.into_iter().any(FramedWriter::wants_flush)
    }

    /// Takes a run of definitions or a slice of contents of the head that `task` names.
    pub(crate) fn take_from(&mut self, task: &mut HeadTask, symbols: &Symbols, head: &mut Head, stamp: Lsn) {
        if task.defined < task.end {
            return self.take_definitions(task, symbols, head);
        }
        let (Some(file), Some(chunks)) = (&mut self.file, &mut self.files.chunks) else {
            unreachable!("opened before anything is taken")
        };
        let owner = |out: &mut Vec<u8>| put_owner(&task.tenant, task.partition, out);
        if task.taken == 0 {
            file.put(|out| {
                out.push(HEAD);
                owner(out);
                put_varint(task.end.into(), out);
                put_varint(head.numbering().into(), out);
                head.put_cuts(out);
            });
        }
        if task.end == 0 {
            task.is_told = true;
            return;
        }
        let series = task.taken..task.end.min(task.taken + SLICE_SERIES);
        let maps = self.files.maps.clone();
        for series in series.clone() {
            let mut log = |bytes: &[u8]| CheckpointFiles::<D>::log_chunk(chunks, bytes);
            head.log_chunks(series, &mut log, &|at, len| CheckpointFiles::<D>::mapped(&maps, at, len));
        }
        file.put(|out| {
            out.push(SLICE);
            put_varint(series.start.into(), out);
            put_varint(stamp.0, out);
            series.clone().for_each(|series| head.put_contents(series, &mut self.chunk_files, out));
        });
        file.put(|out| {
            out.push(LATE);
            head.put_late(series.clone(), &mut self.chunk_files, out);
        });
        task.taken = series.end;
        self.manifest.last = self.manifest.last.max(stamp);
    }

    fn take_definitions(&mut self, task: &mut HeadTask, symbols: &Symbols, head: &Head) {
        let run = (task.defined, task.end.min(task.defined + SLICE_SERIES));
        let series = self.files.series.as_mut().expect("opened before anything is taken");
        series.put(|out| {
            put_owner(&task.tenant, task.partition, out);
            put_varint(u64::from(task.epoch.0) | u64::from(head.numbering()) << 32, out);
            put_varint(run.0.into(), out);
            put_varint((run.1 - run.0).into(), out);
            head.put_definitions(symbols, run, &mut self.dictionary, out);
        });
        task.defined = run.1;
    }

    /// Makes it count: first all that it names is durable, then it is, then its name.
    async fn publish(&mut self) -> Result<(), DiskError> {
        if !self.is_ended {
            self.files.keep_chunks(&self.chunk_files);
            (self.manifest.series, self.manifest.chunks) = self.files.extents();
            let file = self.file.as_mut().expect("opened before anything is taken");
            file.put(|out| self.manifest.put_end(out));
            self.is_ended = true;
            self.manifest.bytes = file.end();
        }
        self.flush().await?;
        self.files.sync().await?;
        self.writer().sync().await?;
        let path = self.files.dir.join(file_name(FileKind::Checkpoint, self.manifest.number));
        self.files.disk.sync_dir(&self.files.dir).await?;
        self.files.disk.rename(&self.temporary_path(), &path).await?;
        self.files.disk.sync_dir(&self.files.dir).await?;
        self.files.publish(self.manifest.clone()).await?;
        self.stage = CheckpointStage::Published;
        Ok(())
    }
}

fn put_owner(tenant: &TenantId, partition: PartitionId, out: &mut Vec<u8>) {
    put_bytes(tenant.as_str().as_bytes(), out);
    put_varint(u64::try_from(partition.0).expect("partitions are never negative"), out);
}
