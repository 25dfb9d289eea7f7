//! Starting the node as a process, waiting for it, killing it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kafka::{Client, KafkaOptions};

use crate::client;

/// A running `wellhead`; killed when dropped.
pub struct Node {
    process: Child,
    pub http: SocketAddr,
    pub kafka: String,
}

/// Flags that every test node has: any free ports, quiet logs into a file.
pub fn command(data_dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wellhead"));
    let log = std::fs::OpenOptions::new().create(true).append(true).open(log_path(data_dir)).expect("a log file");
    command
        .arg(format!("--data-dir={}", data_dir.display()))
        .env("WELLHEAD_SERVER_HTTP_LISTEN_PORT", "0")
        .env("WELLHEAD_BROKER_LISTEN_PORT", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    command
}

/// Where the node's stderr goes; shown when a test fails.
pub fn log_path(data_dir: &Path) -> PathBuf {
    data_dir.with_extension("log")
}

impl Node {
    /// Starts a node and waits until it says that it is ready.
    #[track_caller]
    pub fn start(data_dir: &Path, flags: &[&str]) -> Self {
        Self::start_as(data_dir, command(data_dir).args(flags))
    }

    /// The same for a command that was prepared on [`command`].
    #[track_caller]
    pub fn start_as(data_dir: &Path, command: &mut Command) -> Self {
        let mut process = command.spawn().expect("the binary starts");
        let file = data_dir.join("node.json");
        let begin = Instant::now();
        loop {
            let pid = i64::from(process.id());
            let node =
                std::fs::read(&file).ok().and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
            if let Some(node) = node.filter(|node| node["pid"].as_i64() == Some(pid)) {
                let http = node["http"].as_str().unwrap().trim_start_matches("http://").parse().unwrap();
                return Self { process, http, kafka: node["kafka"].as_str().unwrap().to_owned() };
            }
            let ended = process.try_wait().unwrap();
            let log = || std::fs::read_to_string(log_path(data_dir)).unwrap_or_default();
            assert!(ended.is_none(), "the node ended with {ended:?}:\n{}", log());
            assert!(begin.elapsed() < Duration::from_secs(60), "the node is not ready after 60 s:\n{}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// SIGKILL, and wait until it is gone.
    pub fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// SIGTERM; gives the exit status.
    pub fn stop(mut self) -> std::process::ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.process.wait().unwrap()
    }

    /// The data of a successful API answer.
    #[track_caller]
    pub fn query(&self, path: &str) -> serde_json::Value {
        let answer = client::get(self.http, path).unwrap();
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()["data"].clone()
    }

    /// Asks the node's Kafka, as any tool may.
    pub fn ask_kafka<T>(&self, ask: impl AsyncFnOnce(&mut Client) -> T) -> T {
        let options = KafkaOptions {
            addresses: vec![self.kafka.clone()],
            client_id: "tool".to_owned(),
            topic: "wellhead-ingest".to_owned(),
            dial_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(5),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(ask(&mut Client::new(options)))
    }

    /// Waits until `is_true`, at most 20 s.
    #[track_caller]
    pub fn wait_until(&self, what: &str, mut is_true: impl FnMut(&Self) -> bool) {
        let begin = Instant::now();
        while !is_true(self) {
            assert!(begin.elapsed() < Duration::from_secs(20), "still not true after 20 s: {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The value of a metric, summed over its series; 0 where there is none.
    pub fn metric(&self, name: &str) -> f64 {
        let page = client::get(self.http, "/metrics").unwrap().text();
        page.lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
