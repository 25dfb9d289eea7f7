//! The postings of an index: the table of label pairs in memory, the lists of series where they are.

use super::contents::{damaged, look_at_part, split_count};
use super::{Contents, SERIES_ALIGNMENT};
use crate::block::items::{Look, Wanted};
use crate::block::{BlockError, BlockSource, items};
use crate::wal::{Fields, Malformed};

/// Entries of a name between two whose place is noted.
const STEP: usize = 32;
/// What an entry of the table begins with: a name and a value.
const KEYS: u64 = 2;

/// The table: its bytes as they are, and the places of some entries.
#[derive(Debug)]
pub(in crate::block) struct PostingsTable {
    bytes: Vec<u8>,
    /// In order; not the empty name.
    names: Vec<NameEntries>,
    /// Places of every 32nd entry of each name.
    sparse: Vec<u32>,
    /// The list of all series.
    all: Option<Wanted>,
    /// Where the lists end: the last one's length is guessed by it.
    lists_end: u64,
}

#[derive(Debug)]
struct NameEntries {
    name: Box<str>,
    begin: u32,
    end: u32,
    sparse_begin: usize,
    sparse_end: usize,
}

#[derive(Clone, Copy)]
struct Entry<'a> {
    name: &'a str,
    value: &'a str,
    at: u64,
}

impl PostingsTable {
    pub(in crate::block) async fn read<S: BlockSource>(source: &S, contents: &Contents) -> Result<Self, BlockError> {
        match contents.postings_table_at {
            0 => Ok(Self { bytes: Vec::new(), names: Vec::new(), sparse: Vec::new(), all: None, lists_end: 0 }),
            at => Self::decode(contents, contents.read_part(source, at).await?),
        }
    }

    /// Checks every entry: in order, as many as are claimed, lists within the index.
    fn decode(contents: &Contents, part: Vec<u8>) -> Result<Self, BlockError> {
        let table_at = contents.postings_table_at;
        let (count, entries) = split_count(table_at, &part)?;
        let mut fields = Fields::new(entries);
        let (mut names, mut sparse, mut found) = (Vec::<NameEntries>::new(), Vec::new(), 0u32);
        let mut before: Option<Entry<'_>> = None;
        let mut all_at = None;
        let mut of_name = 0;
        while !fields.is_empty() {
            let begin = (part.len() - fields.rest().len()) as u32;
            let entry = next_entry(&mut fields).map_err(|malformed| damaged(table_at, malformed.to_string()))?;
            let end = (part.len() - fields.rest().len()) as u32;
            if before.is_some_and(|before| (before.name, before.value) >= (entry.name, entry.value)) {
                return Err(damaged(table_at, format!("entry {found} is not behind the one before")));
            }
            if entry.at >= contents.end {
                return Err(damaged(table_at, format!("entry {found} points to byte {}", entry.at)));
            }
            found += 1;
            let is_new = before.is_none_or(|before| before.name != entry.name);
            before = Some(entry);
            if entry.name.is_empty() {
                if entry.value.is_empty() {
                    all_at = Some((entry.at, end));
                }
                continue;
            }
            if is_new {
                of_name = 0;
                let (name, sparse_begin) = (entry.name.into(), sparse.len());
                names.push(NameEntries { name, begin, end, sparse_begin, sparse_end: sparse_begin });
            }
            let current = names.last_mut().expect("one was added with the first entry");
            if of_name % STEP == 0 {
                sparse.push(begin);
                current.sparse_end = sparse.len();
            }
            current.end = end;
            of_name += 1;
        }
        if found != count {
            return Err(damaged(table_at, format!("{found} entries are there, {count} are claimed")));
        }
        let behind = [contents.label_table_at, table_at].into_iter().filter(|place| *place > contents.postings_at);
        let lists_end = behind.min().unwrap_or(contents.end);
        let mut table = Self { bytes: part, names, sparse, all: None, lists_end };
        table.all = all_at.map(|(at, end)| table.wanted(at, end));
        Ok(table)
    }

    pub(in crate::block) fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.names.iter().map(|entries| &*entries.name)
    }

    /// The values of a name in order, each with its list.
    pub(in crate::block) fn values(&self, name: &str) -> impl Iterator<Item = (&str, Wanted)> {
        let entries = self.entries_of(name);
        let (begin, end) = entries.map_or((0, 0), |entries| (entries.begin, entries.end));
        self.scan(begin, end)
    }

    pub(in crate::block) fn has_name(&self, name: &str) -> bool {
        self.entries_of(name).is_some()
    }

    /// The list of one pair.
    pub(in crate::block) fn find(&self, name: &str, value: &str) -> Option<Wanted> {
        let entries = self.entries_of(name)?;
        let sparse = &self.sparse[entries.sparse_begin..entries.sparse_end];
        let value_at = |begin: u32| next_entry(&mut Fields::new(&self.bytes[begin as usize..])).expect(CHECKED).value;
        let behind = sparse.partition_point(|begin| value_at(*begin) <= value);
        let begin = *sparse.get(behind.checked_sub(1)?)?;
        let end = sparse.get(behind).copied().unwrap_or(entries.end);
        self.scan(begin, end).find(|(there, _)| *there == value).map(|(_, wanted)| wanted)
    }

    pub(in crate::block) fn all(&self) -> Option<Wanted> {
        self.all
    }

    fn entries_of(&self, name: &str) -> Option<&NameEntries> {
        let index = self.names.binary_search_by(|entries| (*entries.name).cmp(name)).ok()?;
        Some(&self.names[index])
    }

    fn scan(&self, begin: u32, end: u32) -> impl Iterator<Item = (&str, Wanted)> {
        let mut fields = Fields::new(&self.bytes[begin as usize..end as usize]);
        std::iter::from_fn(move || {
            if fields.is_empty() {
                return None;
            }
            let entry = next_entry(&mut fields).expect(CHECKED);
            Some((entry.value, self.wanted(entry.at, end - fields.rest().len() as u32)))
        })
    }

    /// Lists mostly follow each other as their entries do, so that the next one's place tells how long this one is.
    fn wanted(&self, at: u64, next_entry_at: u32) -> Wanted {
        let mut fields = Fields::new(&self.bytes[next_entry_at as usize..]);
        let next = next_entry(&mut fields).map_or(self.lists_end, |entry| entry.at);
        Wanted { at, guess_bytes: next.saturating_sub(at) }
    }
}

const CHECKED: &str = "checked when the table was read";

fn next_entry<'a>(fields: &mut Fields<'a>) -> Result<Entry<'a>, Malformed> {
    if fields.varint()? != KEYS {
        return Err(Malformed::OutOfRange { what: "the number of keys" });
    }
    Ok(Entry { name: fields.text("a name")?, value: fields.text("a value")?, at: fields.varint()? })
}

/// Reads lists, sorted by place: series in order of their refs, each of them where series are.
pub(in crate::block) async fn read_lists<S: BlockSource>(
    source: &S,
    contents: &Contents,
    wanted: &[Wanted],
) -> Result<Vec<Vec<u32>>, BlockError> {
    let decode = |at: u64, bytes: &[u8]| {
        Ok(match look_at_part(at, bytes)? {
            Look::Needs { bytes } => Look::Needs { bytes },
            Look::Whole(part) => Look::Whole(decode_list(contents, at, part)?),
        })
    };
    items::read_items(source, contents.area(), wanted, decode).await
}

fn decode_list(contents: &Contents, at: u64, part: &[u8]) -> Result<Vec<u32>, BlockError> {
    let (count, bytes) = split_count(at, part)?;
    if bytes.len() as u64 != u64::from(count) * 4 {
        return Err(damaged(at, format!("{} bytes are no list of {count} series", bytes.len())));
    }
    let series = contents.series();
    let (refs, _) = bytes.as_chunks::<4>();
    let refs: Vec<u32> = refs.iter().map(|bytes| u32::from_be_bytes(*bytes)).collect();
    let is_series = |series_ref: &u32| series.contains(&(u64::from(*series_ref) * SERIES_ALIGNMENT));
    if !refs.is_sorted_by(|a, b| a < b) {
        return Err(damaged(at, "a list of series is not in order"));
    }
    if let Some(outside) = refs.first().into_iter().chain(refs.last()).find(|series_ref| !is_series(series_ref)) {
        return Err(damaged(at, format!("a list names series {outside}, which is not where series are")));
    }
    Ok(refs)
}
