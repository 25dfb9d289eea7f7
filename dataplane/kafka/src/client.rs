//! A client of a cluster: knows the brokers and leaders, keeps one connection per broker, drops what failed.
//!
//! Owned by one task. Retries nothing: every failure goes to the caller, who is the one owner of the retry.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::protocol::Request;

use crate::connection::Connection;
use crate::metadata::TopicInfo;
use crate::{KafkaError, KafkaOptions};

pub struct Client {
    pub(crate) options: KafkaOptions,
    connections: BTreeMap<String, Connection>,
    pub(crate) topic: Option<TopicInfo>,
    /// Seeds are tried in turn.
    next_seed: usize,
}

impl Client {
    #[must_use]
    pub fn new(options: KafkaOptions) -> Self {
        Self { options, connections: BTreeMap::new(), topic: None, next_seed: 0 }
    }

    /// Forgets connections and leaders: the next request finds them anew.
    pub fn reset(&mut self) {
        self.connections.clear();
        self.topic = None;
    }

    /// Asks the broker at `address`, in the highest shared version up to `cap`. A failed connection is dropped.
    pub(crate) async fn call<R: Request>(
        &mut self,
        address: &str,
        cap: i16,
        timeout: Duration,
        make: impl FnOnce(i16) -> R,
    ) -> Result<(R::Response, i16), KafkaError> {
        let mut connection = match self.connections.remove(address) {
            Some(connection) => connection,
            None => Connection::open(address, &self.options).await?,
        };
        let version = connection.version_of::<R>(cap)?;
        let answer = connection.call_version(&make(version), version, timeout).await?;
        // Only a connection that answered is kept.
        self.connections.insert(address.to_owned(), connection);
        Ok((answer, version))
    }

    /// Asks any broker that answers: known ones first, then the seeds.
    pub(crate) async fn call_any<R: Request>(
        &mut self,
        cap: i16,
        make: impl Fn(i16) -> R,
    ) -> Result<(R::Response, i16), KafkaError> {
        let timeout = self.options.request_timeout;
        let known = self.connections.keys().next().cloned();
        let seeds = self.options.addresses.clone();
        let from = self.next_seed;
        let seeds = (0..seeds.len()).map(|step| seeds[(from + step) % seeds.len()].clone());
        let mut last = None;
        for address in known.into_iter().chain(seeds) {
            match self.call(&address, cap, timeout, &make).await {
                Ok(answer) => return Ok(answer),
                Err(error) => last = Some(error),
            }
            self.next_seed = self.next_seed.wrapping_add(1);
        }
        Err(last.unwrap_or(KafkaError::Unreachable {
            address: "(none)".into(),
            reason: "no seed broker is configured".into(),
        }))
    }
}
