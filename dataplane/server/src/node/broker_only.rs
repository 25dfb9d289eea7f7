//! `--target=broker`: the embedded broker on the data folder and nothing else. No shard, no push, no query; so that Kafka's tools
//! and `wellctl` reach the groups and records of a stopped node, and order where it is to go on.

use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;

use broker::BrokerHandle;
use kafka::TopicInfo;
use tokio::sync::watch;

use super::embedded::EmbeddedBroker;
use super::start::{blocking, find_topic, kafka_options, tell_supervisor};
use crate::clock::now_ms;
use crate::config::{Loaded, Options, Values};
use crate::data_dir::{DataDir, NodeFile};
use crate::http::{Listeners, answer_broker, serve};
use crate::metrics::{Exposition, Kind, expose_broker, expose_process};
use crate::plan::Plan;
use crate::signals::{Ending, Endings, Obituaries};

/// What the HTTP side of such a process shows.
pub struct BrokerNode {
    pub options: Options,
    pub values: Values,
    pub topic: TopicInfo,
    pub kafka_address: String,
    pub broker: BrokerHandle,
    pub node_id: String,
    pub data_dir: std::path::PathBuf,
    pub started_unix_ms: i64,
}

impl BrokerNode {
    #[must_use]
    pub fn metrics(&self) -> Exposition {
        let mut page = Exposition::default();
        let labels = [("version", env!("CARGO_PKG_VERSION"))];
        page.family("wellhead_build_info", Kind::Gauge, "Always 1; the labels tell the build.").sample(&labels, 1.0);
        page.single("wellhead_node_ready", Kind::Gauge, "1 if /ready is green.", 1.0);
        expose_broker(self.broker.counters(), &mut page);
        expose_process(&mut page, self.started_unix_ms);
        page
    }
}

/// Runs until a signal.
///
/// # Errors
/// One sentence: why it could not start, or which part failed.
pub async fn run(loaded: Loaded) -> Result<(), String> {
    let Loaded { options, values, .. } = loaded;
    let plan = Plan::new(&options)?;
    let data_dir = DataDir::open(&options.data_dir)?;
    // The broker's log.
    runtime::check_host(1).map_err(|error| error.to_string())?;
    let address = SocketAddr::new(options.http.address, options.http.port);
    let listeners = Listeners::bind(address, 1).map_err(|error| {
        format!("cannot listen on {address} for HTTP: {error}; choose another --server.http-listen-port (0 takes any)")
    })?;
    let (mut endings, obituaries) = Endings::new().map_err(|error| format!("cannot take signals: {error}"))?;
    let broker = EmbeddedBroker::start(&options, &data_dir.broker(), plan.embedded_partitions, &obituaries).await?;
    let kafka = kafka_options(&options.kafka, Some(broker.address));
    let topic = find_topic(&options.kafka, &kafka, Some(&broker), plan.embedded_partitions).await?;
    let node = Arc::new(BrokerNode {
        topic,
        kafka_address: kafka.addresses.join(","),
        broker: broker.handle.clone(),
        node_id: data_dir.identity().node_id.clone(),
        data_dir: data_dir.root().to_owned(),
        started_unix_ms: now_ms(),
        options,
        values,
    });
    let (stop, stopping) = watch::channel(false);
    let Listeners { address, mut sockets } = listeners;
    let socket = sockets.pop().expect("one was asked for");
    let shown = node.clone();
    let http = runtime::spawn_companion("http", None, move || serve_http(shown, socket, stopping, obituaries))?;
    tell_ready(&node, address, &data_dir);
    tell_supervisor(sd_notify::NotifyState::Ready);
    let ending = endings.next().await;
    data_dir.remove_node_file();
    tell_supervisor(sd_notify::NotifyState::Stopping);
    match ending {
        Ending::Failed { part, reason } => Err(format!("{part} failed: {reason}")),
        Ending::Asked(signal) => {
            tracing::info!(signal, "stopping: requests in flight end, then the broker's log is synced");
            let _ = stop.send(true);
            let ended = blocking(move || http.join()).await;
            drop(node);
            broker.stop().await;
            ended.map_err(|reason| format!("the stop was not clean: {reason}"))
        }
    }
}

async fn serve_http(node: Arc<BrokerNode>, socket: TcpListener, stop: watch::Receiver<bool>, obituaries: Obituaries) {
    let (read_timeout, grace) = (node.options.http.read_timeout, node.options.http.shutdown_timeout);
    let handle = Rc::new(move |request| answer_broker(node.clone(), request));
    if let Err(error) = serve(socket, handle, read_timeout, stop, grace).await {
        obituaries.tell("the HTTP server", &error.to_string());
    }
}

fn tell_ready(node: &BrokerNode, http: SocketAddr, data_dir: &DataDir) {
    let (http, version) = (format!("http://{http}"), env!("CARGO_PKG_VERSION"));
    let file = NodeFile { pid: std::process::id(), http: &http, kafka: &node.kafka_address, version };
    if let Err(error) = data_dir.write_node_file(&file) {
        tracing::warn!(%error, "cannot write node.json");
    }
    tracing::info!(%http, kafka = node.kafka_address, partitions = node.topic.partitions, "ready, as a broker only");
    println!(
        "wellhead {version} is ready as a broker only: nothing is consumed, pushed or answered\n  \
         Kafka      {}, topic {}\n  HTTP       {http}\n  data       {}\n",
        node.kafka_address,
        node.options.kafka.topic,
        data_dir.root().display(),
    );
}
