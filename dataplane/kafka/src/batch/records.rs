//! The records of one batch.

use super::{Batch, BatchError};

/// Walks records in the order of their offsets.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
    remaining: u32,
    base_offset: i64,
    next_offset: i64,
    base_timestamp_ms: i64,
    append_time_ms: Option<i64>,
}

/// One record, borrowed from the batch.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub offset: i64,
    pub timestamp_ms: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    headers: &'a [u8],
    header_count: u32,
}

impl<'a> Records<'a> {
    pub(super) fn new(bytes: &'a [u8], batch: &Batch<'_>) -> Self {
        Self {
            rest: bytes,
            remaining: batch.record_count,
            base_offset: batch.base_offset,
            next_offset: batch.next_offset,
            base_timestamp_ms: batch.base_timestamp_ms,
            append_time_ms: batch.has_append_time.then_some(batch.max_timestamp_ms),
        }
    }

    /// The next record.
    ///
    /// # Errors
    /// The bytes are no record; the walk has ended.
    pub fn next_record(&mut self) -> Result<Option<Record<'a>>, BatchError> {
        if self.remaining == 0 {
            return Ok(None);
        }
        let record = self.take().ok_or(BatchError::Record("it exceeds its batch"));
        self.remaining = if record.is_ok() { self.remaining - 1 } else { 0 };
        let record = record?;
        if !(self.base_offset..self.next_offset).contains(&record.offset) {
            self.remaining = 0;
            return Err(BatchError::Record("its offset lies outside its batch"));
        }
        Ok(Some(record))
    }

    fn take(&mut self) -> Option<Record<'a>> {
        let len = take_len(&mut self.rest)?;
        let (mut body, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        let (_attributes, after) = body.split_first()?;
        body = after;
        let timestamp_delta = take_signed(&mut body)?;
        let offset_delta = take_signed(&mut body)?;
        let key = take_bytes(&mut body)?;
        let value = take_bytes(&mut body)?;
        let header_count = u32::try_from(take_signed(&mut body)?).ok()?;
        let headers = body;
        for _ in 0..header_count {
            take_bytes(&mut body)??;
            take_bytes(&mut body)?;
        }
        let timestamp_ms = self.append_time_ms.unwrap_or_else(|| self.base_timestamp_ms.wrapping_add(timestamp_delta));
        let offset = self.base_offset.checked_add(offset_delta)?;
        Some(Record { offset, timestamp_ms, key, value, headers, header_count })
    }
}

impl<'a> Record<'a> {
    /// Name and value of each header.
    #[must_use]
    pub fn headers(&self) -> Headers<'a> {
        Headers { rest: self.headers, remaining: self.header_count }
    }

    /// The value of the first header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers().find(|(own, _)| *own == name.as_bytes()).map(|(_, value)| value)
    }
}

/// Headers of a record that was checked; a null value is given as empty.
#[derive(Clone, Debug)]
pub struct Headers<'a> {
    rest: &'a [u8],
    remaining: u32,
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.remaining = self.remaining.checked_sub(1)?;
        let name = take_bytes(&mut self.rest)??;
        let value = take_bytes(&mut self.rest)?;
        Some((name, value.unwrap_or_default()))
    }
}

/// A zigzag varint of at most ten bytes.
fn take_signed(bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0u64;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            *bytes = &bytes[index + 1..];
            return Some((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    None
}

fn take_len(bytes: &mut &[u8]) -> Option<usize> {
    usize::try_from(take_signed(bytes)?).ok()
}

/// Bytes with their length before them; -1 is null.
fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let len = take_signed(bytes)?;
    if len == -1 {
        return Some(None);
    }
    let (taken, rest) = bytes.split_at_checked(usize::try_from(len).ok()?)?;
    *bytes = rest;
    Some(Some(taken))
}
