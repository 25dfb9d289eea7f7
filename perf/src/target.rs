//! The node that is measured: one of our own on a throw-away folder, or one that runs already.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;

use crate::accounts::Process;
use crate::failure::Failure;
use crate::http::{Endpoints, Http};
use crate::interrupt::Owned;

const READY_WITHIN: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(2);

/// Which node, as the command line says it.
#[derive(clap::Args, Clone, Default, Debug)]
pub struct TargetOptions {
    /// A node that runs already; without it one is started on a folder that is thrown away.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Process of that node, where it is on this machine: its CPU time and memory are measured.
    #[arg(long, value_name = "PID", requires = "url")]
    pub pid: Option<u32>,
    /// Its Kafka, HOST:PORT; the node is asked otherwise.
    #[arg(long, value_name = "ADDRESS", requires = "url")]
    pub kafka_address: Option<String>,
    /// The binary to start; otherwise the one beside this program, or target/release/wellhead.
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    pub wellhead_bin: Option<PathBuf>,
    /// Folder below which the throw-away folder is made: choose the disk that is to be measured.
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    pub work_dir: Option<PathBuf>,
    /// Shards of the node that is started; 0: one a core.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub shards: u32,
    /// A further flag of the node that is started, as --server.log-level=debug; may be given several times.
    #[arg(long = "node-flag", value_name = "FLAG", allow_hyphen_values = true, conflicts_with = "url")]
    pub node_flags: Vec<String>,
}

/// A node to measure.
pub struct Target {
    pub url: String,
    pub endpoints: Endpoints,
    pub process: Option<Process>,
    /// HOST:PORT of its Kafka.
    pub kafka: String,
    pub topic: String,
    pub version: String,
    /// Where its files can be looked at.
    pub data_dir: Option<PathBuf>,
    started: Option<Started>,
}

/// What a node of our own needs to be started again.
struct Started {
    running: Option<Running>,
    launch: Launch,
    /// Removed with the target; only the folder that a launch made for itself.
    _folder: tempfile::TempDir,
}

/// A node's process; killed when dropped.
struct Running {
    child: Child,
    url: String,
    _owned: Owned,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a node is started.
#[derive(Clone, Debug)]
pub struct Launch {
    pub binary: PathBuf,
    pub data_dir: PathBuf,
    pub flags: Vec<String>,
}

/// `GET /wellhead/status`, as far as it is looked into.
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct Status {
    pub version: String,
    pub ready: bool,
    pub data_dir: PathBuf,
    pub kafka: StatusKafka,
    pub shards: Vec<StatusShard>,
    pub partitions: Vec<StatusPartition>,
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct StatusKafka {
    pub address: String,
    pub embedded: bool,
    pub topic: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct StatusShard {
    pub series: Option<u64>,
    pub memory_bytes: Option<u64>,
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct StatusPartition {
    pub partition: i32,
    pub log_start: Option<i64>,
    pub durable: Option<i64>,
    pub high_watermark: Option<i64>,
    pub lag_records: Option<i64>,
}

impl Status {
    pub fn series(&self) -> Option<u64> {
        self.shards.iter().map(|shard| shard.series).sum()
    }

    pub fn memory_bytes(&self) -> Option<u64> {
        self.shards.iter().map(|shard| shard.memory_bytes).sum()
    }

    /// Everything that its Kafka has is synced in its log.
    pub fn is_durable(&self) -> bool {
        // A partition without records has nothing that could be durable.
        let is_empty = |one: &StatusPartition| one.log_start >= one.high_watermark;
        let all = |one: &StatusPartition| one.durable >= one.high_watermark || is_empty(one);
        self.partitions.iter().all(|one| one.lag_records == Some(0) && all(one))
    }
}

impl Target {
    /// Starts a node, or finds the one that is named.
    ///
    /// # Errors
    /// It does not start, or does not answer.
    pub fn open(options: &TargetOptions) -> Result<Self, Failure> {
        match &options.url {
            Some(url) => Self::attach(url, options),
            None => Self::start(options, &[]),
        }
    }

    /// Starts a node on a folder of its own, with further flags.
    ///
    /// # Errors
    /// There is no binary, or the node does not become ready.
    pub fn start(options: &TargetOptions, flags: &[String]) -> Result<Self, Failure> {
        let binary = find_binary(options.wellhead_bin.as_deref())?;
        let folder = options.work_dir.as_ref().map_or_else(tempfile::tempdir, tempfile::tempdir_in);
        let folder = folder.map_err(|error| Failure::failed(format!("cannot make a folder for the node: {error}")))?;
        let mut all = vec!["--self-monitoring.enabled=false".to_owned()];
        if options.shards > 0 {
            all.push(format!("--shards={}", options.shards));
        }
        all.extend(flags.iter().chain(&options.node_flags).cloned());
        let launch = Launch { binary, data_dir: folder.path().join("data"), flags: all };
        let running = launch.run()?;
        let mut target = Self::describe(&running.url, None)?;
        target.process = Some(Process(running.child.id()));
        target.data_dir = Some(launch.data_dir.clone());
        target.started = Some(Started { running: Some(running), launch, _folder: folder });
        Ok(target)
    }

    fn attach(url: &str, options: &TargetOptions) -> Result<Self, Failure> {
        let mut target = Self::describe(url, options.kafka_address.clone())?;
        if let Some(pid) = options.pid {
            // Better now than after the load.
            Process(pid).account()?;
            target.process = Some(Process(pid));
        }
        Ok(target)
    }

    fn describe(url: &str, kafka: Option<String>) -> Result<Self, Failure> {
        let url = crate::http::base(url)?;
        let endpoints = Endpoints::of_node(&url)?;
        let status = status_of(&Http::default(), &url)?;
        let data_dir = Some(status.data_dir).filter(|folder| folder.join("wal").is_dir());
        let kafka = kafka.unwrap_or(status.kafka.address);
        let (topic, version) = (status.kafka.topic, status.version);
        Ok(Self { url, endpoints, process: None, kafka, topic, version, data_dir, started: None })
    }

    pub fn is_started(&self) -> bool {
        self.started.is_some()
    }

    /// # Errors
    /// It does not answer.
    pub fn status(&self, http: &Http) -> Result<Status, Failure> {
        status_of(http, &self.url)
    }

    /// Kills our own node as a power cut would, and starts it on the same folder. Gives the time from its start to ready.
    ///
    /// # Errors
    /// It is not ours, or does not become ready.
    pub fn kill_and_restart(&mut self) -> Result<Duration, Failure> {
        let started = self.started.as_mut().ok_or_else(|| Failure::usage("a node of others is not killed"))?;
        drop(started.running.take());
        let begin = Instant::now();
        let running = started.launch.run()?;
        let took = begin.elapsed();
        self.process = Some(Process(running.child.id()));
        self.endpoints = Endpoints::of_node(&running.url)?;
        self.url = running.url.clone();
        started.running = Some(running);
        Ok(took)
    }
}

impl Launch {
    /// Starts the process and waits until it has written that it is ready.
    fn run(&self) -> Result<Running, Failure> {
        let log_path = self.data_dir.with_extension("log");
        let failed = |what: &str, error: std::io::Error| Failure::failed(format!("cannot {what}: {error}"));
        let log = std::fs::File::create(&log_path).map_err(|error| failed("write the node's log", error))?;
        // A node that was killed has left its file: only the one with the new process counts.
        let child = Command::new(&self.binary)
            .arg(format!("--data-dir={}", self.data_dir.display()))
            .args(&self.flags)
            .env("WELLHEAD_SERVER_HTTP_LISTEN_PORT", "0")
            .env("WELLHEAD_BROKER_LISTEN_PORT", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| failed(&format!("start {}", self.binary.display()), error))?;
        let folder = self.data_dir.parent().unwrap_or(&self.data_dir);
        let mut running = Running { _owned: Owned::new(child.id(), folder), child, url: String::new() };
        let begin = Instant::now();
        let said = || last_line(&log_path);
        loop {
            let file = std::fs::read(self.data_dir.join("node.json")).ok();
            let file = file.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
            if let Some(file) = file.filter(|file| file["pid"].as_u64() == Some(running.child.id().into())) {
                file["http"].as_str().unwrap_or_default().clone_into(&mut running.url);
                return Ok(running);
            }
            if let Some(status) = running.child.try_wait().map_err(|error| failed("wait for the node", error))? {
                return Err(Failure::failed(format!("the node has ended ({status}): {}", said())));
            }
            if begin.elapsed() > READY_WITHIN {
                let seconds = READY_WITHIN.as_secs();
                return Err(Failure::failed(format!("the node is not ready after {seconds} s: {}", said())));
            }
            std::thread::sleep(POLL);
        }
    }
}

fn last_line(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().next_back().unwrap_or("it has said nothing").chars().take(500).collect()
}

/// What a node says about itself.
///
/// # Errors
/// It does not answer, or is no node.
pub fn status_of(http: &Http, url: &str) -> Result<Status, Failure> {
    let page = http.page(&format!("{url}/wellhead/status"))?;
    serde_json::from_slice(&page)
        .map_err(|error| Failure::failed(format!("{url} is no wellhead node, or of another release: {error}")))
}

/// The node's binary.
fn find_binary(given: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(path) = given {
        let is_there = path.is_file();
        return is_there
            .then(|| path.to_owned())
            .ok_or_else(|| Failure::not_found(format!("there is no file {}", path.display())));
    }
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name("wellhead"));
    let candidates = beside.into_iter().chain([PathBuf::from("target/release/wellhead")]);
    candidates.into_iter().find(|path| path.is_file()).ok_or_else(|| {
        Failure::not_found(
            "there is no wellhead beside this program or in target/release: name one with --wellhead-bin",
        )
    })
}
