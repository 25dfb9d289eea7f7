//! A real node for the tool to look at: started, fed, killed. On its embedded broker, or on the Kafka at WELLHEAD_TEST_KAFKA.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use model::Sample;
use serde_json::Value;

/// A running `wellhead`; killed when dropped.
pub struct Node {
    process: Child,
    pub data_dir: PathBuf,
    pub http: String,
    pub kafka: String,
    pub topic: String,
}

/// The node's binary lies beside ours: `cargo test --workspace` builds both.
fn binary() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_wellctl")).with_file_name("wellhead");
    assert!(path.exists(), "{} is missing: run `cargo build -p wellhead` first", path.display());
    path
}

impl Node {
    /// Starts a node with a topic of its own and waits until it says that it is ready.
    #[track_caller]
    pub fn start(data_dir: &Path, partitions: u32) -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        // Others use the same Kafka, and have used it before.
        let topic = format!("wellctl-{}-{number}-{}", std::process::id(), now_ms());
        let mut flags = vec![
            format!("--ingest-storage.kafka.topic={topic}"),
            format!("--ingest-storage.kafka.consumer-group={topic}-node"),
        ];
        match std::env::var("WELLHEAD_TEST_KAFKA") {
            Ok(address) => flags.extend([
                format!("--ingest-storage.kafka.address={address}"),
                format!("--ingest-storage.kafka.auto-create-topic-default-partitions={partitions}"),
            ]),
            Err(_) => flags.extend(["--broker.listen-port=0".to_owned(), format!("--broker.partitions={partitions}")]),
        }
        let mut node = Self::start_with(data_dir, &flags);
        node.topic = topic;
        node
    }

    /// A node that has another's broker as its Kafka, and a topic of one partition there.
    #[track_caller]
    pub fn start_on(broker: &Self, data_dir: &Path) -> Self {
        let topic = broker.group("second");
        let flags = [
            format!("--ingest-storage.kafka.topic={topic}"),
            format!("--ingest-storage.kafka.consumer-group={topic}-node"),
            format!("--ingest-storage.kafka.address={}", broker.kafka),
            "--ingest-storage.kafka.auto-create-topic-default-partitions=1".to_owned(),
        ];
        let mut node = Self::start_with(data_dir, &flags);
        node.topic = topic;
        node
    }

    /// A name that only the tests of this node use.
    pub fn group(&self, name: &str) -> String {
        format!("{}-{name}", self.topic)
    }

    #[track_caller]
    fn start_with(data_dir: &Path, flags: &[String]) -> Self {
        let log_path = data_dir.with_extension("log");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&log_path).unwrap();
        let mut process = Command::new(binary())
            .arg(format!("--data-dir={}", data_dir.display()))
            .args(["--server.http-listen-port=0", "--shards=1", "--self-monitoring.enabled=false"])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let begin = Instant::now();
        loop {
            let file = std::fs::read(data_dir.join("node.json")).ok();
            let file = file.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
            if let Some(file) = file.filter(|file| file["pid"].as_u64() == Some(process.id().into())) {
                let text = |key: &str| file[key].as_str().unwrap().to_owned();
                let (http, kafka, topic) = (text("http"), text("kafka"), String::new());
                return Self { process, data_dir: data_dir.to_owned(), http, kafka, topic };
            }
            let ended = process.try_wait().unwrap();
            let said = || std::fs::read_to_string(&log_path).unwrap_or_default();
            assert!(ended.is_none(), "the node ended with {ended:?}:\n{}", said());
            assert!(begin.elapsed() < Duration::from_secs(60), "the node is not ready after 60 s:\n{}", said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Pushes one sample of a series with a label `job`.
    #[track_caller]
    pub fn push(&self, name: &str, job: &str, sample: Sample) {
        let (mut series, mut request) = (Vec::new(), Vec::new());
        model::encode_labels([("__name__", name), ("job", job)].into_iter(), &mut series);
        wire::encode_sample(sample, &mut series);
        wire::RecordWriter(&mut request).series(&[&series]);
        let body = snap::raw::Encoder::new().compress_vec(&request).unwrap();
        let answer = ureq::post(format!("{}/api/v1/push", self.http)).send(&body).unwrap();
        assert_eq!(answer.status(), 200);
    }

    /// The one value of an instant query.
    #[track_caller]
    pub fn value(&self, query: &str) -> String {
        let url = format!("{}/prometheus/api/v1/query", self.http);
        let mut answer = ureq::get(url).query("query", query).call().unwrap();
        let answer: Value = serde_json::from_slice(&answer.body_mut().read_to_vec().unwrap()).unwrap();
        answer["data"]["result"][0]["value"][1].as_str().unwrap_or_default().to_owned()
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub fn now_ms() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64
}
