//! Running `wellperf` and looking at what it says.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// What a run has left.
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// The node's binary lies beside ours: `cargo test --workspace` builds both.
pub fn node_binary() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_wellperf")).with_file_name("wellhead");
    assert!(path.exists(), "{} is missing: run `cargo build -p wellhead` first", path.display());
    path
}

/// Runs it with arguments that are separated by blanks.
pub fn run(arguments: &str) -> Ended {
    let output = Command::new(env!("CARGO_BIN_EXE_wellperf")).args(arguments.split_whitespace()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Runs it on a node of its own and gives the report.
#[track_caller]
pub fn report(arguments: &str) -> Value {
    node_binary();
    let ended = run(&format!("{arguments} -o json"));
    assert_eq!(ended.code, 0, "{arguments}: {}", ended.stderr);
    serde_json::from_str(&ended.stdout).unwrap()
}

/// Every check of a report holds, and expects as much as that.
#[track_caller]
pub fn check_counts(report: &Value, expected: &[(&str, u64)]) {
    let found: Vec<(&str, u64)> = report["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| {
            assert_eq!(check["holds"], true, "{check}");
            assert_eq!(check["found"], check["expected"], "{check}");
            (check["check"].as_str().unwrap(), check["found"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(found, expected);
}

/// A node that wellperf has not started; killed when dropped.
pub struct RunningNode {
    process: Child,
    pub url: String,
    _folder: tempfile::TempDir,
}

impl RunningNode {
    #[track_caller]
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("data");
        let mut process = Command::new(node_binary())
            .arg(format!("--data-dir={}", data_dir.display()))
            .args(["--server.http-listen-port=0", "--broker.listen-port=0"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begin = Instant::now();
        loop {
            if let Ok(bytes) = std::fs::read(data_dir.join("node.json")) {
                let file: Value = serde_json::from_slice(&bytes).unwrap();
                let url = file["http"].as_str().unwrap().to_owned();
                return Self { process, url, _folder: folder };
            }
            assert!(process.try_wait().unwrap().is_none(), "the node has ended");
            assert!(begin.elapsed() < Duration::from_secs(60), "the node is not ready after 60 s");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn is_running(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }
}

impl Drop for RunningNode {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
