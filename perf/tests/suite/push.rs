//! `run push`: on a node of its own, with a rate, and attached to a node that runs already.

use serde_json::Value;

use crate::tool::{RunningNode, check_counts, report, run};

#[test]
fn every_sample_is_counted_twice_over() {
    let folder = tempfile::tempdir().unwrap();
    let (out, html) = (folder.path().join("a.json"), folder.path().join("a.html"));
    let shown = report(&format!(
        "run push --series 700 --calibration-series 0 --rounds 3 --batch 300 --connections 2 --seed 7 --out {} --html {}",
        out.display(),
        html.display()
    ));
    check_counts(&shown, &[("samples_in_kafka", 2100), ("samples_by_query", 2100)]);
    assert_eq!(shown["figures"]["samples"], 2100);
    assert_eq!(shown["figures"]["requests"], 9, "three batches a round");
    assert_eq!(shown["latencies"][0]["latency"], "push");
    assert_eq!(shown["latencies"][0]["count"], 9);
    assert_eq!(shown["latencies"][1]["latency"], "push_to_queryable");
    for figure in ["wal_bytes_per_sample", "kafka_bytes_per_sample", "record_bytes_per_sample", "push_bytes_per_sample"]
    {
        assert!(shown["figures"][figure].as_f64().unwrap() > 1.0, "{figure}");
    }
    let written: Value = serde_json::from_slice(&std::fs::read(out).unwrap()).unwrap();
    assert_eq!(written["figures"], shown["figures"]);
    assert!(std::fs::read_to_string(html).unwrap().contains("<svg"));
}

#[test]
fn a_rate_and_other_shapes_lose_nothing() {
    let shown = report(
        "run push --calibration-series 0 --series 5 --rounds 4 --labels 20 --batch 2 --connections 9 --rate 1000 --probe-every-ms 0 --shards 1",
    );
    check_counts(&shown, &[("samples_in_kafka", 20), ("samples_by_query", 20)]);
    assert_eq!(shown["latencies"].as_array().unwrap().len(), 1, "no probe was asked for");
}

#[test]
fn a_running_node_is_measured_and_left_running() {
    let mut node = RunningNode::start();
    let url = node.url.clone();
    // Twice the same: the second must not count the first one's samples.
    for _ in 0..2 {
        let shown =
            report(&format!("run push --calibration-series 0 --series 50 --rounds 2 --url {url} --pid {}", node.pid()));
        check_counts(&shown, &[("samples_in_kafka", 100), ("samples_by_query", 100)]);
        assert_eq!(shown["target"]["pid"], node.pid());
        assert!(shown["figures"]["resident_bytes"].as_u64().unwrap() > 0);
    }
    assert_eq!(
        run(&format!("run push --calibration-series 0 --series 5 --rounds 1 --url {url} --kafka-address 127.0.0.1:1"))
            .code,
        5
    );
    assert!(node.is_running());
}
