//! Commands that only look.

use model::Sample;
use serde_json::{Value, json};

use crate::node::{Node, now_ms};
use crate::tool::{json_on, run_on, wait_for};

/// The sum of a field over rows.
fn sum(rows: &Value, key: &str) -> i64 {
    rows.as_array().unwrap().iter().filter_map(|row| row[key].as_i64()).sum()
}

#[test]
fn a_node_and_its_progress_are_seen() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(&folder.path().join("data"), 2);
    let now = now_ms();
    for index in 0..6 {
        node.push("up", if index % 2 == 0 { "a" } else { "b" }, Sample { timestamp_ms: now + index, value: 1.5 });
    }
    let status = wait_for(&node, &["status"], |status| sum(&status["partitions"], "committed_next") == 6);
    assert_eq!((&status["ready"], status["pid"].as_u64()), (&json!(true), Some(node.pid().into())));
    let table = run_on(&node, &["status", "--require-ready"]).stdout;
    assert!(table.contains("is ready") && table.contains("HIGH WATERMARK"), "{table}");

    let lag = json_on(&node, &["lag", "--max", "0"]);
    assert_eq!((lag["lag"].as_array().unwrap().len(), sum(&lag["lag"], "next_offset")), (2, 6));
    let group = lag["lag"][0]["group"].as_str().unwrap();
    let of_kafka = json_on(&node, &["lag", "--group", group, "--max", "1h"]);
    assert_eq!((sum(&of_kafka["lag"], "lag_records"), sum(&of_kafka["lag"], "next_offset")), (0, 6));
    assert_eq!(
        run_on(&node, &["lag", "--watch", "--rounds", "2", "--interval", "100ms", "-o", "json"]).stdout.lines().count(),
        2
    );

    let offsets = json_on(&node, &["offsets", "list"]);
    for row in offsets["offsets"].as_array().unwrap() {
        let next = row["next_offset"].as_i64().unwrap();
        assert_eq!(
            (row["committed_last_consumed"].as_i64(), row["stored_offset"].as_i64()),
            (Some(next - 1), Some(next - 1))
        );
        assert_eq!((&row["meaning"], &row["group"]), (&json!("progress"), &json!(group)));
    }
    let one = json_on(&node, &["offsets", "get", "--group", group, "--partition", "0"]);
    assert_eq!((one["offsets"].as_array().unwrap().len(), &one["offsets"][0]["lag_seconds"]), (1, &json!(0.0)));

    let groups = json_on(&node, &["groups", "list"]);
    assert!(groups["groups"].as_array().unwrap().iter().any(|row| row["group"] == group), "{groups}");
    assert_eq!(sum(&json_on(&node, &["groups", "describe", group])["offsets"], "next_offset"), 6);
}

#[test]
fn records_are_shown_decoded() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(&folder.path().join("data"), 1);
    let begin = now_ms();
    for (index, job) in ["a", "b", "a"].into_iter().enumerate() {
        node.push("up", job, Sample { timestamp_ms: begin, value: index as f64 });
    }
    let rows = |arguments: &[&str]| -> Vec<String> {
        let ended = run_on(&node, &[&["-o", "json", "records", "dump"], arguments].concat());
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        let row = |line: &str| {
            let row: Value = serde_json::from_str(line).unwrap();
            assert_eq!(
                (&row["tenant"], &row["version"], &row["error"]),
                (&json!("anonymous"), &json!(1), &Value::Null)
            );
            format!(
                "{}:{}={}",
                row["offset"],
                row["labels"]["job"].as_str().unwrap(),
                row["samples"][0]["value"].as_str().unwrap()
            )
        };
        ended.stdout.lines().map(row).collect()
    };
    assert_eq!(rows(&[]), ["0:a=0", "1:b=1", "2:a=2"]);
    assert_eq!(rows(&["--match", "up{job=~'a|x'}"]), ["0:a=0", "2:a=2"]);
    assert_eq!(rows(&["--from", "1", "--to", "2"]), ["1:b=1"]);
    assert_eq!(rows(&["--since", &(begin - 1000).to_string(), "--limit", "2"]), ["0:a=0", "1:b=1"]);
    assert_eq!(rows(&["--since", &(begin + 60_000).to_string()]), [""; 0]);
    assert_eq!(rows(&["--until", &(begin - 1000).to_string()]), [""; 0]);
    assert_eq!(rows(&["--tenant", "other"]), [""; 0]);
    let table = run_on(&node, &["records", "dump", "--match", "{job=\"b\"}"]).stdout;
    assert!(table.contains("{__name__=\"up\", job=\"b\"}") && table.contains("1@20"), "{table}");
}

#[test]
fn topics_are_made_and_grown() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(&folder.path().join("data"), 1);
    let other = node.group("other");
    let code = |arguments: &[&str]| run_on(&node, arguments).code;
    assert_eq!(code(&["topics", "create", &other, "--partitions", "2", "--dry-run"]), 0);
    assert_eq!(code(&["topics", "describe", &other]), 3);
    assert_eq!(json_on(&node, &["topics", "create", &other, "--partitions", "2"])["created"], true);
    assert_eq!(code(&["topics", "create", &other, "--partitions", "2"]), 4);
    assert_eq!(code(&["topics", "expand", &other, "--partitions", "2"]), 4);
    assert_eq!(json_on(&node, &["topics", "expand", &other, "--partitions", "3"])["partitions_before"], 2);
    let topic = json_on(&node, &["topics", "describe", &other]);
    assert_eq!((&topic["partitions"], sum(&topic["partition_list"], "log_end")), (&json!(3), 0));
    let topics = json_on(&node, &["topics", "list"]);
    for name in [&node.topic, &other] {
        assert!(topics["topics"].as_array().unwrap().iter().any(|row| row["topic"] == **name), "{topics}");
    }
}
