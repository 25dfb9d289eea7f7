//! The symbols of an index in memory: its bytes as they are, and the place of every 32nd.

use super::Contents;
use super::contents::{damaged, split_count};
use crate::block::{BlockError, BlockSource};
use crate::wal::Fields;

const STEP: usize = 32;

/// All texts of a block, sorted, numbered from 0.
#[derive(Debug)]
pub(in crate::block) struct SymbolTable {
    bytes: Vec<u8>,
    /// Where number 0, 32, 64 .. begins.
    sparse: Vec<u32>,
    count: u32,
}

impl SymbolTable {
    pub(in crate::block) async fn read<S: BlockSource>(source: &S, contents: &Contents) -> Result<Self, BlockError> {
        match contents.symbols_at {
            0 => Ok(Self { bytes: Vec::new(), sparse: Vec::new(), count: 0 }),
            at => Self::decode(at, contents.read_part(source, at).await?),
        }
    }

    /// Checks every entry: UTF-8, in order, as many as are claimed.
    fn decode(at: u64, part: Vec<u8>) -> Result<Self, BlockError> {
        let (count, entries) = split_count(at, &part)?;
        let mut fields = Fields::new(entries);
        let (mut sparse, mut found, mut before) = (Vec::new(), 0u32, None);
        while !fields.is_empty() {
            if (found as usize).is_multiple_of(STEP) {
                sparse.push((part.len() - fields.rest().len()) as u32);
            }
            let text = fields.text("a symbol").map_err(|malformed| damaged(at, malformed.to_string()))?;
            if before.is_some_and(|before| before >= text) {
                return Err(damaged(at, format!("symbol {found} is not behind the one before")));
            }
            before = Some(text);
            found += 1;
        }
        if found != count {
            return Err(damaged(at, format!("{found} symbols are there, {count} are claimed")));
        }
        Ok(Self { bytes: part, sparse, count })
    }

    pub(in crate::block) fn len(&self) -> u32 {
        self.count
    }

    /// The text of a number; none where there are fewer.
    pub(in crate::block) fn get(&self, number: u32) -> Option<&str> {
        if number >= self.count {
            return None;
        }
        let begin = self.sparse[number as usize / STEP] as usize;
        let mut fields = Fields::new(&self.bytes[begin..]);
        for _ in 0..number as usize % STEP {
            fields.bytes().expect("checked when it was read");
        }
        Some(fields.text("a symbol").expect("checked when it was read"))
    }
}
