//! The file that names the cluster and its topics: a few lines of text with a checksum, replaced as a whole.
//!
//! ```text
//! wellhead broker catalog
//! format 1
//! writer wellhead 0.1.0
//! cluster 0a8a4b5e-...
//! topic 6f1c9a54-... 8 ingest
//! crc32c 1f2e3d4c
//! ```

use std::path::Path;
use std::sync::Arc;

use disk::{Access, Disk, DiskError, DiskErrorKind, DiskFile, OpenMode};
use uuid::Uuid;

use crate::error::BrokerError;
use crate::handle::TopicDescription;
use crate::limits::{PARTITIONS_MAX, TOPIC_NAME_BYTES_MAX, TOPICS_MAX};

const TITLE: &str = "wellhead broker catalog";
const FORMAT: u32 = 1;
const NAME: &str = "catalog";
const NEW_NAME: &str = "catalog.new";
/// 1,000 topics with the longest names are 300 KB.
const FILE_BYTES_MAX: usize = 1 << 20;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Catalog {
    pub cluster: Uuid,
    pub topics: Vec<TopicDescription>,
}

impl Catalog {
    /// Replaces the file, durably: after a crash it is the old or the new one.
    pub async fn save<D: Disk>(&self, disk: &D, dir: &Path) -> Result<(), DiskError> {
        let new = dir.join(NEW_NAME);
        match disk.remove(&new).await {
            Err(error) if error.kind != DiskErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = disk.open(&new, OpenMode::CreateNew, Access::Buffered).await?;
        file.write_at(0, self.encode().as_bytes()).await?;
        file.sync().await?;
        disk.rename(&new, &dir.join(NAME)).await?;
        disk.sync_dir(dir).await
    }

    /// `None`: there is no such file yet.
    pub async fn load<D: Disk>(disk: &D, dir: &Path) -> Result<Option<Self>, BrokerError> {
        let path = dir.join(NAME);
        let file = match disk.open(&path, OpenMode::Read, Access::Buffered).await {
            Err(error) if error.kind == DiskErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let bytes = file.read_at(0, FILE_BYTES_MAX).await?;
        let lines = checked_lines(&path, &bytes)?;
        Self::parse(&lines).map(Some).ok_or_else(|| BrokerError::damaged(&path, 0, "a line of it cannot be read"))
    }

    fn encode(&self) -> String {
        let mut text = format!("{TITLE}\nformat {FORMAT}\nwriter wellhead {}\n", env!("CARGO_PKG_VERSION"));
        text += &format!("cluster {}\n", self.cluster);
        for topic in &self.topics {
            text += &format!("topic {} {} {}\n", topic.id, topic.partition_count, topic.name);
        }
        let crc = crc32c::crc32c(text.as_bytes());
        text + &format!("crc32c {crc:08x}\n")
    }

    /// The lines after `writer`.
    fn parse(lines: &[&str]) -> Option<Self> {
        let (cluster, topics) = lines.split_first()?;
        let cluster = Uuid::parse_str(cluster.strip_prefix("cluster ")?).ok()?;
        let topic = |line: &&str| {
            let mut words = line.strip_prefix("topic ")?.splitn(3, ' ');
            let id = Uuid::parse_str(words.next()?).ok()?;
            let partition_count: i32 = words.next()?.parse().ok()?;
            let name: Arc<str> = words.next()?.into();
            let is_valid = is_topic_name(&name) && (1..=PARTITIONS_MAX as i32).contains(&partition_count);
            is_valid.then_some(TopicDescription { name, id, partition_count })
        };
        let topics: Vec<_> = topics.iter().map(topic).collect::<Option<_>>()?;
        (topics.len() <= TOPICS_MAX).then_some(Self { cluster, topics })
    }
}

fn checked_lines<'a>(path: &Path, bytes: &'a [u8]) -> Result<Vec<&'a str>, BrokerError> {
    let damaged = |what: &str| BrokerError::damaged(path, 0, what);
    let text = std::str::from_utf8(bytes).map_err(|_| damaged("it is not text"))?;
    let mut lines = text.lines();
    if lines.next() != Some(TITLE) {
        return Err(damaged("it is not the catalog of a broker"));
    }
    let format = lines.next().and_then(|line| line.strip_prefix("format ")?.parse::<u32>().ok());
    let found = format.ok_or_else(|| damaged("its format is missing"))?;
    if found > FORMAT {
        return Err(BrokerError::TooNew { path: path.to_owned(), found, known: FORMAT });
    }
    let body = text.trim_end_matches('\n').rfind('\n').map_or("", |end| &text[..=end]);
    let crc = text[body.len()..].trim_end().strip_prefix("crc32c ").and_then(|hex| u32::from_str_radix(hex, 16).ok());
    if crc != Some(crc32c::crc32c(body.as_bytes())) {
        return Err(damaged("its checksum is wrong"));
    }
    Ok(body.lines().skip(3).collect())
}

/// Kafka's rule for names.
pub(super) fn is_topic_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=TOPIC_NAME_BYTES_MAX).contains(&name.len()) && name != "." && name != ".." && name.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use disk::SimDisk;
    use futures_lite::future::block_on;

    use super::*;

    fn catalog(names: &[&str]) -> Catalog {
        let topic = |name: &&str| TopicDescription { name: (*name).into(), id: Uuid::new_v4(), partition_count: 3 };
        Catalog { cluster: Uuid::new_v4(), topics: names.iter().map(topic).collect() }
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
            let text = catalog(&["a", "b"]).encode();
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
