//! The builder of one turn's frame. Reused: once its buffers have grown, it allocates nothing.
//!
//! Samples of one owner gather in columns until the owner changes; progress is kept apart, so that it ends up behind all data.

use model::{PartitionId, Sample, SeriesRef, TenantId};

use super::fields::{put_bytes, put_signed, put_varint};
use super::samples::SampleColumns;
use super::section::{
    CutNote, Epoch, LogIdentity, Owner, PositionNote, Progress, Reset, SectionKind, put_identity, put_owner,
    put_partition, put_position, put_progress, put_reset, put_section,
};

/// What one turn of a shard changed: definitions, samples and progress of all its partitions.
#[derive(Default, Debug)]
pub struct Turn {
    /// Finished sections of data.
    data: Vec<u8>,
    /// Finished sections of progress, resets and positions.
    marks: Vec<u8>,
    owner: Option<(TenantId, PartitionId, Epoch)>,
    columns: Columns,
    /// A section's first fields while it is put together.
    scratch: Vec<u8>,
    sample_count: u64,
}

#[derive(Default, Debug)]
struct Columns {
    definition_count: u64,
    last_defined: u32,
    definitions: Vec<u8>,
    samples: SampleColumns,
}

impl Turn {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From here on, definitions and samples belong to this owner.
    pub fn begin(&mut self, tenant: &TenantId, partition: PartitionId, epoch: Epoch) {
        if self.owner.as_ref().is_some_and(|owner| owner.0 == *tenant && owner.1 == partition && owner.2 == epoch) {
            return;
        }
        self.finish_columns();
        self.owner = Some((tenant.clone(), partition, epoch));
    }

    /// A series of the owner that samples of this or a later turn name by `series_ref`.
    pub fn define(&mut self, series_ref: SeriesRef, canonical_labels: &[u8]) {
        assert!(self.owner.is_some(), "begin comes before define");
        let columns = &mut self.columns;
        put_signed(i64::from(series_ref.0) - i64::from(columns.last_defined), &mut columns.definitions);
        put_bytes(canonical_labels, &mut columns.definitions);
        columns.last_defined = series_ref.0;
        columns.definition_count += 1;
    }

    /// A sample that the owner's head has stored.
    #[inline]
    pub fn sample(&mut self, series_ref: SeriesRef, sample: Sample) {
        debug_assert!(self.owner.is_some(), "begin comes before sample");
        self.columns.samples.push(series_ref, sample);
    }

    /// The owner's head was cut, behind the samples so far.
    pub fn cut(&mut self, note: &CutNote<'_>) {
        self.finish_columns();
        self.scratch.clear();
        put_owner(&note.owner, &mut self.scratch);
        put_varint(note.cut.into(), &mut self.scratch);
        self.scratch.extend_from_slice(&note.block.to_be_bytes());
        put_signed(note.before_ms, &mut self.scratch);
        put_signed(note.next.0, &mut self.scratch);
        put_section(SectionKind::Cut, &self.scratch, &[], &mut self.data);
    }

    /// The owner's head was followed by one without a cut, behind the samples so far: series have other numbers from here on.
    pub fn forget(&mut self, owner: &Owner<'_>, cut: u32, survivors: &[(u32, u32)]) {
        self.finish_columns();
        self.scratch.clear();
        put_owner(owner, &mut self.scratch);
        put_varint(cut.into(), &mut self.scratch);
        for (dropped, kept) in survivors {
            put_varint((*dropped).into(), &mut self.scratch);
            put_varint((*kept).into(), &mut self.scratch);
        }
        put_section(SectionKind::Forget, &self.scratch, &[], &mut self.data);
    }

    /// These offsets are applied by this turn.
    pub fn progress(&mut self, progress: &Progress) {
        self.scratch.clear();
        put_progress(progress, &mut self.scratch);
        put_section(SectionKind::Progress, &self.scratch, &[], &mut self.marks);
    }

    /// An order moved a partition.
    pub fn reset(&mut self, reset: &Reset) {
        self.scratch.clear();
        put_reset(reset, &mut self.scratch);
        put_section(SectionKind::Reset, &self.scratch, &[], &mut self.marks);
    }

    /// The reset before this obeyed a configured position.
    pub fn position(&mut self, note: &PositionNote) {
        self.scratch.clear();
        put_position(note, &mut self.scratch);
        put_section(SectionKind::Position, &self.scratch, &[], &mut self.marks);
    }

    /// Which log all offsets of this WAL belong to.
    pub fn identity(&mut self, identity: &LogIdentity) {
        self.scratch.clear();
        put_identity(identity, &mut self.scratch);
        put_section(SectionKind::Identity, &self.scratch, &[], &mut self.data);
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.data.is_empty() && self.marks.is_empty() && self.columns.is_empty()
    }

    /// Bytes of payload so far, some dozens per owner short while columns are open.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.data.len() + self.marks.len() + self.columns.byte_len()
    }

    /// Samples so far.
    #[must_use]
    pub fn sample_count(&self) -> u64 {
        self.sample_count + self.columns.samples.count()
    }

    /// Bytes that the buffers hold from the allocator.
    #[must_use]
    pub fn capacity_bytes(&self) -> usize {
        let buffers = [&self.data, &self.marks, &self.scratch, &self.columns.definitions];
        buffers.iter().map(|buffer| buffer.capacity()).sum::<usize>() + self.columns.samples.capacity_bytes()
    }

    /// Empties it and keeps its buffers.
    pub fn clear(&mut self) {
        self.data.clear();
        self.marks.clear();
        self.owner = None;
        self.columns.clear();
        self.sample_count = 0;
    }

    /// The frame's payload in two runs: data, then what belongs into the last part.
    pub(crate) fn payload(&mut self) -> (&[u8], &[u8]) {
        self.finish_columns();
        (&self.data, &self.marks)
    }

    fn finish_columns(&mut self) {
        let Some((tenant, partition, epoch)) = self.owner.take() else { return };
        let columns = &mut self.columns;
        self.scratch.clear();
        put_bytes(tenant.as_str().as_bytes(), &mut self.scratch);
        put_partition(partition, epoch, &mut self.scratch);
        let owner_len = self.scratch.len();
        if columns.definition_count > 0 {
            put_varint(columns.definition_count, &mut self.scratch);
            put_section(SectionKind::Definitions, &self.scratch, &[&columns.definitions], &mut self.data);
        }
        if columns.samples.count() > 0 {
            self.scratch.truncate(owner_len);
            columns.samples.put(&mut self.scratch);
            put_section(SectionKind::Samples, &self.scratch, &[columns.samples.values()], &mut self.data);
        }
        self.sample_count += columns.samples.count();
        columns.clear();
        self.owner = Some((tenant, partition, epoch));
    }
}

impl Columns {
    fn is_empty(&self) -> bool {
        self.definition_count == 0 && self.samples.count() == 0
    }

    fn byte_len(&self) -> usize {
        self.definitions.len() + self.samples.byte_len()
    }

    fn clear(&mut self) {
        self.definitions.clear();
        self.samples.clear();
        (self.definition_count, self.last_defined) = (0, 0);
    }
}
