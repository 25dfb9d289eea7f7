//! `meta.json`: what a block is, for those who do not open it.
//!
//! Prometheus' own fields (`BlockMeta` of its `tsdb/block.go`), the section `thanos` that Thanos and Mimir read, and one of
//! ours. Fields that this release does not know survive reading and writing.

use model::{Offset, PartitionId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{BlockError, BlockFile, Ulid};

/// The only version of `meta.json` there is.
pub const META_VERSION: u32 = 1;
/// The only version of its section `thanos`.
pub const THANOS_VERSION: u32 = 1;

/// The file as a value.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct BlockMeta {
    pub ulid: Ulid,
    /// No sample is older. Milliseconds.
    #[serde(rename = "minTime")]
    pub min_time_ms: i64,
    /// Every sample is older: the end does not belong to the block. Milliseconds.
    #[serde(rename = "maxTime")]
    pub end_time_ms: i64,
    #[serde(default)]
    pub stats: BlockStats,
    pub compaction: Compaction,
    pub version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thanos: Option<ThanosMeta>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wellhead: Option<WellheadMeta>,
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BlockStats {
    #[serde(skip_serializing_if = "is_zero")]
    pub num_samples: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_float_samples: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_histogram_samples: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_series: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_chunks: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_tombstones: u64,
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// Where a block comes from.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Compaction {
    /// 1 for a block that was made of heads.
    pub level: u32,
    /// The blocks of level 1 that are in it; itself where it is one of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Ulid>,
    /// The blocks that it was made of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<BlockDescription>,
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BlockDescription {
    pub ulid: Ulid,
    #[serde(rename = "minTime")]
    pub min_time_ms: i64,
    #[serde(rename = "maxTime")]
    pub end_time_ms: i64,
}

/// What Thanos and Mimir add.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ThanosMeta {
    #[serde(default)]
    pub version: u32,
    /// External labels; in Mimir the compactor's shard and little else.
    #[serde(default)]
    pub labels: Map<String, Value>,
    #[serde(default)]
    pub downsample: Downsample,
    /// Who made it: `receive`, `compactor`, ..
    #[serde(default)]
    pub source: String,
    /// Names in the folder `chunks`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segment_files: Vec<String>,
    /// All files of the block in order of their paths, `meta.json` without a size.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<BlockFileEntry>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index_stats: Option<IndexStats>,
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Downsample {
    /// Milliseconds between samples; 0 for samples as they came.
    pub resolution: i64,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BlockFileEntry {
    pub rel_path: String,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub size_bytes: u64,
}

/// The largest entries, for whoever sizes reads of the index and of chunks.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct IndexStats {
    #[serde(skip_serializing_if = "is_zero")]
    pub series_max_size: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub chunk_max_size: u64,
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// Our own section.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct WellheadMeta {
    /// What was consumed of each partition when the block was cut, in order of the partitions.
    #[serde(default)]
    pub sources: Vec<KafkaSource>,
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// Offsets of one partition whose samples may be in a block: from the first one to before the next one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(from = "WrittenSource", into = "WrittenSource")]
pub struct KafkaSource {
    pub partition: PartitionId,
    pub first: Offset,
    pub next: Offset,
}

#[derive(Serialize, Deserialize)]
struct WrittenSource {
    partition: i32,
    first_offset: i64,
    next_offset: i64,
}

impl BlockMeta {
    /// Reads the file.
    ///
    /// # Errors
    /// It is not JSON, a field is missing or of another kind, or the version is not known.
    pub fn decode(bytes: &[u8]) -> Result<Self, BlockError> {
        let damaged = |reason: String| BlockError::damaged(BlockFile::Meta, 0, reason);
        let meta: Self = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        if meta.version != META_VERSION {
            return Err(damaged(format!("version {} is not known to this release", meta.version)));
        }
        Ok(meta)
    }

    /// The file's bytes, indented with tabs as Prometheus does.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let tabs = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, tabs);
        self.serialize(&mut serializer).expect("plain values are always JSON");
        bytes
    }
}

impl From<WrittenSource> for KafkaSource {
    fn from(written: WrittenSource) -> Self {
        Self {
            partition: PartitionId(written.partition),
            first: Offset(written.first_offset),
            next: Offset(written.next_offset),
        }
    }
}

impl From<KafkaSource> for WrittenSource {
    fn from(source: KafkaSource) -> Self {
        Self { partition: source.partition.0, first_offset: source.first.0, next_offset: source.next.0 }
    }
}

/// Go leaves out what is zero.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_MIMIR: &str = r#"{
	"ulid": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
	"minTime": 1700000000000,
	"maxTime": 1700007200000,
	"stats": {"numSamples": 5, "numFloatSamples": 5, "numSeries": 2, "numChunks": 3, "numApples": 1},
	"compaction": {
		"level": 2,
		"sources": ["01ARZ3NDEK0000000000000000", "01ARZ3NDEKTSV4RRFFQ69G5FAV"],
		"parents": [{"ulid": "01ARZ3NDEK0000000000000000", "minTime": 1, "maxTime": 2}],
		"hints": ["from-out-of-order"]
	},
	"version": 1,
	"out_of_order": true,
	"thanos": {
		"version": 1,
		"labels": {"__compactor_shard_id__": "1_of_4"},
		"downsample": {"resolution": 0},
		"source": "compactor",
		"segment_files": ["000001"],
		"files": [{"rel_path": "chunks/000001", "size_bytes": 77}, {"rel_path": "meta.json"}],
		"index_stats": {"series_max_size": 20, "chunk_max_size": 60},
		"extensions": {"a": [1, 2.5, null]}
	},
	"wellhead": {"sources": [{"partition": 3, "first_offset": 10, "next_offset": 12}], "of_tomorrow": 7}
}"#;

    #[test]
    fn all_of_it_survives_and_the_known_is_understood() {
        let meta = BlockMeta::decode(OF_MIMIR.as_bytes()).unwrap();
        let again: Value = serde_json::from_slice(&meta.encode()).unwrap();
        assert_eq!(again, serde_json::from_str::<Value>(OF_MIMIR).unwrap());
        assert_eq!((meta.min_time_ms, meta.end_time_ms), (1_700_000_000_000, 1_700_007_200_000));
        assert_eq!((meta.stats.num_chunks, meta.compaction.level, meta.compaction.sources.len()), (3, 2, 2));
        let source = KafkaSource { partition: PartitionId(3), first: Offset(10), next: Offset(12) };
        assert_eq!(meta.wellhead.unwrap().sources, [source]);
        assert_eq!(meta.thanos.unwrap().index_stats.unwrap().chunk_max_size, 60);
    }

    #[test]
    fn other_texts_are_refused() {
        let newer = OF_MIMIR.replace("\"version\": 1,\n\t\"out", "\"version\": 2,\n\t\"out");
        let nameless = OF_MIMIR.replace("01ARZ3NDEKTSV4RRFFQ69G5FAV", "x");
        for (text, reason) in [("", "EOF"), ("{}", "missing field"), (&newer, "version 2"), (&nameless, "not a ULID")] {
            let error = BlockMeta::decode(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
