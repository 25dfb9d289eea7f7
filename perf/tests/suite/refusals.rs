//! What cannot be done is said in one sentence, with the documented exit code.

use crate::tool::run;

#[track_caller]
fn check(arguments: &str, code: i32, sentence: &str) {
    let ended = run(arguments);
    assert_eq!(ended.code, code, "{arguments}: {}", ended.stderr);
    assert!(ended.stderr.contains(sentence), "{arguments}: {}", ended.stderr);
    assert!(ended.stdout.is_empty(), "{arguments}: {}", ended.stdout);
}

#[test]
fn refusals_are_told() {
    check(
        "run push --calibration-series 0 --url http://127.0.0.1:1",
        5,
        "cannot reach http://127.0.0.1:1/wellhead/status",
    );
    check("run push --calibration-series 0 --url https://a:1", 2, "write http://HOST:PORT");
    check("run push --calibration-series 0 --wellhead-bin /does/not/exist", 3, "there is no file /does/not/exist");
    check("run push --pid 1", 2, "--url");
    check("run push --series 0", 2, "0 is not in 1..");
    check("run push --labels 3", 2, "3 is not in 4..");
    check("run restart --url http://127.0.0.1:1", 2, "leave --url away");
    check("run ingest --kafka 127.0.0.1:1 --calibration-series 0", 5, "cannot reach the Kafka at 127.0.0.1:1");
    check("calibrate --calibration-series 0", 2, "must be 1 or more");
    check("run nothing", 2, "nothing");
    check("run push --calibration-series 0 --wellhead-bin /bin/false", 1, "the node has ended");
}

#[test]
fn errors_are_json_where_json_is_read() {
    for (arguments, code) in
        [("-o json run push --calibration-series 0 --url http://127.0.0.1:1", 5), ("run push --series x -o json", 2)]
    {
        let ended = run(arguments);
        let said: serde_json::Value = serde_json::from_str(ended.stderr.trim()).unwrap();
        assert_eq!((said["exit_code"].as_i64(), ended.code), (Some(code), code as i32), "{arguments}");
        assert!(said["error"].is_string(), "{arguments}");
    }
}
