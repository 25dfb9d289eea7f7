//! Reads chunks out of segment files: neighbours together, each one checked.

use std::sync::Arc;

use super::chunk_file::{CHUNK_CHECKSUM_BYTES, CHUNK_HEADER_BYTES};
use super::items::{Area, Look, Wanted, read_items};
use super::{BlockError, BlockFile, BlockSource, ChunkRef};
use crate::checkpoint::ChunkBytes;
use crate::chunk::ChunkEncoding;
use crate::wal::Fields;

/// How long a chunk is taken to be where nothing tells more: 120 samples mostly take a third of it.
const CHUNK_BYTES_GUESS: u64 = 1024;

/// A chunk as the segment file has it.
#[derive(Clone, Debug)]
pub struct StoredChunk {
    pub encoding: ChunkEncoding,
    pub bytes: ChunkBytes,
}

/// Reads chunks; the answer is in the order of the question, which may be any.
pub(super) async fn read_chunks<S: BlockSource>(source: &S, refs: &[ChunkRef]) -> Result<Vec<StoredChunk>, BlockError> {
    let mut order: Vec<usize> = (0..refs.len()).collect();
    order.sort_unstable_by_key(|index| refs[*index]);
    let mut found: Vec<Option<StoredChunk>> = vec![None; refs.len()];
    for of_file in order.chunk_by(|a, b| refs[*a].file() == refs[*b].file()) {
        let Some(file) = refs[of_file[0]].file() else {
            return Err(BlockError::damaged(BlockFile::Index, 0, "a chunk is in a segment beyond all numbers"));
        };
        let area = Area { file, end: source.length(&file).await? };
        let offset = |index: &usize| u64::from(refs[*index].offset());
        let wanted: Vec<Wanted> = of_file
            .iter()
            .enumerate()
            .map(|(nth, index)| {
                let next = of_file.get(nth + 1).map_or(u64::MAX, offset);
                let at = offset(index);
                Wanted { at, guess_bytes: (next - at).min(CHUNK_BYTES_GUESS) }
            })
            .collect();
        let chunks = read_items(source, area, &wanted, |at, bytes| look_at_chunk(file, at, bytes)).await?;
        of_file.iter().zip(chunks).for_each(|(index, (chunk, _))| found[*index] = Some(chunk));
    }
    Ok(found.into_iter().map(|chunk| chunk.expect("every place was read")).collect())
}

/// A chunk, and how many bytes it takes in the file.
pub(super) fn look_at_chunk(file: BlockFile, at: u64, bytes: &[u8]) -> Result<Look<(StoredChunk, usize)>, BlockError> {
    let damaged = |reason: String| BlockError::damaged(file, at, reason);
    if at < CHUNK_HEADER_BYTES as u64 {
        return Err(damaged("a chunk cannot be in the header".to_owned()));
    }
    let mut fields = Fields::new(bytes);
    let length: u32 = fields.number("a length").map_err(|malformed| damaged(malformed.to_string()))?;
    let total = bytes.len() - fields.rest().len() + 1 + length as usize + CHUNK_CHECKSUM_BYTES;
    let Some((body, checksum)) = bytes.get(..total).map(|whole| whole.split_at(total - CHUNK_CHECKSUM_BYTES)) else {
        return Ok(Look::Needs { bytes: total as u64 });
    };
    let body = &body[body.len() - 1 - length as usize..];
    if crc32c::crc32c(body).to_be_bytes() != checksum {
        return Err(damaged("the checksum of a chunk differs".to_owned()));
    }
    let encoding = ChunkEncoding::from_byte(body[0])
        .ok_or_else(|| damaged(format!("encoding {} of a chunk is not known to this release", body[0])))?;
    let bytes: Arc<[u8]> = body[1..].into();
    Ok(Look::Whole((StoredChunk { encoding, bytes: bytes.into() }, total)))
}
