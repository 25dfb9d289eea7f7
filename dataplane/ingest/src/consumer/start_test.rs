//! Where a partition is consumed from: its own progress, the group's commit, or the configured position.

use futures_lite::future::block_on;
use model::{Offset, PartitionId};
use tsdb::store::PartitionMarks;
use tsdb::wal::{Generation, RecordIdentity};

use super::partition::{Framed, frame};
use super::shard_fixture::{MadeRecord, batch, beside, fetched, open, options, settle, start_at_zero};
use super::start::{LogBounds, Recognized, Start, choose, recognize};
use super::{CommitStamp, StartPosition};

const P0: PartitionId = PartitionId(0);

/// The marks of a partition that consumed nothing, and of one that consumed up to 3.
fn marks() -> (PartitionMarks, PartitionMarks) {
    let disk = disk::SimDisk::new(1);
    block_on(async {
        let (handle, slots, shard) = open(&disk, 2, options(1 << 30)).await.unwrap();
        let test = async {
            let empty = handle.start_facts().unwrap().answer().await.unwrap().marks[&P0];
            start_at_zero(&handle).await;
            let records: Vec<_> = (0..3).map(|offset| MadeRecord::of(offset, "a", &[("up", 1.0)])).collect();
            slots.put(0, fetched(P0, 0, 3, &[batch(&records, 3)]));
            settle(&handle, &slots).await;
            let full = handle.start_facts().unwrap().answer().await.unwrap().marks[&P0];
            handle.shutdown().unwrap().answer().await.unwrap();
            (empty, full)
        };
        beside(shard, test).await
    })
}

#[test]
fn the_log_on_disk_wins_then_the_group_then_the_configuration() {
    let (empty, full) = marks();
    let bounds = LogBounds { start: Offset(2), end: Offset(50) };
    #[track_caller]
    fn check(
        marks: &PartitionMarks,
        committed: Option<i64>,
        position: StartPosition,
        bounds: LogBounds,
        expected: &str,
    ) {
        let at_time = Some(Offset(33));
        let chosen = match choose(marks, committed, position, bounds, at_time, P0) {
            Ok(Start::Resume(offset)) => format!("resume {offset}"),
            Ok(Start::At(offset)) => format!("at {offset}"),
            Err(mismatch) => mismatch.to_string(),
        };
        assert!(chosen.starts_with(expected), "{chosen}");
    }
    let time = StartPosition::Timestamp { unix_ms: 1 };
    check(&full, Some(9), StartPosition::End, bounds, "resume 3");
    check(&empty, Some(9), StartPosition::End, bounds, "at 10");
    check(&empty, Some(0), StartPosition::Start, bounds, "at 1");
    check(&empty, None, StartPosition::Start, bounds, "at 2");
    check(&empty, None, StartPosition::LastOffset, bounds, "at 2");
    check(&empty, None, StartPosition::End, bounds, "at 50");
    check(&empty, None, time, bounds, "at 33");
    check(&empty, Some(49), time, bounds, "at 50");
    check(
        &empty,
        Some(50),
        time,
        bounds,
        "partition 0 was consumed up to offset 51 and its log ends at 50: the topic was",
    );
    let cut = LogBounds { start: Offset(0), end: Offset(2) };
    check(&full, None, StartPosition::Start, cut, "partition 0 was consumed up to offset 3 and its log ends at 2");
}

#[test]
fn the_last_record_is_recognized() {
    let records: Vec<_> = (5..8).map(|offset| MadeRecord::of(offset, "a", &[("up", 1.0)])).collect();
    let (before, bytes) = (batch(&[MadeRecord::of(4, "a", &[("up", 1.0)])], 5), batch(&records, 8));
    let batch_crc = u32::from_be_bytes(bytes[17..21].try_into().unwrap());
    let fetched = [before, bytes].concat();
    let last = RecordIdentity { offset: Offset(6), timestamp_ms: 6000, batch_crc };
    #[track_caller]
    fn check(last: RecordIdentity, fetched: &[u8], expected: Result<Recognized, &str>) {
        match (recognize(P0, &last, fetched), expected) {
            (Ok(found), expected) => assert_eq!(Ok(found), expected),
            (Err(mismatch), Err(part)) => assert!(mismatch.to_string().contains(part), "{mismatch}"),
            (Err(mismatch), Ok(_)) => panic!("{mismatch}"),
        }
    }
    check(last, &fetched, Ok(Recognized::Same));
    check(last, &[], Ok(Recognized::Gone));
    check(RecordIdentity { offset: Offset(2), ..last }, &fetched, Ok(Recognized::Gone));
    check(RecordIdentity { offset: Offset(9), ..last }, &fetched, Ok(Recognized::Gone));
    check(RecordIdentity { timestamp_ms: 6001, ..last }, &fetched, Err("another record at offset 6"));
    check(RecordIdentity { batch_crc: 1, ..last }, &fetched, Err("Bring the former log back"));
    let mut damaged = fetched.clone();
    *damaged.last_mut().unwrap() ^= 1;
    check(last, &damaged, Err("another record"));
}

#[test]
fn frames_tell_where_to_go_on() {
    let one = |offset: i64| batch(&[MadeRecord::of(offset, "a", &[("up", 1.0)])], offset + 1);
    #[track_caller]
    fn check(fetched: &[u8], position: i64, high_watermark: i64, expected: Framed) {
        assert_eq!(frame(fetched, Offset(position), Offset(high_watermark)), expected);
    }
    let whole = |next| Framed::Whole { next: Offset(next) };
    let two = [one(0), one(1)].concat();
    check(&two, 0, 2, whole(2));
    check(&two[..two.len() - 1], 0, 2, whole(1));
    check(&two[..30], 0, 2, Framed::Partial);
    check(&two, 2, 2, Framed::Partial);
    check(&two, 0, 1, whole(1));
    check(&two, 0, 0, Framed::Broken);
    let mut bad_length = two.clone();
    bad_length[8] = 0xff;
    check(&bad_length, 0, 2, Framed::Broken);
    let mut bad_magic = two.clone();
    bad_magic[16] = 1;
    check(&bad_magic, 0, 2, whole(2));
}

#[test]
fn stamps_are_read_back_and_others_are_not_ours() {
    let stamp = CommitStamp { writer: "node-1".to_owned(), generation: Generation(3), lsn: 77, time_ms: 1_700_000 };
    assert_eq!(stamp.to_string(), "wellhead/1 writer=node-1 generation=3 lsn=77 time=1700000");
    assert_eq!(CommitStamp::parse(&stamp.to_string()), Some(stamp));
    for other in ["", "wellhead/1", "wellhead/2 writer=a generation=1 lsn=1 time=1", "wellhead/1 writer=a lsn=1", "x"] {
        assert_eq!(CommitStamp::parse(other), None, "{other:?}");
    }
}
