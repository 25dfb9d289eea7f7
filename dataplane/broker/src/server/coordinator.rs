//! The members of consumer groups, by Kafka's classic group protocol: who is there, in which generation, with which assignment.
//!
//! A state machine over plain values: the time is an argument, an answer goes through the promise that came with the question, and
//! nothing is read or written. Members are gone after a restart and join again; what outlives them is the log's.

mod group;
mod member;
mod subscription;

#[cfg(test)]
mod coordinator_test;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::errors;
use crate::limits::{COORDINATOR_BYTES_MAX, GROUP_MEMBERS_MAX, GROUPS_MAX, MEMBERS_MAX};
use crate::log::request::StoredGroup;
use group::Group;

/// Kafka's `group.min.session.timeout.ms` and `group.max.session.timeout.ms`.
const SESSION_MS: std::ops::RangeInclusive<i32> = 6_000..=1_800_000;

/// Since some moment; only differences count.
pub(super) type NowMs = u64;

/// Every group that has members, or had them lately.
#[derive(Default)]
pub(super) struct Coordinator {
    groups: HashMap<Arc<str>, Group>,
}

/// How a client names a member.
#[derive(Clone, Default, Debug)]
pub(super) struct MemberRef {
    /// Empty: it has no id yet.
    pub id: Arc<str>,
    /// A static member keeps its place when it comes back under another id.
    pub instance: Option<Arc<str>>,
}

pub(super) struct Join {
    pub member: MemberRef,
    pub client_id: Arc<str>,
    pub client_host: Arc<str>,
    pub session_ms: i32,
    pub rebalance_ms: i32,
    pub protocol_type: Arc<str>,
    pub protocols: Protocols,
    pub first_id: FirstId,
}

/// Names of assignment strategies with what the member says for each, most liked first.
pub(super) type Protocols = Vec<(Arc<str>, Bytes)>;

/// What a member without an id gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FirstId {
    /// An id, with which it has to come again.
    Told,
    /// A place in the group.
    Joins,
}

#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Joined {
    pub code: i16,
    pub generation: i32,
    pub protocol_type: Option<Arc<str>>,
    pub protocol: Option<Arc<str>>,
    pub leader: Arc<str>,
    pub member_id: Arc<str>,
    /// Id, instance and metadata of each; for the leader only.
    pub members: Vec<(Arc<str>, Option<Arc<str>>, Bytes)>,
}

impl Joined {
    fn refused(code: i16, member_id: &Arc<str>) -> Self {
        Self { code, generation: -1, member_id: Arc::clone(member_id), ..Self::default() }
    }
}

pub(super) struct Sync {
    pub member: MemberRef,
    pub generation: i32,
    pub protocol_type: Option<Arc<str>>,
    pub protocol: Option<Arc<str>>,
    /// By member id; the leader's only.
    pub assignments: Vec<(Arc<str>, Bytes)>,
}

#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Synced {
    pub code: i16,
    pub protocol_type: Option<Arc<str>>,
    pub protocol: Option<Arc<str>>,
    pub assignment: Bytes,
}

/// A group as it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct GroupDescription {
    pub state: &'static str,
    pub protocol_type: Arc<str>,
    /// Empty unless the group is stable, as are metadata and assignments.
    pub protocol: Arc<str>,
    pub members: Vec<MemberDescription>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct MemberDescription {
    pub id: Arc<str>,
    pub instance: Option<Arc<str>>,
    pub client_id: Arc<str>,
    pub client_host: Arc<str>,
    pub metadata: Bytes,
    pub assignment: Bytes,
}

impl Coordinator {
    pub fn knows(&self, group: &str) -> bool {
        self.groups.contains_key(group)
    }

    /// Goes on with the generation that the log kept.
    pub fn adopt(&mut self, stored: &StoredGroup) {
        if !self.knows(&stored.name) && self.has_room() {
            self.groups.insert(Arc::clone(&stored.name), Group::stored(stored));
        }
    }

    fn has_room(&mut self) -> bool {
        if self.groups.len() >= GROUPS_MAX {
            self.groups.retain(|_, group| !group.is_abandoned());
        }
        self.groups.len() < GROUPS_MAX
    }

    pub fn join(&mut self, name: &Arc<str>, join: Join, now: NowMs, answer: oneshot::Sender<Joined>) {
        if let Err(code) = self.check_join(name, &join) {
            drop(answer.send(Joined::refused(code, &join.member.id)));
            return;
        }
        self.groups.entry(Arc::clone(name)).or_default().join(join, now, answer);
    }

    fn check_join(&mut self, name: &Arc<str>, join: &Join) -> Result<(), i16> {
        if !SESSION_MS.contains(&join.session_ms) {
            return Err(errors::INVALID_SESSION_TIMEOUT);
        }
        let Some(group) = self.groups.get(name) else {
            let is_new = join.member.id.is_empty();
            return match is_new && self.has_room() {
                true => self.check_bytes(join),
                false => Err(if is_new { errors::GROUP_MAX_SIZE_REACHED } else { errors::UNKNOWN_MEMBER_ID }),
            };
        };
        if !group.has_member(&join.member.id) {
            let member_count: usize = self.groups.values().map(Group::member_count).sum();
            if group.member_count() >= GROUP_MEMBERS_MAX || member_count >= MEMBERS_MAX {
                return Err(errors::GROUP_MAX_SIZE_REACHED);
            }
        }
        self.check_bytes(join)
    }

    fn check_bytes(&self, join: &Join) -> Result<(), i16> {
        let wanted: usize = join.protocols.iter().map(|(name, metadata)| name.len() + metadata.len()).sum();
        if self.bytes() + wanted > COORDINATOR_BYTES_MAX { Err(errors::GROUP_MAX_SIZE_REACHED) } else { Ok(()) }
    }

    fn bytes(&self) -> usize {
        self.groups.values().map(Group::bytes).sum()
    }

    /// `Some`: the group is stable with a new generation, which is to be kept.
    pub fn sync(
        &mut self,
        name: &Arc<str>,
        sync: Sync,
        now: NowMs,
        answer: oneshot::Sender<Synced>,
    ) -> Option<StoredGroup> {
        let wanted: usize = sync.assignments.iter().map(|(id, assignment)| id.len() + assignment.len()).sum();
        let has_room = self.bytes() + wanted <= COORDINATOR_BYTES_MAX;
        let refused = match self.groups.get_mut(name) {
            None => errors::UNKNOWN_MEMBER_ID,
            Some(_) if !has_room => errors::GROUP_MAX_SIZE_REACHED,
            Some(group) => return group.sync(sync, now, answer).then(|| group.to_store(name)),
        };
        drop(answer.send(Synced { code: refused, ..Synced::default() }));
        None
    }

    pub fn heartbeat(&mut self, name: &str, member: &MemberRef, generation: i32, now: NowMs) -> i16 {
        let group = self.groups.get_mut(name).ok_or(errors::UNKNOWN_MEMBER_ID);
        group.and_then(|group| group.heartbeat(member, generation, now)).err().unwrap_or(errors::NONE)
    }

    pub fn leave(&mut self, name: &str, member: &MemberRef, now: NowMs) -> i16 {
        let group = self.groups.get_mut(name).ok_or(errors::UNKNOWN_MEMBER_ID);
        group.and_then(|group| group.leave(member, now)).err().unwrap_or(errors::NONE)
    }

    /// Whether this member of this generation may commit offsets.
    pub fn check_commit(&mut self, name: &str, member: &MemberRef, generation: i32, now: NowMs) -> Result<(), i16> {
        match self.groups.get_mut(name) {
            Some(group) => group.check_commit(member, generation, now),
            None if generation < 0 => Ok(()),
            None => Err(errors::ILLEGAL_GENERATION),
        }
    }

    /// Lets go of those whose time is over.
    pub fn expire(&mut self, now: NowMs) {
        self.groups.values_mut().for_each(|group| group.expire(now));
    }

    /// Forgets a group without members: whether it was there.
    pub fn delete(&mut self, name: &str) -> Result<bool, i16> {
        match self.groups.get(name) {
            Some(group) if !group.is_abandoned() => Err(errors::NON_EMPTY_GROUP),
            Some(_) => Ok(self.groups.remove(name).is_some()),
            None => Ok(false),
        }
    }

    /// Whether offsets of some topics may be removed; for a group with members it depends on the topic.
    pub fn check_offset_delete(&self, name: &str) -> Result<(), i16> {
        match self.groups.get(name) {
            Some(group) if !group.is_abandoned() && !group.is_of_consumers() => Err(errors::NON_EMPTY_GROUP),
            _ => Ok(()),
        }
    }

    pub fn is_subscribed(&self, name: &str, topic: &str) -> bool {
        self.groups.get(name).is_some_and(|group| group.is_subscribed(topic))
    }

    pub fn describe(&self, name: &str) -> Option<GroupDescription> {
        self.groups.get(name).map(Group::describe)
    }

    /// Name, protocol type and state of every group.
    pub fn list(&self) -> Vec<(Arc<str>, Arc<str>, &'static str)> {
        let entry = |(name, group): (&Arc<str>, &Group)| {
            let (protocol_type, state) = group.summary();
            (Arc::clone(name), protocol_type, state)
        };
        self.groups.iter().map(entry).collect()
    }
}
