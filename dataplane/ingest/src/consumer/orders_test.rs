//! Every combination of configuration, log on disk and group commit, and what is decided about it.

use futures_lite::future::block_on;
use kafka::{CommitStamp, CommittedOffset, OrderStamp};
use model::{Offset, PartitionId};
use tsdb::store::{PartitionMarks, PartitionReset};
use tsdb::wal::StartupPosition;

use super::StartPosition;
use super::orders::{Commit, Configured, Evidence, TABLE, Wal, Winner, winner};
use super::shard_fixture::{MadeRecord, batch, beside, fetched, open, options, settle, start_at_zero};
use super::start::LogBounds;

const P0: PartitionId = PartitionId(0);
const AT_TIME: i64 = 33;
const TIME: StartPosition = StartPosition::Timestamp { unix_ms: 17 };

#[test]
fn every_row_is_needed_and_every_case_has_one() {
    use Commit::{Absent, Order, Others, Ours};
    use Configured::{LastOffset, New, Obeyed};
    let cases = [
        // configured, log on disk: absent, ours, others, order
        (LastOffset, Wal::Present, [Winner::Wal, Winner::Wal, Winner::Wal, Winner::Order]),
        (LastOffset, Wal::Absent, [Winner::LogStart, Winner::Group, Winner::Group, Winner::Order]),
        (New, Wal::Present, [Winner::Configuration; 4]),
        (New, Wal::Absent, [Winner::Configuration; 4]),
        (Obeyed, Wal::Present, [Winner::Wal, Winner::Wal, Winner::Wal, Winner::Order]),
        (Obeyed, Wal::Absent, [Winner::LogStart, Winner::Group, Winner::Group, Winner::Order]),
    ];
    for (configured, wal, winners) in cases {
        for (commit, expected) in [Absent, Ours, Others, Order].into_iter().zip(winners) {
            assert_eq!(winner(configured, wal, commit), expected, "{configured:?} {wal:?} {commit:?}");
        }
    }
}

/// What operators read is the table that decides.
#[test]
fn the_map_shows_the_table() {
    let rows = TABLE.iter().map(|(configured, wal, commit, winner)| {
        let configured = match configured {
            None => "any",
            Some(Configured::New) => "not obeyed before",
            Some(Configured::LastOffset | Configured::Obeyed) => panic!("no row asks for that"),
        };
        let wal = match wal {
            None => "any",
            Some(Wal::Present) => "present",
            Some(Wal::Absent) => "absent",
        };
        let commit = match commit {
            None => "any",
            Some(Commit::Absent) => "none",
            Some(Commit::Ours) => "stamped by this node",
            Some(Commit::Others) => "stamped by another node",
            Some(Commit::Order) => "an order",
        };
        let place = match winner {
            Winner::Configuration => "the configured position",
            Winner::Order => "what the order says",
            Winner::Wal => "where the log stands",
            Winner::Group => "the group's commit",
            Winner::LogStart => "the start of the Kafka log",
        };
        format!("| {configured} | {wal} | {commit} | {place} |\n")
    });
    let table: String = rows.collect();
    let map = include_str!("../../../../ARCHITECTURE.md");
    assert!(map.contains(&table), "ARCHITECTURE.md does not show\n{table}");
}

/// The marks of a partition that consumed nothing, and of one that obeyed `TIME` and consumed up to 3 after it.
fn marks() -> (PartitionMarks, PartitionMarks) {
    let disk = disk::SimDisk::new(1);
    block_on(async {
        let (handle, slots, shard) = open(&disk, 2, options(1 << 30)).await.unwrap();
        let test = async {
            let empty = handle.start_facts().unwrap().answer().await.unwrap().marks[&P0];
            let order = PartitionReset { partition: P0, to: Offset(0), position: TIME.configured() };
            let done = handle.reset_store(vec![order]).unwrap().answer().await.unwrap();
            assert_eq!((done[0].from, done[0].generation.0), (Offset(0), 2));
            start_at_zero(&handle).await;
            let records: Vec<_> = (0..3).map(|offset| MadeRecord::of(offset, "a", &[("up", 1.0)])).collect();
            let mut piece = fetched(P0, 0, 3, &[batch(&records, 3)]);
            piece.generation = done[0].generation;
            slots.put(0, piece);
            settle(&handle, &slots).await;
            let full = handle.start_facts().unwrap().answer().await.unwrap().marks[&P0];
            handle.shutdown().unwrap().answer().await.unwrap();
            (empty, full)
        };
        beside(shard, test).await
    })
}

fn stamp(writer: &str, position: Option<&str>) -> String {
    let (writer, position) = (writer.to_owned(), position.map(str::to_owned));
    CommitStamp { writer, generation: 1, lsn: 1, time_ms: 1, next: None, position }.to_string()
}

#[test]
fn decisions_name_an_offset() {
    let (empty, full) = marks();
    assert_eq!((full.applied(), full.position()), (Some(Offset(3)), TIME.configured()));
    let bounds = LogBounds { start: Offset(2), end: Offset(50) };
    #[track_caller]
    fn check(
        marks: &PartitionMarks,
        commit: Option<(i64, String)>,
        position: StartPosition,
        bounds: LogBounds,
        expected: &str,
    ) {
        let commit = commit.map(|(offset, metadata)| CommittedOffset { offset, metadata });
        let evidence = Evidence { partition: P0, marks, commit: commit.as_ref(), writer: "me", position, bounds };
        let shown = match evidence.decide(Some(Offset(AT_TIME))) {
            Ok(decision) => {
                let ordered = if decision.is_ordered { " to be stamped" } else { "" };
                format!("{:?} {}{ordered}", decision.winner, decision.start.next())
            }
            Err(undecided) => undecided.to_string(),
        };
        assert!(shown.starts_with(expected), "{shown}");
    }
    let last = StartPosition::LastOffset;
    let (ours, others) = (stamp("me", None), stamp("you", None));
    // Nothing known, nothing configured.
    check(&empty, None, last, bounds, "LogStart 2");
    // Progress in the group, none on disk: behind the stored record.
    check(&empty, Some((9, ours.clone())), last, bounds, "Group 10");
    check(&empty, Some((9, others.clone())), last, bounds, "Group 10");
    check(
        &empty,
        Some((50, ours.clone())),
        last,
        bounds,
        "partition 0 was consumed up to offset 51 and its log ends at 50",
    );
    // The log on disk wins over progress of any writer, behind or ahead.
    check(&full, None, last, bounds, "Wal 3");
    check(&full, Some((1, ours.clone())), last, bounds, "Wal 3");
    check(&full, Some((9, ours.clone())), last, bounds, "Wal 3");
    check(&full, Some((9, others)), last, bounds, "Wal 3");
    let cut = LogBounds { start: Offset(0), end: Offset(2) };
    check(&full, None, last, cut, "partition 0 was consumed up to offset 3 and its log ends at 2");
    // Orders: without a stamp at the stored offset, with the stamp of an order at its word.
    check(&full, Some((9, String::new())), last, bounds, "Order 9 to be stamped");
    check(&empty, Some((9, String::new())), last, bounds, "Order 9 to be stamped");
    check(&full, Some((50, String::new())), last, bounds, "Order 50 to be stamped");
    check(&full, Some((9, OrderStamp { next: 10 }.to_string())), last, bounds, "Order 10 to be stamped");
    check(&full, Some((0, OrderStamp { next: 0 }.to_string())), last, bounds, "Order 0 to be stamped");
    check(
        &full,
        Some((51, String::new())),
        last,
        bounds,
        "the group's commit orders partition 0 to go on at offset 51",
    );
    check(&full, Some((1, String::new())), last, cut, "Order 1 to be stamped");
    // A configured position, new: over everything; obeyed before: as if it were not there.
    check(&empty, None, StartPosition::Start, bounds, "Configuration 2");
    check(&empty, Some((9, ours.clone())), StartPosition::End, bounds, "Configuration 50");
    check(&full, Some((9, ours.clone())), StartPosition::Start, bounds, "Configuration 2");
    check(&full, Some((9, String::new())), StartPosition::End, bounds, "Configuration 50 to be stamped");
    check(&full, None, StartPosition::Timestamp { unix_ms: 18 }, bounds, "Configuration 33");
    check(&full, Some((9, ours)), TIME, bounds, "Wal 3");
    check(&full, Some((9, String::new())), TIME, bounds, "Order 9 to be stamped");
    // The log on disk is lost: the stamp remembers the position as well.
    check(&empty, Some((9, stamp("me", Some("timestamp:17")))), TIME, bounds, "Group 10");
    check(&empty, Some((9, stamp("before", Some("timestamp:17")))), TIME, bounds, "Group 10");
    check(&empty, Some((9, stamp("me", Some("timestamp:16")))), TIME, bounds, "Configuration 33");
    check(&empty, Some((9, stamp("me", Some("start")))), StartPosition::Start, bounds, "Group 10");
}

/// An order that was obeyed before a crash, but not stamped, moves nothing the second time.
#[test]
fn an_order_to_where_the_partition_stands_moves_nothing() {
    let (_, full) = marks();
    let commit = CommittedOffset { offset: 3, metadata: String::new() };
    let (position, bounds) = (StartPosition::LastOffset, LogBounds { start: Offset(0), end: Offset(9) });
    let evidence = Evidence { partition: P0, marks: &full, commit: Some(&commit), writer: "me", position, bounds };
    let decision = evidence.decide(None).unwrap();
    assert_eq!((decision.start, decision.is_ordered), (super::orders::Start::Resume(Offset(3)), true));
    assert_eq!(evidence.position_known(), Some(StartupPosition::Timestamp { unix_ms: 17 }));
}
