//! A node's consumer against the embedded broker: starts, commits, outages, gaps, and what a restart finds.

use disk::SimDisk;
use ingest::consumer::{FetchingError, Health, LogMismatch, StartPosition};
use kafka::CommitStamp;
use model::{Offset, PartitionId};

use crate::world::{Broker, Node, run, seconds, until};

const P0: PartitionId = PartitionId(0);

fn disks() -> (SimDisk, SimDisk) {
    (SimDisk::new(1), SimDisk::new(2))
}

#[test]
fn produced_records_are_read_committed_and_found_again() {
    run(async {
        let (broker_disk, node_disk) = disks();
        let broker = Broker::start(&broker_disk, None).await;
        broker.produce(0, &seconds(0..5)).await;
        let node = Node::start(&node_disk, broker.kafka(), StartPosition::LastOffset).await;
        node.caught_up().await;
        broker.produce(0, &seconds(5..8)).await;
        node.applied(0, 8).await;
        assert_eq!(node.up().await, seconds(0..8));
        let state = node.handle.partition(P0).unwrap();
        until("the commit", || state.snapshot().committed == Some(Offset(8))).await;
        let committed = broker.committed(0).await.unwrap();
        assert_eq!(committed.offset, 7, "the group stores the last consumed record");
        let stamp = CommitStamp::parse(&committed.metadata).expect("our stamp");
        assert!(stamp.writer == "node_a" && stamp.lsn > 0 && stamp.generation == 1, "{stamp:?}");
        assert_eq!(broker.committed(1).await, None, "no commit before the first record");
        assert_eq!(state.health(), Health::Consuming);
        node.stop().await;

        // After a restart the log on disk says where to go on, whatever another node says in the group.
        broker.commit(0, 2, "wellhead/1 writer=other generation=9 lsn=9 time=9").await;
        broker.produce(0, &seconds(8..10)).await;
        let node = Node::start(&node_disk.crash(7), broker.kafka(), StartPosition::LastOffset).await;
        node.applied(0, 10).await;
        assert_eq!(node.up().await, seconds(0..10));
        let counters = node.handle.partition(P0).unwrap().snapshot().counters;
        assert_eq!((counters.samples_stored, counters.samples_equal, counters.missed_offsets), (2, 0, 0));
        node.stop().await;
        let committed = broker.committed(0).await.unwrap();
        assert_eq!(committed.offset, 9, "a clean stop commits what is durable");
        broker.stop().await;
    });
}

fn check_position(position: StartPosition, committed: Option<i64>, expected: std::ops::Range<i64>) {
    run(async {
        let (broker_disk, node_disk) = disks();
        let broker = Broker::start(&broker_disk, None).await;
        broker.produce(0, &seconds(0..5)).await;
        if let Some(offset) = committed {
            broker.commit(0, offset, "wellhead/1 writer=lost generation=1 lsn=1 time=1").await;
        }
        let node = Node::start(&node_disk, broker.kafka(), position).await;
        node.caught_up().await;
        broker.produce(0, &seconds(5..6)).await;
        node.applied(0, 6).await;
        assert_eq!(node.up().await, seconds(expected), "{position:?} {committed:?}");
        node.stop().await;
        broker.stop().await;
    });
}

#[test]
fn the_first_start_follows_the_group_or_the_configuration() {
    check_position(StartPosition::Start, None, 0..6);
    check_position(StartPosition::LastOffset, None, 0..6);
    check_position(StartPosition::LastOffset, Some(2), 3..6);
    check_position(StartPosition::End, None, 5..6);
    check_position(StartPosition::Timestamp { unix_ms: 1500 }, None, 2..6);
    // No record is so late, yet: what comes from now on.
    check_position(StartPosition::Timestamp { unix_ms: 1_000_000 }, None, 5..6);
    // A position is an order: it wins over the group.
    check_position(StartPosition::Timestamp { unix_ms: 1500 }, Some(3), 2..6);
    check_position(StartPosition::End, Some(0), 5..6);
}

/// A time in the future is a mistake, not the end of the log.
#[test]
fn a_time_in_the_future_is_refused() {
    run(async {
        let (broker_disk, node_disk) = disks();
        let broker = Broker::start(&broker_disk, None).await;
        broker.produce(0, &seconds(0..5)).await;
        let node = Node::start(&node_disk, broker.kafka(), StartPosition::Timestamp { unix_ms: 1 << 50 }).await;
        let error = node.refusal().await.to_string();
        assert!(error.contains("in the future; the newest record of partition 0 is of 4000"), "{error}");
        broker.stop().await;
    });
}

/// Another broker behind the same address: its log is not ours.
#[test]
fn another_log_is_refused() {
    run(async {
        let (broker_disk, node_disk) = disks();
        let broker = Broker::start(&broker_disk, None).await;
        broker.produce(0, &seconds(0..3)).await;
        let node = Node::start(&node_disk, broker.kafka(), StartPosition::Start).await;
        node.applied(0, 3).await;
        node.stop().await;
        broker.stop().await;

        let other = Broker::start(&SimDisk::new(9), None).await;
        other.produce(0, &seconds(0..9)).await;
        let node = Node::start(&node_disk, other.kafka(), StartPosition::Start).await;
        let state = node.handle.clone();
        let error = node.refusal().await;
        assert!(matches!(error, FetchingError::Mismatch(LogMismatch::OtherTopic { .. })), "{error}");
        assert!(error.to_string().contains("move its `wal` folder away"), "{error}");
        let why = state.partition(P0).unwrap().ready().unwrap_err().to_string();
        assert!(why.contains("another broker"), "{why}");
        other.stop().await;
    });
}

/// The same broker whose disk lost the end of its log.
#[test]
fn a_cut_log_is_refused() {
    run(async {
        let (broker_disk, node_disk) = disks();
        let broker = Broker::start(&broker_disk, None).await;
        broker.produce(0, &seconds(0..1)).await;
        broker.stop().await;
        let earlier = broker_disk.crash(1);
        let broker = Broker::start(&broker_disk, None).await;
        broker.produce(0, &seconds(1..4)).await;
        let node = Node::start(&node_disk, broker.kafka(), StartPosition::Start).await;
        node.applied(0, 4).await;
        node.stop().await;
        broker.stop().await;

        let broker = Broker::start(&earlier, None).await;
        let node = Node::start(&node_disk, broker.kafka(), StartPosition::Start).await;
        let error = node.refusal().await.to_string();
        assert!(error.contains("consumed up to offset 4 and its log ends at 1"), "{error}");
        // It grows again, with other records at the same places.
        broker.produce(0, &seconds(100..110)).await;
        let node = Node::start(&node_disk, broker.kafka(), StartPosition::Start).await;
        let error = node.refusal().await.to_string();
        assert!(error.contains("another record at offset 3"), "{error}");
        broker.stop().await;
    });
}

/// An outage is seen, leaves the node ready, and is over when the broker is back.
#[test]
fn a_broker_may_go_and_come_back() {
    run(async {
        let (broker_disk, node_disk) = disks();
        let broker = Broker::start(&broker_disk, None).await;
        broker.produce(0, &seconds(0..2)).await;
        let node = Node::start(&node_disk, broker.kafka(), StartPosition::Start).await;
        node.caught_up().await;
        node.applied(0, 2).await;
        let address = broker.address.clone();
        broker.stop().await;
        let state = node.handle.partition(P0).unwrap();
        until("the outage is seen", || matches!(state.health(), Health::BrokerGone { .. })).await;
        assert_eq!(state.ready(), Ok(()), "an outage of Kafka leaves a node ready that was caught up");
        assert_eq!(node.up().await, seconds(0..2));
        let broker = Broker::start(&broker_disk, Some(&address)).await;
        broker.produce(0, &seconds(2..4)).await;
        node.applied(0, 4).await;
        until("it is over", || state.health() == Health::Consuming).await;
        let snapshot = state.snapshot();
        assert!(snapshot.fetch_errors > 0 && snapshot.counters.samples_equal == 0);
        assert_eq!(node.up().await, seconds(0..4));
        node.stop().await;
        broker.stop().await;
    });
}

#[test]
fn a_start_without_a_broker_ends_in_time() {
    run(async {
        let (broker_disk, node_disk) = disks();
        let broker = Broker::start(&broker_disk, None).await;
        let kafka = broker.kafka();
        broker.stop().await;
        let node = Node::start(&node_disk, kafka, StartPosition::Start).await;
        let error = node.refusal().await;
        assert!(matches!(error, FetchingError::NoStart { .. }), "{error}");
    });
}

/// Retention was faster than the consumer: counted, and consuming goes on at the log's start.
#[test]
fn what_retention_removed_is_a_gap() {
    run(async {
        let (broker_disk, node_disk) = disks();
        let broker = Broker::start(&broker_disk, None).await;
        for second in 0..6 {
            let sample = model::Sample { timestamp_ms: second * 1000, value: second as f64 };
            let mut value = crate::world::write_request("up", sample);
            // An unknown field makes each record larger than a segment, whatever the compression.
            value.extend_from_slice(&[0xfa, 0x01, 0xd0, 0x0f]);
            value.extend((0..2000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8));
            broker.produce_raw(0, b"a", value, second * 1000).await;
        }
        broker.commit(0, 0, "wellhead/1 writer=lost generation=1 lsn=1 time=1").await;
        broker.stop().await;
        let broker = Broker::start_with_floor(&broker_disk, None, Some(4)).await;
        // One segment after the other: the consumer must not see a start that still moves.
        while broker.log_start(0).await < 4 {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        let node = Node::start(&node_disk, broker.kafka(), StartPosition::LastOffset).await;
        node.applied(0, 6).await;
        node.caught_up().await;
        let snapshot = node.handle.partition(P0).unwrap().snapshot();
        let start = snapshot.log_start.unwrap().0;
        assert!(start > 1, "retention did something: {start}");
        assert_eq!((snapshot.counters.missed_offsets, snapshot.counters.gaps), (start as u64 - 1, 1));
        assert_eq!(node.up().await, seconds(start..6));
        node.stop().await;
        broker.stop().await;
    });
}

/// A topic that is deleted and made anew while the node runs is not mistaken for the old one.
#[test]
fn a_topic_made_anew_stops_its_partitions() {
    run(async {
        let (broker_disk, node_disk) = disks();
        let broker = Broker::start(&broker_disk, None).await;
        broker.produce(0, &seconds(0..3)).await;
        let node = Node::start(&node_disk, broker.kafka(), StartPosition::Start).await;
        node.caught_up().await;
        node.applied(0, 3).await;
        let address = broker.address.clone();
        broker.stop().await;
        let state = node.handle.partition(P0).unwrap();
        until("the outage is seen", || matches!(state.health(), Health::BrokerGone { .. })).await;
        // What comes back at the same address is another cluster.
        let other = Broker::start(&SimDisk::new(5), Some(&address)).await;
        other.produce(0, &seconds(50..60)).await;
        until("it is noticed", || matches!(state.health(), Health::Stuck { .. })).await;
        let why = state.ready().unwrap_err().to_string();
        assert!(why.contains("the topic"), "{why}");
        assert_eq!(node.up().await, seconds(0..3), "nothing of the other log is taken");
        node.stop().await;
        other.stop().await;
    });
}

#[test]
fn a_record_that_cannot_be_read_is_passed_over() {
    run(async {
        let (broker_disk, node_disk) = disks();
        let broker = Broker::start(&broker_disk, None).await;
        broker.produce(0, &seconds(0..1)).await;
        broker.produce_raw(0, b"a", b"\x0a\xffgarbage".to_vec(), 0).await;
        broker.produce(0, &seconds(2..3)).await;
        let node = Node::start(&node_disk, broker.kafka(), StartPosition::Start).await;
        node.applied(0, 3).await;
        assert_eq!(node.up().await, [(0, 0.0), (2000, 2.0)]);
        assert_eq!(node.handle.partition(P0).unwrap().snapshot().counters.quarantined_records, 1);
        node.stop().await;
        broker.stop().await;
    });
}
