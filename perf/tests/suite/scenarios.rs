//! The other scenarios, with tiny loads: what they count.

use crate::tool::{check_counts, report};

#[test]
fn a_killed_node_has_everything_again() {
    let shown = report("run restart --series 300 --rounds 2 --kills 2 --calibration-series 0");
    let expected = ["samples_in_kafka", "samples_after_kill_1", "samples_after_kill_2"].map(|name| (name, 600));
    check_counts(&shown, &expected);
    assert_eq!(shown["latencies"].as_array().unwrap().last().unwrap()["latency"], "kill_to_ready");
    assert_eq!(shown["latencies"].as_array().unwrap().last().unwrap()["count"], 2);
    assert_eq!(shown["figures"].get("cpu_to_calibration_ratio"), None, "no yardstick was asked for");
}

#[test]
fn a_backlog_is_ingested_whole() {
    let shown = report("run ingest --series 900 --rounds 4 --batch 200 --partitions 3 --calibration-series 1000");
    check_counts(&shown, &[("samples_by_query", 3600), ("samples_in_kafka", 3600)]);
    assert_eq!(shown["figures"]["records"], 20, "five batches a round");
    assert!(shown["figures"]["calibration_ns_per_sample"].as_f64().unwrap() > 0.0);
    assert!(shown["figures"]["wal_bytes_per_sample"].as_f64().unwrap() > 1.0);
}

#[test]
fn the_yardstick_needs_no_node() {
    let shown = report("calibrate --calibration-series 5000 --calibration-rounds 3");
    check_counts(&shown, &[("samples_appended", 25_000)]);
    assert_eq!(shown["settings"]["calibration_rounds"], 3);
}
