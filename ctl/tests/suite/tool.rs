//! Runs `wellctl` and looks at how it ended.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::node::Node;

/// How a run ended.
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wellctl"));
    command.args(arguments).env_remove("WELLHEAD_NODE").stdin(Stdio::null());
    command
}

pub fn run(arguments: &[&str]) -> Ended {
    let output = command(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// With a node in view.
pub fn run_on(node: &Node, arguments: &[&str]) -> Ended {
    let data_dir = node.data_dir.to_str().unwrap();
    run(&[&["--data-dir", data_dir], arguments].concat())
}

/// The JSON document of a run that must succeed.
#[track_caller]
pub fn json_on(node: &Node, arguments: &[&str]) -> Value {
    let ended = run_on(node, &[&["-o", "json"], arguments].concat());
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{arguments:?}");
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("no JSON ({error}): {}", ended.stdout))
}

/// Asks again until `is_true`, at most 20 s; gives the last document.
#[track_caller]
pub fn wait_for(node: &Node, arguments: &[&str], is_true: impl Fn(&Value) -> bool) -> Value {
    let begin = Instant::now();
    loop {
        let document = json_on(node, arguments);
        if is_true(&document) {
            return document;
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "still not true after 20 s: {document:#}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
