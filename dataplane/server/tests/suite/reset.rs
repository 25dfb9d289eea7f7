//! Consuming from another offset, on a whole node: over HTTP while it runs, through the group while it is stopped, by its
//! configuration; what is read again, what a lost log gets back, and what is refused with nothing changed.

use kafka::{CommitPosition, CommitStamp};
use serde_json::{Value, json};

use crate::client::{self, Answer, Series, push, push_body};
use crate::start::Node;

const FLAGS: &[&str] = &["--self-monitoring.enabled=false", "--shards=2", "--broker.partitions=3"];
/// Enough for every partition to get some.
const SERIES: usize = 300;
const ROUNDS: i64 = 5;

fn order(node: &Node, body: &Value) -> Answer {
    client::request(node.http, "POST", "/wellhead/partitions/reset", &[], body.to_string().as_bytes()).unwrap()
}

/// The document of `/wellhead/status`, by partition.
fn partitions(node: &Node) -> Vec<Value> {
    let status = client::get(node.http, "/wellhead/status").unwrap().json();
    status["partitions"].as_array().unwrap().clone()
}

/// One push for each round: a sample for every series.
fn write(node: &Node, begin_ms: i64) {
    for round in 0..ROUNDS {
        let series: Vec<Series<'_>> = (0..SERIES)
            .map(|at| {
                let labels = vec![("__name__", "written".to_owned()), ("at", (at * 7919).to_string())];
                (labels, vec![(begin_ms + round * 1000, at as f64)])
            })
            .collect();
        assert_eq!(push(node.http, None, &push_body(&series)).unwrap().status, 200);
    }
}

/// What `kafka-consumer-groups --reset-offsets --to-offset` stores: the next offset, without a word.
fn order_in_group(node: &Node, to: i64) {
    let positions: Vec<_> =
        (0..3).map(|partition| CommitPosition { partition, offset: to, metadata: String::new() }).collect();
    node.ask_kafka(async |client| client.commit("wellhead-0", &positions).await.unwrap());
}

fn now_ms() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64
}

fn counted(node: &Node) -> i64 {
    let data = node.query("/prometheus/api/v1/query?query=sum(count_over_time(written[1h]))");
    data["result"][0]["value"][1].as_str().map_or(0, |count| count.parse().unwrap())
}

#[test]
fn partitions_are_moved_through_http() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let node = Node::start(&data_dir, FLAGS);
    write(&node, now_ms() - 60_000);
    let all = SERIES as i64 * ROUNDS;
    node.wait_until("all samples are there", |node| counted(node) == all);
    node.wait_until("all is durable", |node| {
        partitions(node).iter().all(|one| one["durable"] == one["high_watermark"])
    });
    let before = partitions(&node);
    let end = |partition: usize| before[partition]["high_watermark"].as_i64().unwrap();
    assert!((0..3).all(|partition| end(partition) == ROUNDS), "{before:?}");

    let refused = [
        (
            json!({ "partitions": [{ "partition": 0, "to": 0 }, { "partition": 9, "to": 0 }] }),
            404,
            "partition 9 is not consumed here",
        ),
        (
            json!({ "partitions": [{ "partition": 1, "to": 0 }, { "partition": 0, "to": 6 }] }),
            400,
            "partition 0 cannot go on at offset 6: its log holds the offsets from 0 up to 5",
        ),
        (
            json!({ "partitions": [{ "partition": 1, "to": 0 }, { "partition": 1, "to": 1 }] }),
            400,
            "partition 1 is named twice",
        ),
        (json!({ "partitions": [] }), 400, "the order names no partition"),
        (json!({ "partitions": [{ "partition": 1, "at": 0 }] }), 400, "the body is not such an order"),
    ];
    for (body, status, sentence) in refused {
        let answer = order(&node, &body);
        assert_eq!(answer.status, status, "{body}");
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(error.starts_with(sentence), "{error}");
    }
    assert!(partitions(&node).iter().all(|one| one["generation"] == 1), "nothing was changed");

    let answer = order(&node, &json!({ "partitions": [{ "partition": 2, "to": 3 }, { "partition": 0, "to": 0 }] }));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let expected = json!({ "partitions": [
        { "partition": 0, "from": 5, "to": 0, "generation": 2 },
        { "partition": 2, "from": 5, "to": 3, "generation": 2 },
    ] });
    assert_eq!(answer.json(), expected);
    node.wait_until("both are at the end again", |node| {
        partitions(node).iter().all(|one| one["durable"] == 5 && one["committed_next"] == 5)
    });
    assert_eq!(node.metric("wellhead_consumer_records_total"), (3 * ROUNDS + 5 + 2) as f64);
    assert_eq!(node.metric("wellhead_consumer_resets_total"), 2.0);
    assert_eq!(counted(&node), all, "no sample twice");
    let generations =
        |node: &Node| partitions(node).iter().map(|one| one["generation"].as_i64().unwrap()).collect::<Vec<_>>();
    assert_eq!(generations(&node), [2, 1, 2]);

    // The reset is durable: a killed node knows its generation.
    node.kill();
    let node = Node::start(&data_dir, FLAGS);
    assert_eq!((generations(&node), counted(&node)), (vec![2, 1, 2], all));
    assert!(node.stop().success());
}

/// A stopped node is ordered through a broker on its folder; its log is lost; every sample is there again.
#[test]
fn a_stopped_node_is_ordered_through_its_broker() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let node = Node::start(&data_dir, FLAGS);
    write(&node, now_ms() - 60_000);
    let all = SERIES as i64 * ROUNDS;
    node.wait_until("all samples are there", |node| counted(node) == all);
    assert!(node.stop().success());

    let broker_flags = [FLAGS, &["--target=broker"]].concat();
    let broker = Node::start(&data_dir, &broker_flags);
    let status = client::get(broker.http, "/wellhead/status").unwrap().json();
    assert_eq!(
        (&status["target"], &status["partitions"], &status["partition_count"]),
        (&json!("broker"), &json!([]), &json!(3))
    );
    assert_eq!(client::get(broker.http, "/ready").unwrap().status, 200);
    assert!(client::get(broker.http, "/config").unwrap().text().contains("target: \"broker\""));
    assert_eq!(broker.metric("wellhead_node_ready"), 1.0);
    let refused = client::get(broker.http, "/prometheus/api/v1/query?query=1").unwrap();
    assert!(refused.status == 404 && refused.text().contains("--target=broker"), "{}", refused.text());
    let stored = broker.ask_kafka(async |client| client.committed("wellhead-0", &[0, 1, 2]).await.unwrap());
    assert!(
        stored.values().all(|commit| commit.offset == 4 && CommitStamp::parse(&commit.metadata).is_some()),
        "{stored:?}"
    );
    order_in_group(&broker, 2);
    assert!(broker.stop().success());

    let node = Node::start(&data_dir, FLAGS);
    node.wait_until("the records from 2 on are read again", |node| {
        node.metric("wellhead_consumer_records_total") == 9.0
            && partitions(node).iter().all(|one| one["committed_next"] == 5)
    });
    assert_eq!((counted(&node), node.metric("wellhead_consumer_resets_total")), (all, 3.0));
    assert!(node.stop().success());

    // The log on disk is lost, and an order goes back before it.
    std::fs::remove_dir_all(data_dir.join("wal")).unwrap();
    let broker = Node::start(&data_dir, &broker_flags);
    order_in_group(&broker, 0);
    assert!(broker.stop().success());
    let node = Node::start(&data_dir, FLAGS);
    node.wait_until("every sample is back", |node| counted(node) == all);
    assert_eq!(node.metric("wellhead_consumer_records_total"), 15.0);
    node.kill();

    // Lost again; this time the configuration says from which time on.
    std::fs::remove_dir_all(data_dir.join("wal")).unwrap();
    let timestamp = format!("--ingest-storage.kafka.consume-from-timestamp-at-startup={}", now_ms() - 3_600_000);
    let position = "--ingest-storage.kafka.consume-from-position-at-startup=timestamp";
    let flags = [FLAGS, &[position, &timestamp]].concat();
    for read in [15.0, 0.0] {
        let node = Node::start(&data_dir, &flags);
        node.wait_until("every sample is there", |node| counted(node) == all);
        assert_eq!(node.metric("wellhead_consumer_records_total"), read, "obeyed once");
        assert!(node.stop().success());
    }
}

/// The log is lost and newer samples are there already: reading again fills the hole before them.
#[test]
fn a_hole_before_newer_samples_is_filled() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let begin_ms = now_ms() - 600_000;
    let node = Node::start(&data_dir, FLAGS);
    write(&node, begin_ms);
    let all = SERIES as i64 * ROUNDS;
    node.wait_until("all samples are there", |node| counted(node) == all);
    assert!(node.stop().success());
    std::fs::remove_dir_all(data_dir.join("wal")).unwrap();

    let node = Node::start(&data_dir, FLAGS);
    write(&node, begin_ms + 300_000);
    node.wait_until("what came after the hole is there", |node| counted(node) == all);
    let orders = [0, 1, 2].map(|partition| json!({"partition": partition, "to": 0}));
    assert_eq!(order(&node, &json!({ "partitions": orders })).status, 200);
    node.wait_until("the hole is filled", |node| counted(node) == 2 * all);
    assert_eq!(node.metric("cortex_ingester_tsdb_out_of_order_samples_appended_total"), all as f64);
    assert_eq!(node.metric("cortex_discarded_samples_total"), 0.0);
    node.kill();
    let node = Node::start(&data_dir, FLAGS);
    assert_eq!(counted(&node), 2 * all, "and it is logged");
    assert!(node.stop().success());
}

/// Late samples within the window are stored and answered in order; later ones are refused and counted.
#[test]
fn late_samples_within_the_window_are_stored() {
    let folder = tempfile::tempdir().unwrap();
    let flags = [FLAGS, &["--ingester.out-of-order-time-window=5m"]].concat();
    let node = Node::start(&folder.path().join("data"), &flags);
    let now = now_ms();
    for age_ms in [0, 60_000, 299_000, 301_000] {
        let labels = vec![("__name__", "late".to_owned())];
        let body = push_body(&[(labels, vec![(now - age_ms, age_ms as f64)])]);
        assert_eq!(push(node.http, None, &body).unwrap().status, 200);
    }
    node.wait_until("the oldest is refused", |node| node.metric("cortex_discarded_samples_total") == 1.0);
    let values = node.query("/prometheus/api/v1/query?query=late[1h]")["result"][0]["values"].clone();
    let values: Vec<&str> = values.as_array().unwrap().iter().map(|value| value[1].as_str().unwrap()).collect();
    assert_eq!(values, ["299000", "60000", "0"]);
    let page = client::get(node.http, "/metrics").unwrap().text();
    assert!(page.contains("reason=\"sample-too-old\""), "{page}");
}
