//! Late samples: those that come after a later one of their series. They lie beside the chunks in order, and readers merge.
//!
//! Of each series and aligned range they are sorted in memory until a chunk of them is full; a chunk of late samples is sealed
//! like any other, but such chunks overlap each other and those in order. Which late samples are taken is decided in `append`.

use std::sync::Arc;

use hashbrown::HashMap;
use model::{Sample, TimeRange};

use super::append::range_end_ms;
use super::series::NONE;
use super::{CutNumber, Head, SealedChunk};
use crate::checkpoint::ChunkBytes;
use crate::chunk::{XorReader, encode_xor};
use crate::read::{ChunkEncoding, ChunkSnapshot, StepCost};

/// Samples of a full chunk. Tests have few and want several.
const SAMPLES_MAX: usize = if cfg!(test) { 8 } else { super::SAMPLES_PER_CHUNK as usize };

/// Of all series of a head that have any: few.
pub(super) struct LateSamples {
    series: HashMap<u32, LateSeries>,
    /// Of the samples in memory.
    buffer_bytes: u64,
}

/// Of one series.
struct LateSeries {
    buffers: Vec<LateBuffer>,
    /// The chunk of late samples that was sealed last, or [`NONE`]; they are a list of their own.
    sealed: u32,
}

/// Of one series and aligned range: never empty, sorted, fewer than a full chunk.
#[derive(Clone)]
pub(super) struct LateBuffer {
    end_ms: i64,
    samples: Vec<Sample>,
}

/// What a series has, for another head; `sealed` is a list of that one.
pub(super) struct LateCopy {
    pub(super) buffers: Vec<LateBuffer>,
    pub(super) sealed: u32,
}

impl LateSamples {
    pub(super) fn new() -> Self {
        Self { series: HashMap::new(), buffer_bytes: 0 }
    }

    /// Memory held, but for sealed chunks.
    pub(super) fn bytes(&self) -> u64 {
        let entry = size_of::<(u32, LateSeries)>() + 1;
        (self.series.capacity() * entry) as u64 + self.buffer_bytes
    }
}

impl LateBuffer {
    fn bytes(&self) -> u64 {
        (size_of::<Self>() + self.samples.capacity() * size_of::<Sample>()) as u64
    }

    /// Sorted and not empty.
    fn range(&self) -> TimeRange {
        let (first, last) = (&self.samples[0], &self.samples[self.samples.len() - 1]);
        TimeRange { min_ms: first.timestamp_ms, max_ms: last.timestamp_ms }
    }

    fn encoded(&self) -> ChunkBytes {
        Arc::<[u8]>::from(encode_xor(&self.samples)).into()
    }
}

impl Head {
    /// Takes a sample at a time at which the series has none.
    pub(super) fn add_late(&mut self, series: u32, sample: Sample) {
        let own = self.late.series.entry(series).or_insert(LateSeries { buffers: Vec::new(), sealed: NONE });
        let end_ms = range_end_ms(sample.timestamp_ms);
        let index = own.buffers.iter().position(|buffer| buffer.end_ms == end_ms).unwrap_or_else(|| {
            own.buffers.push(LateBuffer { end_ms, samples: Vec::new() });
            own.buffers.len() - 1
        });
        let buffer = &mut own.buffers[index];
        let bytes_before = if buffer.samples.is_empty() { 0 } else { buffer.bytes() };
        let place = buffer.samples.partition_point(|there| there.timestamp_ms < sample.timestamp_ms);
        buffer.samples.insert(place, sample);
        self.late.buffer_bytes = self.late.buffer_bytes - bytes_before + buffer.bytes();
        self.widen(TimeRange { min_ms: sample.timestamp_ms, max_ms: sample.timestamp_ms });
        self.uncut_min_ms = self.uncut_min_ms.min(sample.timestamp_ms);
        if self.late.series[&series].buffers[index].samples.len() == SAMPLES_MAX {
            self.seal_late(series, index);
        }
    }

    fn seal_late(&mut self, series: u32, index: usize) {
        let own = self.late.series.get_mut(&series).expect("it has late samples");
        let buffer = own.buffers.swap_remove(index);
        self.late.buffer_bytes -= buffer.bytes();
        let (range, bytes, previous) = (buffer.range(), buffer.encoded(), own.sealed);
        self.sealed_bytes += bytes.memory_bytes();
        own.sealed = self.sealed.push(SealedChunk { range, bytes, previous, logged: None, cut: CutNumber::NONE });
    }

    /// Seals what a series has in memory before a multiple of the chunks' range.
    pub(super) fn seal_late_before(&mut self, series: u32, before_ms: i64) {
        let find = |head: &Self| {
            let own = head.late.series.get(&series)?;
            own.buffers.iter().position(|buffer| buffer.end_ms <= before_ms)
        };
        while let Some(index) = find(self) {
            self.seal_late(series, index);
        }
    }

    /// None where the series has no late samples.
    pub(super) fn copy_of_late(&self, series: u32) -> Option<LateCopy> {
        let own = self.late.series.get(&series)?;
        Some(LateCopy { buffers: own.buffers.clone(), sealed: own.sealed })
    }

    /// For a series that has no late samples; nothing where the copy is empty.
    pub(super) fn put_late_copy(&mut self, series: u32, copy: LateCopy) {
        let LateCopy { buffers, sealed } = copy;
        if buffers.is_empty() && sealed == NONE {
            return;
        }
        for buffer in &buffers {
            self.late.buffer_bytes += buffer.bytes();
            self.widen(buffer.range());
        }
        self.late.series.insert(series, LateSeries { buffers, sealed });
    }

    /// The value bits of the series' late sample at a time.
    pub(super) fn late_bits_at(&self, series: u32, timestamp_ms: i64) -> Option<u64> {
        let own = self.late.series.get(&series)?;
        let end_ms = range_end_ms(timestamp_ms);
        let buffered = own.buffers.iter().find(|buffer| buffer.end_ms == end_ms).and_then(|buffer| {
            let place = buffer.samples.binary_search_by_key(&timestamp_ms, |sample| sample.timestamp_ms).ok()?;
            Some(buffer.samples[place].value.to_bits())
        });
        let at = TimeRange { min_ms: timestamp_ms, max_ms: timestamp_ms };
        buffered.or_else(|| self.late_sealed(own, at).find_map(|chunk| bits_at(chunk, timestamp_ms)))
    }

    /// Adds the chunks of late samples that overlap the range, those in memory encoded.
    pub(super) fn add_late_chunks(&self, series: u32, range: TimeRange, chunks: &mut Vec<ChunkSnapshot>) {
        let Some(own) = self.late.series.get(&series) else { return };
        let encoding = ChunkEncoding::Xor;
        for chunk in self.late_sealed(own, range) {
            chunks.push(ChunkSnapshot { range: chunk.range, encoding, bytes: chunk.bytes.clone() });
        }
        for buffer in own.buffers.iter().filter(|buffer| buffer.range().overlaps(&range)) {
            chunks.push(ChunkSnapshot { range: buffer.range(), encoding, bytes: buffer.encoded() });
        }
    }

    pub(super) fn has_late_chunk(&self, series: u32, range: TimeRange) -> bool {
        self.late.series.get(&series).is_some_and(|own| {
            own.buffers.iter().any(|buffer| buffer.range().overlaps(&range))
                || self.late_sealed(own, range).next().is_some()
        })
    }

    /// Adds what [`Head::add_late_chunks`] would hand out.
    pub(super) fn add_late_cost(&self, series: u32, range: TimeRange, cost: &mut StepCost) {
        let Some(own) = self.late.series.get(&series) else { return };
        for buffer in own.buffers.iter().filter(|buffer| buffer.range().overlaps(&range)) {
            cost.copied_bytes += buffer.encoded().len() as u64;
        }
        cost.referenced_bytes += self.late_sealed(own, range).map(|chunk| chunk.bytes.len() as u64).sum::<u64>();
    }

    /// The latest time of a late sample.
    pub(super) fn last_late_ms(&self, series: u32) -> Option<i64> {
        let own = self.late.series.get(&series)?;
        let buffered = own.buffers.iter().map(|buffer| buffer.range().max_ms);
        buffered.chain(self.chunk_list(own.sealed).map(|chunk| chunk.range.max_ms)).max()
    }

    /// The newest sealed chunk of late samples, or [`NONE`].
    pub(super) fn newest_late(&self, series: u32) -> u32 {
        self.late.series.get(&series).map_or(NONE, |own| own.sealed)
    }

    pub(super) fn has_late(&self, series: u32) -> bool {
        self.late.series.contains_key(&series)
    }

    /// The samples in memory, a sorted run for each aligned range.
    pub(super) fn late_runs(&self, series: u32) -> impl ExactSizeIterator<Item = &[Sample]> {
        let buffers = self.late.series.get(&series).map_or(&[][..], |own| &own.buffers);
        buffers.iter().map(|buffer| &buffer.samples[..])
    }

    /// Gives a series without late samples those of a checkpoint. `runs` are as [`Head::late_runs`] tells them.
    ///
    /// # Errors
    /// They are not: what is wrong.
    pub(super) fn restore_late(
        &mut self,
        series: u32,
        sealed: u32,
        runs: Vec<Vec<Sample>>,
    ) -> Result<(), &'static str> {
        let mut own = LateSeries { buffers: Vec::new(), sealed };
        for samples in runs {
            let first = samples.first().ok_or("a run of late samples")?;
            let end_ms = range_end_ms(first.timestamp_ms);
            let is_sorted = samples.is_sorted_by(|left, right| left.timestamp_ms < right.timestamp_ms);
            let fits = samples.len() < SAMPLES_MAX
                && samples.iter().all(|sample| range_end_ms(sample.timestamp_ms) == end_ms)
                && own.buffers.iter().all(|buffer| buffer.end_ms != end_ms);
            if !is_sorted || !fits {
                return Err("the samples of a late run");
            }
            let buffer = LateBuffer { end_ms, samples };
            self.late.buffer_bytes += buffer.bytes();
            self.widen(buffer.range());
            own.buffers.push(buffer);
        }
        if self.late.series.insert(series, own).is_some() {
            return Err("a series with late samples");
        }
        Ok(())
    }

    /// In no order.
    fn late_sealed(&self, own: &LateSeries, range: TimeRange) -> impl Iterator<Item = &SealedChunk> {
        self.chunk_list(own.sealed).filter(move |chunk| chunk.range.overlaps(&range))
    }
}

/// The value bits of a chunk's sample at a time. Of a chunk that the disk does not give back nobody can say what it holds.
pub(super) fn bits_at(chunk: &SealedChunk, timestamp_ms: i64) -> Option<u64> {
    if !chunk.bytes.are_intact() {
        return None;
    }
    bits_in(XorReader::new(&chunk.bytes).ok()?, timestamp_ms)
}

pub(super) fn bits_in(mut reader: XorReader<'_>, timestamp_ms: i64) -> Option<u64> {
    while let Ok(Some(found)) = reader.next_sample() {
        if found.timestamp_ms >= timestamp_ms {
            return (found.timestamp_ms == timestamp_ms).then_some(found.value.to_bits());
        }
    }
    None
}
