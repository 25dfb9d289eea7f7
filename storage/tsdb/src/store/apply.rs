//! The way of a record into a head: find all series, define what is new, append all, note in the turn what was stored.
//!
//! No `await` between the first and the last change of a record, and no allocation once the buffers are warm.

use disk::Disk;
use model::{Fingerprint, PartitionId, RejectReason, Sample, SeriesRef, TenantId};

use super::{ShardStore, Tenant};
use crate::head::{Appended, Head, Symbols};
use crate::wal::Turn;

/// The samples of one record, in columns.
#[derive(Clone, Copy, Debug)]
pub struct RecordBatch<'a> {
    pub tenant: &'a TenantId,
    pub partition: PartitionId,
    /// The Kafka record's time: samples may be later by the tenant's grace only.
    pub record_timestamp_ms: i64,
    /// One for each series of the record, of its label bytes as they stand there.
    pub fingerprints: &'a [Fingerprint],
    /// Each with its series' place in `fingerprints`.
    pub samples: &'a [(u32, Sample)],
}

/// What became of a record's samples. Refusals by reason: [`super::TenantCounters`].
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Applied {
    pub stored: u64,
    /// There already, to the bit.
    pub equal: u64,
    pub rejected: u64,
}

/// Buffers that live from record to record.
#[derive(Default)]
pub(super) struct Scratch {
    found: Vec<Option<SeriesRef>>,
    /// Why a series was not found or made; as long as `found` once there is one such.
    refusals: Vec<RejectReason>,
    items: Vec<(SeriesRef, Sample)>,
    outcomes: Vec<Result<Appended, RejectReason>>,
    /// Canonical labels of one series.
    labels: Vec<u8>,
    one: Vec<Option<SeriesRef>>,
}

impl Scratch {
    pub(super) fn bytes(&self) -> u64 {
        let bytes = self.labels.capacity()
            + self.found.capacity() * size_of::<Option<SeriesRef>>()
            + self.refusals.capacity()
            + self.items.capacity() * size_of::<(SeriesRef, Sample)>()
            + self.outcomes.capacity() * size_of::<Result<Appended, RejectReason>>();
        bytes as u64
    }
}

/// Tells the labels of the series at a place of the record: appends their canonical bytes and returns the fingerprint of these.
/// Asked only where the head does not know the fingerprint that came with the record: the series is new, or the record's label
/// bytes are not canonical. An error refuses the series' samples.
pub type Identify<'a> = dyn FnMut(usize, &mut Vec<u8>) -> Result<Fingerprint, RejectReason> + 'a;

impl<D: Disk> ShardStore<D> {
    /// Applies a record to the head of its (tenant, partition) and notes it in the current turn.
    ///
    /// # Panics
    /// The partition is not of this shard, or a sample names a series beyond `fingerprints`.
    pub fn apply(&mut self, batch: &RecordBatch<'_>, identify: &mut Identify<'_>) -> Applied {
        let marks = self.marks(batch.partition);
        let (epoch, reading) = (marks.epoch(), marks.reading());
        let others_bytes = self.memory_bytes - self.bytes_so_far(batch);
        if !self.tenants.contains_key(batch.tenant) {
            self.tenants.insert(batch.tenant.clone(), Tenant::new(&self.options));
        }
        let Tenant { symbols, heads, counters, .. } = self.tenants.get_mut(batch.tenant).expect("inserted above");
        let head = heads.entry(batch.partition).or_insert_with(|| Head::new(self.options.head));
        let (turn, scratch) = (&mut self.filling.turn, &mut self.scratch);
        turn.begin(batch.tenant, batch.partition, epoch);
        head.find(batch.fingerprints, &mut scratch.found);
        if scratch.found.contains(&None) {
            let bytes_max = self.options.memory_bytes_max.saturating_sub(others_bytes);
            Definer { head, symbols, turn, bytes_max }.define_all(scratch, identify);
        }

        let mut applied = Applied::default();
        scratch.items.clear();
        for (place, sample) in batch.samples {
            match scratch.found[*place as usize] {
                Some(series) => scratch.items.push((series, *sample)),
                None => {
                    applied.rejected += 1;
                    counters.reject(scratch.refusals[*place as usize]);
                }
            }
        }
        let horizon = head.horizon(batch.record_timestamp_ms);
        head.append_batch(&scratch.items, horizon, reading, &mut scratch.outcomes);
        for ((series, sample), outcome) in scratch.items.iter().zip(&scratch.outcomes) {
            match outcome {
                Ok(appended @ (Appended::InOrder | Appended::Late)) => {
                    applied.stored += 1;
                    counters.samples_late += u64::from(*appended == Appended::Late);
                    turn.sample(*series, *sample);
                }
                Ok(Appended::Equal) => applied.equal += 1,
                Err(reason) => {
                    applied.rejected += 1;
                    counters.reject(*reason);
                }
            }
        }
        counters.samples_stored += applied.stored;
        counters.samples_equal += applied.equal;
        self.memory_bytes = others_bytes + bytes_of(head, symbols);
        applied
    }

    /// What the record's head and tenant are counted with before it is applied.
    fn bytes_so_far(&self, batch: &RecordBatch<'_>) -> u64 {
        let Some(tenant) = self.tenants.get(batch.tenant) else { return 0 };
        let head = tenant.heads.get(&batch.partition);
        tenant.symbols.bytes() + head.map_or(0, |head| head.counters().bytes.total())
    }
}

fn bytes_of(head: &Head, symbols: &Symbols) -> u64 {
    head.counters().bytes.total() + symbols.bytes()
}

/// The slow path of a record: series that were not found.
struct Definer<'a> {
    head: &'a mut Head,
    symbols: &'a mut Symbols,
    turn: &'a mut Turn,
    /// For this head and its symbols.
    bytes_max: u64,
}

impl Definer<'_> {
    #[cold]
    fn define_all(&mut self, scratch: &mut Scratch, identify: &mut Identify<'_>) {
        scratch.refusals.clear();
        scratch.refusals.resize(scratch.found.len(), RejectReason::SeriesLimit);
        for place in 0..scratch.found.len() {
            if scratch.found[place].is_some() {
                continue;
            }
            scratch.labels.clear();
            let series = identify(place, &mut scratch.labels)
                .and_then(|fingerprint| self.define(fingerprint, &scratch.labels, &mut scratch.one));
            match series {
                Ok(series) => scratch.found[place] = Some(series),
                Err(reason) => scratch.refusals[place] = reason,
            }
        }
    }

    fn define(
        &mut self,
        fingerprint: Fingerprint,
        labels: &[u8],
        one: &mut Vec<Option<SeriesRef>>,
    ) -> Result<SeriesRef, RejectReason> {
        // The canonical form may be known where the record's bytes were not, or stand twice in the record.
        self.head.find(&[fingerprint], one);
        if let Some(series) = one[0] {
            return Ok(series);
        }
        if bytes_of(self.head, self.symbols) >= self.bytes_max {
            return Err(RejectReason::SeriesLimit);
        }
        let series = self.head.define(self.symbols, fingerprint, labels)?;
        self.turn.define(series, labels);
        Ok(series)
    }
}
