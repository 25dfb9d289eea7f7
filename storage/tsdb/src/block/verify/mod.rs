//! Walks a whole block and tells what is wrong with it: every checksum, order and reference, and what `meta.json` says.
//!
//! Repairs nothing. Goes on behind what it finds as far as what is behind can be trusted.

mod chunks;
mod index;
#[cfg(test)]
mod verify_test;

use model::TimeRange;

use super::reader::{META_BYTES_MAX, TOMBSTONES_BYTES_MAX};
use super::source::read_whole;
use super::{BlockError, BlockFile, BlockMeta, BlockSource, BlockStats, SeriesEntryRef, decode_tombstones};

/// Findings that are told one by one; of the rest only the number.
pub const FINDINGS_MAX: usize = 1000;

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    pub file: BlockFile,
    /// Where the part begins that is wrong; 0 where it is the file as a whole.
    pub offset: u64,
    pub reason: String,
}

/// What came of it.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Verification {
    /// The first [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    pub findings_total: u64,
    /// As counted; of what could be read.
    pub counted: BlockStats,
    /// As the file says; none where it cannot be read.
    pub meta: Option<BlockMeta>,
}

impl Verification {
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings_total == 0
    }

    fn note(&mut self, file: BlockFile, offset: u64, reason: impl Into<String>) {
        self.findings_total += 1;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { file, offset, reason: reason.into() });
        }
    }

    /// Takes what is wrong with the block as a finding; what is wrong with the world stays an error.
    fn take<T>(&mut self, result: Result<T, BlockError>) -> Result<Option<T>, BlockError> {
        match result {
            Ok(value) => return Ok(Some(value)),
            Err(BlockError::Damaged { file, offset, reason }) => self.note(file, offset, reason),
            Err(BlockError::Missing { file }) => self.note(file, 0, "it is missing"),
            Err(error) => return Err(error),
        }
        Ok(None)
    }
}

/// Walks the block.
///
/// # Errors
/// The source failed; what is wrong with the block are findings.
pub async fn verify<S: BlockSource>(source: &S) -> Result<Verification, BlockError> {
    let mut found = Verification::default();
    let bytes = read_whole(source, BlockFile::Meta, META_BYTES_MAX).await;
    let meta = found.take(bytes.and_then(|bytes| BlockMeta::decode(&bytes)))?;
    found.meta.clone_from(&meta);
    if let Some(meta) = &meta {
        check_files(source, meta, &mut found).await?;
    }
    let range =
        meta.as_ref().map(|meta| TimeRange { min_ms: meta.min_time_ms, max_ms: meta.end_time_ms.saturating_sub(1) });
    let series = index::check(source, range, &mut found).await?;
    check_tombstones(source, series.as_deref(), &mut found).await?;
    if let (Some(meta), true) = (meta, series.is_some()) {
        check_stats(&meta, &mut found);
    }
    Ok(found)
}

/// The files that `meta.json` lists are there, and as long as it says.
async fn check_files<S: BlockSource>(source: &S, meta: &BlockMeta, found: &mut Verification) -> Result<(), BlockError> {
    if meta.min_time_ms >= meta.end_time_ms {
        found.note(BlockFile::Meta, 0, format!("its time ends at {} before it begins", meta.end_time_ms));
    }
    for listed in meta.thanos.iter().flat_map(|thanos| &thanos.files) {
        let Some(file) = BlockFile::of_path(&listed.rel_path) else {
            found.note(BlockFile::Meta, 0, format!("it lists {:?}, which is no file of a block", listed.rel_path));
            continue;
        };
        let length = source.length(&file).await;
        let Some(length) = found.take(length)? else { continue };
        // Its own length is not in it.
        if file != BlockFile::Meta && length != listed.size_bytes {
            found.note(file, 0, format!("it has {length} bytes, {} are listed", listed.size_bytes));
        }
    }
    Ok(())
}

/// Each is of a series of the block, and of a range.
async fn check_tombstones<S: BlockSource>(
    source: &S,
    series: Option<&[SeriesEntryRef]>,
    found: &mut Verification,
) -> Result<(), BlockError> {
    let bytes = match read_whole(source, BlockFile::Tombstones, TOMBSTONES_BYTES_MAX).await {
        Err(BlockError::Missing { .. }) => return Ok(()),
        bytes => bytes,
    };
    let decoded = bytes.and_then(|bytes| decode_tombstones(&bytes));
    for tombstone in found.take(decoded)?.unwrap_or_default() {
        found.counted.num_tombstones += 1;
        if series.is_some_and(|series| series.binary_search(&tombstone.series).is_err()) {
            let reason = format!("a tombstone is of series {}, which is not there", tombstone.series.0);
            found.note(BlockFile::Tombstones, 0, reason);
        }
        if tombstone.range.min_ms > tombstone.range.max_ms {
            found.note(BlockFile::Tombstones, 0, "a tombstone ends before it begins");
        }
    }
    Ok(())
}

/// What was counted is what is said. Older writers do not tell floats from histograms, and say nothing of either.
fn check_stats(meta: &BlockMeta, found: &mut Verification) {
    let (said, counted) = (&meta.stats, found.counted.clone());
    let is_told_apart = said.num_float_samples + said.num_histogram_samples > 0;
    for (what, said, counted, is_said) in [
        ("series", said.num_series, counted.num_series, true),
        ("chunks", said.num_chunks, counted.num_chunks, true),
        ("samples", said.num_samples, counted.num_samples, true),
        ("float samples", said.num_float_samples, counted.num_float_samples, is_told_apart),
        ("histogram samples", said.num_histogram_samples, counted.num_histogram_samples, is_told_apart),
        ("tombstones", said.num_tombstones, counted.num_tombstones, true),
    ] {
        if is_said && said != counted {
            found.note(BlockFile::Meta, 0, format!("it tells of {said} {what}, {counted} are there"));
        }
    }
}
