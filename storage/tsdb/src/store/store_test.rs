//! One store: applying, committing, refusing, reading, opening again.

use std::path::Path;

use disk::SimDisk;
use futures_lite::future::block_on;
use model::{FingerprintKey, Offset, PartitionId, RejectReason, Sample, ShardId, TenantId};

use super::store_fixture::{ROOT, Shown, expected_samples, fill, labels_of, options, read_all, samples_of, tenant_of};
use super::*;
use crate::read::NamesQuestion;
use crate::recovery::survey;
use crate::wal::{Epoch, Lsn};

const P0: PartitionId = PartitionId(0);
const P1: PartitionId = PartitionId(1);

async fn open_with(disk: &SimDisk, options: StoreOptions, partitions: &[PartitionId]) -> ShardStore<SimDisk> {
    let survey = survey(disk, Path::new(ROOT)).await.unwrap();
    ShardStore::open(disk.clone(), Path::new(ROOT), &survey, partitions, options).await.unwrap()
}

async fn open(disk: &SimDisk) -> ShardStore<SimDisk> {
    open_with(disk, options(), &[P0, P1]).await
}

async fn new_store(disk: &SimDisk) -> ShardStore<SimDisk> {
    let mut store = open(disk).await;
    store.start_at(P0, Offset(0));
    store.start_at(P1, Offset(0));
    store
}

fn expected(marks: &[(PartitionId, i64)]) -> Shown {
    let mut shown = Shown::new();
    marks.iter().for_each(|(partition, next)| expected_samples(*partition, *next, &mut shown));
    shown
}

#[test]
fn what_was_committed_comes_back() {
    block_on(async {
        let disk = SimDisk::new(1);
        let mut store = new_store(&disk).await;
        let applied = fill(&mut store, P0, 0..300);
        fill(&mut store, P1, 0..5);
        assert_eq!((store.marks(P0).applied(), store.marks(P0).durable()), (Some(Offset(300)), None));
        assert!(applied.equal > 100 && applied.rejected == applied.equal, "{applied:?}");
        store.commit().await.unwrap();
        assert_eq!(store.marks(P0).durable(), Some(Offset(300)));
        assert_eq!(read_all(&store), expected(&[(P0, 300), (P1, 5)]));
        let frames = store.counters().wal.unwrap().frames;
        store.commit().await.unwrap();
        assert_eq!(store.counters().wal.unwrap().frames, frames, "nothing to commit, nothing written");

        let again = open(&disk).await;
        assert_eq!(read_all(&again), expected(&[(P0, 300), (P1, 5)]));
        let (marks, replayed) = (again.marks(P0), again.counters().replayed);
        assert_eq!((marks.applied(), marks.durable()), (Some(Offset(300)), Some(Offset(300))));
        assert_eq!((marks.epoch(), marks.last().unwrap().offset), (Epoch(1), Offset(299)));
        let stored: u64 = store.tenant_counters().map(|(_, counters)| counters.samples_stored).sum();
        assert_eq!((replayed.samples, replayed.samples_equal, replayed.samples_rejected), (stored, 0, 0));
        assert_eq!(again.counters().series, store.counters().series);
        assert_eq!(replayed.series, store.counters().series);
    });
}

#[test]
fn samples_that_were_not_stored_are_not_logged() {
    block_on(async {
        let disk = SimDisk::new(1);
        let mut store = new_store(&disk).await;
        fill(&mut store, P0, 0..4);
        let logged = store.filling.turn.sample_count();
        let again = fill_again(&mut store, 0..4);
        assert_eq!((again.stored, store.filling.turn.sample_count()), (0, logged));
        assert!(again.equal > 0);
        let rejected: u64 =
            store.tenant_counters().map(|(_, counters)| counters.rejected(RejectReason::DuplicateTimestamp)).sum();
        assert!(rejected > 0, "other values at times that are there");
    });
}

/// The samples of records that were applied before, without progress.
fn fill_again(store: &mut ShardStore<SimDisk>, offsets: std::ops::Range<i64>) -> Applied {
    let mut total = Applied::default();
    for offset in offsets {
        let (tenant, samples) = (tenant_of(offset), samples_of(P0, offset));
        let fingerprints: Vec<_> = (0..20).map(|series| options().key.fingerprint(&labels_of(P0, series))).collect();
        let (partition, record_timestamp_ms) = (P0, offset * 1000);
        let batch = RecordBatch {
            tenant: &tenant,
            partition,
            record_timestamp_ms,
            fingerprints: &fingerprints,
            samples: &samples,
        };
        let applied = store.apply(&batch, &mut |place, out| {
            out.extend_from_slice(&labels_of(P0, place as u32));
            Ok(fingerprints[place])
        });
        total.stored += applied.stored;
        total.equal += applied.equal;
    }
    total
}

/// One record of one-sample series; tells the refusals that `identify` and the head make.
fn apply_series(store: &mut ShardStore<SimDisk>, labels: &[&[u8]], raw: &[&[u8]]) -> Applied {
    let tenant = TenantId::anonymous();
    let key = options().key;
    let fingerprints: Vec<_> = raw.iter().map(|raw| key.fingerprint(raw)).collect();
    let sample = Sample { timestamp_ms: 5, value: 1.0 };
    let samples: Vec<_> = (0..raw.len() as u32).map(|place| (place, sample)).collect();
    let (partition, record_timestamp_ms) = (P0, 0);
    let batch =
        RecordBatch { tenant: &tenant, partition, record_timestamp_ms, fingerprints: &fingerprints, samples: &samples };
    store.apply(&batch, &mut |place, out| {
        if labels[place].is_empty() {
            return Err(RejectReason::TooManyLabels);
        }
        out.extend_from_slice(labels[place]);
        Ok(key.fingerprint(labels[place]))
    })
}

#[test]
fn a_series_is_known_by_its_canonical_labels() {
    block_on(async {
        let disk = SimDisk::new(1);
        let mut store = new_store(&disk).await;
        let (a, b) = (&labels_of(P0, 1)[..], &labels_of(P0, 2)[..]);
        let applied = apply_series(&mut store, &[a, a, b, &[], b"junk"], &[a, b"other order", b, b"c", b"d"]);
        assert_eq!(applied, Applied { stored: 2, equal: 1, rejected: 2 });
        let applied = apply_series(&mut store, &[a], &[b"other order"]);
        assert_eq!((applied.equal, store.counters().series), (1, 2));
        let (_, counters) = store.tenant_counters().next().unwrap();
        let reasons: Vec<_> = counters.rejections().collect();
        assert_eq!(reasons, [(RejectReason::InvalidLabelValue, 1), (RejectReason::TooManyLabels, 1)]);
        store.advance(P0, Offset(0), Offset(2), None);
        store.commit().await.unwrap();
        assert_eq!(open(&disk).await.counters().replayed.series, 2, "each series is defined once");
    });
}

#[test]
fn at_the_memory_limit_known_series_go_on() {
    block_on(async {
        let disk = SimDisk::new(1);
        let mut store = new_store(&disk).await;
        fill(&mut store, P0, 0..2);
        let used = store.bytes().stored();
        store.commit().await.unwrap();

        let limited = StoreOptions { memory_bytes_max: used / 2, ..options() };
        let mut store = open_with(&disk, limited, &[P0, P1]).await;
        let series = store.counters().series;
        assert_eq!(read_all(&store), expected(&[(P0, 2)]), "a replay knows no limit");
        assert!(fill(&mut store, P0, 2..3).stored > 0);
        store.start_at(P1, Offset(0));
        let refused = fill(&mut store, P1, 0..1);
        assert_eq!((refused.stored, refused.equal), (0, 0));
        assert!(refused.rejected > 0);
        let total: u64 =
            store.tenant_counters().map(|(_, counters)| counters.rejected(RejectReason::SeriesLimit)).sum();
        assert!(total >= refused.rejected);
        assert!(store.counters().series <= series + 20);
        assert_eq!(store.memory_bytes, store.bytes().stored(), "the running sum is right");
    });
}

#[test]
fn the_next_turn_fills_while_one_is_written() {
    block_on(async {
        let disk = SimDisk::new(1);
        let mut store = new_store(&disk).await;
        fill(&mut store, P0, 0..3);
        let commit = store.start_commit().unwrap();
        fill(&mut store, P0, 3..5);
        assert!(store.is_committing());
        let committed = commit.run().await;
        assert_eq!(store.finish_commit(committed), Ok(Lsn(1)));
        assert_eq!((store.marks(P0).durable(), store.marks(P0).applied()), (Some(Offset(3)), Some(Offset(5))));
        assert_eq!(read_all(&open(&disk).await), expected(&[(P0, 3)]));
        // Another process has the folder now: what follows only shows the marks.
    });
}

#[test]
fn a_full_disk_holds_the_turn_and_later_writes_it() {
    block_on(async {
        let disk = SimDisk::new(1);
        disk.set_capacity(2 * options().wal.segment_bytes);
        let mut store = new_store(&disk).await;
        let mut next = 0;
        let error = loop {
            fill(&mut store, P0, next..next + 20);
            next += 20;
            if let Err(error) = store.commit().await {
                break error;
            }
        };
        assert!(error.is_refusal() && store.is_held(), "{error}");
        assert_eq!(store.marks(P0).durable(), Some(Offset(next - 20)));
        assert!(store.commit().await.is_err());
        fill(&mut store, P1, 0..1);
        disk.set_capacity(u64::MAX);
        store.commit().await.unwrap();
        assert_eq!((store.marks(P0).durable(), store.marks(P1).durable()), (Some(Offset(next)), Some(Offset(1))));
        assert_eq!(read_all(&open(&disk).await), expected(&[(P0, next), (P1, 1)]));
    });
}

fn order(partition: PartitionId, to: i64) -> PartitionReset {
    PartitionReset { partition, to: Offset(to), position: None }
}

#[test]
fn an_order_moves_a_partition_in_a_new_generation() {
    block_on(async {
        let disk = SimDisk::new(1);
        let mut store = new_store(&disk).await;
        fill(&mut store, P0, 0..3);
        let done = store.reset(order(P0, 10));
        let (from, to, generation) = (Offset(3), Offset(10), Generation(2));
        assert_eq!(done, ResetDone { partition: P0, from, to, generation });
        assert_eq!(store.marks(P0).durable(), None, "nothing of the new generation is synced yet");
        store.commit().await.unwrap();
        assert_eq!(store.marks(P0).durable(), Some(Offset(10)));
        fill(&mut store, P0, 10..12);
        store.commit().await.unwrap();
        let check = |store: &ShardStore<SimDisk>| {
            let marks = store.marks(P0);
            assert_eq!((marks.generation(), marks.durable()), (Generation(2), Some(Offset(12))));
            assert_eq!(marks.last().unwrap().offset, Offset(11));
        };
        check(&store);
        let mut store = open(&disk).await;
        check(&store);
        store.reset(order(P0, 0));
        assert_eq!((store.marks(P0).applied(), store.marks(P0).last()), (Some(Offset(0)), None));
        store.commit().await.unwrap();
        let again = open(&disk).await;
        assert_eq!((again.marks(P0).durable(), again.marks(P0).generation()), (Some(Offset(0)), Generation(3)));
        assert_eq!(again.marks(P1).generation(), Generation(1), "an order concerns its partition only");
    });
}

/// The marks of a frame that was under way when the order came belong to the generation before.
#[test]
fn an_order_while_a_turn_is_written() {
    block_on(async {
        let disk = SimDisk::new(1);
        let mut store = new_store(&disk).await;
        fill(&mut store, P0, 0..5);
        let commit = store.start_commit().unwrap();
        fill(&mut store, P0, 5..6);
        store.reset(order(P0, 2));
        let committed = commit.run().await;
        store.finish_commit(committed).unwrap();
        assert_eq!((store.marks(P0).applied(), store.marks(P0).durable()), (Some(Offset(2)), None));
        store.commit().await.unwrap();
        assert_eq!(store.marks(P0).durable(), Some(Offset(2)));
        let again = fill(&mut store, P0, 2..6);
        assert_eq!(again.stored, 0, "what is there is not stored again");
        store.commit().await.unwrap();
        let reopened = open(&disk).await;
        assert_eq!(read_all(&reopened), read_all(&store));
        assert_eq!((reopened.marks(P0).durable(), reopened.marks(P0).generation()), (Some(Offset(6)), Generation(2)));
    });
}

#[test]
fn a_configured_position_is_remembered() {
    block_on(async {
        let disk = SimDisk::new(1);
        let mut store = open(&disk).await;
        assert_eq!(store.marks(P0).position(), None);
        let position = Some(StartupPosition::Timestamp { unix_ms: 1_700_000_000_000 });
        let done = store.reset(PartitionReset { partition: P0, to: Offset(7), position });
        assert_eq!((done.from, done.generation), (Offset(7), Generation(2)), "it was never started");
        store.reset(PartitionReset { partition: P1, to: Offset(0), position: Some(StartupPosition::Start) });
        store.reset(PartitionReset { partition: P1, to: Offset(4), position: Some(StartupPosition::End) });
        store.commit().await.unwrap();
        let mut again = open(&disk).await;
        assert_eq!((again.marks(P0).position(), again.marks(P0).durable()), (position, Some(Offset(7))));
        assert_eq!(again.marks(P1).position(), Some(StartupPosition::End), "the last one counts");
        again.reset(order(P0, 1));
        again.commit().await.unwrap();
        assert_eq!(open(&disk).await.marks(P0).position(), position, "another order does not forget it");
    });
}

/// A reset that does not go on from what the log says before it is damage.
#[test]
fn resets_follow_on_what_was_logged() {
    #[track_caller]
    fn check(applied: i64, reset: Reset, is_good: bool) {
        let mut marks = PartitionMarks::new(Epoch(1));
        marks.start_at(Offset(applied));
        assert_eq!(marks.restore_reset(&reset).is_ok(), is_good, "{reset:?}");
    }
    let reset = |from, generation| {
        let (epoch, from, to, generation) = (Epoch(1), Offset(from), Offset(2), Generation(generation));
        Reset { partition: P0, epoch, generation, from, to }
    };
    check(5, reset(5, 2), true);
    check(5, reset(4, 2), false);
    check(5, reset(5, 1), false);
    check(5, reset(5, 3), false);
}

#[test]
fn a_partition_moves_between_shards_and_back() {
    block_on(async {
        let disk = SimDisk::new(1);
        let mut next = 0;
        for (life, shard) in [0, 1, 1, 0, 2].into_iter().enumerate() {
            let options = StoreOptions { shard: ShardId(shard), ..options() };
            let mut store = open_with(&disk, options, &[P0]).await;
            if life == 0 {
                store.start_at(P0, Offset(0));
            }
            assert_eq!(store.marks(P0).epoch(), Epoch([1, 2, 2, 3, 4][life]));
            assert_eq!(read_all(&store), expected(&[(P0, next)]), "life {life}");
            fill(&mut store, P0, next..next + 30);
            next += 30;
            store.commit().await.unwrap();
        }
    });
}

#[test]
fn the_log_knows_which_topic_it_belongs_to() {
    block_on(async {
        let disk = SimDisk::new(1);
        let ours = LogIdentity { cluster_id: "c".into(), topic_id: [1; 16], topic_name: "t".into() };
        let mut store = new_store(&disk).await;
        store.set_identity(&ours).unwrap();
        store.commit().await.unwrap();
        let mut store = open(&disk).await;
        store.set_identity(&ours).unwrap();
        assert!(store.start_commit().is_none(), "it is known already");
        let other = LogIdentity { topic_id: [2; 16], ..ours };
        assert!(store.set_identity(&other).unwrap_err().to_string().contains("belongs to topic t"));
    });
}

#[test]
fn a_gap_is_progress_without_a_record() {
    block_on(async {
        let disk = SimDisk::new(1);
        let mut store = new_store(&disk).await;
        fill(&mut store, P0, 0..2);
        store.advance(P0, Offset(2), Offset(9), None);
        store.commit().await.unwrap();
        let marks = *open(&disk).await.marks(P0);
        assert_eq!((marks.applied(), marks.last().unwrap().offset), (Some(Offset(9)), Offset(1)));
    });
}

#[test]
#[should_panic(expected = "no gap and no overlap")]
fn progress_that_overlaps_is_a_bug() {
    block_on(async {
        let mut store = new_store(&SimDisk::new(1)).await;
        fill(&mut store, P0, 0..2);
        store.advance(P0, Offset(1), Offset(3), None);
    });
}

#[test]
fn another_key_reads_the_same_log() {
    block_on(async {
        let disk = SimDisk::new(1);
        let mut store = new_store(&disk).await;
        fill(&mut store, P0, 0..3);
        store.commit().await.unwrap();
        let rekeyed = StoreOptions { key: FingerprintKey::new(99), ..options() };
        assert_eq!(read_all(&open_with(&disk, rekeyed, &[P0]).await), expected(&[(P0, 3)]));
    });
}

#[test]
fn names_are_gathered_over_all_heads() {
    block_on(async {
        let mut store = new_store(&SimDisk::new(1)).await;
        fill(&mut store, P0, 0..3);
        fill(&mut store, P1, 0..3);
        let range = model::TimeRange { min_ms: 0, max_ms: 10_000 };
        let question = NamesQuestion::ValuesOf("p".into());
        let mut walk = store.names(&tenant_of(0), &question, &[], range);
        while !walk.is_done() {
            store.names_step(&mut walk, 3);
        }
        assert_eq!(walk.into_texts().iter().map(|text| text.to_string()).collect::<Vec<_>>(), ["0", "1"]);
    });
}
