//! The index: its parts, every series, and whether the postings say what the series say.

use std::sync::Arc;

use hashbrown::HashMap;
use model::{Labels, TimeRange};

use super::Verification;
use super::chunks::ChunkCheck;
use crate::block::index::{
    Contents, PostingsTable, SERIES_ALIGNMENT, SymbolTable, Texts, frame_bytes, read_entries, read_lists,
};
use crate::block::items::Wanted;
use crate::block::source::read_exact;
use crate::block::{BlockError, BlockFile, BlockSource, SeriesEntry, SeriesEntryRef};

/// Series, or lists, at a time.
const STEP: usize = 256;
/// Bytes of the index at a time.
const WINDOW_BYTES: u64 = 1 << 20;
/// The most that tells how long a series is.
const LENGTH_BYTES_MAX: u64 = 10;

/// What a list should hold, without holding it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Tally {
    count: u64,
    sum: u64,
}

impl Tally {
    fn add(&mut self, series: SeriesEntryRef) {
        self.count += 1;
        // Two different lists with one sum of mixed numbers would be a rare accident.
        let mixed = (u64::from(series.0) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.sum = self.sum.wrapping_add((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9));
    }
}

/// What the series say of each label pair.
type Tallies = HashMap<(Arc<str>, Arc<str>), Tally>;

/// An index whose parts could be read.
struct Index<'s, S> {
    source: &'s S,
    contents: Contents,
    symbols: SymbolTable,
    postings: PostingsTable,
}

/// Walks the index and all chunks that it knows; gives the series that are there, none where that cannot be told.
pub(super) async fn check<S: BlockSource>(
    source: &S,
    range: Option<TimeRange>,
    found: &mut Verification,
) -> Result<Option<Vec<SeriesEntryRef>>, BlockError> {
    let Some(contents) = found.take(Contents::read(source).await)? else { return Ok(None) };
    let symbols = found.take(SymbolTable::read(source, &contents).await)?;
    let postings = found.take(PostingsTable::read(source, &contents).await)?;
    let (Some(symbols), Some(postings)) = (symbols, postings) else { return Ok(None) };
    let index = Index { source, contents, symbols, postings };
    let all: Vec<Wanted> = index.postings.all().into_iter().collect();
    let listed = found.take(read_lists(source, &contents, &all).await)?;
    let listed = listed.map(|lists| lists.into_iter().flatten().map(SeriesEntryRef).collect::<Vec<_>>());
    let walked = found.take(index.walk().await)?;
    if let (Some(listed), Some(walked)) = (&listed, &walked) {
        compare(listed, walked, found);
    }
    let Some(series) = listed.or(walked) else { return Ok(None) };
    let tallies = index.check_series(&series, range, found).await?;
    index.check_postings(tallies, found).await?;
    Ok(Some(series))
}

/// The list of all series, and the series that follow each other in the file.
fn compare(listed: &[SeriesEntryRef], walked: &[SeriesEntryRef], found: &mut Verification) {
    let is_in = |series: &SeriesEntryRef, others: &[SeriesEntryRef]| others.binary_search(series).is_ok();
    let place = |series: &SeriesEntryRef| u64::from(series.0) * SERIES_ALIGNMENT;
    for lost in walked.iter().filter(|series| !is_in(series, listed)) {
        found.note(BlockFile::Index, place(lost), "a series is not in the list of all series");
    }
    for missing in listed.iter().filter(|series| !is_in(series, walked)) {
        found.note(BlockFile::Index, place(missing), "the list of all series names one where none begins");
    }
}

impl<S: BlockSource> Index<'_, S> {
    /// Where series begin, by their lengths alone.
    async fn walk(&self) -> Result<Vec<SeriesEntryRef>, BlockError> {
        let range = self.contents.series();
        let mut series = Vec::new();
        if self.contents.series_at == 0 {
            return Ok(series);
        }
        let (mut window, mut window_at) = (Vec::new(), range.start);
        let mut at = range.start.next_multiple_of(SERIES_ALIGNMENT);
        while at < range.end {
            if at + LENGTH_BYTES_MAX > window_at + window.len() as u64 && window_at + (window.len() as u64) < range.end
            {
                window_at = at;
                let length = WINDOW_BYTES.min(range.end - at) as usize;
                window = read_exact(self.source, BlockFile::Index, at, length).await?;
            }
            let there = window.get((at - window_at) as usize..).unwrap_or_default();
            // A series is longer than nothing: zeros fill the space up to the next part.
            if there.first() == Some(&0) {
                at += SERIES_ALIGNMENT;
                continue;
            }
            let bytes = frame_bytes(at, there)?;
            if bytes > range.end - at {
                return Err(BlockError::damaged(BlockFile::Index, at, format!("a series claims {bytes} bytes")));
            }
            series.push(SeriesEntryRef((at / SERIES_ALIGNMENT) as u32));
            at = (at + bytes).next_multiple_of(SERIES_ALIGNMENT);
        }
        Ok(series)
    }

    /// Reads every series and its chunks. What they say of label pairs; none where one cannot be read.
    async fn check_series(
        &self,
        series: &[SeriesEntryRef],
        range: Option<TimeRange>,
        found: &mut Verification,
    ) -> Result<Option<Tallies>, BlockError> {
        let (mut texts, mut tallies, mut is_whole) = (Texts::default(), Tallies::default(), true);
        let mut chunks = ChunkCheck::new(self.source, range);
        let mut last: Option<Labels> = None;
        for step in series.chunks(STEP) {
            let mut entries = Vec::with_capacity(step.len());
            match self.entries(step, &mut texts).await {
                Ok(read) => entries.extend(step.iter().copied().zip(read)),
                // Which of them it is, and whatever else is wrong.
                Err(_) => {
                    for one in step {
                        let read = self.entries(&[*one], &mut texts).await;
                        let read = found.take(read)?;
                        is_whole &= read.is_some();
                        entries.extend(read.into_iter().flatten().map(|entry| (*one, entry)));
                    }
                }
            }
            for (one, entry) in &entries {
                found.counted.num_series += 1;
                for label in &entry.labels {
                    tallies.entry((label.name.clone(), label.value.clone())).or_default().add(*one);
                }
                if last.as_ref().is_some_and(|last| *last >= entry.labels) {
                    let place = u64::from(one.0) * SERIES_ALIGNMENT;
                    let reason = format!("series {} is not behind the one before", entry.labels);
                    found.note(BlockFile::Index, place, reason);
                }
                last = Some(entry.labels.clone());
            }
            for (_, entry) in entries {
                chunks.check(&entry.chunks, found).await?;
            }
        }
        chunks.end(is_whole, found).await?;
        Ok(is_whole.then_some(tallies))
    }

    async fn entries(&self, series: &[SeriesEntryRef], texts: &mut Texts) -> Result<Vec<SeriesEntry>, BlockError> {
        read_entries(self.source, &self.contents, &self.symbols, series, texts).await
    }

    /// Reads every list, and compares it with what the series say.
    async fn check_postings(&self, tallies: Option<Tallies>, found: &mut Verification) -> Result<(), BlockError> {
        let mut unlisted = tallies.clone().unwrap_or_default();
        for name in self.postings.names() {
            let mut values = self.postings.values(name);
            loop {
                let mut step: Vec<(&str, Wanted)> = values.by_ref().take(STEP).collect();
                if step.is_empty() {
                    break;
                }
                step.sort_by_key(|(_, list)| list.at);
                let lists = self.lists(&step, found).await?;
                for ((value, list), series) in step.iter().zip(lists) {
                    let said = unlisted.remove(&(Arc::from(name), Arc::from(*value))).unwrap_or_default();
                    // One that cannot be read was told already.
                    let Some(series) = series else { continue };
                    let mut tally = Tally::default();
                    series.into_iter().for_each(|series| tally.add(SeriesEntryRef(series)));
                    if tallies.is_some() && said != tally {
                        let reason = format!(
                            "the list of {name}={value:?} has {} series, {} have it or others",
                            tally.count, said.count
                        );
                        found.note(BlockFile::Index, list.at, reason);
                    }
                }
            }
        }
        let mut unlisted: Vec<_> = unlisted.into_iter().collect();
        unlisted.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for ((name, value), tally) in unlisted {
            let reason = format!("{} series have {name}={value:?}, which has no list", tally.count);
            found.note(BlockFile::Index, self.contents.postings_table_at, reason);
        }
        Ok(())
    }

    /// The lists, none for one that cannot be read.
    async fn lists(
        &self,
        step: &[(&str, Wanted)],
        found: &mut Verification,
    ) -> Result<Vec<Option<Vec<u32>>>, BlockError> {
        let wanted: Vec<Wanted> = step.iter().map(|(_, list)| *list).collect();
        if let Ok(lists) = read_lists(self.source, &self.contents, &wanted).await {
            return Ok(lists.into_iter().map(Some).collect());
        }
        let mut lists = Vec::with_capacity(step.len());
        for list in wanted {
            let read = read_lists(self.source, &self.contents, &[list]).await;
            lists.push(found.take(read)?.and_then(|mut lists| lists.pop()));
        }
        Ok(lists)
    }
}
