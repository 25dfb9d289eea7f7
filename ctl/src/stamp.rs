//! The stamp that a node leaves in the metadata of its commits: how a node's commit is told from an operator's.
//!
//! Format: `wellhead/1 writer=<id> generation=<n> lsn=<n> time=<unix ms>`, further `name=value` words may follow. Written by the
//! consumer; read here as leniently as its form allows, because a newer node may say more.

const PREFIX: &str = "wellhead/1";
/// A live node commits again every 10 s; a stamp younger than this says that it lives.
pub const LIVE_MS_MAX: i64 = 30_000;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stamp {
    pub writer: String,
    pub generation: u64,
    pub lsn: u64,
    pub time_ms: i64,
}

impl Stamp {
    /// None where the metadata is no stamp.
    pub fn parse(metadata: &str) -> Option<Self> {
        let words = metadata.strip_prefix(PREFIX)?.strip_prefix(' ')?;
        let field = |name: &str| words.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        Some(Self {
            writer: field("writer")?.to_owned(),
            generation: field("generation")?.parse().ok()?,
            lsn: field("lsn")?.parse().ok()?,
            time_ms: field("time")?.parse().ok()?,
        })
    }

    /// Younger than 30 s. One from the future counts as young: a clock that is ahead must not make a node look dead.
    pub fn is_live(&self, now_ms: i64) -> bool {
        now_ms.saturating_sub(self.time_ms) < LIVE_MS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_told_from_other_words() {
        let stamp = Stamp { writer: "wellhead-0".into(), generation: 3, lsn: 77, time_ms: 1000 };
        for (metadata, expected) in [
            ("wellhead/1 writer=wellhead-0 generation=3 lsn=77 time=1000", Some(&stamp)),
            ("wellhead/1 writer=wellhead-0 generation=3 lsn=77 shipped=5 time=1000", Some(&stamp)),
            ("wellhead/2 writer=wellhead-0 generation=3 lsn=77 time=1000", None),
            ("wellhead/1 writer=wellhead-0 generation=-3 lsn=77 time=1000", None),
            ("wellhead/1 writer=wellhead-0 generation=3 time=1000", None),
            ("wellhead/1", None),
            ("wellctl reset", None),
            ("", None),
        ] {
            assert_eq!(Stamp::parse(metadata).as_ref(), expected, "{metadata}");
        }
        for (now_ms, expected) in [(1000, true), (30_999, true), (31_000, false), (0, true), (i64::MAX, false)] {
            assert_eq!(stamp.is_live(now_ms), expected, "{now_ms}");
        }
    }
}
