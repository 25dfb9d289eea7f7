//! Whole blocks have no findings, ours and Prometheus'; for each kind of damage there is one that says so.

use disk::PlainDisk;
use futures_lite::future::block_on;
use model::{Sample, TimeRange};

use super::*;
use crate::block::reader_test::{Memory, covered, uneven};
use crate::block::writer_test::{promtool, series};
use crate::block::{FolderSource, Tombstone, encode_tombstones};

#[track_caller]
fn findings(memory: &Memory) -> Vec<String> {
    let found = block_on(verify(memory)).unwrap();
    assert_eq!(found.findings.len() as u64, found.findings_total);
    assert_eq!(found.is_clean(), found.findings.is_empty());
    found.findings.iter().map(|it| format!("{} at {}: {}", it.file, it.offset, it.reason)).collect()
}

#[test]
fn whole_blocks_have_no_findings() {
    let written = uneven();
    let memory = Memory::of_series(&written);
    assert_eq!(findings(&memory), [""; 0]);
    let found = block_on(verify(&memory)).unwrap();
    assert_eq!(found.counted, found.meta.unwrap().stats);
    assert_eq!(found.counted.num_samples, written.values().flatten().map(|chunk| chunk.len() as u64).sum::<u64>());
}

#[test]
fn a_block_that_prometheus_made_has_no_findings() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = "# TYPE m gauge\n".to_owned();
    for index in 0..40 {
        for step in 0..400 {
            text.push_str(&format!("m{{i=\"{index}\"}} {} {}\n", step * index, 1_700_000_000 + step * 15));
        }
    }
    text.push_str("# EOF\n");
    let (input, output) = (folder.path().join("input"), folder.path().join("data"));
    std::fs::write(&input, text).unwrap();
    let arguments = ["tsdb", "create-blocks-from", "openmetrics", input.to_str().unwrap(), output.to_str().unwrap()];
    if promtool(&arguments).is_none() {
        return;
    }
    let mut samples = 0;
    for entry in std::fs::read_dir(&output).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.join("meta.json").exists() {
            let found = block_on(verify(&FolderSource::new(PlainDisk, entry))).unwrap();
            assert_eq!(found.findings, []);
            samples += found.counted.num_samples;
        }
    }
    assert_eq!(samples, 40 * 400);
}

/// After `damage`, the findings are as many as `expected` and contain its texts in order.
#[track_caller]
fn check(damage: impl FnOnce(&mut Memory), expected: &[&str]) {
    let mut memory = Memory::of_series(&series(12));
    damage(&mut memory);
    let found = findings(&memory);
    let is_told = found.len() == expected.len() && found.iter().zip(expected).all(|(it, text)| it.contains(text));
    assert!(is_told, "expected {expected:#?}, found {found:#?}");
}

fn change_meta(memory: &mut Memory, change: impl FnOnce(&mut BlockMeta)) {
    let mut meta = BlockMeta::decode(&memory.0[&BlockFile::Meta]).unwrap();
    change(&mut meta);
    memory.0.insert(BlockFile::Meta, meta.encode());
}

#[test]
fn what_meta_json_says_is_compared() {
    check(
        |memory| change_meta(memory, |meta| meta.stats.num_samples += 1),
        &["meta.json at 0: it tells of 3519 samples, 3518 are there"],
    );
    check(
        |memory| {
            change_meta(memory, |meta| {
                meta.stats.num_series -= 1;
                meta.stats.num_chunks += 1;
            });
        },
        &["it tells of 11 series, 12 are there", "chunks"],
    );
    check(|memory| change_meta(memory, |meta| meta.end_time_ms -= 1), &["is outside of the block's time"]);
    check(
        |memory| change_meta(memory, |meta| meta.thanos.as_mut().unwrap().files[0].size_bytes += 1),
        &["chunks/000001 at 0: it has"],
    );
    check(
        |memory| change_meta(memory, |meta| meta.thanos.as_mut().unwrap().files[0].rel_path = "../x".to_owned()),
        &["which is no file of a block"],
    );
    check(|memory| drop(memory.0.insert(BlockFile::Meta, b"{".to_vec())), &["meta.json at 0: EOF"]);
    check(|memory| drop(memory.0.remove(&BlockFile::Meta)), &["meta.json at 0: it is missing"]);
}

#[test]
fn damaged_files_are_found_and_the_rest_is_walked() {
    check(
        |memory| memory.0.get_mut(&BlockFile::Chunks(1)).unwrap()[0] ^= 1,
        &["chunks/000001 at 0: it does not begin"],
    );
    check(
        |memory| memory.0.get_mut(&BlockFile::Chunks(1)).unwrap()[30] ^= 1,
        &["chunks/000001 at 8: the checksum of a chunk differs", "chunks", "samples", "samples"],
    );
    check(
        |memory| memory.0.get_mut(&BlockFile::Chunks(1)).unwrap().push(0),
        &["are listed", "its chunks and its header take"],
    );
    check(
        |memory| drop(memory.0.remove(&BlockFile::Index)),
        &["index at 0: it is missing", "index at 0: it is missing"],
    );
    check(|memory| memory.index()[0] ^= 1, &["magic"]);
    check(
        |memory| {
            let at = covered(memory).pop().unwrap().start;
            memory.index()[at] ^= 1;
        },
        &["the checksum of the table of contents differs"],
    );
    // Symbols, and the table of postings.
    for part in [0, 1] {
        check(
            |memory| {
                let at = covered(memory)[part].start;
                memory.index()[at] ^= 1;
            },
            &["the checksum differs"],
        );
    }
    // The list of all series, and that of a pair.
    for part in [2, 5] {
        check(
            |memory| {
                let at = covered(memory)[part].start;
                memory.index()[at] ^= 1;
            },
            &["the checksum differs"],
        );
    }
}

/// The checksum is right, the number is not.
fn forge(memory: &mut Memory, range: std::ops::Range<usize>, at: usize, byte: u8) {
    let index = memory.index();
    index[at] = byte;
    let checksum = crc32c::crc32c(&index[range.clone()]).to_be_bytes();
    index[range.end..range.end + 4].copy_from_slice(&checksum);
}

#[test]
fn postings_that_tell_another_story_than_the_series_are_found() {
    // The list of one pair that one series has names another one.
    check(
        |memory| {
            let covered = covered(memory);
            let all = memory.index()[covered[2].start + 4..covered[2].end].to_vec();
            let (last, first) = (all[all.len() - 1], all[3]);
            let one = covered[4].clone();
            assert_eq!(one.len(), 8, "the list of a pair with one series");
            let end = one.end - 1;
            let other = if memory.index()[end] == first { last } else { first };
            forge(memory, one, end, other);
        },
        &["has 1 series, 1 have it or others"],
    );
    // The list of all names a place within a series.
    check(
        |memory| {
            let all = covered(memory)[2].clone();
            let byte = memory.index()[all.end - 1] + 1;
            forge(memory, all.clone(), all.end - 1, byte);
        },
        &[
            "a series is not in the list of all series",
            "names one where none begins",
            "index at",
            "series",
            "chunks",
            "samples",
            "samples",
        ],
    );
}

#[test]
fn tombstones_are_of_series_that_are_there() {
    let stone =
        |series, min_ms, max_ms| Tombstone { series: SeriesEntryRef(series), range: TimeRange { min_ms, max_ms } };
    check(
        |memory| {
            change_meta(memory, |meta| meta.stats.num_tombstones = 1);
            drop(memory.0.insert(BlockFile::Tombstones, encode_tombstones(&[stone(1, 5, 4)])));
        },
        &["tombstones at 0: a tombstone is of series 1", "tombstones at 0: a tombstone ends before it begins"],
    );
    check(|memory| memory.0.get_mut(&BlockFile::Tombstones).unwrap()[4] ^= 1, &["tombstones at 0: it does not begin"]);
    check(|memory| drop(memory.0.remove(&BlockFile::Tombstones)), &[]);
}

#[test]
fn of_many_findings_the_first_are_told() {
    let sample = |step: i64| Sample { timestamp_ms: step, value: 0.0 };
    let many = (0..3000).map(|step| vec![sample(step)]).collect();
    let mut memory = Memory::of_series(&[(model::Labels::from_pairs(&[("a", "b")]), many)].into());
    change_meta(&mut memory, |meta| meta.end_time_ms = 500);
    let found = block_on(verify(&memory)).unwrap();
    assert_eq!((found.findings.len(), found.findings_total), (FINDINGS_MAX, 2500));
}

/// Some finding has the text: one lie makes others visible.
#[track_caller]
fn check_told(memory: &Memory, text: &str) {
    let found = findings(memory);
    assert!(found.iter().any(|it| it.contains(text)), "expected {text:?}, found {found:#?}");
}

/// Forges bytes of a series' entry, from `at` on. These entries have three labels of two one-byte numbers, then the number of
/// chunks; the first chunk's beginning takes six bytes, its length three, its place one or two.
#[track_caller]
fn check_forged_series(nth: usize, at: usize, bytes: &[u8], text: &str) {
    let mut memory = Memory::of_series(&series(12));
    let covered = covered(&memory);
    let of_series = &covered[covered.len() - 1 - 12..covered.len() - 1];
    let range = of_series[nth].clone();
    for (place, byte) in (range.start + at..).zip(bytes) {
        forge(&mut memory, range.clone(), place, *byte);
    }
    check_told(&memory, text);
}

#[test]
fn series_that_are_forged_are_found() {
    let memory = Memory::of_series(&series(12));
    let covered = covered(&memory);
    let last = covered[covered.len() - 2].start;
    let mut longer = memory.clone();
    longer.index()[last - 1] = 127;
    check_told(&longer, "a series claims 132 bytes");
    // The first series takes the value of `i` that the last one has.
    let value = memory.0[&BlockFile::Index][last + 4];
    check_forged_series(0, 4, &[value], "{__name__=\"m\", i=\"1\", zone=\"b\"} is not behind the one before");
    check_forged_series(0, 4, &[value], "i=\"0\"");
    check_forged_series(
        0,
        14,
        &[memory.0[&BlockFile::Index][covered[covered.len() - 13].start + 14] ^ 1],
        "the index says",
    );
    check_forged_series(1, 17, &[0x88, 0], "a chunk does not stand behind that of the series before");
}

#[test]
fn a_pair_without_a_list_is_found() {
    let mut memory = Memory::of_series(&series(12));
    let table = covered(&memory)[1].clone();
    let entry = b"\x01i\x019";
    let at = memory.index()[table.clone()].windows(entry.len()).position(|bytes| bytes == entry).unwrap();
    forge(&mut memory, table.clone(), table.start + at + 3, b':');
    check_told(&memory, "1 series have i=\"9\", which has no list");
    check_told(&memory, "the list of i=\":\" has 1 series, 0 have it or others");
}

#[test]
fn samples_out_of_order_are_found() {
    let samples = [0, 10, 5].map(|timestamp_ms| Sample { timestamp_ms, value: 1.0 });
    let memory = Memory::of_series(&[(model::Labels::from_pairs(&[("a", "b")]), vec![samples.to_vec()])].into());
    check_told(&memory, "the samples of a chunk are not in order");
}
