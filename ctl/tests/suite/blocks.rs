//! Blocks without a node: what `blocks ls`, `inspect`, `verify` and `dump` say, and that they change nothing.

use std::path::{Path, PathBuf};

use disk::PlainDisk;
use model::{Labels, Offset, PartitionId, Sample, TimeRange};
use serde_json::{Value, json};
use tsdb::block::{BlockChunk, BlockOptions, BlockWriter, KafkaSource, Ulid, WellheadMeta};
use tsdb::chunk::{ChunkEncoding, encode_xor};

use crate::tool::{Ended, run};

const FIRST_MS: i64 = 1_700_000_000_000;
const SAMPLES: i64 = 30;

/// A block of `m{i="0"}` .. `m{i="4"}`, a sample each second: the index of the series plus that of the sample.
fn write_block(blocks: &Path, number: u64) -> PathBuf {
    let ulid = Ulid::new(FIRST_MS as u64 + number, 7);
    let source = KafkaSource { partition: PartitionId(3), first: Offset(10), next: Offset(12) };
    let wellhead = WellheadMeta { sources: vec![source], ..WellheadMeta::default() };
    let options = BlockOptions { wellhead: Some(wellhead), ..BlockOptions::of_heads(ulid) };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let symbols = ["0", "1", "2", "3", "4", "__name__", "i", "m"];
        let mut writer = BlockWriter::create(PlainDisk, blocks, options, symbols).await.unwrap();
        for series in 0..5 {
            let sample = |step: i64| Sample { timestamp_ms: FIRST_MS + step * 1000, value: (series + step) as f64 };
            let bytes = encode_xor(&(0..SAMPLES).map(sample).collect::<Vec<_>>());
            let range = TimeRange { min_ms: FIRST_MS, max_ms: FIRST_MS + (SAMPLES - 1) * 1000 };
            let chunk = BlockChunk { range, encoding: ChunkEncoding::Xor, bytes: &bytes };
            let labels = Labels::from_pairs(&[("__name__", "m"), ("i", &series.to_string())]);
            writer.add_series(&labels, &[chunk]).await.unwrap();
        }
        writer.finish().await.unwrap().unwrap();
    });
    blocks.join(ulid.to_string())
}

fn blocks(arguments: &[&str]) -> (Ended, Value) {
    let ended = run(&[&["-o", "json", "blocks"], arguments].concat());
    let document = serde_json::from_str(&ended.stdout).unwrap_or(Value::Null);
    (ended, document)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn blocks_are_listed_and_looked_into() {
    let folder = tempfile::tempdir().unwrap();
    let (second, first) = (write_block(folder.path(), 2), write_block(folder.path(), 1));
    std::fs::create_dir(folder.path().join(Ulid::new(1, 1).to_string())).unwrap();
    let (ended, document) = blocks(&["ls", text(folder.path())]);
    let rows = document["blocks"].as_array().unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row["block"].as_str().unwrap()).collect();
    assert_eq!(
        (ended.code, names),
        (0, vec![text(first.file_name().unwrap().as_ref()), text(second.file_name().unwrap().as_ref())])
    );
    assert_eq!(
        (&rows[0]["series"], &rows[0]["samples"], &rows[0]["level"]),
        (&json!(5), &json!(5 * SAMPLES), &json!(1))
    );
    assert_eq!(rows[0]["end_time_ms"], FIRST_MS + (SAMPLES - 1) * 1000 + 1);
    let (ended, document) = blocks(&["inspect", text(&first), "--labels", "1"]);
    assert_eq!((ended.code, &document["label_names"]), (0, &json!(2)));
    assert_eq!(document["labels"], json!([{"label": "i", "values": 5}]));
    assert_eq!(document["sources"], json!([{"partition": 3, "first_offset": 10, "next_offset": 12}]));
    assert_eq!(document["meta"]["thanos"]["source"], "receive");
    let table = run(&["blocks", "inspect", text(&first), "--labels", "1"]);
    assert!(table.stdout.contains("and 1 other labels"), "{}", table.stdout);
}

#[test]
fn samples_are_dumped_as_they_were_written() {
    let folder = tempfile::tempdir().unwrap();
    let block = write_block(folder.path(), 1);
    let dump = run(&["blocks", "dump", text(&block)]);
    let line = |series: i64, step: i64| {
        format!("{{__name__=\"m\", i=\"{series}\"}} {} {}\n", series + step, FIRST_MS + step * 1000)
    };
    let expected: String = (0..5).flat_map(|series| (0..SAMPLES).map(move |step| line(series, step))).collect();
    assert_eq!((dump.code, dump.stdout, dump.stderr), (0, expected, String::new()));
    let (since, until) = ((FIRST_MS + 5000).to_string(), (FIRST_MS + 7000).to_string());
    let some = ["blocks", "dump", text(&block), "--match", "m{i=~\"[13]\"}", "--since", &since, "--until", &until];
    assert_eq!(run(&some).stdout, [line(1, 5), line(1, 6), line(3, 5), line(3, 6)].concat());
    let (_, one) = blocks(&["dump", text(&block), "--match", "{i=\"2\"}", "--since", &since, "--until", &until]);
    let samples =
        json!([{"timestamp_ms": FIRST_MS + 5000, "value": "7"}, {"timestamp_ms": FIRST_MS + 6000, "value": "8"}]);
    assert_eq!(one, json!({"series": {"__name__": "m", "i": "2"}, "samples": samples, "histograms": 0}));
    let few = run(&["blocks", "dump", text(&block), "--limit", "2"]);
    assert_eq!(few.stdout.lines().count() as i64, 2 * SAMPLES);
    assert!(few.stderr.contains("the first 2 series"), "{}", few.stderr);
    let all = run(&["blocks", "dump", text(&block), "--limit", "5"]);
    assert_eq!(all.stderr, "");
}

#[test]
fn verify_says_what_is_wrong_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (_, damaged) = (write_block(folder.path(), 1), write_block(folder.path(), 2));
    let (ended, document) = blocks(&["verify", text(folder.path())]);
    assert_eq!((ended.code, &document["intact"], document["blocks"].as_array().unwrap().len()), (0, &json!(true), 2));
    let path = damaged.join("chunks/000001");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let (ended, document) = blocks(&["verify", text(folder.path())]);
    assert_eq!((ended.code, &document["intact"]), (6, &json!(false)));
    let finding = &document["findings"][0];
    assert_eq!(
        (&finding["block"], &finding["file"]),
        (&json!(text(damaged.file_name().unwrap().as_ref())), &json!("chunks/000001"))
    );
    assert_eq!((&finding["offset"], &finding["finding"]), (&json!(8), &json!("the checksum of a chunk differs")));
    assert!(ended.stderr.contains("1 of 2 blocks are not intact"), "{}", ended.stderr);
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    assert_eq!(blocks(&["dump", text(&damaged)]).0.code, 6);
}

#[test]
fn what_is_no_block_is_not_found() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    for command in ["ls", "inspect", "verify", "dump"] {
        for path in [folder.path(), &missing] {
            assert_eq!(blocks(&[command, text(path)]).0.code, 3, "{command} {}", path.display());
        }
    }
    let block = write_block(folder.path(), 1);
    assert_eq!(blocks(&["dump", text(&block), "--match", "{"]).0.code, 2);
    assert_eq!(blocks(&["dump", text(&block), "--since", "soon"]).0.code, 2);
}
