//! Kafka as the commands need it: facts about one topic, with the one retry that there is (a leader or coordinator is changing).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use kafka::admin::GroupDescription;
use kafka::batch::{BatchReader, Batches};
use kafka::{
    Client, FetchLimits, FetchPosition, Fetcher, KafkaError, KafkaErrorKind, KafkaOptions, OffsetAt, OffsetFound,
};

use crate::failure::Failure;

/// Coordinators of a cluster that was just started take some seconds to be found.
const PASSING_TIME_MAX: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(200);

/// First and next offset of a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    pub start: i64,
    pub end: i64,
}

pub struct Cluster {
    options: KafkaOptions,
    client: Client,
    fetcher: Option<Fetcher>,
}

impl Cluster {
    pub fn new(options: KafkaOptions) -> Self {
        Self { client: Client::new(options.clone()), options, fetcher: None }
    }

    pub fn topic(&self) -> &str {
        &self.options.topic
    }

    pub fn options(&self) -> &KafkaOptions {
        &self.options
    }

    /// Asks, and asks again while the answer is one that passes.
    ///
    /// # Errors
    /// What did not pass, or not in time.
    pub async fn ask<T>(
        &mut self,
        mut question: impl AsyncFnMut(&mut Client) -> Result<T, KafkaError>,
    ) -> Result<T, Failure> {
        let begin = Instant::now();
        loop {
            match question(&mut self.client).await {
                Ok(answer) => return Ok(answer),
                Err(error) if error.kind() == KafkaErrorKind::Passing && begin.elapsed() < PASSING_TIME_MAX => {
                    self.client.reset();
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The partitions of the topic: those wanted, or all.
    ///
    /// # Errors
    /// The topic or a partition does not exist.
    pub async fn partitions(&mut self, wanted: &[i32]) -> Result<Vec<i32>, Failure> {
        let info = self.ask(async |client| client.topic_info().await).await?;
        let all = 0..info.partitions as i32;
        if let Some(unknown) = wanted.iter().find(|partition| !all.contains(partition)) {
            let topic = self.topic();
            return Err(Failure::not_found(format!(
                "the topic {topic} has no partition {unknown}: it has {} (from 0 on)",
                info.partitions
            )));
        }
        let wanted: BTreeSet<i32> = wanted.iter().copied().collect();
        Ok(if wanted.is_empty() { all.collect() } else { wanted.into_iter().collect() })
    }

    pub async fn bounds(&mut self, partitions: &[i32]) -> Result<BTreeMap<i32, Bounds>, Failure> {
        let starts = self.ask(async |client| client.offsets_at(partitions, OffsetAt::Start).await).await?;
        let ends = self.ask(async |client| client.offsets_at(partitions, OffsetAt::End).await).await?;
        let offset = |found: &OffsetFound| match found {
            OffsetFound::At(offset) => *offset,
            OffsetFound::NoRecordThatLate => 0,
        };
        Ok(partitions
            .iter()
            .map(|partition| (*partition, Bounds { start: offset(&starts[partition]), end: offset(&ends[partition]) }))
            .collect())
    }

    /// # Errors
    /// Kafka knows no such group.
    pub async fn known_group(&mut self, group: &str) -> Result<(), Failure> {
        let unknown = || Failure::not_found(format!("there is no group {group}"));
        if !self.ask(async |client| client.committed_everywhere(group).await).await?.is_empty() {
            return Ok(());
        }
        self.described(group).await?.map(|_| ()).ok_or_else(unknown)
    }

    /// # Errors
    /// The group has members, which would not let anybody else commit.
    pub async fn no_members(&mut self, group: &str) -> Result<(), Failure> {
        match self.described(group).await?.as_ref().and_then(|found| found.members.first().zip(Some(found))) {
            None => Ok(()),
            Some((first, found)) => Err(Failure::refused(format!(
                "group {group} has {} member(s), such as {} on {}: stop them first",
                found.members.len(),
                first.client_id,
                first.host
            ))),
        }
    }

    /// A group and its members; none where Kafka knows no such group. A broker that cannot be asked has no memberships.
    async fn described(&mut self, group: &str) -> Result<Option<GroupDescription>, Failure> {
        self.ask(async |client| match client.describe_group(group).await {
            Ok(found) => Ok(Some(found)),
            Err(KafkaError::Unsupported { .. }) => Ok(None),
            Err(error) if error.kind() == KafkaErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        })
        .await
    }

    /// When the record at an offset, or the first behind it, was written. None where there is none, or it cannot be read.
    pub async fn time_at(&mut self, partition: i32, offset: i64) -> Result<Option<i64>, Failure> {
        // The broker gives at least one whole batch, however little is asked for.
        let limits = FetchLimits { bytes_max: 1, wait_max: Duration::from_millis(100) };
        let options = &self.options;
        let fetcher = self.fetcher.get_or_insert_with(|| Fetcher::new(options.clone()));
        let fetched = fetcher.fetch(FetchPosition { partition, offset }, limits).await?;
        Ok(first_time(&fetched.records, offset))
    }
}

/// The time of the first record from `offset` on in fetched batches.
fn first_time(fetched: &[u8], offset: i64) -> Option<i64> {
    let mut batches = Batches::new(fetched);
    let mut reader = BatchReader::new();
    while let Some(batch) = batches.next_batch() {
        let Ok(batch) = batch else { continue };
        if batch.next_offset <= offset {
            continue;
        }
        let Ok(mut records) = reader.open(&batch) else { return Some(batch.base_timestamp_ms) };
        while let Ok(Some(record)) = records.next_record() {
            if record.offset >= offset {
                return Some(record.timestamp_ms);
            }
        }
    }
    None
}
