//! The topics of the broker and the folders they live in: `topics/<id>/<partition>`.
//!
//! A topic exists once the catalog names it, and no longer once it does not: what a crash leaves of a creation or deletion is a folder
//! that nobody names, removed at the next start.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use disk::{Disk, DiskError, DiskErrorKind};
use uuid::Uuid;

use super::catalog::{Catalog, CatalogTopic, is_topic_name};
use super::partition::Partition;
use super::request::{CreateMode, NewTopic, TopicRef};
use super::space::Space;
use super::topic_configs::TopicConfigs;
use crate::counters::BrokerCounters;
use crate::error::{BrokerError, Refusal};
use crate::handle::TopicDescription;
use crate::limits::{PARTITIONS_MAX, TOPICS_MAX};

pub(super) struct Topic<D: Disk> {
    pub description: TopicDescription,
    pub partitions: Vec<Rc<Partition<D>>>,
    pub configs: Cell<TopicConfigs>,
}

pub(super) struct Topics<D: Disk> {
    cluster: Uuid,
    producer_ids: ProducerIds,
    by_name: BTreeMap<Arc<str>, Rc<Topic<D>>>,
    by_id: HashMap<Uuid, Rc<Topic<D>>>,
}

/// Ids for producers, reserved in runs so that few of them cost a write.
struct ProducerIds {
    next: i64,
    /// What the catalog says.
    end: i64,
}

const PRODUCER_IDS_RESERVED: i64 = 1_000;

/// Where and how partitions are kept.
pub(super) struct Place<D> {
    pub disk: D,
    pub dir: PathBuf,
    pub segment_bytes_max: u64,
    pub space: Space,
}

impl<D: Disk> Topics<D> {
    /// Opens all topics; the first start makes the cluster's id.
    pub async fn open(place: &Place<D>) -> Result<Self, BrokerError> {
        let folders = topic_folders(place).await?;
        let catalog = match Catalog::load(&place.disk, &place.dir).await? {
            Some(catalog) => catalog,
            None if folders.is_empty() => {
                let catalog = Catalog { cluster: Uuid::new_v4(), producer_ids_end: 0, topics: Vec::new() };
                catalog.save(&place.disk, &place.dir).await?;
                catalog
            }
            None => {
                let path = place.dir.join("catalog");
                return Err(BrokerError::damaged(&path, 0, "it is missing although there are topics"));
            }
        };
        remove_unnamed(place, &folders, &catalog).await?;
        let producer_ids = ProducerIds { next: catalog.producer_ids_end, end: catalog.producer_ids_end };
        let (by_name, by_id) = (BTreeMap::new(), HashMap::new());
        let mut topics = Self { cluster: catalog.cluster, producer_ids, by_name, by_id };
        for CatalogTopic { description, configs } in catalog.topics {
            remove_beyond(place, description.id, description.partition_count).await?;
            let mut partitions = Vec::new();
            for number in 0..description.partition_count {
                let dir = partition_dir(&place.dir, description.id, number);
                let partition =
                    Partition::open(&place.disk, dir, description.id, number, place.segment_bytes_max, &place.space);
                partitions.push(Rc::new(partition.await?));
            }
            topics.insert(Topic { description, partitions, configs: Cell::new(configs) });
        }
        Ok(topics)
    }

    pub fn cluster_id(&self) -> Arc<str> {
        self.cluster.to_string().into()
    }

    pub fn find(&self, topic: &TopicRef) -> Result<Rc<Topic<D>>, Refusal> {
        let (found, refusal) = match topic {
            TopicRef::Name(name) => (self.by_name.get(name), Refusal::UnknownTopic),
            TopicRef::Id(id) => (self.by_id.get(id), Refusal::UnknownTopicId),
        };
        found.map(Rc::clone).ok_or(refusal)
    }

    pub fn partition(&self, topic: &TopicRef, number: i32) -> Result<Rc<Partition<D>>, Refusal> {
        let topic = self.find(topic)?;
        let place = usize::try_from(number).map_err(|_| Refusal::UnknownPartition)?;
        topic.partitions.get(place).map(Rc::clone).ok_or(Refusal::UnknownPartition)
    }

    /// In order of name.
    pub fn all(&self) -> Vec<Rc<Topic<D>>> {
        self.by_name.values().map(Rc::clone).collect()
    }

    pub fn partitions(&self) -> Vec<Rc<Partition<D>>> {
        self.by_name.values().flat_map(|topic| &topic.partitions).map(Rc::clone).collect()
    }

    /// Whether a topic may be made; gives an existing one where that is wanted.
    pub fn check_new(&self, new: &NewTopic) -> Result<Option<TopicDescription>, Refusal> {
        if let Some(topic) = self.by_name.get(&new.name) {
            let is_fine = new.mode == CreateMode::Ensure;
            return if is_fine { Ok(Some(topic.description.clone())) } else { Err(Refusal::TopicExists) };
        }
        if !is_topic_name(&new.name) {
            return Err(Refusal::TopicName);
        }
        if new.partition_count < 1 {
            return Err(Refusal::PartitionCount);
        }
        let partitions: usize = self.by_name.values().map(|topic| topic.partitions.len()).sum();
        let wanted = usize::try_from(new.partition_count).map_err(|_| Refusal::PartitionCount)?;
        if self.by_name.len() >= TOPICS_MAX || partitions.saturating_add(wanted) > PARTITIONS_MAX {
            return Err(Refusal::TooMany);
        }
        Ok(None)
    }

    pub fn insert(&mut self, topic: Topic<D>) {
        let topic = Rc::new(topic);
        self.by_name.insert(Arc::clone(&topic.description.name), Rc::clone(&topic));
        self.by_id.insert(topic.description.id, topic);
    }

    pub fn remove(&mut self, topic: &Topic<D>) {
        self.by_name.remove(&topic.description.name);
        self.by_id.remove(&topic.description.id);
    }

    /// What the catalog says with one topic more, or with that topic as it is described.
    pub fn catalog_with(&self, description: &TopicDescription, configs: TopicConfigs) -> Catalog {
        let mut catalog = self.catalog_without(description.id);
        catalog.topics.push(CatalogTopic { description: description.clone(), configs });
        catalog
    }

    /// What the catalog says without one of the topics.
    pub fn catalog_without(&self, id: Uuid) -> Catalog {
        let mut catalog = self.catalog();
        catalog.topics.retain(|topic| topic.description.id != id);
        catalog
    }

    fn catalog(&self) -> Catalog {
        let entry = |topic: &Rc<Topic<D>>| CatalogTopic {
            description: topic.description.clone(),
            configs: topic.configs.get(),
        };
        let topics = self.by_name.values().map(entry).collect();
        Catalog { cluster: self.cluster, producer_ids_end: self.producer_ids.end, topics }
    }

    /// An id that no producer had, if one is reserved.
    pub fn take_producer_id(&mut self) -> Option<i64> {
        let ids = &mut self.producer_ids;
        let id = ids.next;
        (id < ids.end).then(|| {
            ids.next += 1;
            id
        })
    }

    /// What the catalog says with more ids reserved.
    pub fn catalog_with_producer_ids(&self) -> Catalog {
        let catalog = self.catalog();
        Catalog { producer_ids_end: catalog.producer_ids_end.saturating_add(PRODUCER_IDS_RESERVED), ..catalog }
    }

    /// The catalog that is on disk reserves up to here.
    pub fn reserve_producer_ids(&mut self, end: i64) {
        self.producer_ids.end = end;
    }

    pub fn count(&self, counters: &BrokerCounters) {
        counters.topics.store(self.by_name.len() as u64, Relaxed);
        counters.partitions.store(self.partitions().len() as u64, Relaxed);
    }
}

impl<D: Disk> Topic<D> {
    /// Makes the folders and first segments of a topic that the catalog does not name yet.
    pub async fn create(
        place: &Place<D>,
        description: TopicDescription,
        configs: TopicConfigs,
    ) -> Result<Self, DiskError> {
        let mut partitions = Vec::new();
        for number in 0..description.partition_count {
            let dir = partition_dir(&place.dir, description.id, number);
            let partition =
                Partition::create(&place.disk, dir, description.id, number, place.segment_bytes_max, &place.space);
            partitions.push(Rc::new(partition.await?));
        }
        Ok(Self { description, partitions, configs: Cell::new(configs) })
    }

    /// The topic with the partitions that it is described to have; the catalog does not name the new ones yet.
    pub async fn grow(&self, place: &Place<D>, description: TopicDescription) -> Result<Self, DiskError> {
        let mut partitions = self.partitions.clone();
        for number in self.description.partition_count..description.partition_count {
            let dir = partition_dir(&place.dir, description.id, number);
            let partition =
                Partition::create(&place.disk, dir, description.id, number, place.segment_bytes_max, &place.space);
            partitions.push(Rc::new(partition.await?));
        }
        Ok(Self { description, partitions, configs: self.configs.clone() })
    }

    /// Removes the folders of partitions that the catalog does not name.
    pub async fn remove_beyond(&self, place: &Place<D>, partition_count: i32) -> Result<(), DiskError> {
        remove_beyond(place, self.description.id, partition_count).await
    }

    /// Removes the folder of a topic that the catalog does not name any more.
    pub async fn remove_files(&self, place: &Place<D>) -> Result<(), DiskError> {
        for partition in &self.partitions {
            partition.give_back_space(&place.space);
        }
        remove_folder(place, self.description.id).await
    }
}

/// Removes what a refused creation left behind.
pub(super) async fn remove_folder<D: Disk>(place: &Place<D>, topic: Uuid) -> Result<(), DiskError> {
    match place.disk.remove_dir(&topics_dir(&place.dir).join(topic.to_string())).await {
        Err(error) if error.kind == DiskErrorKind::NotFound => Ok(()),
        removed => removed,
    }?;
    place.disk.sync_dir(&topics_dir(&place.dir)).await
}

/// Removes what a growth that did not come to its end left behind.
async fn remove_beyond<D: Disk>(place: &Place<D>, topic: Uuid, partition_count: i32) -> Result<(), DiskError> {
    let dir = topics_dir(&place.dir).join(topic.to_string());
    let mut is_changed = false;
    for entry in place.disk.list(&dir).await? {
        if entry.name.parse::<i32>().is_ok_and(|number| number >= partition_count) {
            place.disk.remove_dir(&dir.join(&entry.name)).await?;
            is_changed = true;
        }
    }
    if is_changed { place.disk.sync_dir(&dir).await } else { Ok(()) }
}

async fn topic_folders<D: Disk>(place: &Place<D>) -> Result<Vec<Uuid>, BrokerError> {
    let dir = topics_dir(&place.dir);
    place.disk.create_dir(&dir).await?;
    let entries = place.disk.list(&dir).await?;
    Ok(entries.iter().filter_map(|entry| Uuid::parse_str(&entry.name).ok()).collect())
}

async fn remove_unnamed<D: Disk>(place: &Place<D>, folders: &[Uuid], catalog: &Catalog) -> Result<(), BrokerError> {
    for id in folders.iter().filter(|id| catalog.topics.iter().all(|topic| topic.description.id != **id)) {
        tracing::info!(topic_id = %id, "removing the folder of a topic that does not exist");
        remove_folder(place, *id).await?;
    }
    Ok(())
}

fn topics_dir(dir: &Path) -> PathBuf {
    dir.join("topics")
}

fn partition_dir(dir: &Path, topic: Uuid, number: i32) -> PathBuf {
    topics_dir(dir).join(topic.to_string()).join(number.to_string())
}
