//! A topic that gets more partitions while a node runs: it does not answer for a part, says what is missing, and a restart takes
//! the new ones up with what was written to them meanwhile.

use kafka::admin::Validation;

use crate::client::{self, Series};
use crate::start::Node;

const FLAGS: &[&str] = &["--self-monitoring.enabled=false", "--shards=2", "--broker.partitions=2"];
const SERIES: usize = 200;
const QUERY: &str = "/prometheus/api/v1/query?query=sum(count_over_time(grown[1h]))";

fn write(node: &Node) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    let series: Vec<Series<'_>> = (0..SERIES)
        .map(|at| (vec![("__name__", "grown".to_owned()), ("at", (at * 7919).to_string())], vec![(now, at as f64)]))
        .collect();
    assert_eq!(client::push(node.http, None, &client::push_body(&series)).unwrap().status, 200);
}

fn is_counted(node: &Node, samples: usize) -> bool {
    node.query(QUERY)["result"][0]["value"][1].as_str() == Some(&samples.to_string())
}

#[test]
fn a_grown_topic_is_told_and_taken_up_by_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let node = Node::start(&data_dir, FLAGS);
    write(&node);
    node.wait_until("all samples are there", |node| is_counted(node, SERIES));

    node.ask_kafka(async |client| client.expand_topic("wellhead-ingest", 4, Validation::Execute).await.unwrap());
    let sentence =
        "topic wellhead-ingest has grown to 4 partitions and partitions 2 to 3 are not consumed by this node";
    node.wait_until("queries are refused", |node| client::get(node.http, QUERY).unwrap().status == 503);
    let refused = client::get(node.http, QUERY).unwrap();
    assert!(refused.text().contains(sentence), "{}", refused.text());
    let ready = client::get(node.http, "/ready").unwrap();
    assert!(ready.text().contains(sentence), "{}", ready.text());
    // Records go on; what a new partition gets waits there.
    write(&node);
    assert!(node.stop().success());

    let node = Node::start(&data_dir, FLAGS);
    node.wait_until("both rounds are there", |node| is_counted(node, 2 * SERIES));
    let status = client::get(node.http, "/wellhead/status").unwrap().json();
    assert_eq!(status["partitions"].as_array().unwrap().len(), 4);
    write(&node);
    node.wait_until("and a third", |node| is_counted(node, 3 * SERIES));
    let status = client::get(node.http, "/wellhead/status").unwrap().json();
    assert!(
        status["partitions"].as_array().unwrap().iter().all(|one| one["applied"].as_i64() > Some(0)),
        "every partition has records: {status}"
    );
    assert!(node.stop().success());
}
