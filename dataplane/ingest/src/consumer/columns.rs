//! One Kafka record in columns: a fingerprint per series, its samples, and where its label bytes are.
//!
//! Nothing is applied before the whole record was read, so a record is taken or quarantined as one. Buffers live from record
//! to record. Labels are only looked at again for series that the head does not know.

use kafka::batch::Record;
use model::{Fingerprint, FingerprintKey, RejectReason, Sample, TenantId};
use wire::{
    LabelLimits, RecordError, RecordSeries, RecordVersion, RecordVisitor, VERSION_HEADER, canonicalize, walk_record,
};

/// Why a record cannot be taken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum RecordFault {
    #[error("it has no key, which should name the tenant")]
    NoTenant,
    #[error("its key is no tenant: {0}")]
    BadTenant(String),
    #[error("it has no value")]
    NoValue,
    #[error("{0}")]
    Unreadable(#[from] RecordError),
    #[error("it has more than {} samples", u32::MAX)]
    TooLarge,
}

/// Buffers of one record.
#[derive(Default)]
pub(super) struct Columns {
    pub fingerprints: Vec<Fingerprint>,
    /// Each with the place of its series in `fingerprints`.
    pub samples: Vec<(u32, Sample)>,
    pub histograms: u64,
    pub exemplars: u64,
    labels: Vec<LabelRun>,
    /// Label runs that do not lie in the record as they are.
    arena: Vec<u8>,
    walk_scratch: Vec<u8>,
}

/// Where a series' `labels` fields are.
#[derive(Clone, Copy)]
struct LabelRun {
    start: u32,
    len: u32,
    is_in_record: bool,
}

struct Gather<'a> {
    columns: &'a mut Columns,
    key: &'a FingerprintKey,
    value: &'a [u8],
}

impl RecordVisitor for Gather<'_> {
    fn series(&mut self, series: RecordSeries<'_>) {
        let columns = &mut *self.columns;
        columns.histograms += u64::from(series.noted.histograms);
        columns.exemplars += u64::from(series.noted.exemplars);
        if series.sample_count == 0 {
            return;
        }
        let place = columns.fingerprints.len() as u32;
        columns.fingerprints.push(self.key.fingerprint(series.labels));
        let run = match offset_within(self.value, series.labels) {
            Some(start) => LabelRun { start: start as u32, len: series.labels.len() as u32, is_in_record: true },
            None => {
                let start = columns.arena.len() as u32;
                columns.arena.extend_from_slice(series.labels);
                LabelRun { start, len: series.labels.len() as u32, is_in_record: false }
            }
        };
        columns.labels.push(run);
        columns.samples.extend(series.samples.map(|sample| (place, sample)));
    }
}

/// Where `part` begins, if it lies within `whole`.
fn offset_within(whole: &[u8], part: &[u8]) -> Option<usize> {
    let start = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    (start + part.len() <= whole.len()).then_some(start)
}

impl Columns {
    /// Reads a record; what the columns held before is gone. Gives its tenant.
    pub(super) fn read(&mut self, record: &Record<'_>, key: &FingerprintKey) -> Result<TenantId, RecordFault> {
        self.clear();
        let tenant = record.key.ok_or(RecordFault::NoTenant)?;
        let tenant = std::str::from_utf8(tenant).map_err(|_| RecordFault::BadTenant("not valid UTF-8".to_owned()))?;
        let tenant = TenantId::new(tenant).map_err(|error| RecordFault::BadTenant(error.to_string()))?;
        let value = record.value.ok_or(RecordFault::NoValue)?;
        let version = RecordVersion::from_header(record.header(VERSION_HEADER))?;
        let mut walk_scratch = std::mem::take(&mut self.walk_scratch);
        let walked = walk_record(version, value, &mut walk_scratch, &mut Gather { columns: self, key, value });
        self.walk_scratch = walk_scratch;
        walked?;
        let is_addressable = u32::try_from(value.len().max(self.arena.len()).max(self.samples.len())).is_ok();
        if is_addressable { Ok(tenant) } else { Err(RecordFault::TooLarge) }
    }

    /// Appends the canonical labels of the series at `place` and gives their fingerprint. `value` is the record's.
    ///
    /// # Errors
    /// The rule that the labels break.
    pub(super) fn identify(
        &self,
        place: usize,
        value: &[u8],
        key: &FingerprintKey,
        out: &mut Vec<u8>,
    ) -> Result<Fingerprint, RejectReason> {
        let LabelRun { start, len, is_in_record } = self.labels[place];
        let source = if is_in_record { value } else { &self.arena };
        let run = &source[start as usize..][..len as usize];
        assert!(out.is_empty(), "labels of one series at a time");
        canonicalize(run, &LabelLimits::NONE, out).map_err(|refusal| refusal.reason)?;
        Ok(if out == run { self.fingerprints[place] } else { key.fingerprint(out) })
    }

    /// Memory of the buffers.
    pub(super) fn capacity_bytes(&self) -> usize {
        self.fingerprints.capacity() * size_of::<Fingerprint>()
            + self.samples.capacity() * size_of::<(u32, Sample)>()
            + self.labels.capacity() * size_of::<LabelRun>()
            + self.arena.capacity()
            + self.walk_scratch.capacity()
    }

    fn clear(&mut self) {
        self.fingerprints.clear();
        self.samples.clear();
        self.labels.clear();
        self.arena.clear();
        (self.histograms, self.exemplars) = (0, 0);
    }
}
