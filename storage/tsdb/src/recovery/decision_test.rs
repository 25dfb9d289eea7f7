//! Every row of the tables, on logs that a real writer made and the test then hurt.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;

use disk::{Disk, SimDisk};
use futures_lite::future::block_on;
use model::{PartitionId, ShardId};

use super::decision::{HEADER_TABLE, STREAM_TABLE};
use super::log_fixture::{
    BLOCK, OPTIONS, ROOT, Seen, add_record, dir, overwrite, put_header, put_part, segment_path, shorten,
};
use super::{Evidence, Finding, RecoveryError, Survey, survey};
use crate::wal::{
    Epoch, LogIdentity, Lsn, PartHeader, SegmentHeader, SegmentId, StreamPosition, Turn, Wal, WalOptions,
};

const P0: PartitionId = PartitionId(0);

/// A log of one-block frames; frame n holds the record with offset n.
async fn log_of(frames: i64) -> SimDisk {
    let disk = SimDisk::new(5);
    write_log(&disk, 0, frames, Epoch(1), None).await;
    disk
}

async fn write_log(disk: &SimDisk, shard: u16, frames: i64, epoch: Epoch, identity: Option<&LogIdentity>) {
    let mut wal = Wal::create(disk.clone(), &dir(shard), ShardId(shard), OPTIONS).await.unwrap();
    for offset in 1..=frames {
        let mut turn = turn_of(offset, epoch);
        identity.iter().for_each(|identity| turn.identity(identity));
        assert_eq!(wal.append(&mut turn).await.unwrap(), Lsn(offset as u64));
    }
}

fn turn_of(offset: i64, epoch: Epoch) -> Turn {
    let mut turn = Turn::new();
    add_record(&mut turn, P0, epoch, offset, 3);
    turn
}

fn part(lsn: u64, index: u16, count: u16, synced: u64) -> PartHeader {
    PartHeader { position: StreamPosition { lsn: Lsn(lsn), part: index }, part_count: count, synced: Lsn(synced) }
}

/// Puts a one-block part where frame `place` of segment 1 stands in a log of one-block frames.
async fn put(disk: &SimDisk, place: u64, header: PartHeader) {
    put_part(disk, 1, place * BLOCK, header, &mut turn_of(place as i64, Epoch(1))).await;
}

async fn blot(disk: &SimDisk, place: u64, byte: u8) {
    overwrite(disk, &segment_path(0, 1), place * BLOCK, &[byte; 4096]).await;
}

fn rot(disk: &SimDisk, segment: u64, offset: u64) {
    disk.rot(&segment_path(0, segment), offset, 1);
}

async fn header(disk: &SimDisk, segment: u64, first: StreamPosition, synced: u64) {
    let (shard, segment_bytes, id) = (ShardId(0), OPTIONS.segment_bytes, SegmentId(segment));
    let header = SegmentHeader { shard, segment: id, segment_bytes, first, synced: Lsn(synced) };
    put_header(disk, segment, &header).await;
}

#[derive(Debug)]
enum Expected {
    /// The last accepted frame; what was cut off.
    Log(u64, Option<(Finding, Evidence)>),
    /// Segment and offset that the error names, and a part of its text.
    Damage(u64, u64, &'static str),
    Refused(&'static str),
}
use Expected::{Damage, Log, Refused};

type Case = (&'static str, i64, fn(&SimDisk) -> Pin<Box<dyn Future<Output = ()> + '_>>, Expected);

/// `(name, frames written, what is done to the log, what recovery says)`.
#[rustfmt::skip]
fn stream_cases() -> Vec<Case> {
    use Evidence::{LaterUnsynced, Nothing};
    use Finding::{Checksum, NotAPart, SegmentEnd, Zeros};
    vec![
        ("no frame yet", 0, |_| Box::pin(async {}), Log(0, None)),
        ("clean end", 3, |_| Box::pin(async {}), Log(3, None)),
        ("clean end of a full segment", 7, |_| Box::pin(async {}), Log(7, None)),
        ("clean end in the third segment", 16, |_| Box::pin(async {}), Log(16, None)),
        ("recycled bytes behind the tail", 3, |d| Box::pin(async {
            put_part(d, 1, 5 * BLOCK, part(9, 0, 1, 8), &mut turn_of(9, Epoch(1))).await;
            let mut bytes = Vec::new();
            part(4, 0, 1, 3).encode(SegmentId(77), b"older life", &[], &mut bytes);
            overwrite(d, &segment_path(0, 1), 4 * BLOCK, &bytes).await;
            overwrite(d, &segment_path(0, 1), 5 * BLOCK, &bytes).await;
        }), Log(3, Some((Checksum, Nothing)))),

        ("last frame zero", 3, |d| Box::pin(blot(d, 3, 0)), Log(2, None)),
        ("last frame garbage", 3, |d| Box::pin(blot(d, 3, 1)), Log(2, Some((NotAPart, Nothing)))),
        ("last frame torn", 3, |d| Box::pin(async { rot(d, 1, 3 * BLOCK + 40) }), Log(2, Some((Checksum, Nothing)))),
        ("last frame claims too much", 3, |d| Box::pin(overwrite_len(d, 3)), Log(2, Some((Checksum, Nothing)))),

        ("zeros, then a frame from before a sync", 1, |d| Box::pin(put(d, 3, part(3, 0, 1, 1))), Log(1, Some((Zeros, LaterUnsynced)))),
        ("garbage, then a frame from before a sync", 1, |d| Box::pin(async { blot(d, 2, 1).await; put(d, 3, part(3, 0, 1, 1)).await }),
            Log(1, Some((NotAPart, LaterUnsynced)))),
        ("torn, then a frame from before a sync", 2, |d| Box::pin(async { rot(d, 1, 2 * BLOCK + 40); put(d, 3, part(3, 0, 1, 1)).await }),
            Log(1, Some((Checksum, LaterUnsynced)))),
        ("first part missing, second there", 1, |d| Box::pin(put(d, 3, part(2, 1, 2, 1))), Log(1, Some((Zeros, LaterUnsynced)))),
        ("second part missing", 1, |d| Box::pin(put(d, 2, part(2, 0, 2, 1))), Log(1, Some((Zeros, Nothing)))),
        ("the segment ends before the place where the next starts, unsynced", 7, |d| Box::pin(
            header(d, 2, StreamPosition { lsn: Lsn(8), part: 1 }, 7)), Log(7, Some((SegmentEnd, LaterUnsynced)))),

        ("synced frame zero", 3, |d| Box::pin(blot(d, 2, 0)), Damage(1, 2 * BLOCK, "zeros")),
        ("synced frame garbage", 3, |d| Box::pin(blot(d, 2, 1)), Damage(1, 2 * BLOCK, "overwritten")),
        ("synced frame rotten", 3, |d| Box::pin(async { rot(d, 1, 2 * BLOCK + 50) }), Damage(1, 2 * BLOCK, "fails its checksum")),
        ("synced header of a frame rotten", 3, |d| Box::pin(async { rot(d, 1, BLOCK + 17) }), Damage(1, BLOCK, "fails its checksum")),
        ("second part of a synced frame missing", 1, |d| Box::pin(async {
            put(d, 2, part(2, 0, 2, 1)).await; put(d, 4, part(3, 0, 1, 2)).await; }), Damage(1, 3 * BLOCK, "zeros")),
        ("last frame of a segment rotten, the next in use", 8, |d| Box::pin(async { rot(d, 1, 7 * BLOCK + 50) }),
            Damage(1, 7 * BLOCK, "fails its checksum")),
        ("the segment ends before the place where the next starts", 7, |d| Box::pin(
            header(d, 2, StreamPosition::start_of(Lsn(9)), 8)), Damage(1, 8 * BLOCK, "missing before the next segment")),

        ("file cut behind the last frame", 3, |d| Box::pin(cut(d, 1, 4 * BLOCK)), Damage(1, 4 * BLOCK, "shorter")),
        ("file cut before the last frame", 3, |d| Box::pin(cut(d, 1, 3 * BLOCK)), Damage(1, 3 * BLOCK, "shorter")),
        ("file cut inside a part", 3, |d| Box::pin(cut(d, 1, 3 * BLOCK + 40)), Damage(1, 3 * BLOCK, "shorter")),
        ("older file cut", 9, |d| Box::pin(cut(d, 1, 3 * BLOCK)), Damage(1, 3 * BLOCK, "shorter")),
        ("frame of another place", 3, |d| Box::pin(put(d, 2, part(9, 0, 1, 1))), Damage(1, 2 * BLOCK, "another place")),
        ("frame twice", 3, |d| Box::pin(put(d, 3, part(2, 0, 1, 1))), Damage(1, 3 * BLOCK, "another place")),
        ("part of a frame with another count", 1, |d| Box::pin(async {
            put(d, 2, part(2, 0, 2, 1)).await; put(d, 3, part(2, 1, 3, 1)).await; }), Damage(1, 3 * BLOCK, "another place")),
        ("epoch falls back", 1, |d| Box::pin(
            put_part(d, 1, 2 * BLOCK, part(2, 0, 1, 1), Box::leak(Box::new(turn_of(2, Epoch(0)))))), Damage(1, 2 * BLOCK, "epoch")),
        ("frame of a newer release", 3, |d| Box::pin(newer_frame(d)), Refused("newer release")),
    ]
}

async fn cut(disk: &SimDisk, segment: u64, len: u64) {
    shorten(disk, &segment_path(0, segment), len).await;
}

async fn overwrite_len(disk: &SimDisk, place: u64) {
    overwrite(disk, &segment_path(0, 1), place * BLOCK + 12, &(9u32 << 12).to_le_bytes()).await;
}

/// A whole frame whose version byte is 2.
async fn newer_frame(disk: &SimDisk) {
    let mut bytes = Vec::new();
    part(4, 0, 1, 3).encode(SegmentId(1), &[], &[], &mut bytes);
    bytes[4] = 2;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..32]), &1u64.to_le_bytes());
    bytes[32..36].copy_from_slice(&crc.to_le_bytes());
    overwrite(disk, &segment_path(0, 1), 4 * BLOCK, &bytes).await;
}

#[rustfmt::skip]
fn header_cases() -> Vec<Case> {
    vec![
        ("reserve without a header", 3, |d| Box::pin(async { overwrite(d, &segment_path(0, 2), 0, &[0; 4096]).await }), Log(3, None)),
        ("reserve with garbage for a header", 3, |d| Box::pin(async { overwrite(d, &segment_path(0, 2), 0, &[1; 4096]).await }), Log(3, None)),
        ("reserve with an older life's header", 3, |d| Box::pin(async {
            let first = StreamPosition::start_of(Lsn(1));
            let (shard, segment_bytes) = (ShardId(0), OPTIONS.segment_bytes);
            let old = SegmentHeader { shard, segment: SegmentId(44), segment_bytes, first, synced: Lsn(0) };
            put_header(d, 2, &old).await; }), Log(3, None)),
        ("reserve that was not allocated", 3, |d| Box::pin(cut(d, 2, 0)), Log(3, None)),
        ("header zero, later in use", 9, |d| Box::pin(async { overwrite(d, &segment_path(0, 1), 0, &[0; 4096]).await;
            for place in 1..8 { blot(d, place, 0).await } }), Damage(1, 0, "is gone")),
        ("header damaged, later in use", 9, |d| Box::pin(async { rot(d, 1, 20); for place in 1..8 { blot(d, place, 0).await } }),
            Damage(1, 0, "is damaged")),
        ("header zero before frames", 9, |d| Box::pin(async { overwrite(d, &segment_path(0, 2), 0, &[0; 4096]).await }), Damage(2, 0, "is gone")),
        ("header damaged before frames", 9, |d| Box::pin(async { rot(d, 2, 30) }), Damage(2, 0, "is damaged")),
        ("header of another shard", 3, |d| Box::pin(async {
            let first = StreamPosition::start_of(Lsn(1));
            let (segment, segment_bytes) = (SegmentId(1), OPTIONS.segment_bytes);
            put_header(d, 1, &SegmentHeader { shard: ShardId(6), segment, segment_bytes, first, synced: Lsn(0) }).await; }),
            Damage(1, 0, "shard 6")),
        ("header of a newer release", 3, |d| Box::pin(async { overwrite(d, &segment_path(0, 1), 8, &[2, 0]).await }), Refused("newer release")),
        ("oldest segment gone", 9, |d| Box::pin(async { d.remove(&segment_path(0, 1)).await.unwrap() }), Damage(2, 0, "no checkpoint has them")),
        ("segment gone between others", 16, |d| Box::pin(async { d.remove(&segment_path(0, 2)).await.unwrap() }), Refused("0000000000000002.wal is missing")),
    ]
}

async fn check(case: &Case) -> Option<String> {
    let (name, frames, hurt, expected) = case;
    let disk = log_of(*frames).await;
    hurt(&disk).await;
    let result = survey(&disk, Path::new(ROOT)).await;
    match (expected, result) {
        (Log(accepted, torn), Ok(survey)) => {
            let folder = &survey.folders()[0];
            let found = folder.torn_tail().map(|tail| (tail.finding, tail.evidence));
            assert_eq!((folder.accepted().0, found), (*accepted, *torn), "{name}");
            check_goes_on(name, &disk, &survey, *accepted).await;
            None
        }
        (Damage(segment, offset, text), Err(error)) => {
            let RecoveryError::Damaged { segment: path, offset: at, what } = &error else { panic!("{name}: {error}") };
            assert_eq!((path, at), (&segment_path(0, *segment), offset), "{name}: {error}");
            assert!(what.contains(text) && error.to_string().contains("read again from Kafka"), "{name}: {error}");
            Some(what.clone())
        }
        (Refused(text), Err(error)) => {
            assert!(error.to_string().contains(text), "{name}: {error}");
            None
        }
        (expected, result) => panic!("{name}: expected {expected:?}, got {result:?}"),
    }
}

/// After every accepted end the log takes new frames, and the next recovery sees both, whatever the crash leaves behind.
async fn check_goes_on(name: &str, disk: &SimDisk, survey_before: &Survey, accepted: u64) {
    let folder = survey_before.folder(Path::new(ROOT), ShardId(0));
    let mut wal = Wal::open(disk.clone(), &folder, OPTIONS).await.unwrap();
    for offset in accepted + 1..accepted + 10 {
        wal.append(&mut turn_of(offset as i64, Epoch(1))).await.unwrap();
    }
    for seed in 0..4 {
        let disk = disk.crash(seed);
        let survey =
            survey(&disk, Path::new(ROOT)).await.unwrap_or_else(|error| panic!("{name}, seed {seed}: {error}"));
        let seen = Seen::all(&disk, &survey).await.unwrap();
        let expected: Vec<(i64, u32)> = (1..accepted as i64 + 10).map(|offset| (offset, 3)).collect();
        assert_eq!(seen.records[&P0], expected, "{name}, seed {seed}");
        assert_eq!(survey.folders()[0].torn_tail(), None, "{name}, seed {seed}");
    }
}

#[test]
fn every_row_of_the_tables_is_met() {
    let mut sentences = Vec::new();
    for case in stream_cases().iter().chain(&header_cases()) {
        sentences.extend(block_on(check(case)));
    }
    let known = STREAM_TABLE.iter().map(|row| row.2).chain(HEADER_TABLE.iter().map(|row| row.2));
    for sentence in known {
        assert!(sentences.iter().any(|said| said.starts_with(sentence)), "no case for {sentence:?}");
    }
}

async fn survey_two(one: (Epoch, &str), other: (Epoch, &str)) -> Result<Survey, RecoveryError> {
    let disk = SimDisk::new(1);
    for (shard, (epoch, topic)) in [one, other].into_iter().enumerate() {
        let identity = LogIdentity { cluster_id: "c".into(), topic_id: [1; 16], topic_name: topic.to_owned() };
        write_log(&disk, shard as u16, 2, epoch, Some(&identity)).await;
    }
    survey(&disk, Path::new(ROOT)).await
}

#[test]
fn folders_are_checked_against_each_other() {
    block_on(async {
        let survey = survey_two((Epoch(1), "t"), (Epoch(2), "t")).await.unwrap();
        assert_eq!(survey.identity().unwrap().topic_name, "t");
        assert_eq!(survey.epoch(P0, ShardId(1)), Epoch(2), "it goes on where it was");
        assert_eq!(survey.epoch(P0, ShardId(0)), Epoch(3), "it moves back");
        assert_eq!(survey.epoch(PartitionId(9), ShardId(0)), Epoch(1), "it is new");
        let twice = survey_two((Epoch(1), "t"), (Epoch(1), "t")).await.unwrap_err();
        assert!(matches!(twice, RecoveryError::DuplicateEpoch { .. }), "{twice}");
        let differ = survey_two((Epoch(1), "t"), (Epoch(2), "u")).await.unwrap_err();
        assert!(differ.to_string().contains("topic u"), "{differ}");
    });
}

#[test]
fn a_missing_root_is_an_empty_log() {
    let disk = SimDisk::new(1);
    assert!(block_on(survey(&disk, Path::new(ROOT))).unwrap().folders().is_empty());
}

/// The table must not make up for what `Wal` promises: a segment in reserve is never read as frames.
#[test]
fn options_may_change_between_runs() {
    block_on(async {
        let disk = log_of(5).await;
        for segment_blocks in [8, 20, 6] {
            let known = survey(&disk, Path::new(ROOT)).await.unwrap();
            let folder = known.folder(Path::new(ROOT), ShardId(0));
            let options = WalOptions { segment_bytes: segment_blocks * BLOCK, ..OPTIONS };
            let mut wal = Wal::open(disk.clone(), &folder, options).await.unwrap();
            for offset in folder.accepted().0 + 1..folder.accepted().0 + 10 {
                wal.append(&mut turn_of(offset as i64, Epoch(1))).await.unwrap();
            }
        }
        let known = survey(&disk, Path::new(ROOT)).await.unwrap();
        assert_eq!(Seen::all(&disk, &known).await.unwrap().records[&P0].len(), 5 + 3 * 9);
    });
}
