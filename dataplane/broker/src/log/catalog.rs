//! The file that names the cluster and its topics: lines of checked text.
//!
//! ```text
//! wellhead broker catalog
//! format 2
//! writer wellhead 0.1.0
//! cluster 0a8a4b5e-...
//! producer-ids 1000
//! topic 6f1c9a54-... 8 ingest retention.ms=3600000
//! crc32c 1f2e3d4c
//! ```
//!
//! Format 1 had neither producer ids nor settings of topics.

use std::path::Path;
use std::sync::Arc;

use disk::{Disk, DiskError};
use uuid::Uuid;

use super::checked_text::CheckedText;
use super::topic_configs::TopicConfigs;
use crate::error::BrokerError;
use crate::handle::TopicDescription;
use crate::limits::{PARTITIONS_MAX, TOPIC_NAME_BYTES_MAX, TOPICS_MAX};

const FILE: CheckedText = CheckedText { name: "catalog", title: "wellhead broker catalog", format: 2 };

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Catalog {
    pub cluster: Uuid,
    /// All ids below may have been given to producers.
    pub producer_ids_end: i64,
    pub topics: Vec<CatalogTopic>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct CatalogTopic {
    pub description: TopicDescription,
    pub configs: TopicConfigs,
}

impl Catalog {
    /// Replaces the file, durably: after a crash it is the old or the new one.
    pub async fn save<D: Disk>(&self, disk: &D, dir: &Path) -> Result<(), DiskError> {
        FILE.save(disk, dir, &self.lines()).await
    }

    /// `None`: there is no such file yet.
    pub async fn load<D: Disk>(disk: &D, dir: &Path) -> Result<Option<Self>, BrokerError> {
        let Some(lines) = FILE.load(disk, dir).await? else { return Ok(None) };
        let lines: Vec<&str> = lines.lines().collect();
        let damaged = || BrokerError::damaged(&dir.join(FILE.name), 0, "a line of it cannot be read");
        Self::parse(&lines).map(Some).ok_or_else(damaged)
    }

    fn lines(&self) -> String {
        let mut text = format!("cluster {}\nproducer-ids {}\n", self.cluster, self.producer_ids_end);
        for CatalogTopic { description: topic, configs } in &self.topics {
            text += &format!("topic {} {} {}{}\n", topic.id, topic.partition_count, topic.name, configs.encode());
        }
        text
    }

    fn parse(lines: &[&str]) -> Option<Self> {
        let (cluster, rest) = lines.split_first()?;
        let cluster = Uuid::parse_str(cluster.strip_prefix("cluster ")?).ok()?;
        let ids = rest.first().and_then(|line| line.strip_prefix("producer-ids "));
        let (producer_ids_end, topics) = match ids {
            Some(end) => (end.parse().ok().filter(|end| *end >= 0)?, &rest[1..]),
            None => (0, rest),
        };
        let topics: Vec<_> = topics.iter().map(|line| CatalogTopic::parse(line)).collect::<Option<_>>()?;
        (topics.len() <= TOPICS_MAX).then_some(Self { cluster, producer_ids_end, topics })
    }
}

impl CatalogTopic {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("topic ")?.split(' ');
        let id = Uuid::parse_str(words.next()?).ok()?;
        let partition_count: i32 = words.next()?.parse().ok()?;
        let name: Arc<str> = words.next()?.into();
        let is_valid = is_topic_name(&name) && (1..=PARTITIONS_MAX as i32).contains(&partition_count);
        let configs = TopicConfigs::decode(words)?;
        is_valid.then_some(Self { description: TopicDescription { name, id, partition_count }, configs })
    }
}

/// Kafka's rule for names.
pub(super) fn is_topic_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=TOPIC_NAME_BYTES_MAX).contains(&name.len()) && name != "." && name != ".." && name.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use disk::{Access, DiskFile, OpenMode, SimDisk};
    use futures_lite::future::block_on;

    use super::*;
    use crate::log::topic_configs::TopicSetting;

    fn catalog(names: &[&str]) -> Catalog {
        let mut configs = TopicConfigs::default();
        configs.set(TopicSetting::RetentionMs, Some(-1));
        configs.set(TopicSetting::MaxMessageBytes, Some(1_000));
        let topic = |name: &&str| {
            let description = TopicDescription { name: (*name).into(), id: Uuid::new_v4(), partition_count: 3 };
            CatalogTopic { description, configs }
        };
        Catalog { cluster: Uuid::new_v4(), producer_ids_end: 7_000, topics: names.iter().map(topic).collect() }
    }

    #[test]
    fn what_the_first_format_says_is_read() {
        let cluster = Uuid::from_u128(7);
        let id = Uuid::from_u128(9);
        let lines = [format!("cluster {cluster}"), format!("topic {id} 3 measured")];
        let description = TopicDescription { name: "measured".into(), id, partition_count: 3 };
        let topics = vec![CatalogTopic { description, configs: TopicConfigs::default() }];
        let expected = Catalog { cluster, producer_ids_end: 0, topics };
        assert_eq!(Catalog::parse(&lines.each_ref().map(|line| line.as_str())), Some(expected));
        for line in ["topic x 3 a", "topic 9 0 a", "retention.ms=5", "producer-ids -1", "producer-ids x"] {
            assert_eq!(Catalog::parse(&[&lines[0], line]), None, "{line}");
        }
    }

    #[test]
    fn a_crash_leaves_the_old_or_the_new_one() {
        block_on(async {
            let dir = Path::new("/d");
            let (old, new) = (catalog(&["a"]), catalog(&["a", "b.c_d-e"]));
            for operations in 0..20 {
                let disk = SimDisk::new(1);
                disk.create_dir(dir).await.unwrap();
                assert_eq!(Catalog::load(&disk, dir).await.unwrap(), None);
                old.save(&disk, dir).await.unwrap();
                disk.cut_power_after(operations);
                let saved = new.save(&disk, dir).await.is_ok();
                for seed in 0..20 {
                    let disk = disk.crash(seed);
                    let found = Catalog::load(&disk, dir).await.unwrap().unwrap();
                    assert!(found == new || (found == old && !saved), "operations {operations}, seed {seed}");
                    new.save(&disk, dir).await.unwrap();
                }
            }
        });
    }

    #[test]
    fn a_changed_byte_is_noticed() {
        block_on(async {
            let text = FILE.encode(&catalog(&["a", "b"]).lines());
            for at in 0..text.len() - 1 {
                let disk = SimDisk::new(1);
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1;
                let file = disk.open("/catalog".as_ref(), OpenMode::CreateNew, Access::Buffered).await.unwrap();
                file.write_at(0, &bytes).await.unwrap();
                let loaded = Catalog::load(&disk, Path::new("/")).await;
                assert!(loaded.is_err(), "byte {at} of {text}");
            }
        });
    }

    #[test]
    fn topic_names_follow_kafkas_rule() {
        let longest = "x".repeat(249);
        for (name, is_valid) in
            [("a", true), ("A.b_c-9", true), (&longest, true), ("", false), (".", false), ("..", false), ("a b", false)]
        {
            assert_eq!(is_topic_name(name), is_valid, "{name}");
        }
        assert!(!is_topic_name(&"x".repeat(250)) && !is_topic_name("ä") && !is_topic_name("a/b"));
    }
}
