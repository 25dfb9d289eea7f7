//! Cuts and forgets of one store: readers in between, refusals, restarts, files that go.

use std::path::Path;

use disk::{Disk, SimDisk};
use futures_lite::future::block_on;
use model::{MatchOp, Matcher, Offset, PartitionId, TimeRange};

use super::cut_fixture::Cuts;
use super::store_fixture::{ROOT, Shown, decoded, fill, options, read_all, tenant_of};
use super::{CutRefusal, ShardStore};
use crate::head::CutNumber;
use crate::read::SelectRequest;
use crate::recovery::survey;

const P0: PartitionId = PartitionId(0);

async fn open(disk: &SimDisk) -> ShardStore<SimDisk> {
    let survey = survey(disk, Path::new(ROOT)).await.unwrap();
    ShardStore::open(disk.clone(), Path::new(ROOT), &survey, &[P0], options()).await.unwrap()
}

async fn filled(disk: &SimDisk, records: i64) -> ShardStore<SimDisk> {
    let mut store = open(disk).await;
    store.start_at(P0, Offset(0));
    fill(&mut store, P0, 0..records);
    store
}

#[track_caller]
fn check(store: &ShardStore<SimDisk>, cuts: &Cuts) {
    let mut expected = Shown::new();
    cuts.expected(P0, store.marks(P0).applied().unwrap().0, &mut expected);
    assert_eq!(read_all(store), expected);
}

#[test]
fn a_reader_keeps_the_head_that_it_began_with() {
    block_on(async {
        let disk = SimDisk::new(1);
        let mut store = filled(&disk, 100).await;
        let tenant = tenant_of(0);
        let before = read_all(&store);
        let matchers = [Matcher::new("__name__", MatchOp::Equal, "m").unwrap()].into();
        let range = TimeRange { min_ms: i64::MIN, max_ms: i64::MAX };
        let mut walk = store.select(&SelectRequest { tenant: tenant.clone(), matchers, range });
        let mut found = Vec::new();
        store.select_step(&mut walk, 3, &mut found);
        let mut cuts = Cuts::default();
        cuts.cut(&mut store, &tenant, P0, 0);
        cuts.forget(&mut store, &tenant, P0, 0);
        let bytes_held = store.bytes().stored();
        fill(&mut store, P0, 100..101);
        check(&store, &cuts);
        while !walk.is_done() {
            store.select_step(&mut walk, 3, &mut found);
        }
        drop(walk);
        for series in &found {
            assert_eq!(decoded(series), before[&format!("{tenant} {}", series.labels)], "as it was at the beginning");
        }
        assert_eq!(found.len(), before.keys().filter(|name| name.starts_with(tenant.as_str())).count());
        store.commit().await.unwrap();
        assert!(store.bytes().stored() < bytes_held, "nobody reads the head before any more");
        check(&store, &cuts);
    });
}

#[test]
fn a_checkpoint_keeps_cuts_waiting() {
    block_on(async {
        let disk = SimDisk::new(1);
        let mut store = filled(&disk, 50).await;
        let tenant = tenant_of(0);
        store.commit().await.unwrap();
        let checkpoint = store.start_checkpoint().unwrap();
        assert_eq!(store.cut(&tenant, P0, 0, 7), Err(CutRefusal::Checkpoint));
        assert_eq!(store.forget(&tenant, P0, CutNumber(1)), Err(CutRefusal::Checkpoint));
        drop(checkpoint);
        let mut store = open(&disk).await;
        assert_eq!(store.forget(&tenant, P0, CutNumber(1)), Err(CutRefusal::NoCut));
        assert_eq!(store.cut(&model::TenantId::new("nobody").unwrap(), P0, 0, 7), Err(CutRefusal::NoHead));
    });
}

/// Restarts between all steps, with checkpoints and without; and what nothing names any more leaves the disk.
#[test]
fn cuts_and_forgets_are_there_after_a_restart() {
    block_on(async {
        for checkpoints in [0, 1, 3] {
            let disk = SimDisk::new(1);
            let mut store = filled(&disk, 0).await;
            let (mut cuts, mut files) = (Cuts::default(), Vec::new());
            for round in 0..12 {
                fill(&mut store, P0, round * 60..round * 60 + 60);
                for tenant in [tenant_of(0), tenant_of(1)] {
                    cuts.cut(&mut store, &tenant, P0, 1);
                    cuts.forget(&mut store, &tenant, P0, 1);
                }
                fill(&mut store, P0, round * 60 + 60..round * 60 + 60);
                store.commit().await.unwrap();
                for _ in 0..checkpoints {
                    store.checkpoint().await.unwrap();
                }
                check(&store, &cuts);
                store = open(&disk).await;
                cuts.recovered(&store, P0);
                check(&store, &cuts);
                let names = disk.list(&Path::new(ROOT).join("shard-00000")).await.unwrap();
                files.push(names.iter().filter(|entry| entry.name.ends_with(".chunks")).count());
            }
            if checkpoints > 1 {
                let last = *files.last().unwrap();
                assert!(last <= files[3] + 1, "files of forgotten chunks are removed: {files:?}");
            }
        }
    });
}
