//! What a partition remembers of its idempotent producers: the newest batches of each, by which a repeated one is found.
//!
//! The rules are Kafka's (`ProducerStateManager`): a batch follows the last one of its producer and epoch without a gap; one of the
//! last five is a repetition and is answered with the offset that it got; a producer that is not known begins with any sequence.
//! All of it is rebuilt from the log's batches: a copy beside each segment holds the state at its begin, and the batches of the
//! segment are added to it. The copy is a file of its own; without a valid one all segments are read, if an index says that it is worth it.
//!
//! ```text
//! magic "WLHDPRDS" | format u32 | producers u32 | base offset i64
//! producer: id i64 | epoch i16 | batches u16 | batch: first sequence i32, last sequence i32, base offset i64
//! CRC32C of all before
//! ```
//! All integers are little endian.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;

use bytes::{Buf, BufMut};
use disk::{Access, Disk, DiskError, DiskErrorKind, DiskFile, OpenMode};

use crate::batch::BatchHeader;
use crate::error::Refusal;
use crate::limits::PARTITION_PRODUCERS_MAX;

/// As many requests as a client sends without waiting for their answers.
const BATCHES_REMEMBERED: usize = 5;
const MAGIC: &[u8; 8] = b"WLHDPRDS";
const FORMAT: u32 = 1;
const FIXED_BYTES: usize = 8 + 4 + 4 + 8;
const PRODUCER_BYTES_MAX: usize = 8 + 2 + 2 + BATCHES_REMEMBERED * BATCH_BYTES;
const BATCH_BYTES: usize = 4 + 4 + 8;
const FILE_BYTES_MAX: usize = FIXED_BYTES + PARTITION_PRODUCERS_MAX * PRODUCER_BYTES_MAX + 4;

#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Producers {
    by_id: HashMap<i64, Producer>,
    /// Ids by the base offset of their last batch: whoever was silent longest is forgotten first.
    by_last_offset: BTreeMap<i64, i64>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Producer {
    epoch: i16,
    /// Oldest first, at least one, all of the epoch.
    batches: VecDeque<Sequenced>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Sequenced {
    first: i32,
    last: i32,
    base_offset: i64,
}

/// What is to be done with a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Append,
    /// It is there already, at this offset.
    Repeated(i64),
}

/// What was known of a producer before its newest batch.
pub(super) struct Before {
    producer_id: i64,
    producer: Option<Producer>,
    /// Who was forgotten for it.
    evicted: Option<(i64, Producer)>,
}

impl Producers {
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub fn check(&self, header: &BatchHeader) -> Result<Verdict, Refusal> {
        let Some(known) = self.by_id.get(&header.producer_id) else { return Ok(Verdict::Append) };
        let (first, last) = sequences(header);
        if header.producer_epoch < known.epoch {
            return Err(Refusal::OldProducerEpoch);
        }
        if header.producer_epoch > known.epoch {
            return if first == 0 { Ok(Verdict::Append) } else { Err(Refusal::OutOfOrderSequence) };
        }
        if let Some(repeated) = known.batches.iter().find(|batch| (batch.first, batch.last) == (first, last)) {
            return Ok(Verdict::Repeated(repeated.base_offset));
        }
        let newest = known.batches.back().expect("a producer is known by a batch");
        if first == after(newest.last, 1) { Ok(Verdict::Append) } else { Err(Refusal::OutOfOrderSequence) }
    }

    /// Takes note of a batch that was checked, or that is in the log; gives what [`Producers::undo`] needs.
    pub fn push(&mut self, header: &BatchHeader) -> Option<Before> {
        if header.producer_id < 0 {
            return None;
        }
        let before = self.by_id.get(&header.producer_id).cloned();
        if let Some(newest) = before.as_ref().and_then(|producer| producer.batches.back()) {
            self.by_last_offset.remove(&newest.base_offset);
        }
        let evicted = if before.is_none() { self.make_room() } else { None };
        let (first, last) = sequences(header);
        let fresh = || Producer { epoch: header.producer_epoch, batches: VecDeque::new() };
        let producer = self.by_id.entry(header.producer_id).or_insert_with(fresh);
        if producer.epoch != header.producer_epoch {
            *producer = fresh();
        }
        if producer.batches.len() == BATCHES_REMEMBERED {
            producer.batches.pop_front();
        }
        producer.batches.push_back(Sequenced { first, last, base_offset: header.base_offset });
        self.by_last_offset.insert(header.base_offset, header.producer_id);
        Some(Before { producer_id: header.producer_id, producer: before, evicted })
    }

    fn make_room(&mut self) -> Option<(i64, Producer)> {
        if self.by_id.len() < PARTITION_PRODUCERS_MAX {
            return None;
        }
        let (_, id) = self.by_last_offset.pop_first()?;
        self.by_id.remove(&id).map(|producer| (id, producer))
    }

    /// Forgets the newest batch again.
    pub fn undo(&mut self, before: Before) {
        self.take(before.producer_id);
        if let Some(producer) = before.producer {
            self.put(before.producer_id, producer);
        }
        if let Some((id, producer)) = before.evicted {
            self.put(id, producer);
        }
    }

    fn take(&mut self, id: i64) {
        let newest = self.by_id.remove(&id).and_then(|producer| producer.batches.back().copied());
        if let Some(newest) = newest {
            self.by_last_offset.remove(&newest.base_offset);
        }
    }

    fn put(&mut self, id: i64, producer: Producer) {
        let newest = producer.batches.back().expect("a producer is known by a batch");
        self.by_last_offset.insert(newest.base_offset, id);
        self.by_id.insert(id, producer);
    }

    /// Writes the copy for a segment that begins now; without room there is none.
    pub async fn save<D: Disk>(&self, disk: &D, path: &Path, base_offset: i64) -> Result<(), DiskError> {
        let saved = async {
            match disk.remove(path).await {
                Err(error) if error.kind != DiskErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let file = disk.open(path, OpenMode::CreateNew, Access::Buffered).await?;
            file.write_at(0, &self.encode(base_offset)).await
        };
        match saved.await {
            Err(error) if error.kind == DiskErrorKind::NoSpace => Ok(()),
            result => result,
        }
    }

    /// The saved copy, if it is there and valid.
    pub async fn load<D: Disk>(disk: &D, path: &Path, base_offset: i64) -> Result<Option<Self>, DiskError> {
        let file = match disk.open(path, OpenMode::Read, Access::Buffered).await {
            Err(error) if error.kind == DiskErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let size = file.size().await?.min(FILE_BYTES_MAX as u64);
        Ok(Self::decode(&file.read_at(0, size as usize).await?, base_offset))
    }

    fn encode(&self, base_offset: i64) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.put_slice(MAGIC);
        bytes.put_u32_le(FORMAT);
        bytes.put_u32_le(self.by_id.len() as u32);
        bytes.put_i64_le(base_offset);
        for id in self.by_last_offset.values() {
            let producer = &self.by_id[id];
            bytes.put_i64_le(*id);
            bytes.put_i16_le(producer.epoch);
            bytes.put_u16_le(producer.batches.len() as u16);
            for batch in &producer.batches {
                bytes.put_i32_le(batch.first);
                bytes.put_i32_le(batch.last);
                bytes.put_i64_le(batch.base_offset);
            }
        }
        let crc = crc32c::crc32c(&bytes);
        bytes.put_u32_le(crc);
        bytes
    }

    fn decode(bytes: &[u8], base_offset: i64) -> Option<Self> {
        let (body, crc) = bytes.split_last_chunk::<4>()?;
        if !body.starts_with(MAGIC) || body.len() < FIXED_BYTES || crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
            return None;
        }
        let mut rest = &body[MAGIC.len()..];
        let (format, count) = (rest.get_u32_le(), rest.get_u32_le() as usize);
        if format != FORMAT || count > PARTITION_PRODUCERS_MAX || rest.get_i64_le() != base_offset {
            return None;
        }
        let mut producers = Self::default();
        for _ in 0..count {
            let id = rest.try_get_i64_le().ok()?;
            let (epoch, batch_count) = (rest.try_get_i16_le().ok()?, usize::from(rest.try_get_u16_le().ok()?));
            if !(1..=BATCHES_REMEMBERED).contains(&batch_count) || rest.len() < batch_count * BATCH_BYTES {
                return None;
            }
            let batch =
                |_| Sequenced { first: rest.get_i32_le(), last: rest.get_i32_le(), base_offset: rest.get_i64_le() };
            let batches = (0..batch_count).map(batch).collect();
            producers.put(id, Producer { epoch, batches });
        }
        rest.is_empty().then_some(producers)
    }
}

/// The first and the last sequence of a batch.
fn sequences(header: &BatchHeader) -> (i32, i32) {
    (header.base_sequence, after(header.base_sequence, header.last_offset_delta))
}

/// Sequences go on with 0 after the largest.
fn after(sequence: i32, count: i32) -> i32 {
    (i64::from(sequence) + i64::from(count)).rem_euclid(1 << 31) as i32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::batch::fixture;

    fn header((id, epoch): (i64, i16), first: i32, count: i32, base_offset: i64) -> BatchHeader {
        let bytes = fixture::sequenced((id, epoch, first), count, 1_000, &[0; 10]);
        BatchHeader { base_offset, ..BatchHeader::read(&bytes).unwrap() }
    }

    fn known(batches: &[((i64, i16), i32, i32)]) -> Producers {
        let mut producers = Producers::default();
        for (place, (who, first, count)) in batches.iter().enumerate() {
            producers.push(&header(*who, *first, *count, 100 * place as i64));
        }
        producers
    }

    #[test]
    fn sequences_follow_one_another() {
        use Refusal::{OldProducerEpoch, OutOfOrderSequence};
        let one = [((7, 1), 0, 3), ((7, 1), 3, 2)];
        let six: Vec<_> = (0..6).map(|first| ((7, 0), first, 1)).collect();
        let largest = [((7, 0), i32::MAX - 2, 3)];
        for (before, batch, expected) in [
            (&[][..], ((7, 0), 0, 1), Ok(Verdict::Append)),
            (&[], ((7, 5), 9, 1), Ok(Verdict::Append)),
            (&one, ((7, 1), 5, 1), Ok(Verdict::Append)),
            (&one, ((8, 0), 5, 1), Ok(Verdict::Append)),
            (&one, ((7, 1), 0, 3), Ok(Verdict::Repeated(0))),
            (&one, ((7, 1), 3, 2), Ok(Verdict::Repeated(100))),
            (&one, ((7, 1), 3, 3), Err(OutOfOrderSequence)),
            (&one, ((7, 1), 6, 1), Err(OutOfOrderSequence)),
            (&one, ((7, 1), 4, 1), Err(OutOfOrderSequence)),
            (&one, ((7, 0), 5, 1), Err(OldProducerEpoch)),
            (&one, ((7, 0), 0, 3), Err(OldProducerEpoch)),
            (&one, ((7, 2), 0, 1), Ok(Verdict::Append)),
            (&one, ((7, 2), 5, 1), Err(OutOfOrderSequence)),
            (&six, ((7, 0), 1, 1), Ok(Verdict::Repeated(100))),
            (&six, ((7, 0), 0, 1), Err(OutOfOrderSequence)),
            (&largest, ((7, 0), 0, 1), Ok(Verdict::Append)),
            (&largest, ((7, 0), 1, 1), Err(OutOfOrderSequence)),
        ] {
            let (who, first, count) = batch;
            let found = known(before).check(&header(who, first, count, 0));
            assert_eq!(found, expected, "after {before:?}: {batch:?}");
        }
    }

    #[test]
    fn what_was_not_written_is_undone_and_the_longest_silent_is_forgotten() {
        let mut producers = Producers::default();
        for id in 0..PARTITION_PRODUCERS_MAX as i64 {
            producers.push(&header((id, 0), 0, 1, id));
        }
        let full = producers.clone();
        let newcomer = producers.push(&header((-1 + (1 << 40), 0), 0, 1, 90_000)).unwrap();
        assert_eq!(producers.by_id.len(), PARTITION_PRODUCERS_MAX);
        assert!(!producers.by_id.contains_key(&0) && producers.by_id.contains_key(&1));
        let second = producers.push(&header((5, 3), 0, 1, 90_001)).unwrap();
        producers.undo(second);
        producers.undo(newcomer);
        assert_eq!(producers, full);
    }

    #[test]
    fn the_copy_comes_back_or_is_noticed() {
        let producers = known(&[((7, 1), 0, 3), ((9, 0), i32::MAX - 1, 2), ((7, 1), 3, 2)]);
        let bytes = producers.encode(300);
        assert_eq!(Producers::decode(&bytes, 300), Some(producers));
        assert_eq!(Producers::decode(&bytes, 301), None);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(Producers::decode(&changed, 300), None, "byte {at}");
            assert_eq!(Producers::decode(&bytes[..at], 300), None, "{at} bytes");
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics(tail in proptest::collection::vec(any::<u8>(), 0..200), count in 0u32..3) {
            let mut bytes = Producers::default().encode(0);
            bytes.truncate(FIXED_BYTES);
            bytes[12..16].copy_from_slice(&count.to_le_bytes());
            bytes.extend_from_slice(&tail);
            let crc = crc32c::crc32c(&bytes);
            bytes.extend_from_slice(&crc.to_le_bytes());
            let _ = Producers::decode(&bytes, 0);
        }
    }
}
