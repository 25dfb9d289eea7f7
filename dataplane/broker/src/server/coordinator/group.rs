//! One group: the rounds of joining and assigning, and who has to leave.
//!
//! ```text
//! empty -- a member joins --> preparing -- all have joined, or time is over --> completing -- the leader assigned --> stable
//!             preparing <-- a member joins with something new, leaves, or is silent for too long -- completing, stable
//! ```

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::member::Member;
use super::{FirstId, GroupDescription, Join, Joined, MemberRef, NowMs, Protocols, Sync, Synced, subscription};
use crate::limits::GROUP_MEMBERS_MAX;
use crate::log::request::StoredGroup;
use crate::server::errors;

const CONSUMERS: &str = "consumer";
/// Of a client's name, in the id of its member.
const CLIENT_ID_CHARS_MAX: usize = 200;

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum State {
    #[default]
    Empty,
    Preparing,
    Completing,
    Stable,
}

#[derive(Default)]
pub(super) struct Group {
    state: State,
    generation: i32,
    protocol_type: Arc<str>,
    protocol: Option<Arc<str>>,
    leader: Arc<str>,
    members: BTreeMap<Arc<str>, Member>,
    /// Ids that were given out and have not joined, with the end of their time.
    pending: HashMap<Arc<str>, NowMs>,
    /// Member ids by instance.
    instances: HashMap<Arc<str>, Arc<str>>,
    /// When the round of joining, or that of assigning, ends anyway.
    round_ends: Option<NowMs>,
    places: u64,
}

impl Group {
    pub fn stored(stored: &StoredGroup) -> Self {
        let protocol_type = Arc::clone(&stored.protocol_type);
        Self { generation: stored.generation, protocol_type, ..Self::default() }
    }

    pub fn to_store(&self, name: &Arc<str>) -> StoredGroup {
        let protocol_type = Arc::clone(&self.protocol_type);
        StoredGroup { name: Arc::clone(name), protocol_type, generation: self.generation }
    }

    pub fn has_member(&self, id: &str) -> bool {
        self.members.contains_key(id) || self.pending.contains_key(id)
    }

    pub fn member_count(&self) -> usize {
        self.members.len() + self.pending.len()
    }

    /// It has no members, and nobody is about to join.
    pub fn is_abandoned(&self) -> bool {
        self.member_count() == 0
    }

    pub fn is_of_consumers(&self) -> bool {
        *self.protocol_type == *CONSUMERS
    }

    pub fn bytes(&self) -> usize {
        self.members.values().map(Member::bytes).sum()
    }

    pub fn join(&mut self, join: Join, now: NowMs, answer: oneshot::Sender<Joined>) {
        let id = Arc::clone(&join.member.id);
        if let Err(code) = self.try_join(join, now, answer) {
            let (code, answer) = code;
            drop(answer.send(Joined::refused(code, &id)));
        }
    }

    fn try_join(
        &mut self,
        join: Join,
        now: NowMs,
        answer: oneshot::Sender<Joined>,
    ) -> Result<(), (i16, oneshot::Sender<Joined>)> {
        if !self.supports(&join) {
            return Err((errors::INCONSISTENT_GROUP_PROTOCOL, answer));
        }
        let id = Arc::clone(&join.member.id);
        if id.is_empty() {
            let known = join.member.instance.as_ref().and_then(|instance| self.instances.get(instance)).cloned();
            match known {
                Some(old) => self.replace(&old, join, now, answer),
                None if join.member.instance.is_none() && join.first_id == FirstId::Told => {
                    self.tell_id(&join, now, answer);
                }
                None => self.add(new_id(&join), join, now, answer),
            }
            return Ok(());
        }
        if self.pending.remove(&id).is_some() {
            self.add(id, join, now, answer);
            return Ok(());
        }
        match self.check_member(&join.member) {
            Ok(_) if self.state == State::Empty => Err((errors::UNKNOWN_MEMBER_ID, answer)),
            Ok(id) => {
                self.join_again(&id, join, now, answer);
                Ok(())
            }
            Err(code) => Err((code, answer)),
        }
    }

    /// All members, and this one, have an assignment strategy in common.
    fn supports(&self, join: &Join) -> bool {
        if join.protocol_type.is_empty() || join.protocols.is_empty() {
            return false;
        }
        if self.members.is_empty() {
            return true;
        }
        let is_common = |name: &str| self.members.values().all(|member| member.supports(name));
        *self.protocol_type == *join.protocol_type && join.protocols.iter().any(|(name, _)| is_common(name))
    }

    fn tell_id(&mut self, join: &Join, now: NowMs, answer: oneshot::Sender<Joined>) {
        if self.pending.len() >= GROUP_MEMBERS_MAX {
            drop(answer.send(Joined::refused(errors::GROUP_MAX_SIZE_REACHED, &join.member.id)));
            return;
        }
        let id = new_id(join);
        let ends = now + u64::try_from(join.session_ms).unwrap_or(0);
        drop(answer.send(Joined::refused(errors::MEMBER_ID_REQUIRED, &id)));
        self.pending.insert(id, ends);
    }

    fn add(&mut self, id: Arc<str>, join: Join, now: NowMs, answer: oneshot::Sender<Joined>) {
        if self.members.is_empty() {
            self.protocol_type = Arc::clone(&join.protocol_type);
        }
        if let Some(instance) = &join.member.instance {
            self.instances.insert(Arc::clone(instance), Arc::clone(&id));
        }
        self.places += 1;
        let mut member = Member::new(Arc::clone(&id), join, self.places, now);
        member.join = Some(answer);
        self.members.insert(id, member);
        self.begin_round(now);
    }

    /// A static member came back under a new id: it keeps its place, and whoever used the old id is told.
    fn replace(&mut self, old: &Arc<str>, join: Join, now: NowMs, answer: oneshot::Sender<Joined>) {
        let Some(mut member) = self.members.remove(old) else { unreachable!("instances name members") };
        let id = new_id(&join);
        member.answer_join(Joined::refused(errors::FENCED_INSTANCE_ID, old));
        member.answer_sync(Synced { code: errors::FENCED_INSTANCE_ID, ..Synced::default() });
        let is_same = self.is_same_as_before(&member.protocols, &join.protocols);
        member.id = Arc::clone(&id);
        member.client_id = Arc::clone(&join.client_id);
        member.client_host = Arc::clone(&join.client_host);
        let was_leader = self.leader == *old;
        if was_leader {
            self.leader = Arc::clone(&id);
        }
        self.instances.extend(member.instance.clone().map(|instance| (instance, Arc::clone(&id))));
        member.update(join, now);
        member.join = Some(answer);
        self.members.insert(Arc::clone(&id), member);
        if self.state == State::Stable && is_same && !was_leader {
            self.answer_join(&id);
        } else {
            self.begin_round(now);
        }
    }

    /// Nothing that the chosen strategy looks at has changed.
    fn is_same_as_before(&self, before: &Protocols, now: &Protocols) -> bool {
        let metadata = |protocols: &Protocols| {
            let chosen = |(name, _): &&(Arc<str>, Bytes)| Some(name) == self.protocol.as_ref();
            protocols.iter().find(chosen).map(|(_, metadata)| metadata.clone())
        };
        metadata(before) == metadata(now)
    }

    fn join_again(&mut self, id: &Arc<str>, join: Join, now: NowMs, answer: oneshot::Sender<Joined>) {
        let is_leader = self.leader == *id;
        let Some(member) = self.members.get_mut(id) else { unreachable!("it was looked up") };
        let is_same = member.protocols == join.protocols;
        let again = Joined::refused(errors::REBALANCE_IN_PROGRESS, id);
        member.answer_join(again);
        member.update(join, now);
        member.join = Some(answer);
        match self.state {
            State::Preparing => self.end_round_if_complete(now),
            State::Completing if is_same => self.answer_join(id),
            State::Stable if is_same && !is_leader => self.answer_join(id),
            _ => self.begin_round(now),
        }
    }

    /// Everybody has to join anew.
    fn begin_round(&mut self, now: NowMs) {
        if self.state != State::Preparing {
            for member in self.members.values_mut() {
                member.answer_sync(Synced { code: errors::REBALANCE_IN_PROGRESS, ..Synced::default() });
            }
            self.state = State::Preparing;
            self.round_ends = Some(now + self.rebalance_ms());
        }
        self.end_round_if_complete(now);
    }

    fn rebalance_ms(&self) -> u64 {
        self.members.values().map(|member| member.rebalance_ms).max().unwrap_or(0)
    }

    fn end_round_if_complete(&mut self, now: NowMs) {
        let is_complete = self.pending.is_empty() && self.members.values().all(|member| member.join.is_some());
        if self.state == State::Preparing && is_complete {
            self.end_round(now);
        }
    }

    /// The members are known: the leader may assign.
    fn end_round(&mut self, now: NowMs) {
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        if self.members.is_empty() {
            self.state = State::Empty;
            (self.protocol, self.leader, self.round_ends) = (None, Arc::default(), None);
            return;
        }
        self.state = State::Completing;
        self.protocol = Some(self.elect_protocol());
        self.round_ends = Some(now + self.rebalance_ms());
        let is_joined = |id: &Arc<str>| self.members.get(id).is_some_and(|member| member.join.is_some());
        if !is_joined(&self.leader) {
            let joined = self.members.values().filter(|member| member.join.is_some());
            let first = joined.min_by_key(|member| member.place).or(self.members.values().next());
            self.leader = first.map(|member| Arc::clone(&member.id)).unwrap_or_default();
        }
        let ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for id in ids {
            if let Some(member) = self.members.get_mut(&id) {
                member.touch(now);
                (member.has_synced, member.assignment) = (false, Bytes::new());
            }
            self.answer_join(&id);
        }
    }

    /// Each votes for what it likes best of what all support.
    fn elect_protocol(&self) -> Arc<str> {
        let is_common = |name: &str| self.members.values().all(|member| member.supports(name));
        let mut votes: Vec<(Arc<str>, usize)> = Vec::new();
        for member in self.members.values() {
            let Some((name, _)) = member.protocols.iter().find(|(name, _)| is_common(name)) else { continue };
            match votes.iter_mut().find(|(voted, _)| voted == name) {
                Some((_, count)) => *count += 1,
                None => votes.push((Arc::clone(name), 1)),
            }
        }
        let most = votes.into_iter().max_by_key(|(_, count)| *count);
        most.expect("members without a common strategy are refused").0
    }

    fn answer_join(&mut self, id: &Arc<str>) {
        let protocol = self.protocol.clone().unwrap_or_default();
        let members = if self.leader == *id {
            let entry = |it: &Member| (Arc::clone(&it.id), it.instance.clone(), it.metadata(&protocol));
            self.members.values().map(entry).collect()
        } else {
            Vec::new()
        };
        let joined = Joined {
            code: errors::NONE,
            generation: self.generation,
            protocol_type: Some(Arc::clone(&self.protocol_type)),
            protocol: Some(protocol),
            leader: Arc::clone(&self.leader),
            member_id: Arc::clone(id),
            members,
        };
        if let Some(member) = self.members.get_mut(id) {
            member.answer_join(joined);
        }
    }

    /// The id of a member, if it is who it says.
    fn check_member(&self, member: &MemberRef) -> Result<Arc<str>, i16> {
        if let Some(instance) = &member.instance {
            match self.instances.get(instance) {
                None => return Err(errors::UNKNOWN_MEMBER_ID),
                Some(id) if *id != member.id => return Err(errors::FENCED_INSTANCE_ID),
                Some(_) => {}
            }
        }
        let known = self.members.get_key_value(&member.id);
        known.map(|(id, _)| Arc::clone(id)).ok_or(errors::UNKNOWN_MEMBER_ID)
    }

    fn check_generation(&self, member: &MemberRef, generation: i32) -> Result<Arc<str>, i16> {
        let id = self.check_member(member)?;
        if generation == self.generation { Ok(id) } else { Err(errors::ILLEGAL_GENERATION) }
    }

    /// `true`: the group has become stable.
    pub fn sync(&mut self, sync: Sync, now: NowMs, answer: oneshot::Sender<Synced>) -> bool {
        let id = match self.check_sync(&sync) {
            Ok(id) => id,
            Err(code) => {
                drop(answer.send(Synced { code, ..Synced::default() }));
                return false;
            }
        };
        let Some(member) = self.members.get_mut(&id) else { unreachable!("it was looked up") };
        member.touch(now);
        member.has_synced = true;
        member.answer_sync(Synced { code: errors::REBALANCE_IN_PROGRESS, ..Synced::default() });
        member.sync = Some(answer);
        if self.state == State::Stable {
            self.answer_sync(&id);
            return false;
        }
        if self.leader != id {
            return false;
        }
        for (id, assignment) in sync.assignments {
            if let Some(member) = self.members.get_mut(&id) {
                member.assignment = assignment;
            }
        }
        self.state = State::Stable;
        self.round_ends = None;
        let ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        ids.iter().for_each(|id| self.answer_sync(id));
        true
    }

    fn check_sync(&self, sync: &Sync) -> Result<Arc<str>, i16> {
        let id = self.check_generation(&sync.member, sync.generation)?;
        let differs = |told: &Option<Arc<str>>, is: &str| told.as_ref().is_some_and(|told| **told != *is);
        let protocol = self.protocol.clone().unwrap_or_default();
        if differs(&sync.protocol_type, &self.protocol_type) || differs(&sync.protocol, &protocol) {
            return Err(errors::INCONSISTENT_GROUP_PROTOCOL);
        }
        match self.state {
            State::Empty => Err(errors::UNKNOWN_MEMBER_ID),
            State::Preparing => Err(errors::REBALANCE_IN_PROGRESS),
            State::Completing | State::Stable => Ok(id),
        }
    }

    fn answer_sync(&mut self, id: &Arc<str>) {
        let (protocol_type, protocol) = (Some(Arc::clone(&self.protocol_type)), self.protocol.clone());
        if let Some(member) = self.members.get_mut(id) {
            let assignment = member.assignment.clone();
            member.answer_sync(Synced { code: errors::NONE, protocol_type, protocol, assignment });
        }
    }

    pub fn heartbeat(&mut self, member: &MemberRef, generation: i32, now: NowMs) -> Result<(), i16> {
        let id = self.check_generation(member, generation)?;
        self.members.get_mut(&id).into_iter().for_each(|member| member.touch(now));
        if self.state == State::Preparing { Err(errors::REBALANCE_IN_PROGRESS) } else { Ok(()) }
    }

    pub fn leave(&mut self, member: &MemberRef, now: NowMs) -> Result<(), i16> {
        if self.pending.remove(&member.id).is_some() {
            self.end_round_if_complete(now);
            return Ok(());
        }
        // An operator names a static member by its instance alone.
        let by_instance = member.instance.as_ref().and_then(|instance| self.instances.get(instance));
        let id = match by_instance {
            Some(id) if member.id.is_empty() => Arc::clone(id),
            _ => self.check_member(member)?,
        };
        self.remove(&id, now);
        Ok(())
    }

    fn remove(&mut self, id: &Arc<str>, now: NowMs) {
        let Some(mut member) = self.members.remove(id) else { return };
        if let Some(instance) = &member.instance {
            self.instances.remove(instance);
        }
        member.answer_join(Joined::refused(errors::UNKNOWN_MEMBER_ID, id));
        member.answer_sync(Synced { code: errors::UNKNOWN_MEMBER_ID, ..Synced::default() });
        match self.state {
            State::Stable | State::Completing => self.begin_round(now),
            State::Preparing => self.end_round_if_complete(now),
            State::Empty => {}
        }
    }

    pub fn check_commit(&mut self, member: &MemberRef, generation: i32, now: NowMs) -> Result<(), i16> {
        if generation < 0 && self.state == State::Empty {
            return Ok(());
        }
        if generation < 0 && member.id.is_empty() && member.instance.is_none() {
            return Err(errors::UNKNOWN_MEMBER_ID);
        }
        let id = self.check_generation(member, generation)?;
        self.members.get_mut(&id).into_iter().for_each(|member| member.touch(now));
        if self.state == State::Completing { Err(errors::REBALANCE_IN_PROGRESS) } else { Ok(()) }
    }

    pub fn expire(&mut self, now: NowMs) {
        // Before the round ends for want of others: who hung up while it waited is not to be counted in.
        let silent = |member: &&Member| member.deadline <= now && !member.is_waiting();
        let gone: Vec<Arc<str>> = self.members.values().filter(silent).map(|member| Arc::clone(&member.id)).collect();
        gone.iter().for_each(|id| self.remove(id, now));
        let pending_count = self.pending.len();
        self.pending.retain(|_, ends| *ends > now);
        if self.pending.len() < pending_count {
            self.end_round_if_complete(now);
        }
        if self.round_ends.is_some_and(|ends| ends <= now) {
            self.end_round_by_time(now);
        }
    }

    fn end_round_by_time(&mut self, now: NowMs) {
        let is_late = |member: &&Member| match self.state {
            // A static member keeps its place until its session ends.
            State::Preparing => member.join.is_none() && member.instance.is_none(),
            _ => !member.has_synced,
        };
        let late: Vec<Arc<str>> = self.members.values().filter(is_late).map(|member| Arc::clone(&member.id)).collect();
        if self.state != State::Preparing {
            self.round_ends = None;
            late.iter().for_each(|id| self.remove(id, now));
            return;
        }
        self.pending.clear();
        for id in &late {
            if let Some(member) = self.members.remove(id) {
                debug_assert!(member.instance.is_none());
            }
        }
        if !self.members.is_empty() && self.members.values().all(|member| member.join.is_none()) {
            self.round_ends = Some(now + self.rebalance_ms());
            return;
        }
        self.end_round(now);
    }

    pub fn is_subscribed(&self, topic: &str) -> bool {
        let subscribes = |member: &Member| {
            let mut metadata = member.protocols.iter().map(|(_, metadata)| metadata);
            metadata.any(|metadata| subscription::topics(metadata).contains(&topic))
        };
        self.is_of_consumers() && self.members.values().any(subscribes)
    }

    pub fn summary(&self) -> (Arc<str>, &'static str) {
        let state = match self.state {
            State::Empty => "Empty",
            State::Preparing => "PreparingRebalance",
            State::Completing => "CompletingRebalance",
            State::Stable => "Stable",
        };
        (Arc::clone(&self.protocol_type), state)
    }

    pub fn describe(&self) -> GroupDescription {
        let (protocol_type, state) = self.summary();
        let protocol = self.protocol.as_deref().filter(|_| self.state == State::Stable);
        let members = self.members.values().map(|member| member.describe(protocol)).collect();
        GroupDescription { state, protocol_type, protocol: protocol.unwrap_or_default().into(), members }
    }
}

fn new_id(join: &Join) -> Arc<str> {
    let prefix = join.member.instance.as_ref().unwrap_or(&join.client_id);
    let prefix: String = prefix.chars().take(CLIENT_ID_CHARS_MAX).collect();
    format!("{prefix}-{}", Uuid::new_v4()).into()
}
