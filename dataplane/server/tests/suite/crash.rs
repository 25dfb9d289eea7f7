//! The crash test: writers run, the process is killed with SIGKILL at random moments, and in the end every acknowledged
//! sample is there once, and nothing that was never sent.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use disk::PlainDisk;
use futures_lite::future::block_on;
use model::{Offset, PartitionId};
use tsdb::recovery::{FramePlace, Replay, replay, survey};
use tsdb::wal::{Malformed, Section};

use crate::client::{self, Series};
use crate::start::Node;

/// `WELLHEAD_TEST_KILLS` overrides it.
const KILLS: usize = 20;
const PARTITIONS: u32 = 5;
const WRITERS: usize = 3;
const SERIES_PER_WRITER: usize = 40;
/// A kill falls at a random moment of this span after the node is ready.
const LIFE_MS_MAX: u64 = 1200;

/// What a writer did, by the sample's time: (value, was it acknowledged).
type Sent = BTreeMap<i64, (f64, bool)>;

/// A small generator (splitmix64), so that the seed alone decides the moments.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

/// Sends one sample per series and round, never the same twice, to whatever address the node has now.
fn write(writer: usize, address: &Mutex<Option<SocketAddr>>, is_over: &AtomicBool) -> Sent {
    let mut sent = Sent::new();
    let mut last_ms = 0;
    while !is_over.load(Ordering::Relaxed) {
        let Some(address) = *address.lock().unwrap() else {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        };
        let timestamp_ms = now_ms().max(last_ms + 1);
        last_ms = timestamp_ms;
        let value = sent.len() as f64;
        let series: Vec<Series<'_>> = (0..SERIES_PER_WRITER)
            .map(|series| {
                let labels = vec![
                    ("__name__", "crash".to_owned()),
                    ("series", series.to_string()),
                    ("writer", writer.to_string()),
                ];
                (labels, vec![(timestamp_ms, value)])
            })
            .collect();
        let answer = client::push(address, None, &client::push_body(&series));
        let is_acknowledged = answer.is_ok_and(|answer| answer.status / 100 == 2);
        sent.insert(timestamp_ms, (value, is_acknowledged));
    }
    sent
}

/// Every series of a writer against what was sent. Gives the number of stored samples.
fn check_writer(node: &Node, writer: usize, sent: &Sent) -> usize {
    let query = client::encoded(&format!("crash{{writer=\"{writer}\"}}[1h]"));
    let data = node.query(&format!("/prometheus/api/v1/query?query={query}"));
    let series = data["result"].as_array().unwrap();
    assert_eq!(series.len(), SERIES_PER_WRITER, "series of writer {writer}");
    let mut stored = 0;
    for one in series {
        let labels = &one["metric"];
        let mut found = BTreeSet::new();
        for point in one["values"].as_array().unwrap() {
            let timestamp_ms = (point[0].as_f64().unwrap() * 1000.0).round() as i64;
            let value: f64 = point[1].as_str().unwrap().parse().unwrap();
            let expected = sent.get(&timestamp_ms).map(|(value, _)| *value);
            assert_eq!(expected, Some(value), "{labels} at {timestamp_ms}: this was never sent");
            assert!(found.insert(timestamp_ms), "{labels} at {timestamp_ms}: there twice");
        }
        for (timestamp_ms, (_, is_acknowledged)) in sent {
            let is_lost = *is_acknowledged && !found.contains(timestamp_ms);
            assert!(!is_lost, "{labels} at {timestamp_ms}: acknowledged and lost");
        }
        stored += found.len();
    }
    stored
}

/// The offset ranges of the WAL's frames, by partition and in the order of recovery.
#[derive(Default)]
struct Ranges(BTreeMap<PartitionId, Vec<(Offset, Offset)>>);

impl Replay for Ranges {
    type Error = Malformed;

    fn section(&mut self, _: FramePlace, section: Section<'_>) -> Result<(), Malformed> {
        match section {
            Section::Progress(progress) => {
                self.0.entry(progress.partition).or_default().push((progress.first, progress.next));
            }
            Section::Reset(reset) => panic!("nobody ordered {reset:?}"),
            Section::Position(note) => panic!("nobody configured {note:?}"),
            Section::Definitions(_)
            | Section::Samples(_)
            | Section::Identity(_)
            | Section::Cut(_)
            | Section::Forget(_) => {}
        }
        Ok(())
    }
}

/// Behind the checkpoint that a partition is made from its ranges lie end to end, up to where the node said that it was: no
/// offset was applied twice, none passed over. Gives the number of ranges and of offsets in them.
fn check_log(root: &Path, durable: &BTreeMap<PartitionId, Offset>) -> (usize, i64) {
    let mut ranges = Ranges::default();
    block_on(async {
        let found = survey(&PlainDisk, root).await.unwrap();
        replay(&PlainDisk, &found, &|_| true, &mut ranges).await.unwrap();
    });
    let (mut range_count, mut offset_count) = (0, 0);
    for (partition, ranges) in &ranges.0 {
        let (start, mut next) = (ranges[0].0, ranges[0].0);
        for (first, end) in ranges {
            assert_eq!(*first, next, "partition {partition}: a gap or an overlap");
            assert!(end > first, "partition {partition}: an empty range at {first}");
            next = *end;
        }
        assert_eq!(next, durable[partition], "partition {partition} ends where the node said");
        range_count += ranges.len();
        offset_count += next.0 - start.0;
    }
    (range_count, offset_count)
}

/// How far each partition is in the log, once all that was consumed is there.
fn durable_offsets(node: &Node) -> BTreeMap<PartitionId, Offset> {
    let partitions = || client::get(node.http, "/wellhead/status").unwrap().json()["partitions"].clone();
    node.wait_until("all is durable", |_| {
        partitions().as_array().unwrap().iter().all(|one| one["durable"] == one["applied"])
    });
    let partitions = partitions();
    let offsets = partitions.as_array().unwrap().iter().map(|one| {
        let id = PartitionId(one["partition"].as_i64().unwrap() as i32);
        (id, Offset(one["durable"].as_i64().unwrap()))
    });
    let offsets: BTreeMap<PartitionId, Offset> = offsets.collect();
    assert_eq!(offsets.len(), PARTITIONS as usize);
    offsets
}

fn kill_count() -> usize {
    std::env::var("WELLHEAD_TEST_KILLS").ok().map_or(KILLS, |count| count.parse().expect("a number of kills"))
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_is_there_twice() {
    let seed = std::env::var("WELLHEAD_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| now_ms() as u64);
    println!("seed: WELLHEAD_TEST_SEED={seed}");
    let mut random = Random(seed);
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let address = Arc::new(Mutex::new(None));
    let is_over = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (address, is_over) = (address.clone(), is_over.clone());
            std::thread::spawn(move || write(writer, &address, &is_over))
        })
        .collect();
    let kills = kill_count();
    let partitions = format!("--broker.partitions={PARTITIONS}");
    let mut checkpoints = 0.0;
    for life in 0..kills {
        // Every other life takes checkpoints all the time.
        let checkpoint_size = ["--wal.checkpoint-size=32MiB", "--wal.checkpoint-size=16KiB"][life % 2];
        let node = Node::start(&data_dir, &["--shards=2", &partitions, checkpoint_size]);
        *address.lock().unwrap() = Some(node.http);
        std::thread::sleep(Duration::from_millis(random.below(LIFE_MS_MAX)));
        assert_eq!(node.metric("wellhead_head_equal_samples_total"), 0.0, "a sample was applied twice");
        checkpoints += node.metric("wellhead_checkpoints_total");
        *address.lock().unwrap() = None;
        node.kill();
    }
    let node = Node::start(&data_dir, &[]);
    *address.lock().unwrap() = Some(node.http);
    std::thread::sleep(Duration::from_millis(300));
    is_over.store(true, Ordering::Relaxed);
    let sent: Vec<Sent> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
    node.wait_until("all partitions are consumed", |node| node.metric("wellhead_consumer_lag_records") == 0.0);
    let mut stored = 0;
    for (writer, sent) in sent.iter().enumerate() {
        stored += check_writer(&node, writer, sent);
    }
    let acknowledged: usize =
        sent.iter().flat_map(BTreeMap::values).filter(|(_, is_acknowledged)| *is_acknowledged).count();
    let unanswered: usize = sent.iter().map(BTreeMap::len).sum::<usize>() - acknowledged;
    println!("{kills} kills: {acknowledged} pushes acknowledged, {unanswered} not, {stored} samples stored");
    assert!(acknowledged > kills, "the writers got through");
    assert_eq!(node.metric("wellhead_head_equal_samples_total"), 0.0, "a sample was applied twice");
    assert_eq!(node.metric("cortex_ingest_storage_reader_missed_records_total"), 0.0);
    assert_eq!(node.metric("cortex_discarded_samples_total"), 0.0);
    let durable = durable_offsets(&node);
    // A stop would take a checkpoint of all there is.
    node.kill();
    let (range_count, offset_count) = check_log(&data_dir.join("wal"), &durable);
    println!(
        "{range_count} ranges behind the last of {checkpoints} checkpoints hold {offset_count} offsets, end to end"
    );
    let consumed: i64 = durable.values().map(|next| next.0).sum();
    assert!(consumed as usize >= acknowledged, "every acknowledged push is at least one record");
    assert!(checkpoints > 0.0 && range_count > 0, "checkpoints were taken, and something is behind the last");
}
