//! `run query` and `compare`: what is asked is answered, by every target alike.

use crate::tool::{RunningNode, check_counts, report, run};

#[test]
fn every_question_has_an_answer() {
    let shown = report("run query --series 600 --rounds 5 --repeats 2 --calibration-series 0");
    let expected = [("samples_in_kafka", 3000), ("empty_answers", 0), ("series_by_query", 600)];
    check_counts(&shown, &expected);
    let asked: Vec<_> =
        shown["latencies"].as_array().unwrap().iter().filter(|row| !row["cpu_ms_each"].is_null()).collect();
    assert!(asked.len() >= 5 && asked.iter().all(|row| row["count"] == 2), "{asked:?}");
}

#[test]
fn two_targets_get_the_same_and_say_the_same() {
    let (one, other) = (RunningNode::start(), RunningNode::start());
    let targets = format!("--target one={},pid={} --target other={}", one.url, one.pid(), other.url);
    let shown = report(&format!("compare {targets} --series 600 --rounds 4 --passes 2 --repeats 1"));
    for check in shown["checks"].as_array().unwrap() {
        assert_eq!(check["found"], 0, "{check}");
    }
    assert_eq!(shown["checks"].as_array().unwrap().len(), 8, "samples, and each question");
    let rows = shown["comparison"].as_array().unwrap();
    let of = |figure: &str, target: &str| rows.iter().find(|row| row["figure"] == figure && row["target"] == target);
    assert_eq!(of("steady_samples_per_second", "other").unwrap()["passes"], 2);
    assert_eq!(of("new_series_samples_per_second", "one").unwrap()["ratio"], 1.0);
    assert!(of("steady_cpu_ns_per_sample", "one").is_some(), "its process was named");
    assert!(of("steady_cpu_ns_per_sample", "other").is_none(), "its process was not");
}

#[test]
fn a_receiver_of_another_kind_is_asked_where_it_was_said() {
    let (one, other) = (RunningNode::start(), RunningNode::start());
    let paths = "push=/api/v1/push,api=/prometheus/api/v1/";
    let targets = format!("--target one={} --target other={},{paths}", one.url, other.url);
    report(&format!("compare {targets} --series 60 --rounds 2 --passes 1 --repeats 1"));
    let wrong = format!("--target one={} --target other={},api=/nowhere", one.url, other.url);
    assert_eq!(run(&format!("compare {wrong} --series 60")).code, 1, "before anything is sent");
    assert_eq!(run(&format!("compare --target one={}", one.url)).code, 2);
}
