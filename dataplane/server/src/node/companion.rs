//! A core's companion: HTTP, distributor and producer, and the fetching of the shard's partitions, on one thread.

use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;

use ingest::consumer::{FetchOptions, Fetching, ShardHandle};
use ingest::distributor::{Distributor, DistributorOptions, PartitionRing};
use kafka::{KafkaOptions, Producer, ProducerOptions};
use model::FingerprintKey;
use runtime::{Companion, spawn_companion};
use tokio::sync::{oneshot, watch};

use super::slots::SlotSink;
use super::{Core, Node};
use crate::http::{Service, answer, serve};
use crate::metrics::Latencies;
use crate::self_scrape::record_own_metrics;
use crate::signals::Obituaries;

/// What a companion is started with.
pub struct CompanionPlan {
    pub index: usize,
    pub cpu: usize,
    pub listener: TcpListener,
    pub kafka: KafkaOptions,
    pub producer: ProducerOptions,
    pub distributor: DistributorOptions,
    pub key: FingerprintKey,
    pub ring: Arc<PartitionRing>,
    pub shard: ShardHandle,
    pub sink: SlotSink,
    pub fetch: FetchOptions,
    pub stop: watch::Receiver<bool>,
    pub obituaries: Obituaries,
}

/// A companion that waits for its node.
pub struct StartedCompanion {
    pub thread: Companion<()>,
    pub core: oneshot::Receiver<Core>,
    pub node: oneshot::Sender<Arc<Node>>,
}

/// Starts the thread; it goes on once it is given the node.
///
/// # Errors
/// The thread cannot be started.
pub fn start_companion(plan: CompanionPlan) -> Result<StartedCompanion, String> {
    let (core_sender, core) = oneshot::channel();
    let (node, node_receiver) = oneshot::channel();
    let name = format!("companion-{}", plan.index);
    let cpu = Some(plan.cpu);
    let thread = spawn_companion(&name, cpu, move || run(plan, core_sender, node_receiver))?;
    Ok(StartedCompanion { thread, core, node })
}

async fn run(plan: CompanionPlan, core: oneshot::Sender<Core>, node: oneshot::Receiver<Arc<Node>>) {
    let CompanionPlan { index, listener, obituaries, stop, .. } = plan;
    let producer = Producer::new(plan.kafka, plan.producer);
    let producer_counters = producer.counters();
    let distributor = Rc::new(Distributor::new(plan.distributor, plan.key, plan.ring, producer));
    let latencies = Arc::new(Latencies::default());
    let own = Core {
        cpu: plan.cpu,
        distributor: distributor.counters(),
        producer: producer_counters,
        latencies: latencies.clone(),
    };
    // Both fail only where the start was given up.
    let (Ok(()), Ok(node)) = (core.send(own).map_err(drop), node.await) else { return };
    let fetching = Fetching::new(plan.shard, plan.sink, plan.fetch);
    let fetching = tokio::task::spawn_local(fetching.run(stop.clone()));
    if let (0, Some(own)) = (index, node.options.self_monitoring.clone()) {
        let recording = record_own_metrics(node.clone(), distributor.clone(), own.tenant, own.interval);
        tokio::task::spawn_local(recording);
    }
    let service = Rc::new(Service { node: node.clone(), distributor, latencies });
    let handle = Rc::new(move |request| answer(service.clone(), request));
    let http = &node.options.http;
    if let Err(error) = serve(listener, handle, http.read_timeout, stop, http.shutdown_timeout).await {
        obituaries.tell(&format!("the HTTP server of core {index}"), &error.to_string());
    }
    match fetching.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => obituaries.tell(&format!("the consumer of core {index}"), &error.to_string()),
        Err(error) => obituaries.tell(&format!("the consumer of core {index}"), &error.to_string()),
    }
}
