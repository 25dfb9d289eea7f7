//! What cannot be done is said in one sentence, with the documented exit code.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::tool::{node_binary, run};

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

#[test]
fn a_stopped_run_leaves_no_node_and_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let entries = |path: &Path| std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let mut tool = Command::new(env!("CARGO_BIN_EXE_wellperf"))
        .args(["run", "push", "--rounds", "100000", "--rate", "1000", "--calibration-series", "0"])
        .arg(format!("--work-dir={}", folder.path().display()))
        .arg(format!("--wellhead-bin={}", node_binary().display()))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let begin = Instant::now();
    let node = loop {
        let file = entries(folder.path()).first().and_then(|own| std::fs::read(own.join("data/node.json")).ok());
        if let Some(file) = file.and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok()) {
            break file["pid"].as_u64().unwrap();
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "the node is not ready after 60 s");
        std::thread::sleep(Duration::from_millis(20));
    };
    rustix::process::kill_process(rustix::process::Pid::from_child(&tool), rustix::process::Signal::TERM).unwrap();
    assert_eq!(tool.wait().unwrap().code(), Some(143));
    assert!(entries(folder.path()).is_empty(), "{:?}", entries(folder.path()));
    assert!(!Path::new(&format!("/proc/{node}")).exists(), "node {node} still runs");
}
