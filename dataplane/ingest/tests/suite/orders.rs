//! Consuming from another offset: orders in the group, orders to a running node, configured positions; and what they bring back.

use disk::SimDisk;
use ingest::consumer::{FetchingError, Health, PartitionSnapshot, ResetRefusal, StartPosition};
use kafka::{CommitStamp, OrderStamp};
use model::{Offset, PartitionId};
use tsdb::store::ResetDone;
use tsdb::wal::Generation;

use crate::world::{Broker, Node, run, seconds, until};

const P0: PartitionId = PartitionId(0);
const LAST: StartPosition = StartPosition::LastOffset;

/// A broker with `count` records of one sample each in partition 0, one a second.
async fn broker_with(count: i64) -> (Broker, SimDisk) {
    let disk = SimDisk::new(1);
    let broker = Broker::start(&disk, None).await;
    broker.produce(0, &seconds(0..count)).await;
    (broker, disk)
}

impl Node {
    fn p0(&self) -> PartitionSnapshot {
        self.handle.partition(P0).unwrap().snapshot()
    }

    /// Orders through the handle, as the HTTP endpoint does.
    async fn reset(&self, to: i64) -> Result<Vec<ResetDone>, ResetRefusal> {
        self.handle.reset(vec![(P0, Offset(to))])?.answer().await.unwrap()
    }

    /// Stored, equal, rejected: since the start.
    fn balance(&self) -> (u64, u64, u64) {
        let counters = self.p0().counters;
        (counters.samples_stored, counters.samples_equal, counters.samples_rejected)
    }

    async fn in_generation(&self, generation: u32, applied: i64) {
        let what = format!("offset {applied} in generation {generation}");
        until(&what, || {
            let found = self.p0();
            (found.generation, found.applied, found.durable)
                == (generation, Some(Offset(applied)), Some(Offset(applied)))
        })
        .await;
    }
}

async fn stamp_of(broker: &Broker) -> (i64, CommitStamp) {
    let committed = broker.committed(0).await.unwrap();
    let stamp = CommitStamp::parse(&committed.metadata);
    (committed.offset, stamp.unwrap_or_else(|| panic!("our stamp, not {committed:?}")))
}

#[test]
fn a_running_partition_is_moved_back_and_forth() {
    run(async {
        let (broker, _disk) = broker_with(10).await;
        let node = Node::start(&SimDisk::new(2), broker.kafka(), LAST).await;
        node.in_generation(1, 10).await;
        node.caught_up().await;
        let done = node.reset(4).await.unwrap();
        let (from, to, generation) = (Offset(10), Offset(4), Generation(2));
        assert_eq!(done, [ResetDone { partition: P0, from, to, generation }]);
        node.in_generation(2, 10).await;
        assert_eq!(node.balance(), (10, 6, 0), "six records are read again and nothing is doubled");
        assert_eq!(node.up().await, seconds(0..10));
        until("the commit of the new generation", || node.p0().committed == Some(Offset(10))).await;

        // Forwards, over records that were read before: nothing of them is read again, and nothing counts as missed.
        node.reset(0).await.unwrap();
        let done = node.reset(8).await.unwrap();
        assert_eq!((done[0].to, done[0].generation), (Offset(8), Generation(4)));
        broker.produce(0, &seconds(10..12)).await;
        node.in_generation(4, 12).await;
        let (stored, equal, rejected) = node.balance();
        assert!((stored, rejected) == (12, 0) && (8..=18).contains(&equal), "{:?}", node.balance());
        assert_eq!((node.p0().resets, node.p0().counters.missed_offsets), (3, 0));
        assert_eq!(node.up().await, seconds(0..12));
        broker.stamped(0, 11, 4).await;
        node.stop().await;
        broker.stop().await;
    });
}

#[test]
fn what_cannot_be_obeyed_changes_nothing() {
    run(async {
        let (broker, _disk) = broker_with(5).await;
        let node = Node::start(&SimDisk::new(2), broker.kafka(), LAST).await;
        node.in_generation(1, 5).await;
        let refusal = node.reset(6).await.unwrap_err().to_string();
        assert_eq!(refusal, "partition 0 cannot go on at offset 6: its log holds the offsets from 0 up to 5");
        let ask = |targets: Vec<(i32, i64)>| {
            let targets = targets.into_iter().map(|(partition, to)| (PartitionId(partition), Offset(to))).collect();
            let asked = node.handle.reset(targets);
            async move { asked.unwrap().answer().await.unwrap().unwrap_err().to_string() }
        };
        assert_eq!(ask(vec![(0, 1), (7, 1)]).await, "partition 7 is not consumed here");
        assert_eq!(ask(vec![(0, 1), (0, 2)]).await, "partition 0 is named twice");
        assert_eq!(
            ask(vec![(0, 1), (1, -1)]).await,
            "partition 1 cannot go on at offset -1: its log holds the offsets from 0 up to 0"
        );
        let check = node.handle.check_reset(vec![(P0, Offset(2))]).unwrap().answer().await.unwrap();
        assert_eq!(check, Ok(()));
        assert_eq!((node.p0().generation, node.p0().resets, node.balance()), (1, 0, (5, 0, 0)));
        // The end itself is a place to go on at.
        assert_eq!(node.reset(5).await.unwrap()[0].to, Offset(5));
        let handle = node.handle.clone();
        node.stop().await;
        assert_eq!(handle.reset(vec![(P0, Offset(0))]).unwrap_err(), ResetRefusal::Stopped);
        broker.stop().await;
    });
}

/// `metadata` of the order, the offset stored with it, and where consuming goes on.
fn check_order_while_running(stored: i64, metadata: &str, next: u64) {
    run(async {
        let (broker, _disk) = broker_with(10).await;
        let node = Node::start(&SimDisk::new(2), broker.kafka(), LAST).await;
        node.in_generation(1, 10).await;
        node.caught_up().await;
        until("the first commit", || node.p0().committed == Some(Offset(10))).await;
        broker.commit(0, stored, metadata).await;
        node.in_generation(2, 10).await;
        until("the balance", || node.balance() == (10, 10 - next, 0)).await;
        broker.stamped(0, 9, 2).await;
        assert_eq!(node.p0().resets, 1);
        // It was obeyed once: neither the next rounds nor a restart obey it again.
        broker.produce(0, &seconds(10..12)).await;
        node.in_generation(2, 12).await;
        assert_eq!(node.up().await, seconds(0..12));
        assert_eq!(node.handle.partition(P0).unwrap().health(), Health::Consuming);
        node.stop().await;
        broker.stop().await;
    });
}

#[test]
fn an_order_in_the_group_moves_a_running_partition() {
    // kafka-consumer-groups writes the next offset, and nothing else.
    check_order_while_running(4, "", 4);
    check_order_while_running(0, "", 0);
    // wellctl says the next offset in words, beside Mimir's reading of it.
    check_order_while_running(3, &OrderStamp { next: 4 }.to_string(), 4);
    check_order_while_running(0, &OrderStamp { next: 0 }.to_string(), 0);
}

#[test]
fn commits_that_are_no_orders_move_nothing() {
    run(async {
        let (broker, _disk) = broker_with(10).await;
        let node = Node::start(&SimDisk::new(2), broker.kafka(), LAST).await;
        node.in_generation(1, 10).await;
        until("the first commit", || node.p0().committed == Some(Offset(10))).await;
        let (_, ours) = stamp_of(&broker).await;
        broker.commit(0, 3, &ours.to_string()).await;
        broker.produce(0, &seconds(10..11)).await;
        broker.stamped(0, 10, 1).await;
        broker.commit(0, 3, "wellhead/1 writer=other generation=7 lsn=1 time=1").await;
        broker.produce(0, &seconds(11..12)).await;
        broker.stamped(0, 11, 1).await;
        // Beyond the end: refused, counted, and replaced.
        broker.commit(0, 99, "").await;
        until("the refusal", || node.p0().orders_refused == 1).await;
        broker.produce(0, &seconds(12..13)).await;
        broker.stamped(0, 12, 1).await;
        let found = node.p0();
        assert_eq!((found.resets, found.foreign_commits, node.balance()), (0, 1, (13, 0, 0)));
        node.stop().await;
        broker.stop().await;
    });
}

#[test]
fn an_order_to_a_stopped_node_is_obeyed_once() {
    run(async {
        let (broker, _disk) = broker_with(10).await;
        let node_disk = SimDisk::new(2);
        let node = Node::start(&node_disk, broker.kafka(), LAST).await;
        node.in_generation(1, 10).await;
        node.stop().await;
        broker.commit(0, 6, "").await;
        let node = Node::start(&node_disk, broker.kafka(), LAST).await;
        node.in_generation(2, 10).await;
        assert_eq!(node.balance(), (0, 4, 0));
        broker.stamped(0, 9, 2).await;
        node.stop().await;
        for _ in 0..2 {
            let node = Node::start(&node_disk, broker.kafka(), LAST).await;
            node.in_generation(2, 10).await;
            node.caught_up().await;
            assert_eq!((node.balance(), node.p0().resets), ((0, 0, 0), 0), "not again");
            node.stop().await;
        }
        // The same offset ordered once more is another order.
        broker.commit(0, 6, "").await;
        let node = Node::start(&node_disk, broker.kafka(), LAST).await;
        node.in_generation(3, 10).await;
        assert_eq!(node.balance(), (0, 4, 0));
        node.stop().await;
        broker.stop().await;
    });
}

/// The power fails between the synced reset and our stamp in the group: the order stands there still and moves nothing again.
#[test]
fn a_crash_right_after_the_reset_frame() {
    run(async {
        let (broker, _disk) = broker_with(10).await;
        let node_disk = SimDisk::new(2);
        let node = Node::start(&node_disk, broker.kafka(), LAST).await;
        node.in_generation(1, 10).await;
        node.stop().await;
        broker.commit(0, 6, "").await;
        let node = Node::start(&node_disk, broker.kafka(), LAST).await;
        // The moment between lasts for an answer of the broker, many turns of this thread.
        let is_moved = || {
            let found = node.p0();
            (found.generation, found.applied, found.durable) == (2, Some(Offset(6)), Some(Offset(6)))
        };
        while !is_moved() {
            assert_eq!(node.balance(), (0, 0, 0), "nothing is applied before the stamp");
            tokio::task::yield_now().await;
        }
        let crashed = node_disk.crash(3);
        node.stop().await;
        broker.commit(0, 6, "").await;
        let node = Node::start(&crashed, broker.kafka(), LAST).await;
        node.caught_up().await;
        node.applied(0, 10).await;
        assert_eq!(node.up().await, seconds(0..10));
        assert_eq!(node.balance(), (0, 4, 0), "the four records behind the order, once");
        assert_eq!((node.p0().generation, node.p0().resets), (2, 0), "it was obeyed before the crash");
        broker.stamped(0, 9, 2).await;
        node.stop().await;
        broker.stop().await;
    });
}

#[test]
fn an_order_beyond_the_end_is_refused_at_a_start() {
    run(async {
        let (broker, _disk) = broker_with(3).await;
        let node_disk = SimDisk::new(2);
        let node = Node::start(&node_disk, broker.kafka(), LAST).await;
        node.in_generation(1, 3).await;
        node.stop().await;
        broker.commit(0, 4, "").await;
        let node = Node::start(&node_disk, broker.kafka(), LAST).await;
        let error = node.refusal().await;
        assert!(matches!(error, FetchingError::Order(_)), "{error}");
        assert!(
            error.to_string().contains("orders partition 0 to go on at offset 4, and its log ends at 3"),
            "{error}"
        );
        broker.commit(0, 3, "").await;
        let node = Node::start(&node_disk, broker.kafka(), LAST).await;
        broker.produce(0, &seconds(3..4)).await;
        node.in_generation(1, 4).await;
        node.stop().await;
        broker.stop().await;
    });
}

/// The same value is not obeyed again, also not after the log on disk is lost; another value is.
#[test]
fn a_configured_position_is_obeyed_once() {
    run(async {
        let (broker, _disk) = broker_with(10).await;
        let node_disk = SimDisk::new(2);
        let at = |second: i64| StartPosition::Timestamp { unix_ms: second * 1000 };
        let check = async |disk: &SimDisk, position, generation, balance, why: &str| {
            let node = Node::start(disk, broker.kafka(), position).await;
            node.in_generation(generation, 10).await;
            node.caught_up().await;
            assert_eq!(node.balance(), balance, "{why}");
            node.stop().await;
        };
        check(&node_disk, LAST, 1, (10, 0, 0), "everything").await;
        check(&node_disk, at(7), 2, (0, 3, 0), "a new position, on a node that has a log").await;
        check(&node_disk, at(7), 2, (0, 0, 0), "remembered").await;
        check(&node_disk.crash(1), at(7), 2, (0, 0, 0), "remembered on disk").await;
        check(&node_disk, at(5), 3, (0, 5, 0), "another value").await;
        check(&node_disk, LAST, 3, (0, 0, 0), "nothing configured").await;
        check(&node_disk, StartPosition::Start, 4, (0, 10, 0), "the start").await;
        check(&node_disk, StartPosition::Start, 4, (0, 0, 0), "remembered as well").await;
        let (_, stamp) = stamp_of(&broker).await;
        assert_eq!(stamp.position.as_deref(), Some("start"));
        let lost = Node::start(&SimDisk::new(3), broker.kafka(), StartPosition::Start).await;
        lost.caught_up().await;
        assert_eq!(lost.balance(), (0, 0, 0), "a lost log does not bring an obeyed position back: the group counts");
        lost.stop().await;
        broker.stop().await;
    });
}

/// The log on disk is lost; whichever way the order comes, every sample that was acknowledged is there again, each once.
fn check_lost_log(order: impl AsyncFnOnce(&Broker) -> StartPosition, from: i64) {
    run(async {
        let (broker, _disk) = broker_with(10).await;
        let node = Node::start(&SimDisk::new(2), broker.kafka(), LAST).await;
        node.in_generation(1, 10).await;
        node.stop().await;
        let position = order(&broker).await;
        broker.produce(0, &seconds(10..12)).await;
        let node = Node::start(&SimDisk::new(3), broker.kafka(), position).await;
        node.in_generation(2, 12).await;
        assert_eq!(node.up().await, seconds(from..12));
        assert_eq!(node.balance(), ((12 - from) as u64, 0, 0));
        broker.stamped(0, 11, 2).await;
        node.stop().await;
        broker.stop().await;
    });
}

#[test]
fn a_rewind_brings_back_what_a_lost_log_had() {
    check_lost_log(
        async |broker| {
            broker.commit(0, 0, "").await;
            LAST
        },
        0,
    );
    check_lost_log(
        async |broker| {
            broker.commit(0, 2, &OrderStamp { next: 3 }.to_string()).await;
            LAST
        },
        3,
    );
    check_lost_log(async |_| StartPosition::Timestamp { unix_ms: 0 }, 0);
    check_lost_log(async |_| StartPosition::Timestamp { unix_ms: 4500 }, 5);
}

/// A running node whose log was lost goes on behind the hole; a rewind before it fills the series that are missing whole, and
/// those that went on.
#[test]
fn holes_are_filled_wherever_they_lie() {
    run(async {
        let disk = SimDisk::new(1);
        let broker = Broker::start(&disk, None).await;
        broker.produce_metric(0, "ended", &seconds(0..4)).await;
        broker.produce(0, &seconds(4..10)).await;
        let node = Node::start(&SimDisk::new(2), broker.kafka(), LAST).await;
        node.in_generation(1, 10).await;
        node.stop().await;
        // The log is lost: consuming goes on at the group's commit, behind the ten.
        broker.produce(0, &seconds(10..12)).await;
        let node = Node::start(&SimDisk::new(3), broker.kafka(), LAST).await;
        node.caught_up().await;
        node.applied(0, 12).await;
        assert_eq!((node.up().await, node.samples("ended").await), (seconds(10..12), vec![]));
        node.reset(0).await.unwrap();
        node.in_generation(2, 12).await;
        assert_eq!(node.samples("ended").await, seconds(0..4), "a series that was missing whole is back");
        assert_eq!(node.up().await, seconds(4..12));
        assert_eq!(node.balance(), (2 + 4 + 6, 2, 0), "every record read is stored or equal");
        node.stop().await;
        broker.stop().await;
    });
}
