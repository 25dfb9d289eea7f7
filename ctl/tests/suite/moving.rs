//! Commands that change something: previews that change nothing, orders, refusals that protect a living node.

use std::time::Duration;

use kafka::{Client, CommitPosition, KafkaOptions};
use model::Sample;
use serde_json::{Value, json};

use crate::node::{Node, now_ms};
use crate::tool::{json_on, run_on, wait_for};

/// Commits as another consumer would: an offset of partition 0 with this metadata.
fn commit(node: &Node, group: &str, offset: i64, metadata: &str) {
    let options = KafkaOptions {
        addresses: vec![node.kafka.clone()],
        client_id: "test".to_owned(),
        topic: node.topic.clone(),
        dial_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_secs(5),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let position = CommitPosition { partition: 0, offset, metadata: metadata.to_owned() };
    runtime.block_on(Client::new(options).commit(group, &[position])).unwrap();
}

fn node_with_ten_records(folder: &std::path::Path) -> Node {
    let node = Node::start(&folder.join("data"), 1);
    push_ten_records(&node);
    node
}

fn push_ten_records(node: &Node) {
    let now = now_ms();
    for index in 0..10 {
        node.push("up", "a", Sample { timestamp_ms: now + index, value: index as f64 });
    }
}

fn stamp(age: Duration) -> String {
    format!("wellhead/1 writer=other generation=1 lsn=1 time={}", now_ms() - age.as_millis() as i64)
}

/// Stored offset, next offset and meaning of the group's one partition.
#[track_caller]
fn check_stored(node: &Node, group: &str, expected: (i64, i64, &str)) {
    let row = &json_on(node, &["offsets", "get", "--group", group])["offsets"][0];
    let found = (row["stored_offset"].as_i64().unwrap(), row["next_offset"].as_i64().unwrap());
    assert_eq!((found.0, found.1, row["meaning"].as_str().unwrap()), expected);
}

/// Effect, records and new position of a reset.
#[track_caller]
fn check_reset(node: &Node, arguments: &[&str], expected: (&str, Option<i64>, i64)) {
    let document = json_on(node, &[&["offsets", "reset", "--group", &node.group("somebody")], arguments].concat());
    assert_eq!(document["executed"], arguments.contains(&"--execute"));
    let row = &document["partitions"][0];
    let found = (row["effect"].as_str().unwrap(), row["records"].as_i64(), row["new_next_offset"].as_i64().unwrap());
    assert_eq!(found, expected, "{row:#}");
    assert_eq!(row["through"], "kafka");
}

#[test]
fn a_group_without_a_living_node_is_moved_by_an_order() {
    let folder = tempfile::tempdir().unwrap();
    let node = node_with_ten_records(folder.path());
    let somebody = &*node.group("somebody");
    commit(&node, somebody, 5, &stamp(Duration::from_secs(60)));
    check_reset(&node, &["--to", "earliest"], ("reads again", Some(6), 0));
    check_reset(&node, &["--to", "latest"], ("skips", Some(4), 10));
    check_reset(&node, &["--to", "shift:-2"], ("reads again", Some(2), 4));
    check_reset(&node, &["--to", "time:-1h"], ("reads again", Some(6), 0));
    check_stored(&node, somebody, (5, 6, "progress"));
    check_reset(&node, &["--to", "offset:3", "--execute"], ("reads again", Some(3), 3));
    check_stored(&node, somebody, (2, 3, "order"));
    check_reset(&node, &["--to", "offset:3"], ("nothing", None, 3));
    check_reset(&node, &["--to", "earliest", "--execute"], ("reads again", Some(3), 0));
    check_stored(&node, somebody, (0, 0, "order"));
    let table = run_on(&node, &["offsets", "reset", "--group", somebody, "--to", "latest"]).stdout;
    assert!(table.contains("10 records of 1 partition(s) will be skipped, from 20"), "{table}");
    assert!(table.contains("Nothing was changed"), "{table}");
    let yaml = run_on(&node, &["-o", "yaml", "offsets", "get", "--group", somebody]).stdout;
    assert!(yaml.contains("  next_offset: 0\n") && yaml.contains("  committed_last_consumed: null\n"), "{yaml}");
}

#[test]
fn a_living_node_that_does_not_answer_is_protected() {
    let folder = tempfile::tempdir().unwrap();
    let node = node_with_ten_records(folder.path());
    let somebody = &*node.group("somebody");
    commit(&node, somebody, 5, &stamp(Duration::from_secs(2)));
    let from = &*node.group("from");
    let reset = ["offsets", "reset", "--group", somebody, "--to", "offset:3", "--execute"];
    for refused in
        [&reset[..], &["groups", "delete", somebody, "--execute"], &["groups", "copy", from, somebody, "--execute"]]
    {
        if refused.contains(&"copy") {
            commit(&node, from, 7, "");
        }
        let ended = run_on(&node, refused);
        assert_eq!(ended.code, 4, "{}", ended.stderr);
        assert!(ended.stderr.contains("the node other, which committed"), "{}", ended.stderr);
        check_stored(&node, somebody, (5, 6, "progress"));
    }
    assert_eq!(run_on(&node, &[&reset[..], &["--force"]].concat()).code, 0);
    check_stored(&node, somebody, (2, 3, "order"));
}

#[test]
fn groups_are_copied_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let node = node_with_ten_records(folder.path());
    let somebody = &*node.group("somebody");
    let new = &*node.group("new");
    // Without a stamp a stored offset is the next one, as Kafka's own tools mean it.
    commit(&node, somebody, 5, "");
    check_stored(&node, somebody, (5, 5, "order"));
    let code = |arguments: &[&str]| run_on(&node, arguments).code;
    assert_eq!(json_on(&node, &["groups", "copy", somebody, new])["executed"], false);
    assert_eq!(code(&["offsets", "get", "--group", new]), 3);
    assert_eq!(json_on(&node, &["groups", "copy", somebody, new, "--execute"])["offsets"][0]["next_offset"], 5);
    check_stored(&node, new, (4, 5, "order"));
    assert_eq!(code(&["groups", "copy", somebody, new, "--execute"]), 4);
    assert_eq!(code(&["groups", "copy", somebody, new, "--execute", "--force"]), 0);
    assert_eq!(code(&["groups", "delete", new]), 0);
    check_stored(&node, new, (4, 5, "order"));
    assert_eq!(code(&["groups", "delete", new, "--execute"]), 0);
    assert_eq!(code(&["groups", "describe", new]), 3);
    let deleted = json_on(&node, &["offsets", "delete", "--group", somebody, "--execute"]);
    assert_eq!(deleted["offsets"][0]["stored_offset"], 5);
    let left = json_on(&node, &["offsets", "list"]);
    let names: Vec<&Value> = left["offsets"].as_array().unwrap().iter().map(|row| &row["group"]).collect();
    assert!(!names.contains(&&json!(somebody)), "{left:#}");
}

/// Where the one partition of a node stands: generation, and whether it has caught up with ten records.
fn stands(status: &Value) -> (u64, bool) {
    let partition = &status["partitions"][0];
    let is_done = partition["durable"] == 10 && partition["committed_next"] == 10 && partition["lag_records"] == 0;
    (partition["generation"].as_u64().unwrap_or_default(), is_done)
}

const COUNT: &str = "count_over_time(up{job=\"a\"}[1h])";

#[test]
fn a_living_node_is_moved_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let node = node_with_ten_records(folder.path());
    let status = wait_for(&node, &["status"], |status| stands(status).1);
    let (before, _) = stands(&status);
    let group = status["kafka"]["group"].as_str().unwrap();
    let reset = json_on(&node, &["offsets", "reset", "--group", group, "--to", "shift:-4", "--execute"]);
    let row = &reset["partitions"][0];
    assert_eq!((&reset["executed"], &row["through"], &row["records"]), (&json!(true), &json!("node"), &json!(4)));
    assert_eq!((row["old_next_offset"].as_i64(), row["new_next_offset"].as_i64()), (Some(10), Some(6)));
    assert_eq!(row["generation"].as_u64(), Some(before + 1));
    wait_for(&node, &["status"], |status| stands(status) == (before + 1, true));
    assert_eq!(node.value(COUNT), "10", "what was read again is not doubled");
}

#[test]
fn a_stopped_node_obeys_at_its_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Node::start(&folder.path().join("broker"), 1);
    let data_dir = folder.path().join("data");
    let node = Node::start_on(&broker, &data_dir);
    push_ten_records(&node);
    let (before, _) = stands(&wait_for(&node, &["status"], |status| stands(status).1));
    let (topic, group) = (node.topic.clone(), format!("{}-node", node.topic));
    drop(node);
    // As somebody who knows only where Kafka is; the node was alive a moment ago.
    let reset = ["--topic", &topic, "--group", &group, "--to", "offset:0", "--execute"].map(str::to_owned);
    let reset: Vec<&str> = ["offsets", "reset"].into_iter().chain(reset.iter().map(String::as_str)).collect();
    assert_eq!(run_on(&broker, &reset).code, 4);
    assert_eq!(json_on(&broker, &[&reset[..], &["--force"]].concat())["partitions"][0]["records"], 10);
    let node = Node::start_on(&broker, &data_dir);
    wait_for(&node, &["status"], |status| stands(status) == (before + 1, true));
    assert_eq!(node.value(COUNT), "10", "what was read again is not doubled");
    check_stored(&node, &group, (9, 10, "progress"));
}

#[test]
fn the_group_of_an_answering_node_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let node = node_with_ten_records(folder.path());
    let rows = wait_for(&node, &["offsets", "list"], |found| found["offsets"][0]["next_offset"] == 10);
    let group = rows["offsets"][0]["group"].as_str().unwrap();
    let preview = json_on(&node, &["offsets", "reset", "--group", group, "--to", "shift:-4"]);
    let row = &preview["partitions"][0];
    assert_eq!((&row["through"], &row["records"], &row["new_next_offset"]), (&json!("node"), &json!(4), &json!(6)));
    let ended = run_on(&node, &["groups", "delete", group, "--execute"]);
    assert_eq!(ended.code, 4);
    assert!(ended.stderr.contains("in use by the node http://"), "{}", ended.stderr);
}
