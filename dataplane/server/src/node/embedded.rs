//! The broker inside: its log on an executor, its connections on a companion, both unpinned.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use broker::{BrokerHandle, BrokerLog, BrokerOptions, LogBudget, Retention, RetentionFloor};
use runtime::{Companion, Executor, ExecutorSpec, RingDisk, spawn_companion, spawn_executor};

use crate::config::Options;
use crate::signals::Obituaries;

/// A running broker and its two threads.
pub struct EmbeddedBroker {
    pub handle: BrokerHandle,
    pub address: SocketAddr,
    log: Executor<()>,
    network: Companion<()>,
}

impl EmbeddedBroker {
    /// Opens the log, binds the port, and serves.
    ///
    /// # Errors
    /// A sentence: the log is damaged or the disk failed, or the port is taken.
    pub async fn start(
        options: &Options,
        dir: &Path,
        partitions: u32,
        obituaries: &Obituaries,
    ) -> Result<Self, String> {
        let address = SocketAddr::new(options.broker.address, options.broker.port);
        let listener = bind(address)?;
        let address = listener.local_addr().map_err(|error| format!("cannot use the broker's port: {error}"))?;
        let broker_options = broker_options(options, partitions);
        broker_options.check().map_err(|problem| format!("the embedded broker cannot start: {problem}"))?;
        let (handle, inbox) = broker::channel();
        let (opened, is_open) = tokio::sync::oneshot::channel();
        let (dir, log_options, log_obituaries) = (dir.to_owned(), broker_options.clone(), obituaries.clone());
        let spec = ExecutorSpec { name: "broker-log".to_owned(), cpu: None };
        let log = spawn_executor(spec, move || async move {
            let log = match BrokerLog::open(RingDisk, dir, &log_options, inbox).await {
                Ok(log) => log,
                Err(error) => {
                    let _ = opened.send(Err(error.to_string()));
                    return;
                }
            };
            let _ = opened.send(Ok(()));
            if let Err(error) = log.run().await {
                log_obituaries.tell("the embedded broker's log", &error.to_string());
            }
        })?;
        is_open
            .await
            .unwrap_or_else(|_| Err("its thread ended at its start".to_owned()))
            .map_err(|reason| format!("the embedded broker cannot start: {reason}"))?;
        let (serving, net_obituaries) = (handle.clone(), obituaries.clone());
        let network = spawn_companion("broker-net", None, move || async move {
            let listener = match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => listener,
                Err(error) => return net_obituaries.tell("the embedded broker's network", &error.to_string()),
            };
            if let Err(error) = broker::serve(listener, serving, broker_options).await {
                net_obituaries.tell("the embedded broker's network", &error.to_string());
            }
        })?;
        Ok(Self { handle, address, log, network })
    }

    /// Ends connections, syncs, and waits for both threads.
    pub async fn stop(self) {
        self.handle.shutdown().await;
        drop(self.handle);
        for (part, ended) in [("broker-net", self.network.join()), ("broker-log", self.log.join())] {
            if let Err(reason) = ended {
                tracing::error!(part, reason, "a thread of the embedded broker ended badly");
            }
        }
    }
}

fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    let listener = TcpListener::bind(address).and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
    listener.map_err(|error| {
        format!("cannot listen on {address} for the embedded broker: {error}; choose another --broker.listen-port (0 takes any)")
    })
}

fn broker_options(options: &Options, partitions: u32) -> BrokerOptions {
    let settings = &options.broker;
    BrokerOptions {
        default_partitions: partitions as i32,
        retention: Retention {
            age: Some(settings.retention).filter(|age| !age.is_zero()),
            partition_bytes: None,
            floor: RetentionFloor::GivenFor(options.kafka.topic.as_str().into()),
        },
        log_budget: LogBudget::FileSystemPercent(settings.disk_budget_percent as u8),
        ..BrokerOptions::default()
    }
}
