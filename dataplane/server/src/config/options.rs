//! The typed options of a node, made once from the table of values; contradictions are refused here.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use model::TenantId;

use super::value::{parse_bool, parse_bytes, parse_cpus, parse_duration};
use super::{ConfigError, SourcedValue, Values};

/// Who a request belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IdentityMode {
    /// The header names the tenant; without it 401.
    Header,
    /// Everything belongs to `anonymous`; the header is ignored.
    Anonymous,
}

/// What this process is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// Every role.
    All,
    /// The embedded broker alone.
    Broker,
}

/// Where a partition begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StartPosition {
    LastOffset,
    Start,
    End,
    Timestamp { unix_ms: i64 },
}

/// Everything a node is started with.
#[derive(Clone, Debug)]
pub struct Options {
    pub target: Target,
    pub data_dir: PathBuf,
    pub cpus: Option<Vec<usize>>,
    pub shards: Option<usize>,
    pub memory_limit_bytes: Option<u64>,
    pub identity: IdentityMode,
    pub self_monitoring: Option<SelfMonitoring>,
    pub http: HttpOptions,
    pub log: LogOptions,
    pub broker: BrokerSettings,
    pub kafka: KafkaSettings,
    pub write: WriteOptions,
    pub wal_segment_bytes: u64,
    pub wal_bytes_max: u64,
    pub wal_checkpoint_bytes: u64,
    pub query: QueryOptions,
}

#[derive(Clone, Debug)]
pub struct SelfMonitoring {
    pub interval: Duration,
    pub tenant: TenantId,
}

#[derive(Clone, Debug)]
pub struct HttpOptions {
    pub address: IpAddr,
    pub port: u16,
    pub read_timeout: Duration,
    pub shutdown_timeout: Duration,
}

#[derive(Clone, Debug)]
pub struct LogOptions {
    pub level: String,
    pub is_json: bool,
}

#[derive(Clone, Debug)]
pub struct BrokerSettings {
    pub address: IpAddr,
    pub port: u16,
    pub partitions: Option<u32>,
    pub retention: Duration,
    pub disk_budget_percent: u32,
}

#[derive(Clone, Debug)]
pub struct KafkaSettings {
    /// Empty: the embedded broker.
    pub addresses: Vec<String>,
    pub topic: String,
    pub client_id: String,
    pub dial_timeout: Duration,
    pub write_timeout: Duration,
    pub linger: Option<Duration>,
    pub compression: String,
    pub record_bytes_max: usize,
    pub buffered_bytes_max: u64,
    pub creates_topic: bool,
    pub created_partitions: i32,
    pub group: String,
    pub commit_interval: Duration,
    pub start: StartPosition,
    pub fetch_wait_max: Duration,
    pub fetched_bytes_max: u64,
}

#[derive(Clone, Debug)]
pub struct WriteOptions {
    pub body_bytes_max: usize,
    pub inflight_bytes_max: u64,
    pub grace: Duration,
    pub out_of_order_window: Duration,
    pub labels_max: usize,
    pub label_name_bytes_max: usize,
    pub label_value_bytes_max: usize,
}

#[derive(Clone, Debug)]
pub struct QueryOptions {
    pub lookback: Duration,
    pub timeout: Duration,
    pub samples_max: u64,
    pub threads: Option<usize>,
    pub queued_max: usize,
}

/// Reads values by name and turns a problem into a sentence that names the key.
struct Reader<'a>(&'a Values);

impl Reader<'_> {
    fn value(&self, name: &str) -> &SourcedValue {
        self.0.get(name).expect("every name asked for stands in the table of settings")
    }

    fn text(&self, name: &str) -> String {
        self.value(name).text.clone()
    }

    fn parsed<T>(&self, name: &str, parse: impl Fn(&str) -> Result<T, &'static str>) -> Result<T, ConfigError> {
        let value = self.value(name);
        parse(value.text.trim()).map_err(|problem| ConfigError::of_setting(name, value, problem))
    }

    /// An empty text means "not set".
    fn maybe<T>(&self, name: &str, parse: impl Fn(&str) -> Result<T, &'static str>) -> Result<Option<T>, ConfigError> {
        if self.value(name).text.trim().is_empty() { Ok(None) } else { self.parsed(name, parse).map(Some) }
    }

    fn refuse(&self, name: &str, problem: &str) -> ConfigError {
        ConfigError::of_setting(name, self.value(name), problem)
    }

    fn duration(&self, name: &str) -> Result<Duration, ConfigError> {
        self.parsed(name, parse_duration)
    }
}

fn at_least_one(text: &str) -> Result<usize, &'static str> {
    text.parse().ok().filter(|count| (1..=100_000).contains(count)).ok_or("write a number from 1 to 100000")
}

fn port(text: &str) -> Result<u16, &'static str> {
    text.parse().map_err(|_| "write a port from 0 to 65535")
}

fn address(text: &str) -> Result<IpAddr, &'static str> {
    match text {
        "" => Ok(IpAddr::from([0, 0, 0, 0])),
        "localhost" => Ok(IpAddr::from([127, 0, 0, 1])),
        _ => text.parse().map_err(|_| "write an IP address, such as 127.0.0.1 or 0.0.0.0"),
    }
}

impl Options {
    /// Types and checks all values.
    ///
    /// # Errors
    /// The first value that cannot be used, with its key and what would be right.
    pub fn from_values(values: &Values) -> Result<Self, ConfigError> {
        let read = Reader(values);
        let target = target(&read)?;
        let instance_id = read.text("ingester.ring.instance-id");
        if instance_id.trim().is_empty() {
            return Err(read.refuse("ingester.ring.instance-id", "a node needs a name, such as wellhead-0"));
        }
        let shards = read.maybe("shards", at_least_one)?;
        let is_multitenant = read.parsed("auth.multitenancy-enabled", parse_bool)?;
        Ok(Self {
            target,
            data_dir: data_dir(&read)?,
            cpus: read.maybe("cpus", parse_cpus)?,
            shards,
            memory_limit_bytes: read.maybe("memory-limit", parse_bytes)?,
            identity: if is_multitenant { IdentityMode::Header } else { IdentityMode::Anonymous },
            self_monitoring: self_monitoring(&read)?,
            http: http(&read)?,
            log: log(&read)?,
            broker: broker(&read)?,
            kafka: kafka(&read, &instance_id)?,
            write: write(&read)?,
            wal_segment_bytes: read.parsed("wal.segment-size", |text| {
                let bytes = parse_bytes(text)?;
                if (1 << 20..=1 << 30).contains(&bytes) && bytes.is_multiple_of(4096) {
                    Ok(bytes)
                } else {
                    Err("write a multiple of 4 KiB from 1MiB to 1GiB")
                }
            })?,
            wal_bytes_max: read.parsed("wal.size-limit", parse_bytes)?,
            wal_checkpoint_bytes: read.parsed("wal.checkpoint-size", parse_bytes)?,
            query: query(&read)?,
        })
    }
}

fn target(read: &Reader<'_>) -> Result<Target, ConfigError> {
    let target = read.parsed("target", |text| match text {
        "all" => Ok(Target::All),
        "broker" => Ok(Target::Broker),
        _ => Err("only `all` (every role in one process) and `broker` (the embedded broker alone) can be run for now"),
    })?;
    let has_kafka = !read.text("ingest-storage.kafka.address").trim().is_empty();
    if target == Target::Broker && has_kafka {
        return Err(read.refuse("target", "`broker` is the embedded broker: leave ingest-storage.kafka.address empty"));
    }
    Ok(target)
}

fn data_dir(read: &Reader<'_>) -> Result<PathBuf, ConfigError> {
    let text = read.text("data-dir");
    if text.is_empty() {
        return Err(read.refuse("data-dir", "name a folder on a local disk"));
    }
    Ok(PathBuf::from(text))
}

fn self_monitoring(read: &Reader<'_>) -> Result<Option<SelfMonitoring>, ConfigError> {
    if !read.parsed("self-monitoring.enabled", parse_bool)? {
        return Ok(None);
    }
    let interval = read.duration("self-monitoring.interval")?;
    if interval < Duration::from_secs(1) {
        return Err(read.refuse("self-monitoring.interval", "write at least 1s, or turn self-monitoring.enabled off"));
    }
    let tenant = read.text("self-monitoring.tenant");
    let tenant = TenantId::new(&tenant).map_err(|error| read.refuse("self-monitoring.tenant", &error.to_string()))?;
    Ok(Some(SelfMonitoring { interval, tenant }))
}

fn http(read: &Reader<'_>) -> Result<HttpOptions, ConfigError> {
    Ok(HttpOptions {
        address: read.parsed("server.http-listen-address", address)?,
        port: read.parsed("server.http-listen-port", port)?,
        read_timeout: read.duration("server.http-read-timeout")?,
        shutdown_timeout: read.duration("server.graceful-shutdown-timeout")?,
    })
}

fn log(read: &Reader<'_>) -> Result<LogOptions, ConfigError> {
    let level = read.parsed("log.level", |text| match text {
        "error" | "warn" | "info" | "debug" | "trace" => Ok(text.to_owned()),
        _ => Err("write error, warn, info, debug or trace"),
    })?;
    let is_json = read.parsed("log.format", |text| match text {
        "json" => Ok(true),
        "logfmt" => Ok(false),
        _ => Err("write logfmt or json"),
    })?;
    Ok(LogOptions { level, is_json })
}

fn broker(read: &Reader<'_>) -> Result<BrokerSettings, ConfigError> {
    Ok(BrokerSettings {
        address: read.parsed("broker.listen-address", address)?,
        port: read.parsed("broker.listen-port", port)?,
        partitions: read.maybe("broker.partitions", |text| {
            text.parse().ok().filter(|count| (1..=10_000).contains(count)).ok_or("write a number from 1 to 10000")
        })?,
        retention: read.duration("broker.retention-period")?,
        disk_budget_percent: read.parsed("broker.disk-budget-percent", |text| {
            text.parse().ok().filter(|percent| (1..=95).contains(percent)).ok_or("write a percentage from 1 to 95")
        })?,
    })
}

fn kafka(read: &Reader<'_>, instance_id: &str) -> Result<KafkaSettings, ConfigError> {
    const AREA: &str = "ingest-storage.kafka.";
    let name = |rest: &str| format!("{AREA}{rest}");
    let addresses = read.text(&name("address"));
    let addresses: Vec<String> =
        addresses.split(',').map(str::trim).filter(|seed| !seed.is_empty()).map(str::to_owned).collect();
    if addresses.iter().any(|seed| seed.rsplit_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_err())) {
        return Err(read.refuse(&name("address"), "write HOST:PORT, several separated by commas"));
    }
    let topic = read.parsed(&name("topic"), |text| {
        let is_name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let is_good = !text.is_empty() && text.len() <= 249 && text != "." && text != ".." && text.chars().all(is_name);
        if is_good { Ok(text.to_owned()) } else { Err("a topic has 1 to 249 of the characters a-z A-Z 0-9 . _ -") }
    })?;
    let group = Some(read.text(&name("consumer-group"))).filter(|group| !group.is_empty());
    Ok(KafkaSettings {
        addresses,
        topic,
        client_id: read.text(&name("client-id")),
        dial_timeout: read.duration(&name("dial-timeout"))?,
        write_timeout: read.duration(&name("write-timeout"))?,
        linger: read.maybe(&name("producer-linger"), parse_duration)?,
        compression: read.parsed(&name("producer-compression"), |text| match text {
            "none" | "gzip" | "snappy" | "lz4" | "zstd" => Ok(text.to_owned()),
            _ => Err("write none, gzip, snappy, lz4 or zstd"),
        })?,
        record_bytes_max: read.parsed(&name("producer-max-record-size-bytes"), |text| {
            let bytes = parse_bytes(text)?;
            if (1 << 20..=15_983_616).contains(&bytes) { Ok(bytes as usize) } else { Err("write 1MiB to 15983616") }
        })?,
        buffered_bytes_max: read.parsed(&name("producer-max-buffered-bytes"), |text| {
            parse_bytes(text)?
                .max(1)
                .checked_next_multiple_of(1)
                .filter(|bytes| *bytes >= 32 << 20)
                .ok_or("write at least 32MiB")
        })?,
        creates_topic: read.parsed(&name("auto-create-topic-enabled"), parse_bool)?,
        created_partitions: read.parsed(&name("auto-create-topic-default-partitions"), |text| {
            text.parse().ok().filter(|count| *count == -1 || *count > 0).ok_or("write -1 or a positive number")
        })?,
        group: group.unwrap_or_else(|| instance_id.to_owned()),
        commit_interval: read.duration(&name("consumer-group-offset-commit-interval"))?,
        start: start_position(read)?,
        fetch_wait_max: read.duration(&name("fetch-max-wait"))?,
        fetched_bytes_max: read.parsed(&name("max-buffered-bytes"), parse_bytes)?,
    })
}

fn start_position(read: &Reader<'_>) -> Result<StartPosition, ConfigError> {
    const POSITION: &str = "ingest-storage.kafka.consume-from-position-at-startup";
    const TIMESTAMP: &str = "ingest-storage.kafka.consume-from-timestamp-at-startup";
    let unix_ms: i64 = read
        .parsed(TIMESTAMP, |text| text.parse().map_err(|_| "write milliseconds since 1970, such as 1700000000000"))?;
    match &*read.text(POSITION) {
        "timestamp" if unix_ms > 900_000_000_000 => Ok(StartPosition::Timestamp { unix_ms }),
        "timestamp" => Err(read.refuse(
            TIMESTAMP,
            "the position `timestamp` needs a time in milliseconds since 1970, such as 1700000000000 (seconds are not enough)",
        )),
        _ if unix_ms != 0 => Err(read.refuse(TIMESTAMP, "it is only used with consume-from-position-at-startup `timestamp`")),
        "last-offset" => Ok(StartPosition::LastOffset),
        "start" => Ok(StartPosition::Start),
        "end" => Ok(StartPosition::End),
        _ => Err(read.refuse(POSITION, "write last-offset, start, end or timestamp")),
    }
}

fn write(read: &Reader<'_>) -> Result<WriteOptions, ConfigError> {
    Ok(WriteOptions {
        body_bytes_max: read.parsed("distributor.max-recv-msg-size", |text| {
            let bytes = parse_bytes(text)?;
            if (1024..=1 << 30).contains(&bytes) { Ok(bytes as usize) } else { Err("write 1KiB to 1GiB") }
        })?,
        inflight_bytes_max: read.parsed("distributor.max-inflight-push-bytes", parse_bytes)?,
        grace: read.duration("validation.create-grace-period")?,
        out_of_order_window: read.duration("ingester.out-of-order-time-window")?,
        labels_max: read.parsed("validation.max-label-names-per-series", at_least_one)?,
        label_name_bytes_max: read.parsed("validation.max-length-label-name", at_least_one)?,
        label_value_bytes_max: read.parsed("validation.max-length-label-value", at_least_one)?,
    })
}

fn query(read: &Reader<'_>) -> Result<QueryOptions, ConfigError> {
    Ok(QueryOptions {
        lookback: read.duration("querier.lookback-delta")?,
        timeout: read.duration("querier.timeout")?,
        samples_max: read.parsed("querier.max-samples", |text| {
            text.parse().ok().filter(|count| *count > 0).ok_or("write a positive number")
        })?,
        threads: read.maybe("querier.max-concurrent", at_least_one)?,
        queued_max: read.parsed("querier.max-queued", at_least_one)?,
    })
}
