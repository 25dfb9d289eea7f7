//! Bad input: one clear sentence, the documented exit code, nothing changed.

use model::Sample;
use serde_json::Value;

use crate::node::{Node, now_ms};
use crate::tool::{run, run_on, wait_for};

#[track_caller]
fn check(ended: &crate::tool::Ended, code: i32, sentence: &str) {
    assert_eq!(ended.code, code, "{}", ended.stderr);
    assert!(ended.stderr.contains(sentence), "{}", ended.stderr);
    assert_eq!(ended.stdout, "");
}

#[test]
fn what_is_wrong_is_said_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(&folder.path().join("data"), 2);
    node.push("up", "a", Sample { timestamp_ms: now_ms(), value: 1.0 });
    let rows = wait_for(&node, &["offsets", "list"], |found| !found["offsets"][0]["group"].is_null());
    let group = rows["offsets"][0]["group"].as_str().unwrap();
    let partition = rows["offsets"][0]["partition"].to_string();
    let reset = |to: &'static str| vec!["offsets", "reset", "--group", group, "--partition", &partition, "--to", to];
    let cases: Vec<(Vec<&str>, i32, &str)> = vec![
        (vec!["offsets", "reset", "--group", "nobody", "--to", "latest"], 3, "there is no group nobody"),
        (vec!["offsets", "get", "--group", "nobody"], 3, "there is no group nobody"),
        (vec!["lag", "--group", "nobody"], 3, "there is no group nobody"),
        (vec!["groups", "delete", "nobody", "--execute"], 3, "there is no group nobody"),
        (vec!["groups", "copy", "nobody", "other", "--execute"], 3, "there is no group nobody"),
        (vec!["offsets", "list", "--topic", "nothing"], 3, "the topic nothing does not exist"),
        (vec!["topics", "describe", "nothing"], 3, "the topic nothing does not exist"),
        (vec!["topics", "expand", "nothing", "--partitions", "4"], 3, "the topic nothing does not exist"),
        (vec!["offsets", "list", "--partition", "7"], 3, "has no partition 7: it has 2"),
        (vec!["records", "dump", "--partition", "7"], 3, "has no partition 7: it has 2"),
        (reset("offset:900"), 4, "offset 900 is outside of the log of partition"),
        (reset("shift:-900"), 4, "is outside of the log of partition"),
        (reset("time:2999-01-01T00:00:00Z"), 4, "lies in the future"),
        (reset("time:-0s"), 4, "its newest is of 20"),
        (vec!["records", "dump", "--partition", &partition, "--from", "900"], 4, "offset 900 is outside of the log"),
        (reset("time:yesterday"), 2, "is no time"),
        (reset("begin"), 2, "is no target"),
        (vec!["records", "dump", "--match", "{job="], 2, "--match: 1:6: parse error"),
        (vec!["lag", "--max", "much"], 2, "--max"),
        (vec!["offsets", "reset", "--to", "latest"], 2, "--group"),
        (vec!["status", "--timeout", "soon"], 2, "--timeout"),
        (vec!["nothing"], 2, "unrecognized subcommand"),
    ];
    for (arguments, code, sentence) in cases {
        check(&run_on(&node, &arguments), code, sentence);
        // As JSON the same, on stderr.
        let ended = run_on(&node, &[&["-o", "json"], &arguments[..]].concat());
        let error: Value = serde_json::from_str(&ended.stderr).unwrap_or_else(|_| panic!("no JSON: {}", ended.stderr));
        assert_eq!((ended.code, error["exit_code"].as_i64()), (code, Some(code.into())), "{arguments:?}");
        assert!(error["error"].as_str().is_some_and(|text| !text.contains('\n')), "{error}");
    }
    let after = wait_for(&node, &["offsets", "list"], |_| true);
    assert_eq!(after["offsets"][0]["next_offset"], rows["offsets"][0]["next_offset"]);
}

#[test]
fn nobody_answers() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (url, address) = (format!("http://127.0.0.1:{port}"), format!("127.0.0.1:{port}"));
    let node = format!("cannot reach the node {url}");
    let broker = format!("cannot reach the broker {address}");
    check(&run(&["--node", &url, "status"]), 5, &node);
    check(&run(&["--node", &url, "lag"]), 5, &node);
    check(&run(&["--node", &url, "offsets", "list"]), 5, "say which topic with --topic");
    check(&run(&["--node", &url, "topics", "list"]), 5, "say where Kafka is with --kafka-address");
    let kafka = ["--node", &url, "--kafka-address", &address];
    check(&run(&[&kafka[..], &["topics", "list"]].concat()), 5, &broker);
    check(&run(&[&kafka[..], &["offsets", "list", "--topic", "t"]].concat()), 5, &broker);
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().to_str().unwrap();
    check(&run(&["--data-dir", data_dir, "status"]), 5, "no ready node runs on");
    for (arguments, sentence) in [
        (&["--node", "ftp://a", "status"][..], "write http://HOST:PORT"),
        (&["--kafka-address", "kafka", "topics", "list"], "write HOST:PORT"),
    ] {
        check(&run(arguments), 2, sentence);
    }
}

/// Something listens, takes the connection, and says nothing.
#[test]
fn somebody_is_silent() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let url = format!("http://{address}");
    check(&run(&["--timeout", "300ms", "--node", &url, "status"]), 5, "cannot reach the node");
    let kafka = ["--timeout", "300ms", "--kafka-address", &address, "topics", "list"];
    check(&run(&kafka), 5, "did not answer ApiVersions within 300 ms");
}
