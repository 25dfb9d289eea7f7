//! Stories of groups with the clock in hand: who is late, who is silent, who comes back.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{Coordinator, FirstId, Join, Joined, MemberRef, Sync, Synced};
use crate::limits::{COORDINATOR_BYTES_MAX, GROUP_MEMBERS_MAX};
use crate::log::request::StoredGroup;

const SESSION_MS: u64 = 10_000;
const REBALANCE_MS: u64 = 60_000;

/// A coordinator with one group, and a clock.
struct World {
    coordinator: Coordinator,
    now: u64,
}

fn member(id: &str, instance: Option<&str>) -> MemberRef {
    MemberRef { id: id.into(), instance: instance.map(Arc::from) }
}

fn group() -> Arc<str> {
    "g".into()
}

impl World {
    fn new() -> Self {
        Self { coordinator: Coordinator::default(), now: 1_000 }
    }

    fn join_as(&mut self, member: MemberRef, protocols: &[&str]) -> oneshot::Receiver<Joined> {
        let (answer, answered) = oneshot::channel();
        let join = Join {
            member,
            client_id: "client".into(),
            client_host: "/127.0.0.1".into(),
            session_ms: SESSION_MS as i32,
            rebalance_ms: REBALANCE_MS as i32,
            protocol_type: "consumer".into(),
            protocols: protocols.iter().map(|it| (Arc::from(*it), Bytes::from_static(b"what"))).collect(),
            first_id: FirstId::Joins,
        };
        self.coordinator.join(&group(), join, self.now, answer);
        answered
    }

    fn join(&mut self, id: &str) -> oneshot::Receiver<Joined> {
        self.join_as(member(id, None), &["range"])
    }

    fn sync(&mut self, id: &str, generation: i32, assignments: &[(&str, &'static str)]) -> oneshot::Receiver<Synced> {
        let (answer, answered) = oneshot::channel();
        let assignments = assignments.iter().map(|(id, bytes)| (Arc::from(*id), Bytes::from_static(bytes.as_bytes())));
        let sync = Sync {
            member: member(id, None),
            generation,
            protocol_type: None,
            protocol: None,
            assignments: assignments.collect(),
        };
        let stored = self.coordinator.sync(&group(), sync, self.now, answer);
        assert!(stored.is_none_or(|stored| stored.generation == generation && *stored.protocol_type == *"consumer"));
        answered
    }

    fn heartbeat(&mut self, id: &str, generation: i32) -> i16 {
        self.coordinator.heartbeat("g", &member(id, None), generation, self.now)
    }

    fn pass(&mut self, ms: u64) {
        self.now += ms;
        self.coordinator.expire(self.now);
    }

    fn state(&self) -> &'static str {
        self.coordinator.describe("g").map_or("none", |described| described.state)
    }

    /// A group of so many members that is stable: their ids, the leader first, and the generation.
    fn stable(&mut self, count: usize) -> (Vec<String>, i32) {
        let first = took(self.join(""));
        let mut ids = vec![first.member_id.to_string()];
        let mut waiting: Vec<_> = (1..count).map(|_| self.join("")).collect();
        let mut generation = first.generation;
        if count > 1 {
            generation = took(self.join(&ids[0])).generation;
            ids.extend(waiting.drain(..).map(|joined| took(joined).member_id.to_string()));
        }
        for id in ids.iter().skip(1).chain(&ids[..1]) {
            drop(self.sync(id, generation, &[]));
        }
        assert_eq!(self.state(), "Stable");
        (ids, generation)
    }
}

fn took<T>(mut answered: oneshot::Receiver<T>) -> T {
    answered.try_recv().unwrap_or_else(|_| panic!("it waits or was dropped"))
}

fn is_waiting<T>(answered: &mut oneshot::Receiver<T>) -> bool {
    answered.try_recv().is_err()
}

#[test]
fn everybody_joins_the_leader_assigns() {
    let mut world = World::new();
    let first = took(world.join(""));
    assert_eq!((first.code, first.generation, &first.leader), (0, 1, &first.member_id));
    let mut second = world.join("");
    assert!(is_waiting(&mut second));
    assert_eq!(world.heartbeat(&first.member_id, 1), 27);
    let again = took(world.join(&first.member_id));
    let second = took(second);
    assert_eq!((again.generation, again.members.len(), second.members.len()), (2, 2, 0));
    assert_eq!((&second.leader, second.protocol.as_deref()), (&first.member_id, Some("range")));
    let mut follower = world.sync(&second.member_id, 2, &[]);
    assert!(is_waiting(&mut follower));
    let assignments = [(&*first.member_id, "one"), (&*second.member_id, "two")];
    assert_eq!(took(world.sync(&first.member_id, 2, &assignments)).assignment, "one");
    assert_eq!(took(follower).assignment, "two");
    assert_eq!((world.state(), world.heartbeat(&second.member_id, 2)), ("Stable", 0));
    // Asked again, answered again.
    assert_eq!(took(world.sync(&second.member_id, 2, &[])).assignment, "two");
}

#[test]
fn who_is_silent_is_gone() {
    let mut world = World::new();
    let (ids, generation) = world.stable(2);
    world.pass(SESSION_MS - 1);
    assert_eq!(world.heartbeat(&ids[0], generation), 0);
    world.pass(1);
    assert_eq!(world.heartbeat(&ids[0], generation), 27, "the other one is gone");
    assert_eq!(world.heartbeat(&ids[1], generation), 25);
    let alone = took(world.join(&ids[0]));
    assert_eq!((alone.generation, alone.members.len()), (generation + 1, 1));
    world.pass(SESSION_MS);
    assert_eq!(world.state(), "Empty");
    assert_eq!(took(world.join(&ids[0])).code, 25);
}

#[test]
fn who_does_not_join_in_time_is_left_behind() {
    let mut world = World::new();
    let (ids, generation) = world.stable(2);
    let mut third = world.join("");
    // They live, but do not join.
    for _ in 0..REBALANCE_MS / 5_000 - 1 {
        world.pass(5_000);
        assert!(ids.iter().all(|id| world.heartbeat(id, generation) == 27) && is_waiting(&mut third));
    }
    world.pass(5_000);
    let third = took(third);
    assert_eq!((third.generation, third.members.len(), &third.leader), (generation + 1, 1, &third.member_id));
    assert!(ids.iter().all(|id| world.heartbeat(id, generation) == 25));
}

#[test]
fn who_does_not_ask_for_its_assignment_is_left_behind() {
    let mut world = World::new();
    let first = took(world.join(""));
    let second = world.join("");
    took(world.join(&first.member_id));
    let second = took(second);
    let mut synced = world.sync(&second.member_id, 2, &[]);
    for _ in 0..REBALANCE_MS / 5_000 {
        assert_eq!(world.heartbeat(&first.member_id, 2), 0);
        world.pass(5_000);
    }
    assert_eq!(took_code(&mut synced), 27);
    assert_eq!((world.state(), world.heartbeat(&first.member_id, 2)), ("PreparingRebalance", 25));
    assert_eq!(took(world.join(&second.member_id)).generation, 3);
}

fn took_code(answered: &mut oneshot::Receiver<Synced>) -> i16 {
    answered.try_recv().expect("an answer").code
}

#[test]
fn an_id_that_is_told_and_never_used_expires() {
    let mut world = World::new();
    let (answer, told) = oneshot::channel();
    let (sender, _) = oneshot::channel();
    for (first_id, answer) in [(FirstId::Told, answer), (FirstId::Joins, sender)] {
        let join = Join {
            member: MemberRef::default(),
            client_id: "client".into(),
            client_host: "/127.0.0.1".into(),
            session_ms: SESSION_MS as i32,
            rebalance_ms: REBALANCE_MS as i32,
            protocol_type: "consumer".into(),
            protocols: vec![("range".into(), Bytes::new())],
            first_id,
        };
        world.coordinator.join(&group(), join, world.now, answer);
    }
    let told = took(told);
    assert_eq!((told.code, told.generation), (79, -1));
    assert_eq!(world.coordinator.delete("g"), Err(68));
    // The other one hung up while it waited; both are gone after their session.
    world.pass(SESSION_MS);
    assert_eq!(world.state(), "Empty");
    assert_eq!(took(world.join(&told.member_id)).code, 25);
    assert_eq!(world.coordinator.delete("g"), Ok(true));
}

#[test]
fn a_static_member_comes_back_to_its_place() {
    let mut world = World::new();
    let leader = took(world.join(""));
    let named = world.join_as(member("", Some("i")), &["range"]);
    took(world.join(&leader.member_id));
    let named = took(named);
    drop(world.sync(&leader.member_id, 2, &[(&named.member_id, "mine")]));
    let back = took(world.join_as(member("", Some("i")), &["range"]));
    assert_eq!((back.code, back.generation, world.state()), (0, 2, "Stable"));
    assert_ne!(back.member_id, named.member_id);
    assert_eq!(took(world.sync(&back.member_id, 2, &[])).assignment, "mine");
    let old = member(&named.member_id, Some("i"));
    assert_eq!(world.coordinator.heartbeat("g", &old, 2, world.now), 82);
    assert_eq!(world.coordinator.leave("g", &old, world.now), 82);
    assert_eq!(world.coordinator.leave("g", &member("", Some("i")), world.now), 0);
    assert_eq!(world.state(), "PreparingRebalance");
}

#[test]
fn strategies_are_elected_and_strangers_refused() {
    let mut world = World::new();
    let first = took(world.join_as(member("", None), &["range", "sticky", "own"]));
    let second = world.join_as(member("", None), &["sticky", "range"]);
    let third = world.join_as(member("", None), &["sticky", "range"]);
    took(world.join_as(member(&first.member_id, None), &["range", "sticky", "own"]));
    assert_eq!(took(second).protocol.as_deref(), Some("sticky"));
    assert_eq!(took(third).protocol.as_deref(), Some("sticky"));
    assert_eq!(took(world.join_as(member("", None), &["own"])).code, 23);
    assert_eq!(took(world.join_as(member("", None), &[])).code, 23);
}

#[test]
fn there_are_limits() {
    let mut world = World::new();
    let waiting: Vec<_> = (0..GROUP_MEMBERS_MAX).map(|_| world.join("")).collect();
    assert_eq!(took(world.join("")).code, 81);
    drop(waiting);
    let mut world = World::new();
    let large = Bytes::from(vec![0; COORDINATOR_BYTES_MAX / 2]);
    let mut codes = Vec::new();
    for name in ["a", "b", "c"] {
        let (answer, answered) = oneshot::channel();
        let join = Join {
            member: MemberRef::default(),
            client_id: "client".into(),
            client_host: "/127.0.0.1".into(),
            session_ms: SESSION_MS as i32,
            rebalance_ms: -1,
            protocol_type: "consumer".into(),
            protocols: vec![("".into(), large.clone())],
            first_id: FirstId::Joins,
        };
        world.coordinator.join(&name.into(), join, world.now, answer);
        codes.push(took(answered).code);
    }
    assert_eq!(codes, [0, 0, 81]);
}

#[test]
fn a_group_goes_on_with_the_generation_that_was_kept() {
    let mut world = World::new();
    world.coordinator.adopt(&StoredGroup { name: group(), protocol_type: "consumer".into(), generation: 41 });
    assert_eq!(world.coordinator.check_commit("g", &member("", None), -1, 0), Ok(()));
    assert_eq!(took(world.join("")).generation, 42);
    assert_eq!(world.coordinator.check_commit("g", &member("", None), -1, 0), Err(25));
    assert_eq!(world.coordinator.check_commit("other", &member("x", None), 3, 0), Err(22));
}
