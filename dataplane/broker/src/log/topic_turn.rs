//! Changes of topics within a turn: made, grown, deleted.
//!
//! Files first, then the catalog that names them: what a crash leaves unnamed is removed at the next start.

use std::rc::Rc;

use disk::{Disk, DiskErrorKind};
use uuid::Uuid;

use super::Log;
use super::request::{AlterConfigs, CreateMode, FetchRequest, MorePartitions, NewTopic, TopicRef};
use super::topics::{Topic, remove_folder};
use crate::error::{BrokerError, Refusal};
use crate::handle::TopicDescription;
use crate::limits::PARTITIONS_MAX;

impl<D: Disk> Log<D> {
    pub(super) async fn create_topic(&self, new: NewTopic) -> Result<Result<TopicDescription, Refusal>, BrokerError> {
        match self.topics.borrow().check_new(&new) {
            Ok(None) => {}
            Ok(Some(existing)) => return Ok(Ok(existing)),
            Err(refusal) => return Ok(Err(refusal)),
        }
        let (name, partition_count, configs) = (new.name, new.partition_count, new.configs);
        let description = TopicDescription { name, id: Uuid::new_v4(), partition_count };
        if new.mode == CreateMode::Validate {
            return Ok(Ok(description));
        }
        let catalog = self.topics.borrow().catalog_with(&description, configs);
        let created = async {
            let topic = Topic::create(&self.place, description.clone(), configs).await?;
            catalog.save(&self.place.disk, &self.place.dir).await?;
            Ok(topic)
        };
        match created.await {
            Ok(topic) => self.topics.borrow_mut().insert(topic),
            Err(error) if error_is_no_space(&error) => {
                remove_folder(&self.place, description.id).await?;
                return Ok(Err(Refusal::NoSpace));
            }
            Err(error) => return Err(error.into()),
        }
        self.topics.borrow().count(&self.counters);
        tracing::info!(topic = %description.name, id = %description.id, partition_count, "topic created");
        Ok(Ok(description))
    }

    pub(super) async fn delete_topic(
        &self,
        topic: &TopicRef,
        woken: &mut Vec<FetchRequest>,
    ) -> Result<Result<TopicDescription, Refusal>, BrokerError> {
        let found = self.topics.borrow().find(topic);
        let topic = match found {
            Ok(topic) => topic,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let description = topic.description.clone();
        let catalog = self.topics.borrow().catalog_without(description.id);
        if let Err(error) = catalog.save(&self.place.disk, &self.place.dir).await {
            return if error_is_no_space(&error) { Ok(Err(Refusal::NoSpace)) } else { Err(error.into()) };
        }
        self.topics.borrow_mut().remove(&topic);
        self.groups.borrow_mut().forget_topic(description.id);
        for partition in &topic.partitions {
            self.wake(partition, woken);
        }
        topic.remove_files(&self.place).await?;
        self.topics.borrow().count(&self.counters);
        tracing::info!(topic = %description.name, id = %description.id, "topic deleted");
        Ok(Ok(description))
    }

    pub(super) async fn create_partitions(&self, more: MorePartitions) -> Result<Result<(), Refusal>, BrokerError> {
        let checked = self.check_more(&more);
        let topic = match checked {
            Ok(_) if more.mode == CreateMode::Validate => return Ok(Ok(())),
            Ok(topic) => topic,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let description = TopicDescription { partition_count: more.partition_count, ..topic.description.clone() };
        let catalog = self.topics.borrow().catalog_with(&description, topic.configs.get());
        let grown = async {
            let grown = topic.grow(&self.place, description.clone()).await?;
            catalog.save(&self.place.disk, &self.place.dir).await?;
            Ok(grown)
        };
        match grown.await {
            Ok(grown) => self.topics.borrow_mut().insert(grown),
            Err(error) if error_is_no_space(&error) => {
                topic.remove_beyond(&self.place, topic.description.partition_count).await?;
                return Ok(Err(Refusal::NoSpace));
            }
            Err(error) => return Err(error.into()),
        }
        self.topics.borrow().count(&self.counters);
        tracing::info!(topic = %description.name, partition_count = description.partition_count, "partitions created");
        Ok(Ok(()))
    }

    pub(super) async fn alter_configs(&self, wanted: AlterConfigs) -> Result<Result<(), Refusal>, BrokerError> {
        let found = self.topics.borrow().find(&wanted.topic);
        let topic = match found {
            Ok(_) if wanted.mode == CreateMode::Validate => return Ok(Ok(())),
            Ok(topic) => topic,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut configs = topic.configs.get();
        wanted.changes.iter().for_each(|(setting, value)| configs.set(*setting, *value));
        let catalog = self.topics.borrow().catalog_with(&topic.description, configs);
        match catalog.save(&self.place.disk, &self.place.dir).await {
            Err(error) if error_is_no_space(&error) => return Ok(Err(Refusal::NoSpace)),
            saved => saved?,
        }
        topic.configs.set(configs);
        tracing::info!(topic = %topic.description.name, configs = configs.encode(), "settings changed");
        Ok(Ok(()))
    }

    pub(super) async fn new_producer_id(&self) -> Result<Result<i64, Refusal>, BrokerError> {
        let taken = self.topics.borrow_mut().take_producer_id();
        if let Some(id) = taken {
            return Ok(Ok(id));
        }
        let catalog = self.topics.borrow().catalog_with_producer_ids();
        match catalog.save(&self.place.disk, &self.place.dir).await {
            Err(error) if error_is_no_space(&error) => return Ok(Err(Refusal::NoSpace)),
            saved => saved?,
        }
        let mut topics = self.topics.borrow_mut();
        topics.reserve_producer_ids(catalog.producer_ids_end);
        Ok(topics.take_producer_id().ok_or(Refusal::TooMany))
    }

    fn check_more(&self, more: &MorePartitions) -> Result<Rc<Topic<D>>, Refusal> {
        let topics = self.topics.borrow();
        let topic = topics.find(&more.topic)?;
        let new_count = more.partition_count.saturating_sub(topic.description.partition_count);
        let new_count = usize::try_from(new_count).unwrap_or(0);
        if new_count == 0 {
            return Err(Refusal::PartitionsNotMore);
        }
        if more.assignment_count.is_some_and(|count| count != new_count) {
            return Err(Refusal::PartitionAssignment);
        }
        if topics.partitions().len().saturating_add(new_count) > PARTITIONS_MAX {
            return Err(Refusal::TooMany);
        }
        Ok(topic)
    }
}

fn error_is_no_space(error: &disk::DiskError) -> bool {
    error.kind == DiskErrorKind::NoSpace
}
