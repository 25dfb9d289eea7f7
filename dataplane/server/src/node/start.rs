//! The order of assembly: what can be refused comes first, what needs the other parts last; and the way down.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ingest::consumer::{FetchOptions, StartPosition};
use ingest::distributor::{DistributorOptions, PartitionRing};
use kafka::{Client, Compression, KafkaOptions, ProducerOptions, TopicInfo};
use model::{FingerprintKey, PartitionId, ShardId};
use promql::EngineOptions;
use query::api::{ApiOptions, BuildInfo};
use query::{PoolOptions, QueryPool, ReadLimits};
use runtime::{Companion, ExecutorSpec, RingDisk, spawn_executor};
use sd_notify::NotifyState;
use tokio::sync::watch;
use tsdb::checkpoint::CheckpointOptions;
use tsdb::head::HeadOptions;
use tsdb::recovery::{Survey, survey};
use tsdb::wal::WalOptions;
use wire::LabelLimits;

use super::Node;
use super::companion::{CompanionPlan, start_companion};
use super::embedded::EmbeddedBroker;
use super::shard::{RunningShard, ShardPlan, start_shard};
use super::slots::SlotSink;
use super::storage::NodeStorage;
use super::topic_watch::{SeenPartitions, watch_topic};
use crate::clock::now_ms;
use crate::config::{KafkaSettings, Loaded, Options, StartPosition as Configured, Target};
use crate::data_dir::{DataDir, NodeFile};
use crate::http::Listeners;
use crate::inflight::Budget;
use crate::logging::LogLevel;
use crate::plan::Plan;
use crate::signals::{Ending, Endings, Obituaries};

/// How long a start waits for the leaders of a new topic's partitions.
const LEADERS_TIMEOUT: Duration = Duration::from_secs(30);
/// Series whose tokens a core remembers, per tenant.
const CACHED_SERIES_MAX: usize = 2_000_000;
/// Query threads give way to shards and companions.
const QUERY_NICE: i32 = 5;

/// Runs a node until it is stopped.
///
/// # Errors
/// One sentence: why it could not start, or which part failed.
pub fn run(loaded: Loaded, log_level: LogLevel) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the main runtime: {error}"))?;
    match loaded.options.target {
        Target::All => runtime.block_on(start_and_watch(loaded, log_level)),
        Target::Broker => runtime.block_on(super::broker_only::run(loaded)),
    }
}

async fn start_and_watch(loaded: Loaded, log_level: LogLevel) -> Result<(), String> {
    let plan = Plan::new(&loaded.options)?;
    let data_dir = DataDir::open(&loaded.options.data_dir)?;
    // The shards, the broker's log, and the survey.
    runtime::check_host(plan.shards() + 2).map_err(|error| error.to_string())?;
    let http_address = SocketAddr::new(loaded.options.http.address, loaded.options.http.port);
    let listeners = Listeners::bind(http_address, plan.shards()).map_err(|error| {
        format!(
            "cannot listen on {http_address} for HTTP: {error}; choose another --server.http-listen-port (0 takes any)"
        )
    })?;
    let (mut endings, obituaries) = Endings::new().map_err(|error| format!("cannot take signals: {error}"))?;
    let running = tokio::select! {
        running = assemble(loaded, log_level, plan, &data_dir, listeners, obituaries) => running?,
        ending = endings.next() => return match ending {
            Ending::Asked(_) => Ok(()),
            Ending::Failed { part, reason } => Err(format!("{part} failed: {reason}")),
        },
    };
    let ending = watch_node(&running, &data_dir, &mut endings).await;
    data_dir.remove_node_file();
    tell_supervisor(NotifyState::Stopping);
    match ending {
        Ending::Asked(signal) => {
            tracing::info!(signal, "stopping: requests in flight end, then everything is synced and committed");
            running.stop().await
        }
        // What failed may be the disk: nothing is synced as if nothing had happened. The log makes this safe.
        Ending::Failed { part, reason } => Err(format!("{part} failed: {reason}")),
    }
}

/// Tells when the node gets ready, then waits for its end.
async fn watch_node(running: &Running, data_dir: &DataDir, endings: &mut Endings) -> Ending {
    const LOOK: Duration = Duration::from_millis(20);
    const RETENTION_FLOORS: Duration = Duration::from_secs(10);
    let mut is_told = false;
    let mut topic = pin!(watch_topic(&running.node, running.kafka.clone()));
    let mut looks = tokio::time::interval(LOOK);
    let mut floors = tokio::time::interval(RETENTION_FLOORS);
    loop {
        tokio::select! {
            ending = endings.next() => return ending,
            _ = looks.tick(), if !is_told => if running.node.readiness().0 {
                is_told = true;
                running.node.was_ready.store(true, Ordering::Release);
                tell_ready(&running.node, data_dir);
                tell_supervisor(NotifyState::Ready);
            },
            () = &mut topic => unreachable!("the watch goes on"),
            _ = floors.tick(), if running.broker.is_some() => set_retention_floors(&running.node).await,
        }
    }
}

/// Tells systemd, where it started this process as a unit of type `notify`; no other supervisor listens.
pub(super) fn tell_supervisor(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "cannot tell systemd about the state of this node");
    }
}

fn tell_ready(node: &Node, data_dir: &DataDir) {
    let http = format!("http://{}", node.http_address);
    let version = env!("CARGO_PKG_VERSION");
    let file = NodeFile { pid: std::process::id(), http: &http, kafka: &node.kafka_address, version };
    if let Err(error) = data_dir.write_node_file(&file) {
        tracing::warn!(%error, "cannot write node.json");
    }
    tracing::info!(%http, kafka = node.kafka_address, partitions = node.topic.partitions, shards = node.shards.len(), "ready");
    println!(
        "wellhead {version} is ready\n  HTTP API   {http}\n  Kafka      {}, topic {}\n  data       {}\n\n\
         Paste into prometheus.yml:\n\n  remote_write:\n    - url: {http}/api/v1/push\n\n\
         Ask it:\n\n  curl -s '{http}/prometheus/api/v1/query?query=sum+by+(job)+(up)'\n",
        node.kafka_address,
        node.options.kafka.topic,
        data_dir.root().display(),
    );
}

/// The embedded broker may forget what this node has in its log.
async fn set_retention_floors(node: &Node) {
    let Some(broker) = &node.broker else { return };
    for state in node.shards.iter().flat_map(|shard| shard.partitions()) {
        if let Some(durable) = state.durable() {
            let told = broker.set_retention_floor(&node.options.kafka.topic, state.partition().0, durable.0).await;
            if let Err(refusal) = told {
                tracing::warn!(?refusal, "the broker does not take the retention floor");
            }
        }
    }
}

/// A node with all its threads.
struct Running {
    node: Arc<Node>,
    kafka: KafkaOptions,
    broker: Option<EmbeddedBroker>,
    shards: Vec<RunningShard>,
    companions: Vec<Companion<()>>,
    stop: watch::Sender<bool>,
}

impl Running {
    /// Requests end, fetching ends, shards sync, offsets are committed, the broker syncs.
    async fn stop(self) -> Result<(), String> {
        self.node.begin_stop();
        let _ = self.stop.send(true);
        let mut problems = Vec::new();
        for companion in self.companions {
            problems.extend(blocking(move || companion.join()).await.err());
        }
        for shard in self.shards {
            problems.extend(blocking(move || shard.executor.join()).await.err());
        }
        if let Some(broker) = self.broker {
            broker.stop().await;
        }
        if problems.is_empty() { Ok(()) } else { Err(format!("the stop was not clean: {}", problems.join("; "))) }
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(error.to_string()))
}

async fn assemble(
    loaded: Loaded,
    log_level: LogLevel,
    mut plan: Plan,
    data_dir: &DataDir,
    listeners: Listeners,
    obituaries: Obituaries,
) -> Result<Running, String> {
    let Loaded { options, values, .. } = loaded;
    let broker = match options.kafka.addresses.is_empty() {
        true => Some(EmbeddedBroker::start(&options, &data_dir.broker(), plan.embedded_partitions, &obituaries).await?),
        false => None,
    };
    let kafka = kafka_options(&options.kafka, broker.as_ref().map(|broker| broker.address));
    let topic = find_topic(&options.kafka, &kafka, broker.as_ref(), plan.embedded_partitions).await?;
    plan.shard_cpus.truncate(topic.partitions as usize);
    let key = data_dir.identity().fingerprint_key();
    let survey = survey_logs(data_dir).await?;
    let shards = start_shards(&options, &plan, &topic, &key, data_dir, &survey, &obituaries).await?;
    drop(survey);
    let (stop, stopping) = watch::channel(false);
    let ring = Arc::new(PartitionRing::new(topic.partitions));
    let mut companions = Vec::new();
    for ((index, listener), shard) in listeners.sockets.into_iter().enumerate().zip(&shards) {
        companions.push(start_companion(CompanionPlan {
            index,
            cpu: plan.shard_cpus[index],
            listener,
            kafka: kafka.clone(),
            producer: producer_options(&options.kafka, broker.is_some(), plan.shards()),
            distributor: distributor_options(&options),
            key: key.clone(),
            ring: ring.clone(),
            shard: shard.handle.clone(),
            sink: SlotSink(shard.slots.clone()),
            fetch: fetch_options(&options, &kafka, data_dir),
            stop: stopping.clone(),
            obituaries: obituaries.clone(),
        })?);
    }
    let mut cores = Vec::new();
    let mut waiting = Vec::new();
    for companion in companions {
        cores.push(companion.core.await.map_err(|_| "a companion ended at its start".to_owned())?);
        waiting.push((companion.thread, companion.node));
    }
    let handles: Vec<_> = shards.iter().map(|shard| shard.handle.clone()).collect();
    let storage = NodeStorage::new(&handles, ReadLimits::default().chunk_bytes_max);
    let node = Arc::new(Node {
        kafka_address: kafka.addresses.join(","),
        broker: broker.as_ref().map(|broker| broker.handle.clone()),
        queries: start_queries(&options, &plan)?,
        api: api_options(&options),
        inflight: Budget::new(options.write.inflight_bytes_max),
        resets: tokio::sync::Mutex::new(()),
        shards: handles,
        http_address: listeners.address,
        started_unix_ms: now_ms(),
        data_dir: data_dir.root().to_owned(),
        node_id: data_dir.identity().node_id.clone(),
        seen_partitions: SeenPartitions::new(topic.partitions),
        was_ready: AtomicBool::new(false),
        is_stopping: AtomicBool::new(false),
        options,
        values,
        log_level,
        topic,
        storage,
        cores,
    });
    let companions = waiting.into_iter().map(|(thread, sender)| {
        let _ = sender.send(node.clone());
        thread
    });
    let companions = companions.collect();
    Ok(Running { node, kafka, broker, shards, companions, stop })
}

pub(super) fn kafka_options(settings: &KafkaSettings, embedded: Option<SocketAddr>) -> KafkaOptions {
    let addresses = embedded.map_or_else(|| settings.addresses.clone(), |address| vec![reachable(address).to_string()]);
    KafkaOptions {
        addresses,
        client_id: settings.client_id.clone(),
        topic: settings.topic.clone(),
        dial_timeout: settings.dial_timeout,
        request_timeout: settings.write_timeout,
    }
}

/// A listener on all addresses is reached on loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    address
}

pub(super) async fn find_topic(
    settings: &KafkaSettings,
    kafka: &KafkaOptions,
    broker: Option<&EmbeddedBroker>,
    embedded_partitions: u32,
) -> Result<TopicInfo, String> {
    let topic = &settings.topic;
    if let Some(broker) = broker {
        let made = broker.handle.create_topic(topic, embedded_partitions as i32).await;
        made.map_err(|refusal| format!("the embedded broker cannot make the topic {topic}: {refusal:?}"))?;
    }
    let create = settings.creates_topic.then_some(settings.created_partitions);
    Client::new(kafka.clone())
        .ensure_topic(create, LEADERS_TIMEOUT)
        .await
        .map_err(|error| format!("cannot use the topic {topic} on Kafka at {}: {error}", kafka.addresses.join(",")))
}

/// Looks at the logs of all shards, before any of them grows.
async fn survey_logs(data_dir: &DataDir) -> Result<Survey, String> {
    let root = data_dir.wal();
    let spec = ExecutorSpec { name: "survey".to_owned(), cpu: None };
    let executor = spawn_executor(spec, move || async move { survey(&RingDisk, &root).await })?;
    blocking(move || executor.join()).await?.map_err(|error| error.to_string())
}

async fn start_shards(
    options: &Options,
    plan: &Plan,
    topic: &TopicInfo,
    key: &FingerprintKey,
    data_dir: &DataDir,
    survey: &Survey,
    obituaries: &Obituaries,
) -> Result<Vec<RunningShard>, String> {
    let count = plan.shards() as u64;
    let shard_plan = ShardPlan {
        wal_root: data_dir.wal(),
        quarantine_dir: data_dir.quarantine(),
        key: key.clone(),
        wal: WalOptions {
            segment_bytes: options.wal_segment_bytes,
            bytes_max: options.wal_bytes_max / count,
            ..WalOptions::default()
        },
        checkpoint: CheckpointOptions { wal_bytes: options.wal_checkpoint_bytes, ..CheckpointOptions::default() },
        head: HeadOptions {
            series_max: tsdb::head::SERIES_MAX,
            future_grace_ms: options.write.grace.as_millis() as i64,
            out_of_order_window_ms: options.write.out_of_order_window.as_millis() as i64,
        },
        memory_bytes_max: plan.memory_limit_bytes / count,
        fetched_bytes_max: (options.kafka.fetched_bytes_max / count) as usize,
    };
    let mut shards = Vec::new();
    let mut opening = Vec::new();
    for (index, partitions) in plan.assignment(topic.partitions).into_iter().enumerate() {
        let partitions: Vec<PartitionId> = partitions.into_iter().map(PartitionId).collect();
        let shard = ShardId(index as u16);
        let (running, is_open) =
            start_shard(shard, plan.shard_cpus[index], &partitions, &shard_plan, survey, obituaries)?;
        shards.push(running);
        opening.push((shard, is_open));
    }
    for (shard, is_open) in opening {
        let opened = is_open.await.unwrap_or_else(|_| Err("its thread ended at its start".to_owned()));
        opened.map_err(|reason| format!("shard {shard} cannot start: {reason}"))?;
    }
    Ok(shards)
}

/// Bytes of one fetch; the broker gives the first batch whole in any case.
const FETCH_BYTES_MAX: i32 = 8 << 20;
/// A node that is watched from outside shows by its commits that it lives.
const RECOMMIT_INTERVAL: Duration = Duration::from_secs(10);
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Mimir's `max-consumer-lag-at-startup`.
const CAUGHT_UP_AGE_MAX: Duration = Duration::from_secs(2);

fn fetch_options(options: &Options, kafka: &KafkaOptions, data_dir: &DataDir) -> FetchOptions {
    FetchOptions {
        kafka: kafka.clone(),
        group: options.kafka.group.clone(),
        writer: data_dir.identity().node_id.clone(),
        position: match options.kafka.start {
            Configured::LastOffset => StartPosition::LastOffset,
            Configured::Start => StartPosition::Start,
            Configured::End => StartPosition::End,
            Configured::Timestamp { unix_ms } => StartPosition::Timestamp { unix_ms },
        },
        fetch_bytes_max: FETCH_BYTES_MAX,
        fetch_wait_max: options.kafka.fetch_wait_max,
        commit_interval: options.kafka.commit_interval,
        recommit_interval: RECOMMIT_INTERVAL,
        start_timeout: START_TIMEOUT,
        caught_up_age_max: CAUGHT_UP_AGE_MAX,
    }
}

fn producer_options(settings: &KafkaSettings, is_embedded: bool, cores: usize) -> ProducerOptions {
    let linger = Duration::from_millis(if is_embedded { 2 } else { 50 });
    ProducerOptions {
        linger: settings.linger.unwrap_or(linger),
        compression: Compression::from_name(&settings.compression).expect("checked with the options"),
        buffered_bytes_max: settings.buffered_bytes_max / cores as u64,
        batch_bytes_max: 15 << 20,
        timeout: settings.write_timeout,
    }
}

fn distributor_options(options: &Options) -> DistributorOptions {
    let write = &options.write;
    DistributorOptions {
        labels: LabelLimits {
            labels_max: write.labels_max,
            name_bytes_max: write.label_name_bytes_max,
            value_bytes_max: write.label_value_bytes_max,
        },
        grace_ms: write.grace.as_millis() as i64,
        inflated_bytes_max: write.body_bytes_max,
        record_bytes_max: options.kafka.record_bytes_max,
        cached_series_max: CACHED_SERIES_MAX,
    }
}

fn start_queries(options: &Options, plan: &Plan) -> Result<QueryPool, String> {
    let pool = PoolOptions {
        threads: options.query.threads.unwrap_or(plan.cpu_count),
        waiting_max: options.query.queued_max,
        time_max: options.query.timeout,
    };
    let lower_priority = || {
        if let Err(error) = runtime::set_thread_nice(QUERY_NICE) {
            tracing::warn!(%error, "query threads run at normal priority");
        }
    };
    QueryPool::start(pool, lower_priority).map_err(|error| format!("cannot start the query threads: {error}"))
}

fn api_options(options: &Options) -> ApiOptions {
    ApiOptions {
        engine: EngineOptions {
            lookback_ms: options.query.lookback.as_millis() as i64,
            samples_max: options.query.samples_max,
            ..EngineOptions::default()
        },
        build: BuildInfo { version: env!("CARGO_PKG_VERSION").to_owned(), ..BuildInfo::default() },
        ..ApiOptions::default()
    }
}
