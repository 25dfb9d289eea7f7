//! A shard's loop from handed-over batches to answers: what is applied, missed, put aside, refused, and how it ends.

use disk::{Access, Disk, OpenMode, SimDisk};
use futures_lite::future::{block_on, yield_now};
use model::{MatchOp, Offset, PartitionId, RejectReason, Sample, ShardId};
use tsdb::read::NamesQuestion;
use tsdb::wal::Generation;

use super::shard_fixture::{
    EVER, LocalSlots, MadeRecord, QUARANTINE_DIR, batch, beside, fetched, open, options, put_field, read, request,
    settle, start_at_zero, write_request,
};
use super::{
    Handed, Health, LoopCounters, NamesRequest, QuarantineReader, Quarantined, RawBatch, ReadBudget, ReadError,
    ShardHandle, quarantine_path,
};

const WAL_BYTES: u64 = 1 << 30;
const P0: PartitionId = PartitionId(0);
const P1: PartitionId = PartitionId(1);

/// Runs a shard of two partitions on an empty disk, hands over `pieces`, and looks at it before it ends.
fn run<T>(pieces: &[(usize, RawBatch)], look: impl AsyncFnOnce(&ShardHandle, &LocalSlots) -> T) -> (SimDisk, T) {
    let disk = SimDisk::new(1);
    let value = block_on(async {
        let (handle, slots, shard) = open(&disk, 2, options(WAL_BYTES)).await.unwrap();
        let test = async {
            start_at_zero(&handle).await;
            for (slot, piece) in pieces {
                slots.put(*slot, piece.clone());
            }
            settle(&handle, &slots).await;
            let value = look(&handle, &slots).await;
            handle.shutdown().unwrap().answer().await.unwrap();
            value
        };
        beside(shard, test).await
    });
    (disk, value)
}

/// The file of a shard on a disk.
fn quarantined(disk: &SimDisk) -> Vec<Quarantined> {
    block_on(async {
        let path = quarantine_path(QUARANTINE_DIR.as_ref(), ShardId(0));
        let Ok(file) = disk.open(&path, OpenMode::Read, Access::Buffered).await else { return Vec::new() };
        let mut reader = QuarantineReader::open(&file).await.unwrap();
        let mut entries = Vec::new();
        while let Some(entry) = reader.next_entry().await.unwrap() {
            entries.push(entry);
        }
        entries
    })
}

#[test]
fn what_is_handed_over_is_read_by_tenant() {
    let first =
        batch(&[MadeRecord::of(0, "a", &[("up", 1.0), ("load", 2.0)]), MadeRecord::of(1, "b", &[("up", 3.0)])], 2);
    let second = batch(&[MadeRecord::of(2, "a", &[("up", 4.0)])], 3);
    let other = batch(&[MadeRecord::of(0, "a", &[("other", 5.0)])], 1);
    let pieces = [(0, fetched(P0, 0, 3, &[first, second])), (1, fetched(P1, 0, 1, &[other]))];
    run(&pieces, async |handle, _| {
        let a = read(handle, "a").await.unwrap();
        let expected = [("load", vec![(0, 2.0)]), ("other", vec![(0, 5.0)]), ("up", vec![(0, 1.0), (2000, 4.0)])];
        assert_eq!(a, expected.map(|(name, samples)| (name.to_owned(), samples)).into());
        assert_eq!(read(handle, "b").await.unwrap(), [("up".to_owned(), vec![(1000, 3.0)])].into());
        assert!(read(handle, "c").await.unwrap().is_empty());
        let snapshot = handle.partition(P0).unwrap().snapshot();
        assert_eq!((snapshot.applied, snapshot.durable), (Some(Offset(3)), Some(Offset(3))));
        assert_eq!((snapshot.records, snapshot.last_record_ms), (3, Some(2000)));
        assert_eq!(snapshot.counters, LoopCounters { samples_stored: 4, ..LoopCounters::default() });
        let report = handle.report().unwrap().answer().await.unwrap();
        assert_eq!((report.store.series, report.tenants.len()), (4, 2));
        assert!(handle.durable_lsn() > 0 && report.turns > 0);
    });
}

#[test]
fn names_and_series_are_answered() {
    let records = [MadeRecord::of(0, "a", &[("up", 1.0), ("load", 2.0)])];
    run(&[(0, fetched(P0, 0, 1, &[batch(&records, 1)]))], async |handle, _| {
        let ask = async |question| {
            let tenant = request("a", MatchOp::Equal, "up").tenant;
            let request = NamesRequest { tenant, question, matchers: [].into(), range: EVER };
            handle.names(request).unwrap().answer().await.unwrap().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(ask(NamesQuestion::Names).await, ["__name__", "job"]);
        assert_eq!(ask(NamesQuestion::ValuesOf("__name__".into())).await, ["load", "up"]);
        let mut stream = handle.series(request("a", MatchOp::Equal, "up")).unwrap();
        let piece = stream.next_piece_async().await.unwrap().unwrap();
        assert_eq!(piece[0].to_string(), r#"{__name__="up", job="test"}"#);
        assert!(stream.next_piece_async().await.unwrap().is_none());
        assert!(stream.next_piece_async().await.unwrap().is_none(), "the end stays the end");
    });
}

/// What cannot be read is put aside with its range and reason; everything around it is applied.
#[test]
fn damage_is_put_aside_and_does_not_stop_the_partition() {
    let good = |offset| MadeRecord::of(offset, "a", &[("up", offset as f64)]);
    let no_key = MadeRecord { key: None, ..good(1) };
    let bad_tenant = MadeRecord { key: Some(b"a/b".to_vec()), ..good(2) };
    let bad_version = MadeRecord { version: Some(9u32.to_be_bytes().to_vec()), ..good(3) };
    let bad_value = MadeRecord { value: Some(b"\x0a\xff".to_vec()), ..good(4) };
    let records = batch(&[good(0), no_key, bad_tenant, bad_version, bad_value, good(5)], 6);
    let mut bad_crc = batch(&[good(6), good(7)], 8);
    *bad_crc.last_mut().unwrap() ^= 1;
    let unframed = RawBatch {
        partition: P0,
        generation: Generation(1),
        expected: Offset(9),
        next: Offset(10),
        handed: Handed::Unframed(b"garbage"[..].into()),
    };
    let pieces = [
        (0, fetched(P0, 0, 9, &[records, bad_crc.clone(), batch(&[good(8)], 9)])),
        (0, unframed),
        (0, fetched(P0, 10, 11, &[batch(&[good(10)], 11)])),
    ];
    let (disk, ()) = run(&pieces, async |handle, _| {
        let up = read(handle, "a").await.unwrap().remove("up").unwrap();
        assert_eq!(up, [0, 5, 8, 10].map(|offset| (offset * 1000, offset as f64)));
        let snapshot = handle.partition(P0).unwrap().snapshot();
        assert_eq!(snapshot.durable, Some(Offset(11)));
        assert_eq!((snapshot.counters.quarantined_records, snapshot.counters.quarantined_batches), (4, 2));
        assert_eq!((snapshot.counters.missed_offsets, snapshot.counters.quarantine_dropped), (0, 0));
    });
    let entries = quarantined(&disk);
    let shape = |entry: &Quarantined| (entry.first.0, entry.next.0, entry.payload.len());
    let value_len = write_request(&[("up", Sample { timestamp_ms: 1000, value: 1.0 })]).len();
    let shapes: Vec<_> = entries.iter().map(shape).collect();
    assert_eq!(shapes[..2], [(1, 2, value_len), (2, 3, value_len)]);
    assert_eq!(shapes[3..], [(4, 5, 2), (6, 8, bad_crc.len()), (9, 10, 7)]);
    assert_eq!(entries[4].payload, bad_crc);
    for (entry, reason) in entries.iter().zip(["no key", "tenant", "version 9", "malformed", "CRC", "no frame"]) {
        assert!(entry.reason.contains(reason), "{}", entry.reason);
    }
}

#[track_caller]
fn check_gap(pieces: &[RawBatch], missed: u64, gaps: u64, applied: i64) {
    let pieces: Vec<_> = pieces.iter().map(|piece| (0, piece.clone())).collect();
    run(&pieces, async |handle, _| {
        let snapshot = handle.partition(P0).unwrap().snapshot();
        assert_eq!((snapshot.counters.missed_offsets, snapshot.counters.gaps), (missed, gaps));
        assert_eq!(snapshot.durable, Some(Offset(applied)));
        assert_eq!(snapshot.counters.samples_equal, 0);
    });
}

#[test]
fn holes_are_counted_once_and_overlaps_are_not_applied_twice() {
    let one = |offset: i64| batch(&[MadeRecord::of(offset, "a", &[("up", 1.0)])], offset + 1);
    let gone = RawBatch { handed: Handed::Gone, ..fetched(P0, 0, 5, &[]) };
    check_gap(&[gone.clone(), fetched(P0, 5, 6, &[one(5)])], 5, 1, 6);
    check_gap(&[fetched(P0, 0, 8, &[one(0), one(7)])], 6, 1, 8);
    check_gap(&[fetched(P0, 0, 1, &[one(0)]), fetched(P0, 4, 5, &[one(4)])], 3, 1, 5);
    let compacted = [MadeRecord::of(0, "a", &[("up", 1.0)]), MadeRecord::of(3, "a", &[("up", 1.0)])];
    check_gap(&[fetched(P0, 0, 6, &[batch(&compacted, 6)])], 4, 2, 6);
    check_gap(&[fetched(P0, 0, 2, &[one(0), one(1)]), fetched(P0, 0, 3, &[one(0), one(1), one(2)])], 0, 0, 3);
    check_gap(&[fetched(P0, 0, 1, &[one(0)]), gone], 4, 1, 5);
    // A batch behind what was counted in is fetched again; a part of one is not looked at.
    check_gap(&[fetched(P0, 0, 1, &[one(0), one(1)])], 0, 0, 1);
    check_gap(&[fetched(P0, 0, 1, &[one(0), one(1)[..40].to_vec()])], 0, 0, 1);
}

#[test]
fn late_rejects_are_counted_by_tenant_and_reason() {
    let now = Sample { timestamp_ms: 5000, value: 1.0 };
    let future = Sample { timestamp_ms: 5000 + 60_001, value: 1.0 };
    let mut value = write_request(&[("up", now), ("up", now), ("up", Sample { value: 2.0, ..now }), ("far", future)]);
    let mut unsorted = Vec::new();
    put_field(0x0a, b"\x0a\x01b\x12\x01x", &mut unsorted);
    put_field(0x0a, b"\x0a\x08__name__\x12\x01m", &mut unsorted);
    put_field(0x12, b"\x10\x01", &mut unsorted);
    put_field(0x0a, &unsorted, &mut value);
    let mut with_histogram = Vec::new();
    put_field(0x0a, b"\x0a\x08__name__\x12\x01h", &mut with_histogram);
    put_field(0x22, b"\x08\x01", &mut with_histogram);
    put_field(0x0a, &with_histogram, &mut value);
    let record = MadeRecord { value: Some(value), timestamp_ms: 5000, ..MadeRecord::of(0, "a", &[]) };
    run(&[(0, fetched(P0, 0, 1, &[batch(&[record], 1)]))], async |handle, _| {
        let report = handle.report().unwrap().answer().await.unwrap();
        let tenant = &report.tenants[0];
        assert_eq!((tenant.samples_stored, tenant.samples_equal), (1, 1));
        let expected = [
            (RejectReason::LabelsNotSorted, 1),
            (RejectReason::TooFarInFuture, 1),
            (RejectReason::DuplicateTimestamp, 1),
            (RejectReason::Unsupported, 1),
        ];
        assert_eq!(tenant.rejected, expected);
        let counters = handle.partition(P0).unwrap().snapshot().counters;
        assert_eq!((counters.samples_stored, counters.samples_equal, counters.samples_rejected), (1, 1, 4));
    });
}

#[test]
fn a_query_over_its_budget_is_told_and_a_lost_reader_costs_nothing() {
    let names: Vec<String> = (0..600).map(|index| format!("m{index}")).collect();
    let series: Vec<(&str, f64)> = names.iter().map(|name| (name.as_str(), 1.0)).collect();
    let records = [MadeRecord::of(0, "a", &series)];
    run(&[(0, fetched(P0, 0, 1, &[batch(&records, 1)]))], async |handle, _| {
        let budget = ReadBudget::new(5000);
        let mut stream = handle.select(request("a", MatchOp::Regex, "m.*"), budget.clone()).unwrap();
        let mut count = 0;
        let error = loop {
            match stream.next_piece_async().await {
                Ok(piece) => count += piece.expect("it ends with an error").len(),
                Err(error) => break error,
            }
        };
        assert_eq!(error, ReadError::OverBudget { bytes_max: 5000 });
        assert!((1..600).contains(&count) && budget.charged_bytes() <= 5000, "{count}");
        drop(handle.select(request("a", MatchOp::Regex, "m.*"), ReadBudget::new(1 << 20)).unwrap());
        while handle.report().unwrap().answer().await.unwrap().reads_active > 0 {
            yield_now().await;
        }
        assert_eq!(read(handle, "a").await.unwrap().len(), 600);
    });
}

/// The log is full: nothing is taken any more, `/ready` says why, questions are answered, and the shard can be stopped.
#[test]
fn a_full_log_holds_the_shard() {
    let disk = SimDisk::new(1);
    block_on(async {
        let (handle, slots, shard) = open(&disk, 2, options(3 * 16 * 4096)).await.unwrap();
        let test = async {
            start_at_zero(&handle).await;
            let mut offset = 0;
            while !matches!(handle.partition(P0).unwrap().health(), Health::Stuck { .. }) {
                let records = [MadeRecord::of(offset, "a", &[("up", 0.1)])];
                slots.put(0, fetched(P0, offset, offset + 1, &[batch(&records, offset + 1)]));
                offset += 1;
                while !slots.is_empty() && !matches!(handle.partition(P0).unwrap().health(), Health::Stuck { .. }) {
                    yield_now().await;
                }
                assert!(offset < 100_000);
            }
            slots.put(1, fetched(P1, 0, 1, &[batch(&[MadeRecord::of(0, "a", &[("p1", 1.0)])], 1)]));
            for _ in 0..100 {
                yield_now().await;
            }
            assert!(!slots.is_empty(), "a held shard takes nothing");
            let why = handle.partition(P1).unwrap().ready().unwrap_err().to_string();
            assert!(why.contains("write-ahead log") && why.contains("stuck"), "{why}");
            assert!(read(&handle, "a").await.unwrap().contains_key("up"));
            let snapshot = handle.partition(P0).unwrap().snapshot();
            assert!(snapshot.durable < snapshot.applied);
            handle.shutdown().unwrap().answer().await.unwrap();
        };
        beside(shard, test).await;
    });
}

#[test]
fn a_shard_whose_handles_are_gone_ends() {
    let disk = SimDisk::new(1);
    block_on(async {
        let (handle, _slots, shard) = open(&disk, 1, options(WAL_BYTES)).await.unwrap();
        let late = handle.clone();
        drop(handle);
        beside(shard, async { drop(late) }).await;
        let (handle, _slots, shard) = open(&disk, 1, options(WAL_BYTES)).await.unwrap();
        drop(shard);
        assert!(handle.is_ended());
        assert_eq!(handle.report().unwrap_err(), ReadError::Stopped);
    });
}
