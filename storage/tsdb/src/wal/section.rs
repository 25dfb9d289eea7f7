//! What a frame says: typed, length-prefixed sections. Later releases add kinds; a kind is never given another meaning.
//!
//! Decoding borrows from the frame and allocates nothing. Byte layout: `FORMAT.md`.

use model::{Offset, PartitionId, SeriesRef};

use super::fields::{Fields, Malformed, put_bytes, put_signed, put_varint};

use super::samples::Samples;

/// Ownership epoch of a partition: rises whenever it goes on in another shard's folder. The first is 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Epoch(pub u32);

/// Counts the orders that moved a partition; marks are monotone within one. The first is 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Generation(pub u32);

/// Whose data a section holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Owner<'a> {
    pub tenant: &'a str,
    pub partition: PartitionId,
    pub epoch: Epoch,
}

/// One consumed Kafka record, by which a log is known again at the next start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordIdentity {
    /// The record's own offset.
    pub offset: Offset,
    pub timestamp_ms: i64,
    pub batch_crc: u32,
}

/// The offsets `first..next` of a partition are applied by this frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    pub partition: PartitionId,
    pub epoch: Epoch,
    pub generation: Generation,
    pub first: Offset,
    pub next: Offset,
    /// Absent where the range holds no record (a gap).
    pub last: Option<RecordIdentity>,
}

/// An order moved the partition: the next progress starts at `to`, in the new generation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reset {
    pub partition: PartitionId,
    pub epoch: Epoch,
    pub generation: Generation,
    pub from: Offset,
    pub to: Offset,
}

/// A place in a Kafka log that a node can be configured to start from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StartupPosition {
    /// The first record.
    Start,
    /// Behind the last record.
    End,
    /// The first record of this time or later.
    Timestamp { unix_ms: i64 },
}

/// The configured position that the partition's last reset obeyed: it is not obeyed again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PositionNote {
    pub partition: PartitionId,
    pub epoch: Epoch,
    pub position: StartupPosition,
}

/// What a head had before a time and in no cut was frozen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CutNote<'a> {
    pub owner: Owner<'a>,
    pub cut: u32,
    /// The block that it goes into.
    pub block: u128,
    pub before_ms: i64,
    /// The partition's records before this were applied.
    pub next: Offset,
}

/// A head was followed by one without what a cut and those before it had frozen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ForgetNote<'a> {
    pub owner: Owner<'a>,
    pub cut: u32,
    /// Runs of series that were dropped, then kept; the kept ones are numbered from 0 in their order.
    pub survivors: Vec<(u32, u32)>,
}

/// Which log the offsets belong to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogIdentity {
    pub cluster_id: String,
    pub topic_id: [u8; 16],
    pub topic_name: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum SectionKind {
    Definitions = 1,
    Progress = 3,
    Identity = 4,
    Reset = 5,
    Position = 6,
    Samples = 7,
    Cut = 8,
    Forget = 9,
}

/// One decoded section.
#[derive(Debug)]
pub enum Section<'a> {
    Definitions(Definitions<'a>),
    Samples(Samples<'a>),
    Progress(Progress),
    Identity(LogIdentity),
    Reset(Reset),
    Position(PositionNote),
    Cut(CutNote<'a>),
    Forget(ForgetNote<'a>),
}

impl Section<'_> {
    /// The partition and epoch by which recovery routes it; none for what concerns the whole log.
    #[must_use]
    pub fn route(&self) -> Option<(PartitionId, Epoch)> {
        match self {
            Self::Definitions(definitions) => Some((definitions.owner.partition, definitions.owner.epoch)),
            Self::Samples(samples) => Some((samples.owner.partition, samples.owner.epoch)),
            Self::Progress(progress) => Some((progress.partition, progress.epoch)),
            Self::Reset(reset) => Some((reset.partition, reset.epoch)),
            Self::Position(note) => Some((note.partition, note.epoch)),
            Self::Cut(note) => Some((note.owner.partition, note.owner.epoch)),
            Self::Forget(note) => Some((note.owner.partition, note.owner.epoch)),
            Self::Identity(_) => None,
        }
    }
}

/// The sections of a frame's payload, in order.
#[derive(Debug)]
pub struct Sections<'a> {
    fields: Fields<'a>,
}

impl<'a> Sections<'a> {
    #[must_use]
    pub fn new(payload: &'a [u8]) -> Self {
        Self { fields: Fields::new(payload) }
    }

    /// The next section, or none at the end.
    ///
    /// # Errors
    /// The bytes break the format; reading on is pointless.
    pub fn next_section(&mut self) -> Result<Option<Section<'a>>, Malformed> {
        if self.fields.is_empty() {
            return Ok(None);
        }
        let kind = self.fields.byte()?;
        let body = Fields::new(self.fields.bytes()?);
        Ok(Some(match kind {
            1 => Section::Definitions(Definitions::new(body)?),
            2 => Section::Samples(Samples::of_differences(body)?),
            3 => Section::Progress(take_progress(body)?),
            4 => Section::Identity(take_identity(body)?),
            5 => Section::Reset(take_reset(body)?),
            6 => Section::Position(take_position(body)?),
            7 => Section::Samples(Samples::of_runs(body)?),
            8 => Section::Cut(take_cut(body)?),
            9 => Section::Forget(take_forget(body)?),
            kind => return Err(Malformed::UnknownSection { kind }),
        }))
    }
}

/// Series definitions: refs with their canonical label bytes.
#[derive(Clone, Copy, Debug)]
pub struct Definitions<'a> {
    pub owner: Owner<'a>,
    count_left: u64,
    last_ref: u32,
    fields: Fields<'a>,
}

impl<'a> Definitions<'a> {
    fn new(mut fields: Fields<'a>) -> Result<Self, Malformed> {
        let owner = take_owner(&mut fields)?;
        let count_left = fields.varint()?;
        Ok(Self { owner, count_left, last_ref: 0, fields })
    }

    /// The next definition, or none at the end.
    ///
    /// # Errors
    /// The bytes break the format.
    pub fn next_definition(&mut self) -> Result<Option<(SeriesRef, &'a [u8])>, Malformed> {
        if self.count_left == 0 {
            return end_of(self.fields);
        }
        self.count_left -= 1;
        self.last_ref = take_ref(&mut self.fields, self.last_ref)?;
        Ok(Some((SeriesRef(self.last_ref), self.fields.bytes()?)))
    }
}

pub(super) fn end_of<T>(fields: Fields<'_>) -> Result<Option<T>, Malformed> {
    if fields.is_empty() { Ok(None) } else { Err(Malformed::OutOfRange { what: "the length of a section" }) }
}

pub(super) fn take_ref(fields: &mut Fields<'_>, last_ref: u32) -> Result<u32, Malformed> {
    let series_ref = i64::from(last_ref).checked_add(fields.signed()?);
    series_ref.and_then(|value| u32::try_from(value).ok()).ok_or(Malformed::OutOfRange { what: "a series ref" })
}

fn take_partition(fields: &mut Fields<'_>) -> Result<PartitionId, Malformed> {
    let partition: u32 = fields.number("a partition")?;
    i32::try_from(partition).map(PartitionId).map_err(|_| Malformed::OutOfRange { what: "a partition" })
}

pub(super) fn take_owner<'a>(fields: &mut Fields<'a>) -> Result<Owner<'a>, Malformed> {
    let tenant = fields.text("a tenant")?;
    let partition = take_partition(fields)?;
    Ok(Owner { tenant, partition, epoch: Epoch(fields.number("an epoch")?) })
}

fn take_progress(mut fields: Fields<'_>) -> Result<Progress, Malformed> {
    let partition = take_partition(&mut fields)?;
    let epoch = Epoch(fields.number("an epoch")?);
    let generation = Generation(fields.number("a generation")?);
    let first = fields.signed()?;
    let count: i64 = fields.number("a count of offsets")?;
    let next = first.checked_add(count).ok_or(Malformed::OutOfRange { what: "an offset" })?;
    let last = match fields.byte()? {
        0 => None,
        1 => Some(RecordIdentity {
            offset: Offset(fields.signed()?),
            timestamp_ms: fields.signed()?,
            batch_crc: u32::from_le_bytes(fields.array()?),
        }),
        _ => return Err(Malformed::OutOfRange { what: "the mark of a last record" }),
    };
    end_of::<()>(fields)?;
    Ok(Progress { partition, epoch, generation, first: Offset(first), next: Offset(next), last })
}

fn take_identity(mut fields: Fields<'_>) -> Result<LogIdentity, Malformed> {
    let cluster_id = fields.text("a cluster id")?.to_owned();
    let topic_id = fields.array()?;
    let topic_name = fields.text("a topic name")?.to_owned();
    end_of::<()>(fields)?;
    Ok(LogIdentity { cluster_id, topic_id, topic_name })
}

fn take_reset(mut fields: Fields<'_>) -> Result<Reset, Malformed> {
    let partition = take_partition(&mut fields)?;
    let epoch = Epoch(fields.number("an epoch")?);
    let generation = Generation(fields.number("a generation")?);
    let (from, to) = (Offset(fields.signed()?), Offset(fields.signed()?));
    end_of::<()>(fields)?;
    Ok(Reset { partition, epoch, generation, from, to })
}

fn take_position(mut fields: Fields<'_>) -> Result<PositionNote, Malformed> {
    let partition = take_partition(&mut fields)?;
    let epoch = Epoch(fields.number("an epoch")?);
    let position = match fields.byte()? {
        0 => StartupPosition::Start,
        1 => StartupPosition::End,
        2 => StartupPosition::Timestamp { unix_ms: fields.signed()? },
        _ => return Err(Malformed::OutOfRange { what: "the kind of a position" }),
    };
    end_of::<()>(fields)?;
    Ok(PositionNote { partition, epoch, position })
}

fn take_cut(mut fields: Fields<'_>) -> Result<CutNote<'_>, Malformed> {
    let owner = take_owner(&mut fields)?;
    let cut = fields.number("a cut")?;
    let block = u128::from_be_bytes(fields.array()?);
    let (before_ms, next) = (fields.signed()?, Offset(fields.signed()?));
    end_of::<()>(fields)?;
    Ok(CutNote { owner, cut, block, before_ms, next })
}

fn take_forget(mut fields: Fields<'_>) -> Result<ForgetNote<'_>, Malformed> {
    let owner = take_owner(&mut fields)?;
    let cut = fields.number("a cut")?;
    let mut survivors = Vec::new();
    while !fields.is_empty() {
        survivors.push((fields.number("a count of series")?, fields.number("a count of series")?));
    }
    Ok(ForgetNote { owner, cut, survivors })
}

/// Appends a section: kind, length, then `head` and `body`.
pub(super) fn put_section(kind: SectionKind, head: &[u8], body: &[&[u8]], out: &mut Vec<u8>) {
    out.push(kind as u8);
    put_varint((head.len() + body.iter().map(|bytes| bytes.len()).sum::<usize>()) as u64, out);
    out.extend_from_slice(head);
    body.iter().for_each(|bytes| out.extend_from_slice(bytes));
}

pub(super) fn put_partition(partition: PartitionId, epoch: Epoch, out: &mut Vec<u8>) {
    put_varint(u64::try_from(partition.0).expect("partitions are never negative"), out);
    put_varint(u64::from(epoch.0), out);
}

pub(super) fn put_owner(owner: &Owner<'_>, out: &mut Vec<u8>) {
    put_bytes(owner.tenant.as_bytes(), out);
    put_partition(owner.partition, owner.epoch, out);
}

pub(super) fn put_progress(progress: &Progress, out: &mut Vec<u8>) {
    assert!(progress.first <= progress.next, "progress never goes back: {progress:?}");
    put_partition(progress.partition, progress.epoch, out);
    put_varint(u64::from(progress.generation.0), out);
    put_signed(progress.first.0, out);
    put_varint((progress.next.0 - progress.first.0) as u64, out);
    match &progress.last {
        None => out.push(0),
        Some(last) => {
            out.push(1);
            put_signed(last.offset.0, out);
            put_signed(last.timestamp_ms, out);
            out.extend_from_slice(&last.batch_crc.to_le_bytes());
        }
    }
}

pub(super) fn put_identity(identity: &LogIdentity, out: &mut Vec<u8>) {
    put_bytes(identity.cluster_id.as_bytes(), out);
    out.extend_from_slice(&identity.topic_id);
    put_bytes(identity.topic_name.as_bytes(), out);
}

pub(super) fn put_reset(reset: &Reset, out: &mut Vec<u8>) {
    put_partition(reset.partition, reset.epoch, out);
    put_varint(u64::from(reset.generation.0), out);
    put_signed(reset.from.0, out);
    put_signed(reset.to.0, out);
}

pub(super) fn put_position(note: &PositionNote, out: &mut Vec<u8>) {
    put_partition(note.partition, note.epoch, out);
    match note.position {
        StartupPosition::Start => out.push(0),
        StartupPosition::End => out.push(1),
        StartupPosition::Timestamp { unix_ms } => {
            out.push(2);
            put_signed(unix_ms, out);
        }
    }
}
