//! Makes heads from a checkpoint: definitions from the `.series` files, then contents slice by slice.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use disk::{Disk, FileMap};
use model::{FingerprintKey, PartitionId, SeriesRef, ShardId, TenantId};

use super::framed::{FileExtent, FileKind, FramedReader, damaged, file_name};
use super::manifest::{HEAD, LATE, SLICE, key_check};
use super::{ChunkAt, ChunkBytes, Manifest, SLICE_SERIES};
use crate::head::{Head, ImageError, Symbols};
use crate::recovery::RecoveryError;
use crate::wal::{Epoch, Fields, Lsn, Malformed};

/// One checkpoint, and what of it is wanted.
pub(crate) struct CheckpointSource<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) shard: ShardId,
    pub(crate) manifest: &'a Manifest,
    pub(crate) partitions: &'a [PartitionId],
    /// The heads go on with this folder's chunk log: what it has is not logged again.
    pub(crate) is_own: bool,
}

/// For each head, for each slice of its series: the newest frame whose samples of them are all there.
#[derive(Default, Debug)]
pub(crate) struct Stamps(HashMap<(TenantId, PartitionId), Vec<Lsn>>);

impl Stamps {
    /// Those of one head; none where no checkpoint has it.
    pub(crate) fn of(&self, tenant: &TenantId, partition: PartitionId) -> &[Lsn] {
        self.0.get(&(tenant.clone(), partition)).map_or(&[], Vec::as_slice)
    }
}

impl Stamps {
    /// The head's series have other numbers now.
    pub(crate) fn forget(&mut self, tenant: &TenantId, partition: PartitionId) {
        self.0.remove(&(tenant.clone(), partition));
    }
}

/// Whether what a frame says of a series of a head with these stamps is in the checkpoint.
pub(crate) fn covers(stamps: &[Lsn], series: SeriesRef, lsn: Lsn) -> bool {
    stamps.get((series.0 / SLICE_SERIES) as usize).is_some_and(|stamp| lsn <= *stamp)
}

/// The files of a chunk log, by number.
pub(crate) type ChunkMaps = BTreeMap<NonZeroU32, Arc<FileMap>>;

/// Where heads are made.
pub(crate) trait HeadSource {
    fn key(&self) -> &FingerprintKey;

    /// The head of an owner, made if it is not there.
    fn head(&mut self, tenant: &TenantId, partition: PartitionId) -> (&mut Symbols, &mut Head);

    /// The same, empty, for series that were numbered anew.
    fn renumbered(&mut self, tenant: &TenantId, partition: PartitionId, numbering: u32) -> (&mut Symbols, &mut Head) {
        let (symbols, head) = self.head(tenant, partition);
        let mut next = Head::new(head.options());
        next.set_numbering(numbering);
        std::mem::replace(head, next).dissolve(symbols);
        (symbols, head)
    }
}

/// Makes the heads of the wanted partitions, and gives back the files of the chunk log, mapped.
///
/// # Errors
/// The disk failed, or the files are not those that the checkpoint counts on.
pub(crate) async fn restore_checkpoint<D: Disk>(
    disk: &D,
    source: &CheckpointSource<'_>,
    heads: &mut impl HeadSource,
    stamps: &mut Stamps,
) -> Result<ChunkMaps, RecoveryError> {
    let path = source.dir.join(file_name(FileKind::Checkpoint, source.manifest.number));
    if source.manifest.key_check != key_check(heads.key()) {
        return Err(damaged(&path, 0, "it belongs to another data folder: its series have another fingerprint key"));
    }
    let mut maps = BTreeMap::new();
    for file in &source.manifest.chunks {
        let number = u32::try_from(file.number).ok().and_then(NonZeroU32::new);
        let number = number.ok_or_else(|| damaged(&path, 0, "it names an impossible file of chunks"))?;
        maps.insert(number, Arc::new(source.map(disk, *file).await?));
    }
    for file in &source.manifest.series {
        source.restore_definitions(disk, *file, heads).await?;
    }
    let number = source.manifest.number;
    let mut reader = FramedReader::open(disk, path, FileKind::Checkpoint, source.shard, (number, None)).await?;
    let mut contents = Contents { source, maps: &maps, at: None };
    loop {
        let offset = reader.at();
        let Some(payload) = reader.next().await? else { break };
        let taken = contents.take(payload, heads, stamps);
        taken.map_err(|what| damaged(reader.path(), offset, &what))?;
    }
    Ok(maps)
}

impl CheckpointSource<'_> {
    fn path(&self, kind: FileKind, file: FileExtent) -> PathBuf {
        self.dir.join(file_name(kind, file.number))
    }

    async fn map<D: Disk>(&self, disk: &D, file: FileExtent) -> Result<FileMap, RecoveryError> {
        let path = self.path(FileKind::Chunks, file);
        // Opened first: a missing or foreign file is told by its own sentence.
        FramedReader::open(disk, path.clone(), FileKind::Chunks, self.shard, (file.number, Some(file.end))).await?;
        Ok(disk.map(&path).await?)
    }

    fn wants(&self, partition: PartitionId, epoch: Epoch) -> bool {
        self.partitions.contains(&partition) && self.manifest.epoch(partition) == Some(epoch)
    }

    async fn restore_definitions<D: Disk>(
        &self,
        disk: &D,
        file: FileExtent,
        heads: &mut impl HeadSource,
    ) -> Result<(), RecoveryError> {
        let (path, extent) = (self.path(FileKind::Series, file), (file.number, Some(file.end)));
        let mut reader = FramedReader::open(disk, path, FileKind::Series, self.shard, extent).await?;
        loop {
            let offset = reader.at();
            let Some(payload) = reader.next().await? else { return Ok(()) };
            let taken = self.take_definitions(payload, heads);
            taken.map_err(|error| damaged(reader.path(), offset, &error.to_string()))?;
        }
    }

    fn take_definitions(&self, payload: &[u8], heads: &mut impl HeadSource) -> Result<(), ImageError> {
        let mut fields = Fields::new(payload);
        let (tenant, partition) = take_owner(&mut fields)?;
        let (epoch, numbering) = take_epoch(&mut fields)?;
        if !self.wants(partition, epoch) {
            return Ok(());
        }
        // The last numbering counts.
        match numbering.cmp(&heads.head(&tenant, partition).1.numbering()) {
            Ordering::Less => return Ok(()),
            Ordering::Equal => {}
            Ordering::Greater => drop(heads.renumbered(&tenant, partition, numbering)),
        }
        let (first, count): (u32, u32) = (fields.number("a series")?, fields.number("a count of series")?);
        let key = heads.key().clone();
        let (symbols, head) = heads.head(&tenant, partition);
        if head.series_count() != first {
            return Err(Malformed::OutOfRange { what: "the first series of a run" }.into());
        }
        head.take_definitions(symbols, &key, count, &mut fields)?;
        end_of(&fields)
    }
}

/// The pass over a checkpoint's own blocks.
struct Contents<'a> {
    source: &'a CheckpointSource<'a>,
    maps: &'a ChunkMaps,
    /// The head of the slices that come; none while it is of another's partition.
    at: Option<(TenantId, PartitionId)>,
}

impl Contents<'_> {
    fn take(&mut self, payload: &[u8], heads: &mut impl HeadSource, stamps: &mut Stamps) -> Result<(), String> {
        let taken = match payload.first() {
            Some(&HEAD) => self.take_head(&payload[1..], heads, stamps),
            Some(&SLICE) => self.take_slice(&payload[1..], heads, stamps),
            Some(&LATE) => self.take_late(&payload[1..], heads),
            _ => Ok(()),
        };
        taken.map_err(|error| error.to_string())
    }

    fn take_head(
        &mut self,
        payload: &[u8],
        heads: &mut impl HeadSource,
        stamps: &mut Stamps,
    ) -> Result<(), ImageError> {
        let mut fields = Fields::new(payload);
        let (tenant, partition) = take_owner(&mut fields)?;
        let count: u32 = fields.number("a count of series")?;
        let numbering = if fields.is_empty() { 0 } else { fields.number("a numbering")? };
        let (last_cut, open_cuts) = Head::take_cuts(&mut fields)?;
        self.at = None;
        if self.source.partitions.contains(&partition) {
            if heads.head(&tenant, partition).1.numbering() < numbering && count == 0 {
                heads.renumbered(&tenant, partition, numbering);
            }
            let head = heads.head(&tenant, partition).1;
            head.set_cuts(last_cut, open_cuts);
            if head.numbering() != numbering {
                return Err(Malformed::OutOfRange { what: "the numbering of a head's series" }.into());
            }
            if heads.head(&tenant, partition).1.series_count() != count {
                return Err(Malformed::OutOfRange { what: "the count of a head's series" }.into());
            }
            stamps.0.insert((tenant.clone(), partition), Vec::new());
            self.at = Some((tenant, partition));
        }
        end_of(&fields)
    }

    fn take_slice(
        &mut self,
        payload: &[u8],
        heads: &mut impl HeadSource,
        stamps: &mut Stamps,
    ) -> Result<(), ImageError> {
        let Some(owner) = &self.at else { return Ok(()) };
        let stamps = stamps.0.get_mut(owner).expect("inserted with its head");
        let (_, head) = heads.head(&owner.0, owner.1);
        let mut fields = Fields::new(payload);
        let first: u32 = fields.number("a series")?;
        if u64::from(first) != stamps.len() as u64 * u64::from(SLICE_SERIES) || first >= head.series_count() {
            return Err(Malformed::OutOfRange { what: "the first series of a slice" }.into());
        }
        stamps.push(Lsn(fields.varint()?));
        let load = |at: ChunkAt, len: u32| self.load(at, len);
        for series in first..head.series_count().min(first + SLICE_SERIES) {
            head.take_contents(SeriesRef(series), &mut fields, &load)?;
        }
        end_of(&fields)
    }

    fn take_late(&mut self, payload: &[u8], heads: &mut impl HeadSource) -> Result<(), ImageError> {
        let Some(owner) = &self.at else { return Ok(()) };
        let (_, head) = heads.head(&owner.0, owner.1);
        head.take_late(&mut Fields::new(payload), &|at, len| self.load(at, len))
    }

    fn load(&self, at: ChunkAt, len: u32) -> Option<(ChunkBytes, Option<ChunkAt>)> {
        let bytes = ChunkBytes::of_map(self.maps.get(&at.file)?, at.block, len)?;
        Some((bytes, self.source.is_own.then_some(at)))
    }
}

/// An epoch, and above it how often series were numbered anew.
fn take_epoch(fields: &mut Fields<'_>) -> Result<(Epoch, u32), Malformed> {
    let both = fields.varint()?;
    Ok((Epoch(both as u32), (both >> 32) as u32))
}

fn take_owner(fields: &mut Fields<'_>) -> Result<(TenantId, PartitionId), Malformed> {
    let tenant = fields.text("a tenant")?;
    let tenant = TenantId::new(tenant).map_err(|_| Malformed::OutOfRange { what: "a tenant" })?;
    let partition: u32 = fields.number("a partition")?;
    let partition = i32::try_from(partition).map_err(|_| Malformed::OutOfRange { what: "a partition" })?;
    Ok((tenant, PartitionId(partition)))
}

fn end_of(fields: &Fields<'_>) -> Result<(), ImageError> {
    if fields.is_empty() { Ok(()) } else { Err(Malformed::OutOfRange { what: "the length of a block" }.into()) }
}
