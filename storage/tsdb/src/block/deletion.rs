//! Takes deleted samples out of chunks. Nothing is rewritten on disk: a reader gets new chunks of what is left.

use std::sync::Arc;

use model::{Sample, TimeRange};

use super::cursor::BlockSeriesChunk;
use super::{BlockError, BlockFile, ChunkRef, Tombstone};
use crate::chunk::{ChunkEncoding, decode_xor, encode_xor};

/// Samples of a chunk that is made anew, as everywhere.
const CHUNK_SAMPLES: usize = 120;

/// Adds a chunk as it is where nothing of it was deleted, else chunks of the rest.
pub(super) fn without_deleted(
    at: ChunkRef,
    chunk: BlockSeriesChunk,
    deleted: &[Tombstone],
    kept: &mut Vec<BlockSeriesChunk>,
) -> Result<(), BlockError> {
    if !deleted.iter().any(|tombstone| tombstone.range.overlaps(&chunk.range)) {
        kept.push(chunk);
        return Ok(());
    }
    if chunk.encoding != ChunkEncoding::Xor {
        return Err(BlockError::Unsupported { encoding: chunk.encoding });
    }
    let (mut timestamps_ms, mut values) = (Vec::new(), Vec::new());
    decode_xor(&chunk.bytes, &mut timestamps_ms, &mut values).map_err(|error| {
        BlockError::damaged(at.file().unwrap_or(BlockFile::Index), at.offset().into(), error.to_string())
    })?;
    let is_kept = |sample: &Sample| !deleted.iter().any(|tombstone| tombstone.range.contains(sample.timestamp_ms));
    let samples = timestamps_ms.into_iter().zip(values).map(|(timestamp_ms, value)| Sample { timestamp_ms, value });
    let samples: Vec<Sample> = samples.filter(is_kept).collect();
    for samples in samples.chunks(CHUNK_SAMPLES) {
        let (first, last) = (samples[0].timestamp_ms, samples[samples.len() - 1].timestamp_ms);
        let bytes: Arc<[u8]> = encode_xor(samples).into();
        let range = TimeRange { min_ms: first, max_ms: last };
        kept.push(BlockSeriesChunk { range, encoding: ChunkEncoding::Xor, bytes: bytes.into() });
    }
    Ok(())
}
