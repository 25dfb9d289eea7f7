//! Blocks as promtool reads them, and what a crash leaves of one.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use disk::{PlainDisk, SimDisk, Unsynced};
use futures_lite::future::block_on;
use model::{Labels, Sample, TimeRange};

use super::*;
use crate::chunk::{ChunkEncoding, encode_xor};

/// Series `m{i="0", zone=".."}` .., each with some chunks.
pub(super) fn series(count: usize) -> BTreeMap<Labels, Vec<Vec<Sample>>> {
    let of = |index: usize| {
        let (i, zone) = (index.to_string(), ["a", "b", "ü"][index % 3]);
        let labels = Labels::from_pairs(&[("__name__", "m"), ("i", &i), ("zone", zone)]);
        let chunk = |chunk: i64| {
            let sample = |step: i64| Sample {
                timestamp_ms: 1_700_000_000_000 + (chunk * 120 + step) * 15_000,
                value: (step * chunk) as f64 + index as f64 / 8.0,
            };
            (0..120 - index as i64 % 7).map(sample).collect()
        };
        (labels, (0..1 + index as i64 % 4).map(chunk).collect())
    };
    (0..count).map(of).collect()
}

pub(super) fn symbols(series: &BTreeMap<Labels, Vec<Vec<Sample>>>) -> Vec<String> {
    let labels = series.keys().flat_map(|labels| labels.iter());
    let mut symbols: Vec<String> = labels.flat_map(|label| [label.name.to_string(), label.value.to_string()]).collect();
    symbols.sort();
    symbols.dedup();
    symbols
}

pub(super) async fn write<D: disk::Disk>(
    disk: &D,
    blocks: &Path,
    ulid: Ulid,
    series: &BTreeMap<Labels, Vec<Vec<Sample>>>,
) -> Result<Option<BlockMeta>, BlockError> {
    let options = BlockOptions { segment_bytes_max: 8192, ..BlockOptions::of_heads(ulid) };
    let symbols = symbols(series);
    let mut writer = BlockWriter::create(disk.clone(), blocks, options, symbols.iter().map(String::as_str)).await?;
    for (labels, chunks) in series {
        let encoded: Vec<(TimeRange, Vec<u8>)> = chunks
            .iter()
            .map(|samples| {
                let (first, last) = (samples[0].timestamp_ms, samples[samples.len() - 1].timestamp_ms);
                (TimeRange { min_ms: first, max_ms: last }, encode_xor(samples))
            })
            .collect();
        let chunks: Vec<BlockChunk<'_>> = encoded
            .iter()
            .map(|(range, bytes)| BlockChunk { range: *range, encoding: ChunkEncoding::Xor, bytes })
            .collect();
        writer.add_series(labels, &chunks).await?;
    }
    writer.finish().await
}

pub(super) fn promtool(arguments: &[&str]) -> Option<String> {
    let output = match Command::new("promtool").args(arguments).output() {
        Ok(output) => output,
        Err(_) => {
            eprintln!("!!! promtool is not installed: what Prometheus makes of our blocks is NOT tested");
            return None;
        }
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    Some(text)
}

#[test]
fn promtool_reads_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let ulid = Ulid::new(1_700_000_000_000, 7);
    let series = series(500);
    let meta = block_on(write(&PlainDisk, folder.path(), ulid, &series)).unwrap().unwrap();
    let samples: u64 = series.values().flatten().map(|chunk| chunk.len() as u64).sum();
    assert_eq!((meta.stats.num_series, meta.stats.num_samples, meta.stats.num_float_samples), (500, samples, samples));
    assert!(meta.thanos.as_ref().unwrap().segment_files.len() > 3, "several segments");
    let bytes = std::fs::read(folder.path().join(ulid.to_string()).join("meta.json")).unwrap();
    assert_eq!(BlockMeta::decode(&bytes).unwrap(), meta);

    let path = folder.path().to_str().unwrap();
    let Some(list) = promtool(&["tsdb", "list", path]) else { return };
    assert!(list.contains(&ulid.to_string()) && list.contains(&samples.to_string()), "{list}");
    let analysis = promtool(&["tsdb", "analyze", path]).unwrap();
    assert!(analysis.contains("Series: 500") && analysis.contains("Label names: 3"), "{analysis}");
    // It opens the folder as a whole database.
    std::fs::create_dir(folder.path().join("wal")).unwrap();
    let dump = promtool(&["tsdb", "dump", path]).unwrap();
    let mut expected: Vec<String> = Vec::new();
    for (labels, chunks) in &series {
        for sample in chunks.iter().flatten() {
            let text = |name: &str| format!("{name}=\"{}\"", labels.get(name));
            let shown = ["__name__", "i", "zone"].map(text).join(", ");
            expected.push(format!("{{{shown}}} {} {}", sample.value, sample.timestamp_ms));
        }
    }
    let mut found: Vec<&str> = dump.lines().collect();
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    let matched = promtool(&["tsdb", "dump", "--match={i=\"77\"}", path]).unwrap();
    assert_eq!(
        matched.lines().count(),
        series
            .iter()
            .filter(|(labels, _)| labels.get("i") == "77")
            .flat_map(|(_, chunks)| chunks)
            .map(Vec::len)
            .sum::<usize>()
    );
}

#[test]
fn a_block_without_series_is_none() {
    block_on(async {
        let disk = SimDisk::new(1);
        assert_eq!(write(&disk, Path::new("/blocks"), Ulid::new(1, 1), &BTreeMap::new()).await, Ok(None));
        assert_eq!(remove_unfinished(&disk, Path::new("/blocks")).await, Ok(vec![]));
        assert_eq!(remove_unfinished(&disk, Path::new("/nothing")).await, Ok(vec![]));
    });
}

/// Whenever the power goes, a block is whole or gone after the next start; once finished, it is there.
#[test]
fn a_crash_leaves_a_whole_block_or_none() {
    let (series, blocks) = (series(40), Path::new("/blocks"));
    let whole = |disk: &SimDisk| {
        let folder = blocks.join(Ulid::new(2, 2).to_string());
        let read = |name: &str| {
            block_on(async {
                let file = disk::Disk::open(disk, &folder.join(name), disk::OpenMode::Read, disk::Access::Buffered)
                    .await
                    .unwrap();
                disk::DiskFile::read_at(&file, 0, 1 << 20).await.unwrap()
            })
        };
        let meta = BlockMeta::decode(&read("meta.json")).unwrap();
        let files = meta.thanos.unwrap().files;
        let names: Vec<String> = files.iter().map(|file| file.rel_path.clone()).collect();
        (names.iter().map(|name| read(name)).collect::<Vec<_>>(), read("tombstones"))
    };
    let reference = SimDisk::new(1);
    block_on(write(&reference, blocks, Ulid::new(2, 2), &series)).unwrap();
    let expected = whole(&reference);
    let (mut finished, mut gone) = (0, 0);
    for operations in 0..80 {
        for fate in [None, Some(Unsynced::Kept), Some(Unsynced::Lost)] {
            let disk = SimDisk::new(operations);
            disk.cut_power_after(operations);
            let result = block_on(write(&disk, blocks, Ulid::new(2, 2), &series));
            let disk = match fate {
                None => disk.crash(operations),
                Some(fate) => disk.crash_with(fate, operations),
            };
            disk.revive();
            match block_on(remove_unfinished(&disk, blocks)).unwrap()[..] {
                [] => {
                    assert!(result.is_err(), "a finished block stays");
                    assert!(block_on(write(&disk, blocks, Ulid::new(2, 2), &series)).is_ok());
                    gone += 1;
                }
                _ => finished += 1,
            }
            assert!(whole(&disk) == expected, "after {operations} operations");
        }
    }
    assert!(finished > 10 && gone > 30, "{finished} {gone}");
}
