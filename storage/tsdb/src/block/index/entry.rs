//! Entries of series: the numbers of their labels' texts, and their chunks.

use std::sync::Arc;

use hashbrown::HashMap;
use model::{Label, Labels, TimeRange};

use super::contents::damaged;
use super::{ChunkMeta, Contents, SERIES_ALIGNMENT, SeriesEntryRef, SymbolTable};
use crate::block::items::{self, Look, Wanted};
use crate::block::{BlockError, BlockSource, ChunkRef};
use crate::wal::{Fields, Malformed};

/// How long an entry is taken to be where nothing tells more.
const ENTRY_BYTES_GUESS: u64 = 512;
const CHECKSUM_BYTES: usize = 4;
/// Texts that are kept at hand; then the collection begins anew.
const TEXTS_MAX: usize = 1 << 16;

/// A series as the index has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SeriesEntry {
    pub labels: Labels,
    /// Oldest first, not overlapping.
    pub chunks: Vec<ChunkMeta>,
}

/// Texts of symbols, made once.
#[derive(Default, Debug)]
pub(in crate::block) struct Texts(HashMap<u32, Arc<str>>);

impl Texts {
    fn get(&mut self, symbols: &SymbolTable, number: u32) -> Option<Arc<str>> {
        if let Some(text) = self.0.get(&number) {
            return Some(Arc::clone(text));
        }
        let text: Arc<str> = symbols.get(number)?.into();
        if self.0.len() >= TEXTS_MAX {
            self.0.clear();
        }
        self.0.insert(number, Arc::clone(&text));
        Some(text)
    }
}

/// Reads the entries of series, in order of their refs.
pub(in crate::block) async fn read_entries<S: BlockSource>(
    source: &S,
    contents: &Contents,
    symbols: &SymbolTable,
    series: &[SeriesEntryRef],
    texts: &mut Texts,
) -> Result<Vec<SeriesEntry>, BlockError> {
    let range = contents.series();
    let mut wanted = Vec::with_capacity(series.len());
    for (index, entry) in series.iter().enumerate() {
        let at = u64::from(entry.0) * SERIES_ALIGNMENT;
        if !range.contains(&at) {
            return Err(damaged(at, "no series is there"));
        }
        let next = series.get(index + 1).map(|next| u64::from(next.0) * SERIES_ALIGNMENT);
        let guess_bytes = next.map_or(ENTRY_BYTES_GUESS, |next| next.saturating_sub(at).min(ENTRY_BYTES_GUESS));
        wanted.push(Wanted { at, guess_bytes });
    }
    let mut area = contents.area();
    area.end = range.end;
    items::read_items(source, area, &wanted, |at, bytes| look_at_entry(at, bytes, symbols, texts)).await
}

fn look_at_entry(
    at: u64,
    bytes: &[u8],
    symbols: &SymbolTable,
    texts: &mut Texts,
) -> Result<Look<SeriesEntry>, BlockError> {
    let (head, length) = frame(at, bytes)?;
    let Some((payload, checksum)) = bytes[head..].get(..length + CHECKSUM_BYTES).map(|rest| rest.split_at(length))
    else {
        return Ok(Look::Needs { bytes: (head + length + CHECKSUM_BYTES) as u64 });
    };
    if crc32c::crc32c(payload).to_be_bytes() != checksum {
        return Err(damaged(at, "the checksum of a series differs"));
    }
    let mut fields = Fields::new(payload);
    let labels = labels(&mut fields, symbols, texts).map_err(|reason| damaged(at, reason))?;
    let chunks = chunks(&mut fields).map_err(|malformed| damaged(at, malformed.to_string()))?;
    if !fields.is_empty() {
        return Err(damaged(at, "a series goes on behind its chunks"));
    }
    Ok(Look::Whole(SeriesEntry { labels, chunks }))
}

/// How long an entry says that it is, with its length and its checksum.
pub(in crate::block) fn frame_bytes(at: u64, bytes: &[u8]) -> Result<u64, BlockError> {
    let (head, length) = frame(at, bytes)?;
    Ok((head + length + CHECKSUM_BYTES) as u64)
}

fn frame(at: u64, bytes: &[u8]) -> Result<(usize, usize), BlockError> {
    let mut fields = Fields::new(bytes);
    let length: u32 = fields.number("a length").map_err(|malformed| damaged(at, malformed.to_string()))?;
    Ok((bytes.len() - fields.rest().len(), length as usize))
}

fn labels(fields: &mut Fields<'_>, symbols: &SymbolTable, texts: &mut Texts) -> Result<Labels, String> {
    let told = |malformed: Malformed| malformed.to_string();
    let count: usize = fields.number("the number of labels").map_err(told)?;
    // A label takes two bytes or more: nothing is believed beyond.
    let mut labels: Vec<Label> = Vec::with_capacity(count.min(fields.rest().len() / 2));
    for _ in 0..count {
        let mut next = || {
            let number = fields.number("a symbol").map_err(told)?;
            let known = symbols.len();
            texts.get(symbols, number).ok_or_else(|| format!("a series has symbol {number} of {known}"))
        };
        let label = Label { name: next()?, value: next()? };
        if label.value.is_empty() || labels.last().is_some_and(|before| before.name >= label.name) {
            return Err("the labels of a series are not in order, or one is empty".to_owned());
        }
        labels.push(label);
    }
    Ok(Labels::from_sorted(labels))
}

fn chunks(fields: &mut Fields<'_>) -> Result<Vec<ChunkMeta>, Malformed> {
    let out_of_range = |what| move || Malformed::OutOfRange { what };
    let count: usize = fields.number("the number of chunks")?;
    let mut chunks: Vec<ChunkMeta> = Vec::with_capacity(count.min(fields.rest().len() / 3));
    for _ in 0..count {
        let before = chunks.last().copied();
        let min_ms = match before {
            None => fields.signed()?,
            Some(before) => {
                let distance = fields.varint()?;
                let later = before.range.max_ms.checked_add_unsigned(distance).filter(|_| distance > 0);
                later.ok_or_else(out_of_range("the beginning of a chunk"))?
            }
        };
        let max_ms = min_ms.checked_add_unsigned(fields.varint()?).ok_or_else(out_of_range("the end of a chunk"))?;
        let at = match before {
            None => Some(fields.varint()?),
            Some(before) => before.at.0.checked_add_signed(fields.signed()?),
        };
        let at = ChunkRef(at.ok_or_else(out_of_range("the place of a chunk"))?);
        chunks.push(ChunkMeta { range: TimeRange { min_ms, max_ms }, at });
    }
    Ok(chunks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::{put_signed, put_varint};

    /// Beginning, length and place of the first chunk, then for each other the distance to the one before, length, place.
    fn encoded(first: (i64, u64, u64), others: &[(u64, u64, i64)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_varint(1 + others.len() as u64, &mut bytes);
        put_signed(first.0, &mut bytes);
        put_varint(first.1, &mut bytes);
        put_varint(first.2, &mut bytes);
        for (distance, length, place) in others {
            put_varint(*distance, &mut bytes);
            put_varint(*length, &mut bytes);
            put_signed(*place, &mut bytes);
        }
        bytes
    }

    #[track_caller]
    fn check(first: (i64, u64, u64), others: &[(u64, u64, i64)], expected: Result<&[(i64, i64, u64)], &'static str>) {
        let found = chunks(&mut Fields::new(&encoded(first, others)));
        let found = found.map(|chunks| {
            chunks.iter().map(|chunk| (chunk.range.min_ms, chunk.range.max_ms, chunk.at.0)).collect::<Vec<_>>()
        });
        let expected = expected.map(<[_]>::to_vec).map_err(|what| Malformed::OutOfRange { what });
        assert_eq!(found, expected, "{first:?} {others:?}");
    }

    #[test]
    fn chunks_follow_each_other_within_all_times() {
        check((-5, 3, 8), &[], Ok(&[(-5, -2, 8)]));
        check((-5, 3, 8), &[(1, 0, 20), (10, 5, -8)], Ok(&[(-5, -2, 8), (-1, -1, 28), (9, 14, 20)]));
        check((i64::MIN, u64::MAX, 8), &[], Ok(&[(i64::MIN, i64::MAX, 8)]));
        check((1, u64::MAX, 8), &[], Err("the end of a chunk"));
        check((-5, 3, 8), &[(0, 1, 20)], Err("the beginning of a chunk"));
        check((i64::MAX, 0, 8), &[(1, 0, 20)], Err("the beginning of a chunk"));
        check((5, 3, 8), &[(u64::MAX, 0, 20)], Err("the beginning of a chunk"));
        check((-5, 3, 8), &[(1, u64::MAX, 20)], Err("the end of a chunk"));
        check((-5, 3, 8), &[(1, 0, -9)], Err("the place of a chunk"));
        check((-5, 3, u64::MAX), &[(1, 0, 1)], Err("the place of a chunk"));
    }

    #[test]
    fn a_claimed_number_of_chunks_takes_no_memory() {
        let mut bytes = Vec::new();
        put_varint(u64::MAX, &mut bytes);
        assert_eq!(chunks(&mut Fields::new(&bytes)), Err(Malformed::Truncated));
    }
}
