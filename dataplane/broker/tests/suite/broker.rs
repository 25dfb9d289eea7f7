//! The broker under test: an embedded one that lives as long as the test, or the one that the environment names.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use broker::{BrokerHandle, BrokerLog, BrokerOptions, serve};
use disk::PlainDisk;
use futures_lite::future::block_on;
use tokio::net::TcpListener;

pub enum Broker {
    Embedded(Embedded),
    Foreign(String),
}

/// The log on one thread, the network on another.
pub struct Embedded {
    pub address: SocketAddr,
    pub handle: BrokerHandle,
    dir: Option<tempfile::TempDir>,
    log: Option<JoinHandle<Result<(), broker::BrokerError>>>,
    network: Option<JoinHandle<std::io::Result<()>>>,
}

impl Broker {
    pub fn start() -> Self {
        match std::env::var("WELLHEAD_TEST_KAFKA") {
            Ok(address) => Self::Foreign(address),
            Err(_) => Self::Embedded(Embedded::start(BrokerOptions::default())),
        }
    }

    pub fn address(&self) -> String {
        match self {
            Self::Embedded(embedded) => embedded.address.to_string(),
            Self::Foreign(address) => address.clone(),
        }
    }

    /// A topic's name that nobody else uses.
    pub fn topic_name(&self, name: &str) -> String {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let run = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        format!("suite-{name}-{run}-{}-{count}", std::process::id())
    }
}

impl Embedded {
    pub fn start(options: BrokerOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut embedded = Self::start_in(dir.path(), options);
        embedded.dir = Some(dir);
        embedded
    }

    /// Starts in a folder that outlives the broker.
    pub fn start_in(dir: &Path, options: BrokerOptions) -> Self {
        let (handle, inbox) = broker::channel();
        let (log_dir, log_options) = (PathBuf::from(dir), options.clone());
        let log = std::thread::spawn(move || {
            block_on(async { BrokerLog::open(PlainDisk, log_dir, &log_options, inbox).await?.run().await })
        });
        let (address_out, address_in) = std::sync::mpsc::channel();
        let network_handle = handle.clone();
        let network = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await?;
                address_out.send(listener.local_addr()?).unwrap();
                serve(listener, network_handle, options).await
            })
        });
        let address = address_in.recv().unwrap();
        Self { address, handle, dir: None, log: Some(log), network: Some(network) }
    }

    /// Stops and waits for both threads.
    pub fn stop(&mut self) {
        block_on(self.handle.shutdown());
        if let Some(network) = self.network.take() {
            network.join().unwrap().unwrap();
        }
        if let Some(log) = self.log.take() {
            log.join().unwrap().unwrap();
        }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stop();
        }
    }
}
