//! One member of a group: what it said, what it waits for, and until when it is believed to live.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{Join, Joined, MemberDescription, NowMs, Protocols, Synced};

pub(super) struct Member {
    pub id: Arc<str>,
    pub instance: Option<Arc<str>>,
    pub client_id: Arc<str>,
    pub client_host: Arc<str>,
    pub session_ms: u64,
    pub rebalance_ms: u64,
    pub protocols: Protocols,
    pub assignment: Bytes,
    /// Without a sign of life until then it is gone.
    pub deadline: NowMs,
    /// It waits for the others to join.
    pub join: Option<oneshot::Sender<Joined>>,
    /// It waits for the leader's assignment.
    pub sync: Option<oneshot::Sender<Synced>>,
    /// It asked for its assignment in this generation.
    pub has_synced: bool,
    /// Who was there first is the next leader.
    pub place: u64,
}

impl Member {
    pub fn new(id: Arc<str>, join: Join, place: u64, now: NowMs) -> Self {
        let mut member = Self {
            id,
            instance: join.member.instance.clone(),
            client_id: Arc::clone(&join.client_id),
            client_host: Arc::clone(&join.client_host),
            session_ms: 0,
            rebalance_ms: 0,
            protocols: Vec::new(),
            assignment: Bytes::new(),
            deadline: now,
            join: None,
            sync: None,
            has_synced: false,
            place,
        };
        member.update(join, now);
        member
    }

    /// Takes over what it says when it joins again.
    pub fn update(&mut self, join: Join, now: NowMs) {
        let ms = |timeout_ms: i32| u64::try_from(timeout_ms).ok();
        self.session_ms = ms(join.session_ms).unwrap_or(0);
        // The first version of the request has no such field.
        self.rebalance_ms = ms(join.rebalance_ms).unwrap_or(self.session_ms);
        self.protocols = join.protocols;
        self.touch(now);
    }

    pub fn touch(&mut self, now: NowMs) {
        self.deadline = now + self.session_ms;
    }

    pub fn supports(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|(name, _)| **name == *protocol)
    }

    pub fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|(name, _)| **name == *protocol);
        found.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }

    /// Somebody listens at the other end of what it waits for.
    pub fn is_waiting(&self) -> bool {
        let is_joining = self.join.as_ref().is_some_and(|answer| !answer.is_closed());
        is_joining || self.sync.as_ref().is_some_and(|answer| !answer.is_closed())
    }

    pub fn answer_join(&mut self, joined: Joined) {
        if let Some(answer) = self.join.take() {
            // It may have hung up; then its session ends by itself.
            drop(answer.send(joined));
        }
    }

    pub fn answer_sync(&mut self, synced: Synced) {
        if let Some(answer) = self.sync.take() {
            drop(answer.send(synced));
        }
    }

    pub fn bytes(&self) -> usize {
        let said: usize = self.protocols.iter().map(|(name, metadata)| name.len() + metadata.len()).sum();
        said + self.assignment.len()
    }

    pub fn describe(&self, protocol: Option<&str>) -> MemberDescription {
        MemberDescription {
            id: Arc::clone(&self.id),
            instance: self.instance.clone(),
            client_id: Arc::clone(&self.client_id),
            client_host: Arc::clone(&self.client_host),
            metadata: protocol.map(|protocol| self.metadata(protocol)).unwrap_or_default(),
            assignment: if protocol.is_some() { self.assignment.clone() } else { Bytes::new() },
        }
    }
}
