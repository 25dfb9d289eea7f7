//! From a handed-over piece of a partition to its samples in the store: frames, CRC, records, columns, and what cannot be read.
//!
//! Every offset of a piece ends in exactly one of three ways: applied, missed (the log has a hole) or quarantined; each is
//! counted, and the last two are logged with their range. Nothing here waits, so a Kafka batch is applied in one go.

use disk::Disk;
use kafka::batch::{Batch, BatchError, BatchReader, Batches};
use model::{FingerprintKey, Offset, PartitionId, RejectReason};
use tsdb::store::{RecordBatch, ShardStore};
use tsdb::wal::{Generation, RecordIdentity};

use super::columns::Columns;
use super::{Handed, LoopCounters, Quarantined, RawBatch};

/// The buffers of decoding, shared by all partitions of a shard.
pub(super) struct Decoder {
    reader: BatchReader,
    columns: Columns,
    key: FingerprintKey,
}

/// What the executor knows of a partition besides its marks.
#[derive(Debug)]
pub(super) struct PartitionRun {
    pub partition: PartitionId,
    pub counters: LoopCounters,
    pub records: u64,
    pub last_record_ms: Option<i64>,
    /// Put aside, not yet in the quarantine's file.
    pub aside: Vec<Quarantined>,
    /// Where the last quarantined range ended: what follows on it belongs to the same damage and is not logged again.
    damage_end: Option<Offset>,
}

impl PartitionRun {
    pub(super) fn new(partition: PartitionId) -> Self {
        let counters = LoopCounters::default();
        Self { partition, counters, records: 0, last_record_ms: None, aside: Vec::new(), damage_end: None }
    }

    fn note_gap(&mut self, first: Offset, next: Offset, why: &str) {
        let missed = (next.0 - first.0) as u64;
        self.counters.missed_offsets += missed;
        self.counters.gaps += 1;
        tracing::error!(
            partition = self.partition.0,
            first = first.0,
            next = next.0,
            missed,
            "offsets are missing: {why}"
        );
    }

    fn put_aside(&mut self, range: (Offset, Offset), generation: Generation, reason: &str, payload: &[u8]) {
        let (first, next) = range;
        if self.damage_end != Some(first) {
            tracing::error!(
                partition = self.partition.0,
                first = first.0,
                next = next.0,
                bytes = payload.len(),
                "put into quarantine: {reason}"
            );
        }
        self.damage_end = Some(next);
        let (reason, payload) = (reason.to_owned(), payload.to_vec());
        self.aside.push(Quarantined { partition: self.partition, generation, first, next, reason, payload });
    }
}

/// A piece on its way into the store, frame by frame.
pub(super) struct Applying<'a> {
    raw: &'a RawBatch,
    batches: Batches<'a>,
}

impl<'a> Applying<'a> {
    pub(super) fn new(raw: &'a RawBatch) -> Self {
        let bytes: &[u8] = match &raw.handed {
            Handed::Records(bytes) => bytes,
            Handed::Gone | Handed::Unframed(_) => &[],
        };
        Self { raw, batches: Batches::new(bytes) }
    }

    /// Applies the next frame. False when the piece is done.
    pub(super) fn step<D: Disk>(
        &mut self,
        decoder: &mut Decoder,
        store: &mut ShardStore<D>,
        run: &mut PartitionRun,
    ) -> bool {
        let marks = *store.marks(self.raw.partition);
        let applied = marks.applied().expect("a partition is started before anything is handed over");
        if marks.generation() != self.raw.generation {
            return false;
        }
        match self.batches.next_batch() {
            Some(Ok(batch)) if batch.next_offset <= self.raw.next.0 => {
                decoder.apply(&batch, applied, store, run);
                true
            }
            Some(Err(broken)) if broken.next_offset.is_some_and(|next| next <= self.raw.next.0) => {
                let next = Offset(broken.next_offset.expect("just looked at")).max(applied);
                if applied < next {
                    run.counters.quarantined_batches += 1;
                    run.put_aside((applied, next), marks.generation(), &broken.error.to_string(), &[]);
                    store.advance(run.partition, applied, next, None);
                }
                true
            }
            // The end, or what the companion has not counted in: it is fetched again.
            _ => {
                self.finish(applied, marks.generation(), store, run);
                false
            }
        }
    }

    /// Accounts for the rest of the piece's range.
    fn finish<D: Disk>(
        &self,
        applied: Offset,
        generation: Generation,
        store: &mut ShardStore<D>,
        run: &mut PartitionRun,
    ) {
        let next = self.raw.next;
        if next <= applied {
            return;
        }
        match &self.raw.handed {
            Handed::Gone => run.note_gap(applied, next, "Kafka's retention has removed them before they were consumed"),
            Handed::Records(_) => run.note_gap(applied, next, "the fetched batches do not hold them"),
            Handed::Unframed(bytes) => {
                run.counters.quarantined_batches += 1;
                run.put_aside((applied, next), generation, "the bytes have no frame of a batch", bytes);
            }
        }
        store.advance(run.partition, applied, next, None);
    }
}

impl Decoder {
    pub(super) fn new(key: FingerprintKey) -> Self {
        Self { reader: BatchReader::new(), columns: Columns::default(), key }
    }

    /// Memory of the buffers.
    pub(super) fn capacity_bytes(&self) -> usize {
        self.reader.buffer_bytes() + self.columns.capacity_bytes()
    }

    /// Applies what a batch holds from `applied` on.
    fn apply<D: Disk>(
        &mut self,
        batch: &Batch<'_>,
        applied: Offset,
        store: &mut ShardStore<D>,
        run: &mut PartitionRun,
    ) {
        let next = Offset(batch.next_offset);
        if next <= applied {
            return;
        }
        let mut at = applied;
        if batch.base_offset > at.0 {
            run.note_gap(at, Offset(batch.base_offset), "the log goes on behind them");
            at = Offset(batch.base_offset);
        }
        let mut last = None;
        if !batch.is_control {
            if let Err(error) = self.apply_records(batch, &mut at, &mut last, store, run) {
                run.counters.quarantined_batches += 1;
                let generation = store.marks(run.partition).generation();
                run.put_aside((at, next), generation, &error.to_string(), batch.bytes());
            } else if at < next {
                run.note_gap(at, next, "their batch does not hold them");
            }
        }
        store.advance(run.partition, applied, next, last);
    }

    /// Walks the records from `at` on and moves `at` behind each that is done.
    fn apply_records<D: Disk>(
        &mut self,
        batch: &Batch<'_>,
        at: &mut Offset,
        last: &mut Option<RecordIdentity>,
        store: &mut ShardStore<D>,
        run: &mut PartitionRun,
    ) -> Result<(), BatchError> {
        let Self { reader, columns, key } = self;
        let mut records = reader.open(batch)?;
        while let Some(record) = records.next_record()? {
            let offset = Offset(record.offset);
            if offset < *at {
                continue;
            }
            if offset > *at {
                run.note_gap(*at, offset, "their batch does not hold them");
            }
            match columns.read(&record, key) {
                Ok(tenant) => {
                    let batch = RecordBatch {
                        tenant: &tenant,
                        partition: run.partition,
                        record_timestamp_ms: record.timestamp_ms,
                        fingerprints: &columns.fingerprints,
                        samples: &columns.samples,
                    };
                    let value = record.value.unwrap_or_default();
                    let applied = store.apply(&batch, &mut |place, labels| columns.identify(place, value, key, labels));
                    if columns.histograms > 0 {
                        store.reject(&tenant, RejectReason::Unsupported, columns.histograms);
                    }
                    run.counters.samples_stored += applied.stored;
                    run.counters.samples_equal += applied.equal;
                    run.counters.samples_rejected += applied.rejected + columns.histograms;
                    run.counters.exemplars_ignored += columns.exemplars;
                }
                Err(fault) => {
                    run.counters.quarantined_records += 1;
                    let generation = store.marks(run.partition).generation();
                    let range = (offset, Offset(offset.0 + 1));
                    run.put_aside(range, generation, &fault.to_string(), record.value.unwrap_or_default());
                }
            }
            run.records += 1;
            run.last_record_ms = Some(record.timestamp_ms);
            *at = Offset(offset.0 + 1);
            *last = Some(RecordIdentity { offset, timestamp_ms: record.timestamp_ms, batch_crc: batch.crc });
        }
        Ok(())
    }
}
