//! Writes an index from its start to its end. Symbols come first and sorted, series in the order of their labels; of these only
//! the postings stay in memory.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use disk::Disk;
use model::Labels;

use super::{ChunkMeta, MAGIC, POSTINGS_ALIGNMENT, SERIES_ALIGNMENT, SeriesEntryRef, VERSION};
use crate::block::BlockError;
use crate::block::appender::Appender;
use crate::wal::{put_bytes, put_signed, put_varint};

/// Of symbols and of postings offsets: their length is a u32.
const PART_BYTES_MAX: u64 = u32::MAX as u64;

/// See the module.
#[derive(Debug)]
pub(in crate::block) struct IndexWriter<D: Disk> {
    file: Appender<D::File>,
    symbols: HashMap<Box<str>, u32>,
    /// By name and value: symbols are numbered in the order of their texts.
    postings: BTreeMap<(u32, u32), Vec<u32>>,
    all: Vec<u32>,
    symbols_at: u64,
    series_at: u64,
    last: Option<Labels>,
    series_bytes_max: u64,
    entry: Vec<u8>,
}

impl<D: Disk> IndexWriter<D> {
    /// Begins with the symbols: every name and value of every series, sorted, each once.
    pub(in crate::block) async fn create<'a>(
        disk: &D,
        path: &Path,
        symbols: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, BlockError> {
        let mut file = Appender::create(disk, path).await?;
        file.put(&MAGIC.to_be_bytes());
        file.put(&[VERSION]);
        let symbols_at = file.position();
        let mut part = Part::begin(&mut file);
        let (mut numbers, mut field, mut before) = (HashMap::new(), Vec::new(), None::<&str>);
        for symbol in symbols {
            assert!(before.is_none_or(|before| before < symbol), "symbols are sorted, each once");
            before = Some(symbol);
            let number = u32::try_from(numbers.len()).expect("fewer symbols than a part has bytes");
            numbers.insert(symbol.into(), number);
            field.clear();
            put_bytes(symbol.as_bytes(), &mut field);
            part.put(&mut file, &field)?;
            file.relieve().await?;
        }
        part.end(&mut file, numbers.len()).await?;
        file.pad_to(SERIES_ALIGNMENT);
        let series_at = file.position();
        Ok(Self {
            file,
            symbols: numbers,
            postings: BTreeMap::new(),
            all: Vec::new(),
            symbols_at,
            series_at,
            last: None,
            series_bytes_max: 0,
            entry: Vec::new(),
        })
    }

    /// Adds a series behind all before it.
    ///
    /// # Panics
    /// The labels do not follow the ones before or are not among the symbols, or the chunks overlap.
    pub(in crate::block) async fn add_series(
        &mut self,
        labels: &Labels,
        chunks: &[ChunkMeta],
    ) -> Result<SeriesEntryRef, BlockError> {
        assert!(self.last.as_ref().is_none_or(|last| last < labels), "series come in the order of their labels");
        self.last = Some(labels.clone());
        self.file.pad_to(SERIES_ALIGNMENT);
        let limit_bytes = SERIES_ALIGNMENT * u64::from(u32::MAX);
        let at = u32::try_from(self.file.position() / SERIES_ALIGNMENT);
        let series = at.map_err(|_| BlockError::TooLarge { what: "the index's series", limit_bytes })?;
        self.entry.clear();
        put_varint(labels.len() as u64, &mut self.entry);
        for label in labels.iter() {
            let symbol = |text: &str| *self.symbols.get(text).expect("the symbols have all texts");
            let (name, value) = (symbol(&label.name), symbol(&label.value));
            put_varint(name.into(), &mut self.entry);
            put_varint(value.into(), &mut self.entry);
            self.postings.entry((name, value)).or_default().push(series);
        }
        self.all.push(series);
        self.put_chunks(chunks);
        let mut length = Vec::new();
        put_varint(self.entry.len() as u64, &mut length);
        self.file.put(&length);
        self.file.put(&self.entry);
        self.file.put(&crc32c::crc32c(&self.entry).to_be_bytes());
        self.series_bytes_max = self.series_bytes_max.max((length.len() + self.entry.len() + 4) as u64);
        self.file.relieve().await?;
        Ok(SeriesEntryRef(series))
    }

    fn put_chunks(&mut self, chunks: &[ChunkMeta]) {
        put_varint(chunks.len() as u64, &mut self.entry);
        let Some(first) = chunks.first() else { return };
        put_signed(first.range.min_ms, &mut self.entry);
        put_varint(first.range.max_ms.abs_diff(first.range.min_ms), &mut self.entry);
        put_varint(first.at.0, &mut self.entry);
        for pair in chunks.windows(2) {
            let (before, chunk) = (&pair[0], &pair[1]);
            assert!(before.range.max_ms < chunk.range.min_ms, "chunks of a series do not overlap");
            put_varint(chunk.range.min_ms.abs_diff(before.range.max_ms), &mut self.entry);
            put_varint(chunk.range.max_ms.abs_diff(chunk.range.min_ms), &mut self.entry);
            put_signed(chunk.at.0.wrapping_sub(before.at.0).cast_signed(), &mut self.entry);
        }
    }

    /// Writes postings, offsets and the table of contents, and syncs. Gives the file's length and that of its longest series.
    pub(in crate::block) async fn finish(mut self) -> Result<(u64, u64), BlockError> {
        let label_indices_at = self.file.position();
        self.file.pad_to(POSTINGS_ALIGNMENT);
        let postings_at = self.file.position();
        let mut offsets: Vec<(Option<(u32, u32)>, u64)> = Vec::with_capacity(self.postings.len() + 1);
        let all = std::mem::take(&mut self.all);
        offsets.push((None, self.put_postings(&all).await?));
        for (pair, series) in std::mem::take(&mut self.postings) {
            offsets.push((Some(pair), self.put_postings(&series).await?));
        }
        let label_table_at = self.file.position();
        Part::begin(&mut self.file).end(&mut self.file, 0).await?;
        let postings_table_at = self.file.position();
        self.put_offsets(&offsets).await?;
        let places =
            [self.symbols_at, self.series_at, label_indices_at, label_table_at, postings_at, postings_table_at];
        let contents: Vec<u8> = places.iter().flat_map(|place| place.to_be_bytes()).collect();
        self.file.put(&contents);
        self.file.put(&crc32c::crc32c(&contents).to_be_bytes());
        Ok((self.file.finish().await?, self.series_bytes_max))
    }

    async fn put_postings(&mut self, series: &[u32]) -> Result<u64, BlockError> {
        self.file.pad_to(POSTINGS_ALIGNMENT);
        let at = self.file.position();
        let mut part = Part::begin(&mut self.file);
        for series in series {
            part.put(&mut self.file, &series.to_be_bytes())?;
            self.file.relieve().await?;
        }
        part.end(&mut self.file, series.len()).await?;
        Ok(at)
    }

    async fn put_offsets(&mut self, offsets: &[(Option<(u32, u32)>, u64)]) -> Result<(), BlockError> {
        let mut texts = vec![""; self.symbols.len()];
        self.symbols.iter().for_each(|(text, number)| texts[*number as usize] = text);
        let (mut part, mut field) = (Part::begin(&mut self.file), Vec::new());
        for (pair, at) in offsets {
            let (name, value) = pair.map_or(("", ""), |(name, value)| (texts[name as usize], texts[value as usize]));
            field.clear();
            put_varint(2, &mut field);
            put_bytes(name.as_bytes(), &mut field);
            put_bytes(value.as_bytes(), &mut field);
            put_varint(*at, &mut field);
            part.put(&mut self.file, &field)?;
            self.file.relieve().await?;
        }
        part.end(&mut self.file, offsets.len()).await?;
        Ok(())
    }
}

/// A part that begins with its length and a count, both of which are filled in at its end, where its checksum stands.
struct Part {
    at: u64,
    /// Of what is behind the count. The count itself is known last, so the checksums are put together.
    crc: u32,
    bytes: u64,
}

impl Part {
    fn begin<F: disk::DiskFile>(file: &mut Appender<F>) -> Self {
        let at = file.position();
        file.put(&[0; 8]);
        Self { at, crc: 0, bytes: 0 }
    }

    fn put<F: disk::DiskFile>(&mut self, file: &mut Appender<F>, bytes: &[u8]) -> Result<(), BlockError> {
        self.bytes += bytes.len() as u64;
        if self.bytes + 4 > PART_BYTES_MAX {
            return Err(BlockError::TooLarge { what: "a part of the index", limit_bytes: PART_BYTES_MAX });
        }
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        file.put(bytes);
        Ok(())
    }

    async fn end<F: disk::DiskFile>(self, file: &mut Appender<F>, count: usize) -> Result<(), BlockError> {
        let count = (count as u32).to_be_bytes();
        let crc = crc32c::crc32c_combine(crc32c::crc32c(&count), self.crc, self.bytes as usize);
        file.put(&crc.to_be_bytes());
        let mut head = ((self.bytes + 4) as u32).to_be_bytes().to_vec();
        head.extend_from_slice(&count);
        file.amend(self.at, &head).await?;
        Ok(())
    }
}
