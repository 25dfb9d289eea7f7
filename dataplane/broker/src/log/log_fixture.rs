//! A log on the simulated disk, and short ways to ask it.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use disk::SimDisk;
use futures_lite::future::zip;
use tokio::sync::oneshot;

use super::BrokerLog;
use super::request::{
    Change, CommitOffset, CommitRequest, Committed, CommittedQuery, FetchAnswer, FetchPartition, FetchRequest,
    ProduceBatch, ProduceRequest, Produced, Read, Request, TopicRef,
};
use crate::batch::{BatchHeader, RecordBatch, fixture};
use crate::error::{BrokerError, Refusal};
use crate::handle::{BrokerHandle, channel};
use crate::options::{BrokerOptions, LogBudget};

pub(super) fn options() -> BrokerOptions {
    BrokerOptions { segment_bytes_max: 4_096, log_budget: LogBudget::Bytes(1 << 30), ..BrokerOptions::default() }
}

/// Opens the log in `/broker`, runs it, and does `work` with a handle; ends when both have.
pub(super) async fn with_log<T>(
    disk: &SimDisk,
    options: &BrokerOptions,
    work: impl AsyncFnOnce(BrokerHandle) -> T,
) -> (Result<(), BrokerError>, Option<T>) {
    let (handle, inbox) = channel();
    let log = match BrokerLog::open(disk.clone(), PathBuf::from("/broker"), options, inbox).await {
        Ok(log) => log,
        Err(error) => return (Err(error), None),
    };
    let (ended, value) = zip(log.run(), work(handle)).await;
    (ended, Some(value))
}

pub(super) fn topic(name: &str) -> TopicRef {
    TopicRef::Name(name.into())
}

/// A batch of `count` records of the timestamp, with `len` bytes of payload.
pub(super) fn batch(count: i32, timestamp: i64, len: usize) -> Bytes {
    fixture::batch(count, timestamp, &vec![timestamp as u8; len])
}

pub(super) async fn produce(handle: &BrokerHandle, name: &str, partition: i32, batch: Bytes) -> Result<i64, Refusal> {
    let batch = ProduceBatch { topic: topic(name), partition, batch: RecordBatch::check(batch).unwrap() };
    let ask = |answer| Request::Change(Change::Produce(ProduceRequest { batches: vec![batch], answer }));
    let produced: Vec<Result<Produced, Refusal>> = handle.ask(ask).await?;
    produced[0].map(|produced| produced.base_offset)
}

pub(super) fn fetch_partition(name: &str, partition: i32, offset: i64) -> FetchPartition {
    FetchPartition { topic: topic(name), partition, offset, bytes_max: 1 << 20, leader_epoch: -1 }
}

pub(super) async fn begin_fetch(
    handle: &BrokerHandle,
    partitions: Vec<FetchPartition>,
    bytes_max: usize,
    bytes_min: usize,
) -> oneshot::Receiver<FetchAnswer> {
    let (answer, answered) = oneshot::channel();
    let request = FetchRequest { partitions, bytes_max, bytes_min, answer };
    // A log that has ended drops the request, and its answer is an error.
    let _ = handle.send(Request::Read(Read::Fetch(request))).await;
    answered
}

/// Reads a partition from an offset to its end: base offset, record count and first payload byte of each batch.
pub(super) async fn read_all(
    handle: &BrokerHandle,
    name: &str,
    mut offset: i64,
) -> Result<Vec<(i64, i32, u8)>, Refusal> {
    let mut found = Vec::new();
    loop {
        let answered = begin_fetch(handle, vec![fetch_partition(name, 0, offset)], 1 << 20, 0).await;
        let answer = answered.await.map_err(|_| Refusal::Stopping)?;
        let fetched = answer.partitions.into_iter().next().unwrap()?;
        if fetched.records.is_empty() {
            assert_eq!(offset, fetched.offsets.high_watermark);
            return Ok(found);
        }
        let mut rest = &fetched.records[..];
        while let Some(header) = BatchHeader::read(rest) {
            assert!(crate::batch::has_valid_crc(&rest[..header.bytes], &header));
            found.push((header.base_offset, header.record_count, rest[61]));
            rest = &rest[header.bytes..];
            offset = header.next_offset();
        }
        assert!(rest.is_empty(), "whole batches only");
    }
}

pub(super) async fn commit(handle: &BrokerHandle, group: &str, name: &str, offset: i64) -> Result<(), Refusal> {
    let committed = Committed { offset, leader_epoch: -1, metadata: format!("at {offset}").into() };
    let offsets = vec![CommitOffset { topic: topic(name), partition: 0, committed }];
    let ask = |answer| Request::Change(Change::Commit(CommitRequest { group: group.into(), offsets, answer }));
    handle.ask(ask).await?[0]
}

pub(super) async fn committed(handle: &BrokerHandle, group: &str, name: &str) -> Option<i64> {
    let topics = Some(vec![(Arc::from(name), vec![0])]);
    let query = CommittedQuery { group: group.into(), topics };
    let found = handle.ask(|answer| Request::Read(Read::Committed(vec![query], answer))).await.unwrap();
    let committed = found[0][0].partitions[0].1.clone()?;
    assert_eq!(&*committed.metadata, format!("at {}", committed.offset));
    Some(committed.offset)
}
