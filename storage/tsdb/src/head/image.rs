//! What a checkpoint takes out of a head, and how a head is made from it again.
//!
//! Definitions go in runs of series with a dictionary of their label pairs; contents go series by series: where each sealed
//! chunk lies in the chunk log, and the open chunk's bytes. All fields are varints or bytes behind their length.
//!
//! - definitions: count of pairs, then name and value of each; for each series: count of labels, then their places in the
//!   dictionary, in order of names
//! - a list: count of sealed chunks, oldest first: file, block, length, encoding (and the cut's number where its highest bit is
//!   set), first time (zigzag, relative to the first of
//!   the chunk before), time span
//! - contents of a series: the list of its chunks in order; then the open chunk's bytes, none where it is empty
//! - late samples, for each series that has any: its number, the list of its late chunks, count of runs, an XOR chunk for each

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use model::{Fingerprint, FingerprintKey, Offset, SeriesRef, TimeRange, encode_labels};

use super::append::{finished, open_range, range_end_ms};
use super::postings::PairId;
use super::series::NONE;
use super::{CutNumber, Head, LABELS_MAX, OpenCut, SERIES_MAX, SealedChunk, Slot, Symbols};
use crate::checkpoint::{ChunkAt, ChunkBytes};
use crate::chunk::{ChunkError, SAMPLE_BYTES_MAX, XorAppender, XorReader, encode_xor};
use crate::read::ChunkEncoding;
use crate::wal::{Fields, Malformed, put_bytes, put_signed, put_varint};

/// Why an image is not one of a head.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum ImageError {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("an open chunk: {0}")]
    Chunk(#[from] ChunkError),
    #[error("a series of it is defined twice")]
    DefinedTwice,
    #[error("it names a chunk that the chunk log does not have")]
    ChunkMissing,
}

/// Beside the encoding of a chunk that is in a cut.
const IS_CUT: u8 = 0x80;

/// Files of the chunk log.
pub(crate) type ChunkFiles = BTreeSet<NonZeroU32>;

/// Finds a chunk of a length in the chunk log; with its place where the head goes on with that log.
pub(crate) type LoadChunk<'a> = dyn Fn(ChunkAt, u32) -> Option<(ChunkBytes, Option<ChunkAt>)> + 'a;

/// The label pairs of a run of definitions, numbered as they come. Reused from run to run.
#[derive(Default, Debug)]
pub(crate) struct LabelDictionary {
    places: hashbrown::HashMap<PairId, u32>,
    pairs: Vec<PairId>,
    series: Vec<u8>,
}

impl Head {
    /// Appends the definitions of the series `first..end`.
    pub(crate) fn put_definitions(
        &self,
        symbols: &Symbols,
        (first, end): (u32, u32),
        dictionary: &mut LabelDictionary,
        out: &mut Vec<u8>,
    ) {
        let LabelDictionary { places, pairs, series } = dictionary;
        places.clear();
        pairs.clear();
        series.clear();
        for index in first..end {
            let labels = self.pairs_of(index);
            put_varint(labels.len() as u64, series);
            for pair in labels {
                let place = *places.entry(*pair).or_insert_with(|| {
                    pairs.push(*pair);
                    pairs.len() as u32 - 1
                });
                put_varint(place.into(), series);
            }
        }
        put_varint(pairs.len() as u64, out);
        for pair in pairs {
            let pair = self.postings.pair(*pair);
            put_bytes(symbols.text(pair.name).as_bytes(), out);
            put_bytes(symbols.text(pair.value).as_bytes(), out);
        }
        out.extend_from_slice(series);
    }

    /// Defines `count` more series.
    ///
    /// # Errors
    /// The fields end early, or the series cannot follow those that are there. What was defined before stays.
    pub(crate) fn take_definitions(
        &mut self,
        symbols: &mut Symbols,
        key: &FingerprintKey,
        count: u32,
        fields: &mut Fields<'_>,
    ) -> Result<(), ImageError> {
        let mut texts = Vec::new();
        let pair_count: usize = fields.number("a count of label pairs")?;
        for _ in 0..pair_count {
            texts.push((fields.text("a label name")?, fields.text("a label value")?));
        }
        let mut pairs: Vec<Option<PairId>> = vec![None; texts.len()];
        let (mut labels, mut own, mut canonical) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..count {
            labels.clear();
            own.clear();
            canonical.clear();
            let label_count: usize = fields.number("a count of labels")?;
            if label_count == 0 || label_count > LABELS_MAX || self.series.len() >= SERIES_MAX {
                return Err(Malformed::OutOfRange { what: "a count of labels or series" }.into());
            }
            for _ in 0..label_count {
                let place: usize = fields.number("a label pair")?;
                let (name, value) =
                    *texts.get(place).ok_or(Malformed::OutOfRange { what: "the number of a label pair" })?;
                let is_behind = labels.last().is_none_or(|(before, _): &(&str, &str)| *before < name);
                if !is_behind || name.is_empty() || value.is_empty() {
                    return Err(Malformed::OutOfRange { what: "a label" }.into());
                }
                let pair = *pairs[place].get_or_insert_with(|| {
                    let (name, value) = (symbols.intern(name), symbols.intern(value));
                    self.postings.intern(symbols, name, value)
                });
                own.push(pair);
                labels.push((name, value));
            }
            encode_labels(labels.iter().copied(), &mut canonical);
            self.define_known(key.fingerprint(&canonical), &own)?;
        }
        Ok(())
    }

    fn define_known(&mut self, fingerprint: Fingerprint, pairs: &[PairId]) -> Result<(), ImageError> {
        if self.fingerprints.get(fingerprint).is_some() {
            return Err(ImageError::DefinedTwice);
        }
        let series = self.push_series(pairs);
        self.fingerprints.insert(fingerprint, series);
        Ok(())
    }

    /// Calls `log` with the bytes of each sealed chunk of the series that the chunk log does not have, oldest first, and
    /// notes where that put them. Chunks that `mapped` has are given back to it.
    pub(crate) fn log_chunks(
        &mut self,
        series: u32,
        log: &mut dyn FnMut(&[u8]) -> ChunkAt,
        mapped: &dyn Fn(ChunkAt, usize) -> Option<ChunkBytes>,
    ) {
        self.log_list(self.series.get(series).sealed, log, mapped);
        self.log_list(self.newest_late(series), log, mapped);
    }

    fn log_list(
        &mut self,
        newest: u32,
        log: &mut dyn FnMut(&[u8]) -> ChunkAt,
        mapped: &dyn Fn(ChunkAt, usize) -> Option<ChunkBytes>,
    ) {
        let (mut fresh, mut next) = (Vec::new(), newest);
        while next != NONE {
            let chunk = self.sealed.get_mut(next);
            match chunk.logged {
                None => fresh.push(next),
                Some(at) if !chunk.bytes.is_mapped() => {
                    if let Some(bytes) = mapped(at, chunk.bytes.len()) {
                        self.sealed_bytes -= chunk.bytes.memory_bytes();
                        chunk.bytes = bytes;
                    }
                }
                // All that are older are in the log as well.
                Some(_) => break,
            }
            next = chunk.previous;
        }
        for index in fresh.into_iter().rev() {
            let chunk = self.sealed.get_mut(index);
            chunk.logged = Some(log(&chunk.bytes));
        }
    }

    /// Appends the last cut's number, and the cuts that are not forgotten.
    pub(crate) fn put_cuts(&self, out: &mut Vec<u8>) {
        put_varint(self.last_cut().0.into(), out);
        put_varint(self.open_cuts().len() as u64, out);
        for OpenCut { number, block, before_ms, next } in self.open_cuts() {
            put_varint(number.0.into(), out);
            out.extend_from_slice(&block.to_be_bytes());
            put_signed(*before_ms, out);
            put_signed(next.0, out);
        }
    }

    /// Reads what [`Head::put_cuts`] wrote.
    ///
    /// # Errors
    /// The fields end early.
    pub(crate) fn take_cuts(fields: &mut Fields<'_>) -> Result<(CutNumber, Vec<OpenCut>), ImageError> {
        if fields.is_empty() {
            return Ok((CutNumber::NONE, Vec::new()));
        }
        let last = CutNumber(fields.number("a cut")?);
        let count: u32 = if fields.is_empty() { 0 } else { fields.number("a count of cuts")? };
        let mut open = Vec::new();
        for _ in 0..count {
            let number = CutNumber(fields.number("a cut")?);
            let block = u128::from_be_bytes(fields.array()?);
            open.push(OpenCut { number, block, before_ms: fields.signed()?, next: Offset(fields.signed()?) });
        }
        Ok((last, open))
    }

    /// Appends what a series holds in order. Its sealed chunks must be in the chunk log: [`Head::log_chunks`].
    pub(crate) fn put_contents(&self, series: u32, files: &mut ChunkFiles, out: &mut Vec<u8>) {
        let series = self.series.get(series);
        self.put_list(series.sealed, files, out);
        if series.open.count() == 0 {
            return put_bytes(&[], out);
        }
        put_bytes(&finished(self.arena.slot(series.slot), &series.open), out);
    }

    /// Appends the late samples of those of the series that have any.
    pub(crate) fn put_late(&self, series: std::ops::Range<u32>, files: &mut ChunkFiles, out: &mut Vec<u8>) {
        for series in series.filter(|series| self.has_late(*series)) {
            put_varint(series.into(), out);
            self.put_list(self.newest_late(series), files, out);
            let runs = self.late_runs(series);
            put_varint(runs.len() as u64, out);
            runs.for_each(|samples| put_bytes(&encode_xor(samples), out));
        }
    }

    fn put_list(&self, newest: u32, files: &mut ChunkFiles, out: &mut Vec<u8>) {
        let chunks: Vec<&SealedChunk> = self.chunk_list(newest).collect();
        put_varint(chunks.len() as u64, out);
        let mut min_before_ms = 0;
        for chunk in chunks.into_iter().rev() {
            let at = chunk.logged.expect("the chunks of the series were logged just now");
            files.insert(at.file);
            put_varint(at.file.get().into(), out);
            put_varint(at.block.into(), out);
            put_varint(chunk.bytes.len() as u64, out);
            let is_cut = chunk.cut != CutNumber::NONE;
            out.push(ChunkEncoding::Xor as u8 | if is_cut { IS_CUT } else { 0 });
            if is_cut {
                put_varint(chunk.cut.0.into(), out);
            }
            put_signed(chunk.range.min_ms.wrapping_sub(min_before_ms), out);
            put_varint(chunk.range.max_ms.wrapping_sub(chunk.range.min_ms).cast_unsigned(), out);
            min_before_ms = chunk.range.min_ms;
        }
    }

    /// Gives a series without samples what [`Head::put_contents`] wrote. `load` finds the chunks of the chunk log, and says
    /// whether they are in the log that this head goes on with.
    ///
    /// # Errors
    /// The fields are not those of a series. The head is then of no use any more.
    pub(crate) fn take_contents(
        &mut self,
        series: SeriesRef,
        fields: &mut Fields<'_>,
        load: &LoadChunk<'_>,
    ) -> Result<(), ImageError> {
        let sealed = self.take_list(fields, load)?;
        self.series.get_mut(series.0).sealed = sealed;
        let open = fields.bytes()?;
        if !open.is_empty() { self.resume_chunk(series.0, open) } else { Ok(()) }
    }

    /// Gives series without late samples what [`Head::put_late`] wrote.
    ///
    /// # Errors
    /// As [`Head::take_contents`].
    pub(crate) fn take_late(&mut self, fields: &mut Fields<'_>, load: &LoadChunk<'_>) -> Result<(), ImageError> {
        while !fields.is_empty() {
            let series: u32 = fields.number("a series")?;
            if series >= self.series.len() {
                return Err(Malformed::OutOfRange { what: "a series with late samples" }.into());
            }
            let sealed = self.take_list(fields, load)?;
            let count: u32 = fields.number("a count of runs")?;
            let mut runs = Vec::new();
            for _ in 0..count {
                let mut reader = XorReader::new(fields.bytes()?)?;
                let mut samples = Vec::new();
                while let Some(sample) = reader.next_sample()? {
                    samples.push(sample);
                }
                runs.push(samples);
            }
            self.restore_late(series, sealed, runs).map_err(|what| Malformed::OutOfRange { what })?;
        }
        Ok(())
    }

    /// The newest of the chunks of a list that [`Head::put_list`] wrote.
    fn take_list(&mut self, fields: &mut Fields<'_>, load: &LoadChunk<'_>) -> Result<u32, ImageError> {
        let count: u32 = fields.number("a count of chunks")?;
        let (mut newest, mut min_before_ms) = (NONE, 0i64);
        for _ in 0..count {
            let file = NonZeroU32::new(fields.number("a file of chunks")?);
            let file = file.ok_or(Malformed::OutOfRange { what: "a file of chunks" })?;
            let at = ChunkAt { file, block: fields.number("the place of a chunk")? };
            let len = fields.number("the length of a chunk")?;
            let encoding = fields.byte()?;
            if encoding & !IS_CUT != ChunkEncoding::Xor as u8 {
                return Err(Malformed::OutOfRange { what: "the encoding of a chunk" }.into());
            }
            let cut = if encoding & IS_CUT == 0 { CutNumber::NONE } else { CutNumber(fields.number("a cut")?) };
            let min_ms = min_before_ms.wrapping_add(fields.signed()?);
            let max_ms = min_ms.wrapping_add(fields.varint()?.cast_signed());
            if max_ms < min_ms {
                return Err(Malformed::OutOfRange { what: "the time span of a chunk" }.into());
            }
            let (bytes, logged) = load(at, len).ok_or(ImageError::ChunkMissing)?;
            let range = TimeRange { min_ms, max_ms };
            self.widen(range);
            newest = self.sealed.push(SealedChunk { range, bytes, previous: newest, logged, cut });
            min_before_ms = min_ms;
        }
        Ok(newest)
    }

    fn resume_chunk(&mut self, series: u32, bytes: &[u8]) -> Result<(), ImageError> {
        let open = XorAppender::resume(bytes)?;
        let first = XorReader::new(bytes)?.next_sample()?;
        let (Some(_), true) = (first, bytes.len() + SAMPLE_BYTES_MAX <= super::CHUNK_BYTES_MAX) else {
            return Err(Malformed::OutOfRange { what: "the length of an open chunk" }.into());
        };
        let mut slot = self.arena.allocate();
        while self.arena.slot(slot).len() < bytes.len() + SAMPLE_BYTES_MAX {
            slot = self.arena.grow(slot, 0);
        }
        self.arena.slot_mut(slot)[..bytes.len()].copy_from_slice(bytes);
        let range = open_range(self.arena.slot(slot), &open);
        let own = self.series.get_mut(series);
        if own.slot != Slot::NONE {
            return Err(ImageError::DefinedTwice);
        }
        (own.open, own.slot, own.seal_at_ms) = (open, slot, range_end_ms(range.min_ms));
        self.widen(range);
        Ok(())
    }
}
