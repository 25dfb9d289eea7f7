//! The log: one owner of all partitions and group offsets, driven by requests on one executor thread.
//!
//! Changes wait for a *turn*; a turn writes all that waits, syncs every touched file once and then answers. Reads go on meanwhile
//! and see what was synced. Knows no sockets and no clock.

mod append_file;
mod catalog;
mod checked_text;
mod fetch;
mod group_frames;
mod group_offsets;
mod group_turn;
mod index;
mod log_start;
mod lookup;
mod partition;
mod positions;
mod producers;
pub(crate) mod request;
mod retention;
mod segment;
mod space;
pub(crate) mod topic_configs;
mod topic_turn;
mod topics;
mod turn;
mod waiters;
mod window;

#[cfg(test)]
mod admin_crash_test;
#[cfg(test)]
mod crash_test;
#[cfg(test)]
mod log_fixture;
#[cfg(test)]
mod log_test;

use std::cell::RefCell;
use std::future::pending;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use disk::Disk;
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Semaphore, oneshot};

use crate::counters::BrokerCounters;
use crate::error::BrokerError;
use crate::handle::{Inbox, PartitionOffsets, memory_permits};
use crate::options::{BrokerOptions, LogBudget, Retention};
use group_offsets::GroupOffsets;
use partition::Partition;
use request::{ClusterDescription, FetchRequest, Read, Request, TopicFilter};
use space::Space;
use topics::{Place, Topics};
use waiters::{Waiter, WaiterCount};

/// Partition logs and group offsets in a folder of a [`Disk`].
pub struct BrokerLog<D: Disk> {
    log: Rc<Log<D>>,
    inbox: Inbox,
}

struct Log<D: Disk> {
    place: Place<D>,
    topics: RefCell<Topics<D>>,
    groups: RefCell<GroupOffsets<D::File>>,
    retention: Retention,
    waiter_count: WaiterCount,
    fetch_memory: Arc<Semaphore>,
    counters: Arc<BrokerCounters>,
}

/// A read that is on its way, or the turn.
type Work<'a, T> = LocalBoxFuture<'a, Result<T, BrokerError>>;

impl<D: Disk> BrokerLog<D> {
    /// Opens what is in `dir` or begins there. A torn tail is cut; damage to what was acknowledged is an error.
    pub async fn open(disk: D, dir: PathBuf, options: &BrokerOptions, inbox: Inbox) -> Result<Self, BrokerError> {
        options.check().map_err(BrokerError::Options)?;
        disk.create_dir(&dir).await?;
        let budget_bytes = match options.log_budget {
            LogBudget::Bytes(bytes) => bytes,
            LogBudget::FileSystemPercent(percent) => disk.space(&dir).await?.1 / 100 * u64::from(percent),
        };
        let counters = Arc::clone(&inbox.counters);
        let space = Space::new(budget_bytes, Arc::clone(&counters));
        let place = Place { disk, dir, segment_bytes_max: options.segment_bytes_max, space };
        let topics = Topics::open(&place).await?;
        let is_topic = |id| topics.find(&request::TopicRef::Id(id)).is_ok();
        let groups = GroupOffsets::open(&place.disk, &place.dir, is_topic).await?;
        topics.count(&counters);
        let log = Log {
            place,
            topics: RefCell::new(topics),
            groups: RefCell::new(groups),
            retention: options.retention.clone(),
            waiter_count: WaiterCount::default(),
            fetch_memory: memory_permits(options.fetch_memory_bytes_max),
            counters,
        };
        Ok(Self { log: Rc::new(log), inbox })
    }

    /// Serves requests until [`crate::BrokerHandle::shutdown`] or until nobody holds a handle; then all is synced and marked.
    ///
    /// An error means that a file failed under us: what was not acknowledged may be lost, and the process must end.
    pub async fn run(self) -> Result<(), BrokerError> {
        let Self { log, inbox } = self;
        let stopped = Rc::clone(&log).serve(inbox).await?;
        log.close().await?;
        for answer in stopped {
            // Whoever asked may have gone.
            let _ = answer.send(());
        }
        Ok(())
    }
}

impl<D: Disk> Log<D> {
    async fn serve(self: Rc<Self>, mut inbox: Inbox) -> Result<Vec<oneshot::Sender<()>>, BrokerError> {
        let mut reads: FuturesUnordered<Work<'static, ()>> = FuturesUnordered::new();
        let mut turn: Option<Work<'static, Vec<FetchRequest>>> = None;
        let (mut changes, mut stopped, mut is_open) = (Vec::new(), Vec::new(), true);
        while is_open || turn.is_some() || !changes.is_empty() {
            if turn.is_none() && !changes.is_empty() {
                turn = Some(Box::pin(Rc::clone(&self).turn(std::mem::take(&mut changes))));
            }
            tokio::select! {
                request = inbox.requests.recv(), if is_open => {
                    let mut next = request;
                    is_open = next.is_some();
                    // All that waits goes into the same turn.
                    while let Some(request) = next {
                        match request {
                            Request::Change(change) => changes.push(change),
                            Request::Read(read) => reads.extend(self.read(read)),
                            Request::Stop(answer) => {
                                inbox.requests.close();
                                stopped.push(answer);
                            }
                        }
                        next = inbox.requests.try_recv().ok();
                    }
                }
                ended = next_of(&mut turn) => {
                    turn = None;
                    for request in ended? {
                        reads.extend(self.fetch(request));
                    }
                }
                Some(ended) = reads.next(), if !reads.is_empty() => ended?,
            }
        }
        while let Some(ended) = reads.next().await {
            ended?;
        }
        Ok(stopped)
    }

    /// Answers what needs no file at once; gives a future for the rest.
    fn read(self: &Rc<Self>, read: Read) -> Option<Work<'static, ()>> {
        match read {
            // Nobody is hurt by an answer that nobody awaits any more, here and below.
            Read::Describe(filter, answer) => drop(answer.send(self.describe(filter))),
            Read::Committed(queries, answer) => drop(answer.send(self.committed(queries))),
            Read::Configs(topic, answer) => {
                let found = self.topics.borrow().find(&topic);
                let _ = answer.send(found.map(|topic| topic.configs.get()));
            }
            Read::Groups(answer) => drop(answer.send(self.groups.borrow().all())),
            Read::Group(name, answer) => drop(answer.send(self.groups.borrow().find(&name))),
            Read::Marks(answer) => drop(answer.send(self.marks())),
            Read::Fetch(request) => return self.fetch(request),
            Read::Offsets(queries, answer) => {
                let log = Rc::clone(self);
                return Some(Box::pin(async move {
                    drop(answer.send(log.offsets(queries).await?));
                    Ok(())
                }));
            }
        }
        None
    }

    /// Reads now, or waits with the partitions for more.
    fn fetch(self: &Rc<Self>, request: FetchRequest) -> Option<Work<'static, ()>> {
        if request.answer.is_closed() {
            return None;
        }
        let sources = self.fetch_sources(&request.partitions);
        if !Self::is_waiting(&request, &sources) {
            return Some(Box::pin(Rc::clone(self).answer_fetch(request, sources)));
        }
        let partitions: Vec<Rc<Partition<D>>> = sources.into_iter().flatten().collect();
        if self.waiter_count.enter(&Waiter::new(request), &partitions) {
            self.waiter_count.sweep(self.topics.borrow().partitions().into_iter());
        }
        None
    }

    fn describe(&self, filter: TopicFilter) -> ClusterDescription {
        let topics = self.topics.borrow();
        let described = match filter {
            TopicFilter::All => topics.all().iter().map(|topic| Ok(topic.description.clone())).collect(),
            TopicFilter::Some(wanted) => {
                wanted.iter().map(|topic| topics.find(topic).map(|topic| topic.description.clone())).collect()
            }
        };
        ClusterDescription { cluster_id: topics.cluster_id(), topics: described }
    }

    fn marks(&self) -> Vec<(String, Vec<PartitionOffsets>)> {
        let marks = |partition: &Rc<Partition<D>>| partition.offsets();
        let topics = self.topics.borrow().all();
        topics
            .iter()
            .map(|topic| (topic.description.name.to_string(), topic.partitions.iter().map(marks).collect()))
            .collect()
    }

    async fn close(&self) -> Result<(), BrokerError> {
        let partitions = self.topics.borrow().partitions();
        for partition in partitions {
            partition.close(&self.place.space).await?;
        }
        let file = self.groups.borrow().file();
        file.cut(file.end(), &Space::unlimited()).await?;
        Ok(())
    }
}

/// Waits for the turn; for ever where there is none.
async fn next_of<T>(turn: &mut Option<Work<'static, T>>) -> Result<T, BrokerError> {
    match turn {
        Some(turn) => turn.await,
        None => pending().await,
    }
}
