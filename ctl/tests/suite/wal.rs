//! Logs of a folder without a node: what `wal ls` and `wal verify` say, and that they change nothing.

use std::path::{Path, PathBuf};

use disk::PlainDisk;
use model::ShardId;
use serde_json::Value;
use tsdb::recovery::folder_name;
use tsdb::wal::{LogIdentity, Turn, Wal, WalOptions};

use crate::tool::{Ended, run};

const BLOCK: u64 = 4096;
const OPTIONS: WalOptions =
    WalOptions { segment_bytes: 8 * BLOCK, reserve_segments: 1, part_bytes_max: 8192, bytes_max: 1 << 30 };

/// Three one-block frames; gives the first segment's file.
fn write_log(data_dir: &Path) -> PathBuf {
    let dir = data_dir.join("wal").join(folder_name(ShardId(0)));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut wal = Wal::create(PlainDisk, &dir, ShardId(0), OPTIONS).await.unwrap();
        for _ in 0..3 {
            let mut turn = Turn::new();
            turn.identity(&LogIdentity { cluster_id: "c".into(), topic_id: [1; 16], topic_name: "t".into() });
            wal.append(&mut turn).await.unwrap();
        }
    });
    dir.join("0000000000000001.wal")
}

fn wal(data_dir: &Path, arguments: &[&str]) -> (Ended, Value) {
    let ended = run(&[&["-o", "json", "--data-dir", data_dir.to_str().unwrap(), "wal"], arguments].concat());
    let document = serde_json::from_str(&ended.stdout).unwrap_or(Value::Null);
    (ended, document)
}

#[test]
fn a_whole_log_is_listed_and_would_start() {
    let folder = tempfile::tempdir().unwrap();
    let segment = write_log(folder.path());
    let before = std::fs::read(&segment).unwrap();
    let (ended, document) = wal(folder.path(), &["ls"]);
    let first = &document["segments"][0];
    assert_eq!((ended.code, first["role"].as_str(), first["last_lsn"].as_u64()), (0, Some("kept"), Some(3)));
    assert_eq!((first["frames"].as_u64(), first["end_offset"].as_u64()), (Some(3), Some(4 * BLOCK)));
    let (ended, document) = wal(folder.path(), &["verify"]);
    assert_eq!((ended.code, &document["would_start"], &document["warning"]), (0, &Value::Bool(true), &Value::Null));
    assert_eq!(std::fs::read(&segment).unwrap(), before);
    assert_eq!(wal(folder.path(), &["ls", "--shard", "7"]).0.code, 3);
    assert_eq!(run(&["wal", "ls"]).code, 2);
}

#[test]
fn damage_is_refused_with_segment_and_offset() {
    let folder = tempfile::tempdir().unwrap();
    let segment = write_log(folder.path());
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[2 * BLOCK as usize + 20] ^= 1;
    std::fs::write(&segment, &bytes).unwrap();
    let (ended, document) = wal(folder.path(), &["verify"]);
    assert_eq!((ended.code, &document["would_start"]), (6, &Value::Bool(false)));
    let expected = format!("{} is damaged at offset {}", segment.display(), 2 * BLOCK);
    assert!(ended.stderr.contains(&expected), "{}", ended.stderr);
    assert_eq!(std::fs::read(&segment).unwrap(), bytes);
}

#[test]
fn a_folder_in_use_is_read_with_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    write_log(folder.path());
    let lock = std::fs::File::create(folder.path().join("lock")).unwrap();
    lock.lock().unwrap();
    let (ended, document) = wal(folder.path(), &["ls"]);
    assert_eq!(ended.code, 0);
    assert!(document["warning"].as_str().is_some_and(|text| text.contains("a node runs")), "{document}");
}
