//! Chunks: their checksums and samples, the ranges that the index tells, and that segments hold nothing else.

use std::collections::BTreeMap;

use model::TimeRange;

use super::Verification;
use crate::block::chunk_file::{CHUNK_CHECKSUM_BYTES, CHUNK_HEADER_BYTES, CHUNK_MAGIC, CHUNK_VERSION};
use crate::block::chunk_read::read_chunks;
use crate::block::source::read_exact;
use crate::block::{BlockError, BlockFile, BlockSource, ChunkMeta, ChunkRef, StoredChunk};
use crate::chunk::{ChunkEncoding, ChunkError, HistogramReader, Xor2Reader, XorReader};
use crate::wal::put_varint;

/// Chunks at a time.
const STEP: usize = 1024;

/// Goes through the chunks of a block, series by series.
pub(super) struct ChunkCheck<'s, S> {
    source: &'s S,
    range: Option<TimeRange>,
    /// Bytes of each segment that chunks take.
    taken: BTreeMap<u32, u64>,
    is_whole: bool,
    last: Option<ChunkRef>,
}

impl<'s, S: BlockSource> ChunkCheck<'s, S> {
    /// Samples have to be within the range, where that is known.
    pub(super) fn new(source: &'s S, range: Option<TimeRange>) -> Self {
        Self { source, range, taken: BTreeMap::new(), is_whole: true, last: None }
    }

    /// Reads the chunks of the next series.
    pub(super) async fn check(&mut self, metas: &[ChunkMeta], found: &mut Verification) -> Result<(), BlockError> {
        for step in metas.chunks(STEP) {
            let refs: Vec<ChunkRef> = step.iter().map(|meta| meta.at).collect();
            if let Ok(chunks) = read_chunks(self.source, &refs).await {
                step.iter().zip(chunks).for_each(|(meta, chunk)| self.check_chunk(meta, &chunk, found));
                continue;
            }
            for meta in step {
                let read = read_chunks(self.source, &[meta.at]).await;
                match found.take(read)? {
                    Some(chunks) => chunks.iter().for_each(|chunk| self.check_chunk(meta, chunk, found)),
                    None => self.is_whole = false,
                }
            }
        }
        Ok(())
    }

    fn check_chunk(&mut self, meta: &ChunkMeta, chunk: &StoredChunk, found: &mut Verification) {
        let file = meta.at.file().expect("a chunk was read there");
        let offset = u64::from(meta.at.offset());
        if self.last.is_some_and(|last| last >= meta.at) {
            found.note(file, offset, "a chunk does not stand behind that of the series before");
        }
        self.last = Some(meta.at);
        if let BlockFile::Chunks(segment) = file {
            *self.taken.entry(segment).or_default() += bytes_taken(chunk);
        }
        found.counted.num_chunks += 1;
        let times = match timestamps(chunk) {
            Ok(times) => times,
            Err(error) => return found.note(file, offset, error.to_string()),
        };
        let samples = times.len() as u64;
        found.counted.num_samples += samples;
        match chunk.encoding {
            ChunkEncoding::Xor | ChunkEncoding::Xor2 => found.counted.num_float_samples += samples,
            _ => found.counted.num_histogram_samples += samples,
        }
        let (Some(first), Some(last)) = (times.first(), times.last()) else {
            return found.note(file, offset, "a chunk has no samples");
        };
        if !times.is_sorted_by(|a, b| a < b) {
            found.note(file, offset, "the samples of a chunk are not in order");
        }
        let held = TimeRange { min_ms: *first, max_ms: *last };
        if held != meta.range {
            let (min_ms, max_ms) = (meta.range.min_ms, meta.range.max_ms);
            found.note(file, offset, format!("a chunk holds {first} to {last}, the index says {min_ms} to {max_ms}"));
        }
        if self.range.is_some_and(|range| !range.contains(*first) || !range.contains(*last)) {
            found.note(file, offset, format!("a chunk of {first} to {last} is outside of the block's time"));
        }
    }

    /// Looks at the segments themselves. What no chunk takes is told only if all series could be read.
    pub(super) async fn end(self, is_index_whole: bool, found: &mut Verification) -> Result<(), BlockError> {
        for segment in 1.. {
            let file = BlockFile::Chunks(segment);
            let length = match self.source.length(&file).await {
                Err(BlockError::Missing { .. }) => break,
                length => length?,
            };
            found.take(check_header(self.source, file).await)?;
            let taken = CHUNK_HEADER_BYTES as u64 + self.taken.get(&segment).copied().unwrap_or_default();
            if self.is_whole && is_index_whole && taken != length {
                found.note(file, 0, format!("it has {length} bytes, its chunks and its header take {taken}"));
            }
        }
        Ok(())
    }
}

/// With its length, its encoding and its checksum.
fn bytes_taken(chunk: &StoredChunk) -> u64 {
    let mut length = Vec::new();
    put_varint(chunk.bytes.len() as u64, &mut length);
    (length.len() + 1 + chunk.bytes.len() + CHUNK_CHECKSUM_BYTES) as u64
}

async fn check_header<S: BlockSource>(source: &S, file: BlockFile) -> Result<(), BlockError> {
    let header = match source.length(&file).await? {
        length if length < CHUNK_HEADER_BYTES as u64 => Vec::new(),
        _ => read_exact(source, file, 0, CHUNK_HEADER_BYTES).await?,
    };
    if header.starts_with(&CHUNK_MAGIC.to_be_bytes()) && header[4] == CHUNK_VERSION {
        return Ok(());
    }
    Err(BlockError::damaged(file, 0, "it does not begin with magic 0x85BD40DD and version 1"))
}

/// When the samples of a chunk are, decoding all of it.
fn timestamps(chunk: &StoredChunk) -> Result<Vec<i64>, ChunkError> {
    let bytes = &*chunk.bytes;
    match chunk.encoding {
        ChunkEncoding::Xor => {
            let mut reader = XorReader::new(bytes)?;
            collect(|| Ok(reader.next_sample()?.map(|sample| sample.timestamp_ms)))
        }
        ChunkEncoding::Xor2 => {
            let mut reader = Xor2Reader::new(bytes)?;
            collect(|| Ok(reader.next_sample()?.map(|sample| sample.timestamp_ms)))
        }
        ChunkEncoding::Histogram => {
            let mut reader = HistogramReader::<u64>::new(bytes)?;
            collect(|| reader.next_timestamp_ms())
        }
        ChunkEncoding::FloatHistogram => {
            let mut reader = HistogramReader::<f64>::new(bytes)?;
            collect(|| reader.next_timestamp_ms())
        }
        ChunkEncoding::HistogramWithStart => {
            let mut reader = HistogramReader::<u64>::with_start_timestamps(bytes)?;
            collect(|| reader.next_timestamp_ms())
        }
        ChunkEncoding::FloatHistogramWithStart => {
            let mut reader = HistogramReader::<f64>::with_start_timestamps(bytes)?;
            collect(|| reader.next_timestamp_ms())
        }
    }
}

fn collect(mut next: impl FnMut() -> Result<Option<i64>, ChunkError>) -> Result<Vec<i64>, ChunkError> {
    let mut times = Vec::new();
    while let Some(timestamp_ms) = next()? {
        times.push(timestamp_ms);
    }
    Ok(times)
}
