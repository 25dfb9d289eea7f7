//! Blocks read back: our own and Prometheus', against what was written, number by number; and damaged ones.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use disk::PlainDisk;
use futures_lite::future::block_on;
use model::{Label, Labels, MatchOp, Matcher, Sample, TimeRange};
use proptest::prelude::*;

use super::index::Contents;
use super::writer_test::{promtool, series, write};
use super::*;
use crate::chunk::{ChunkEncoding, decode_xor};
use crate::read::SeriesSnapshot;

const EVER: TimeRange = TimeRange { min_ms: i64::MIN, max_ms: i64::MAX };

type Written = BTreeMap<Labels, Vec<Vec<Sample>>>;

/// A block's files in memory.
#[derive(Clone)]
pub(super) struct Memory(pub(super) HashMap<BlockFile, Vec<u8>>);

impl Memory {
    pub(super) fn of_folder(folder: &Path) -> Self {
        let mut files = vec![BlockFile::Index, BlockFile::Meta, BlockFile::Tombstones];
        let segments = std::fs::read_dir(folder.join("chunks")).unwrap().count() as u32;
        files.extend((1..=segments).map(BlockFile::Chunks));
        let bytes = |file: BlockFile| std::fs::read(folder.join(file.path())).ok().map(|bytes| (file, bytes));
        Self(files.into_iter().filter_map(bytes).collect())
    }

    pub(super) fn of_series(written: &Written) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ulid = Ulid::new(1_700_000_000_000, 7);
        block_on(write(&PlainDisk, folder.path(), ulid, written)).unwrap().unwrap();
        Self::of_folder(&folder.path().join(ulid.to_string()))
    }

    pub(super) fn index(&mut self) -> &mut Vec<u8> {
        self.0.get_mut(&BlockFile::Index).unwrap()
    }
}

impl BlockSource for Memory {
    async fn read(&self, file: &BlockFile, offset: u64, length: usize) -> Result<Vec<u8>, BlockError> {
        let bytes = self.0.get(file).ok_or(BlockError::Missing { file: *file })?;
        // Stricter than the trait: a reader that asks for what a damaged file claims would be seen here.
        let end = usize::try_from(offset).unwrap().checked_add(length).filter(|end| *end <= bytes.len());
        let end = end.unwrap_or_else(|| panic!("{length} bytes at {offset} of {file}, which has {}", bytes.len()));
        Ok(bytes[end - length..end].to_vec())
    }

    async fn length(&self, file: &BlockFile) -> Result<u64, BlockError> {
        Ok(self.0.get(file).ok_or(BlockError::Missing { file: *file })?.len() as u64)
    }
}

async fn read_all<S: BlockSource>(
    block: &Block<S>,
    matchers: &[Matcher],
    range: TimeRange,
    step: usize,
) -> Result<Vec<BlockSeries>, BlockError> {
    let mut cursor = block.select(matchers, range).await?;
    let mut found = Vec::new();
    while !cursor.is_done() {
        cursor.next(block, step, &mut found).await?;
    }
    Ok(found)
}

fn samples(series: &BlockSeries) -> Vec<(i64, u64)> {
    let (mut timestamps_ms, mut values) = (Vec::new(), Vec::new());
    for chunk in &series.chunks {
        assert_eq!(chunk.encoding, ChunkEncoding::Xor);
        let before = timestamps_ms.len();
        decode_xor(&chunk.bytes, &mut timestamps_ms, &mut values).unwrap();
        let range = TimeRange { min_ms: timestamps_ms[before], max_ms: *timestamps_ms.last().unwrap() };
        assert_eq!(chunk.range, range);
    }
    timestamps_ms.into_iter().zip(values.into_iter().map(f64::to_bits)).collect()
}

fn pairs<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Vec<(i64, u64)> {
    samples.into_iter().map(|sample| (sample.timestamp_ms, sample.value.to_bits())).collect()
}

/// Some labels are missing on some series; one series has hundreds of chunks, one a chunk of many bytes.
pub(super) fn uneven() -> Written {
    let mut written: Written = series(200)
        .into_iter()
        .enumerate()
        .map(|(nth, (labels, chunks))| {
            let mut labels: Vec<Label> = labels.iter().cloned().collect();
            if nth % 4 == 0 {
                labels.retain(|label| &*label.name != "zone");
            }
            if nth % 5 == 0 {
                labels.push(Label::new("rare", ["x", "y", "a.b"][nth / 5 % 3]));
            }
            (Labels::new(labels), chunks)
        })
        .collect();
    let sample = |step: i64, value: f64| Sample { timestamp_ms: 1_700_000_000_000 + step * 1000, value };
    let many = (0..400).map(|chunk| vec![sample(chunk * 2, 1.0), sample(chunk * 2 + 1, 2.0)]).collect();
    written.insert(Labels::from_pairs(&[("__name__", "many")]), many);
    let noise =
        |step: i64| f64::from_bits(0x3ff0_0000_0000_0000 | (step as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 12);
    let wide = (0..300).map(|step| sample(step, noise(step))).collect();
    written.insert(Labels::from_pairs(&[("__name__", "wide")]), vec![wide]);
    written
}

#[test]
fn what_was_written_is_read_in_any_steps() {
    let written = uneven();
    let folder = tempfile::tempdir().unwrap();
    let ulid = Ulid::new(1, 7);
    let meta = block_on(write(&PlainDisk, folder.path(), ulid, &written)).unwrap().unwrap();
    let source = FolderSource::new(PlainDisk, folder.path().join(ulid.to_string()));
    let block = block_on(Block::open(source)).unwrap();
    assert_eq!(*block.meta(), meta);
    assert_eq!(block.label_names().collect::<Vec<_>>(), ["__name__", "i", "rare", "zone"]);
    assert_eq!(block.label_values("zone").collect::<Vec<_>>(), ["a", "b", "ü"]);
    assert_eq!((block.label_values("i").count(), block.label_values("").count()), (200, 0));
    for step in [1, 7, 1000] {
        let found = block_on(read_all(&block, &[], EVER, step)).unwrap();
        assert_eq!(found.len(), written.len());
        for (found, (labels, chunks)) in found.iter().zip(&written) {
            assert_eq!((&found.labels, found.chunks.len()), (labels, chunks.len()));
            assert_eq!(samples(found), pairs(chunks.iter().flatten()), "{labels}");
            let snapshot = SeriesSnapshot::try_from(found.clone()).unwrap();
            assert_eq!((&snapshot.labels, snapshot.chunks.len()), (labels, chunks.len()));
        }
    }
}

#[track_caller]
fn check_range(block: &Block<Memory>, written: &Written, range: TimeRange) {
    let found = block_on(read_all(block, &[], range, 50)).unwrap();
    let overlaps = |chunk: &&Vec<Sample>| {
        TimeRange { min_ms: chunk[0].timestamp_ms, max_ms: chunk[chunk.len() - 1].timestamp_ms }.overlaps(&range)
    };
    let expected: Vec<(&Labels, Vec<(i64, u64)>)> = written
        .iter()
        .map(|(labels, chunks)| (labels, pairs(chunks.iter().filter(overlaps).flatten())))
        .filter(|(_, samples)| !samples.is_empty())
        .collect();
    assert_eq!(found.iter().map(|it| (&it.labels, samples(it))).collect::<Vec<_>>(), expected, "{range:?}");
    let mut labels = Vec::new();
    let mut cursor = block_on(block.select(&[], range)).unwrap();
    while !cursor.is_done() {
        block_on(cursor.next_labels(block, 9, &mut labels)).unwrap();
    }
    assert_eq!(labels.iter().collect::<Vec<_>>(), expected.iter().map(|it| it.0).collect::<Vec<_>>());
}

#[test]
fn only_chunks_that_overlap_the_range_are_read() {
    let written = uneven();
    let block = block_on(Block::open(Memory::of_series(&written))).unwrap();
    let (first, chunk) = (1_700_000_000_000, 120 * 15_000);
    for (min_ms, max_ms) in [
        (i64::MIN, first - 1),
        (i64::MIN, first),
        (first + 1, first + 1),
        (first + chunk, first + chunk),
        (first + 2 * chunk - 1, first + 3 * chunk),
        (first + 5 * chunk, i64::MAX),
        (5, 4),
    ] {
        check_range(&block, &written, TimeRange { min_ms, max_ms });
    }
}

#[test]
fn matchers_mean_what_they_mean_to_prometheus() {
    let written = uneven();
    let block = block_on(Block::open(Memory::of_series(&written))).unwrap();
    let names = ["__name__", "i", "zone", "rare", "missing", ""];
    let values =
        ["", "m", "a", "x", "7", "a|x", "a|", ".*", ".+", "1.*", "m|many", r"a\.b", "[^b]", "nothing", "(x|y)", ".?"];
    let mut matchers = Vec::new();
    for (name, value) in names.iter().flat_map(|name| values.iter().map(move |value| (name, value))) {
        for op in [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex] {
            matchers.push(Matcher::new(name, op, value).unwrap());
        }
    }
    let check = |asked: &[Matcher]| {
        let mut found = Vec::new();
        let mut cursor = block_on(block.select(asked, EVER)).unwrap();
        while !cursor.is_done() {
            block_on(cursor.next_labels(&block, 64, &mut found)).unwrap();
        }
        let is_asked = |labels: &&Labels| asked.iter().all(|matcher| matcher.matches(labels.get(&matcher.name)));
        let expected: Vec<&Labels> = written.keys().filter(is_asked).collect();
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{asked:?}");
        found.len()
    };
    for matcher in &matchers {
        check(std::slice::from_ref(matcher));
    }
    // Few series are left by these, so that all other sets are large beside them and labels are asked instead.
    for (name, value) in [("i", "7"), ("i", "20"), ("__name__", "many")] {
        let few = Matcher::new(name, MatchOp::Equal, value).unwrap();
        let wide = Matcher::new("i", MatchOp::NotEqual, "").unwrap();
        let selection = block_on(super::matching::resolve(&block, &[wide.clone(), few.clone()])).unwrap();
        assert_eq!(selection.matchers, [wide], "{few}");
        for matcher in &matchers {
            check(&[matcher.clone(), few.clone()]);
        }
    }
    let mut dice = 7u64;
    let mut next = || {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        matchers[(dice >> 33) as usize % matchers.len()].clone()
    };
    let found: usize = (0..1500).map(|round| check(&(0..2 + round % 2).map(|_| next()).collect::<Vec<_>>())).sum();
    assert!(found > 20_000, "the matchers select something: {found}");
}

#[test]
fn a_block_that_prometheus_made_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let (mut text, mut expected) = ("# TYPE m gauge\n".to_owned(), BTreeMap::<Labels, Vec<(i64, u64)>>::new());
    for index in 0..120 {
        let (i, zone) = (index.to_string(), ["a", "b", "ü \\\"x"][index % 3]);
        for step in 0..300i64 {
            let (seconds, value) = (1_700_000_000 + step * 15, step as f64 * 1.25 - index as f64 / 3.0);
            text.push_str(&format!("m{{i=\"{i}\",zone=\"{zone}\"}} {value} {seconds}\n"));
            let labels = Labels::from_pairs(&[("__name__", "m"), ("i", &i), ("zone", &zone.replace('\\', ""))]);
            expected.entry(labels).or_default().push((seconds * 1000, value.to_bits()));
        }
    }
    text.push_str("# EOF\n");
    let (input, output) = (folder.path().join("input"), folder.path().join("data"));
    std::fs::write(&input, text).unwrap();
    let arguments = ["tsdb", "create-blocks-from", "openmetrics", input.to_str().unwrap(), output.to_str().unwrap()];
    if promtool(&arguments).is_none() {
        return;
    }
    let mut found = BTreeMap::<Labels, Vec<(i64, u64)>>::new();
    let mut entries: Vec<_> = std::fs::read_dir(&output).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for entry in entries.iter().filter(|entry| entry.join("meta.json").exists()) {
        let block = block_on(Block::open(FolderSource::new(PlainDisk, entry.clone()))).unwrap();
        assert_eq!(block.label_names().collect::<Vec<_>>(), ["__name__", "i", "zone"]);
        assert_eq!((block.label_values("i").count(), block.label_values("zone").count()), (120, 3));
        let one = [Matcher::new("i", MatchOp::Equal, "77").unwrap()];
        assert_eq!(block_on(read_all(&block, &one, EVER, 10)).unwrap().len(), 1);
        for series in block_on(read_all(&block, &[], EVER, 33)).unwrap() {
            found.entry(series.labels.clone()).or_default().extend(samples(&series));
        }
    }
    found.values_mut().for_each(|samples| samples.sort_unstable_by_key(|sample| sample.0));
    assert!(!found.is_empty());
    assert_eq!(found, expected);
}

#[test]
fn what_tombstones_cover_is_not_handed_out() {
    let written = series(6);
    let mut memory = Memory::of_series(&written);
    let refs = block_on(async {
        let block = Block::open(memory.clone()).await.unwrap();
        resolve_all(&block).await
    });
    let first = 1_700_000_000_000;
    let stone = |series: usize, min_ms, max_ms| Tombstone { series: refs[series], range: TimeRange { min_ms, max_ms } };
    let stones = [
        stone(3, i64::MIN, i64::MAX),
        stone(1, first + 30_000, first + 60_000),
        stone(2, first, first + 120 * 15_000),
        stone(1, first + 45_000, first + 130 * 15_000),
    ];
    memory.0.insert(BlockFile::Tombstones, encode_tombstones(&stones));
    let block = block_on(Block::open(memory)).unwrap();
    let found = block_on(read_all(&block, &[], EVER, 4)).unwrap();
    let is_deleted = |series: usize, sample: &&Sample| {
        stones.iter().any(|stone| stone.series == refs[series] && stone.range.contains(sample.timestamp_ms))
    };
    let expected: Vec<(&Labels, Vec<(i64, u64)>)> = written
        .iter()
        .enumerate()
        .map(|(nth, (labels, chunks))| (labels, pairs(chunks.iter().flatten().filter(|it| !is_deleted(nth, it)))))
        .filter(|(_, samples)| !samples.is_empty())
        .collect();
    assert!(expected.len() == 5 && expected[1].1.len() < 200);
    assert_eq!(found.iter().map(|it| (&it.labels, samples(it))).collect::<Vec<_>>(), expected);
}

async fn resolve_all(block: &Block<Memory>) -> Vec<SeriesEntryRef> {
    super::matching::resolve(block, &[]).await.unwrap().series
}

/// Whatever the bytes, an answer or an error. Gives the number of series.
fn walk(memory: Memory) -> Result<usize, BlockError> {
    block_on(async {
        verify(&memory).await.expect("a source in memory does not fail");
        let block = Block::open(memory).await?;
        let names: Vec<String> = block.label_names().map(str::to_owned).collect();
        let values: usize = names.iter().map(|name| block.label_values(name).count()).sum();
        for name in &names {
            for (op, value) in [(MatchOp::Equal, "a"), (MatchOp::NotEqual, ""), (MatchOp::Regex, "[ab]")] {
                let matcher = Matcher::new(name, op, value).unwrap();
                let _ = read_all(&block, &[matcher], EVER, 100).await;
            }
        }
        Ok(read_all(&block, &[], EVER, 100).await?.len() + values)
    })
}

/// What the checksums of an index cover, each of them standing right behind.
pub(super) fn covered(memory: &Memory) -> Vec<std::ops::Range<usize>> {
    let index = &memory.0[&BlockFile::Index];
    let contents = block_on(Contents::read(memory)).unwrap();
    let part = |at: u64| {
        let begin = at as usize + 4;
        begin..begin + u32::from_be_bytes(index[begin - 4..begin].try_into().unwrap()) as usize
    };
    let mut covered = vec![part(contents.symbols_at), part(contents.postings_table_at)];
    let mut list_at = contents.postings_at;
    while list_at < contents.label_table_at {
        covered.push(part(list_at));
        list_at = covered[covered.len() - 1].end as u64 + 4;
    }
    let block = block_on(Block::open(memory.clone())).unwrap();
    for series in block_on(resolve_all(&block)) {
        let at = series.0 as usize * 16;
        // No entry of these has 128 bytes but one.
        let head = if index[at] < 128 { 1 } else { 2 };
        let length = (0..head).map(|nth| usize::from(index[at + nth] & 127) << (7 * nth)).sum::<usize>();
        covered.push(at + head..at + head + length);
    }
    covered.push(contents.end as usize..index.len() - 4);
    covered
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(5), ..ProptestConfig::default() })]

    /// With the checksums made right, so that what is behind them is reached: the format itself is what protects.
    #[test]
    fn a_forged_index_is_read_or_refused(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        thread_local! {
            static BLOCK: (Memory, Vec<std::ops::Range<usize>>) = {
                let mut written = series(12);
                let sample = |step: i64| Sample { timestamp_ms: step * 1000, value: 1.0 };
                written.insert(Labels::from_pairs(&[("a", "b")]), (0..60).map(|chunk| vec![sample(chunk)]).collect());
                let memory = Memory::of_series(&written);
                let covered = covered(&memory);
                (memory, covered)
            };
        }
        BLOCK.with(|(memory, covered)| {
            let mut memory = memory.clone();
            let index = memory.index();
            for (place, byte) in &changes {
                let at = place.index(index.len());
                index[at] = *byte;
            }
            for range in covered {
                let checksum = crc32c::crc32c(&index[range.clone()]).to_be_bytes();
                index[range.end..range.end + 4].copy_from_slice(&checksum);
            }
            let _ = walk(memory);
        });
    }

    #[test]
    fn any_bytes_are_refused(
        index in proptest::collection::vec(any::<u8>(), 0..200),
        chunks in proptest::collection::vec(any::<u8>(), 0..200),
        has_header in any::<bool>(),
    ) {
        thread_local! {
            static BLOCK: Memory = Memory::of_series(&series(3));
        }
        let mut memory = BLOCK.with(Clone::clone);
        memory.0.insert(BlockFile::Chunks(1), chunks);
        prop_assert!(walk(memory.clone()).is_err());
        let magic = [0xBA, 0xAA, 0xD7, 0x00, 2];
        memory.0.insert(BlockFile::Index, if has_header { [&magic[..], &index].concat() } else { index });
        prop_assert!(walk(memory).is_err());
    }
}

/// Every byte of the index and of the chunks is covered by a check, but padding and the label offsets, which nobody reads.
#[test]
fn a_changed_byte_is_found() {
    let memory = Memory::of_series(&series(12));
    let whole = walk(memory.clone()).unwrap();
    let contents = block_on(Contents::read(&memory)).unwrap();
    let covered = covered(&memory);
    let (mut found, mut silent) = (0, 0);
    for file in [BlockFile::Index, BlockFile::Chunks(1)] {
        for at in 0..memory.0[&file].len() {
            let mut memory = memory.clone();
            memory.0.get_mut(&file).unwrap()[at] ^= 1 << (at % 8);
            let is_read =
                file != BlockFile::Index || covered.iter().any(|range| (range.start..range.end + 4).contains(&at));
            let is_header = file != BlockFile::Index && at < 8;
            match walk(memory) {
                Err(_) => found += 1,
                Ok(count) => {
                    // Lists of single values are read by questions whose errors `walk` passes over.
                    let is_list = file == BlockFile::Index
                        && (contents.postings_at..contents.label_table_at).contains(&(at as u64));
                    assert!(!is_read || is_header || is_list, "byte {at} of {file}");
                    assert_eq!(count, whole);
                    silent += 1;
                }
            }
        }
    }
    assert!(found > 10 * silent, "{found} {silent}");
}
