//! Walks an encoded request without decoding it: every claimed length and count must fit into the bytes that are there.
//!
//! The codec's decoder reserves memory for as many elements as the wire claims, before it looks for them. So nothing reaches it that did
//! not pass here. The shapes themselves are in `shapes`; a test holds them against the codec.

use crate::limits::REQUEST_ELEMENTS_MAX;

/// A request of one API, all its versions.
pub(super) struct RequestShape {
    /// From this version on, lengths are varints and structures end with tagged fields.
    pub flexible_since: i16,
    pub fields: &'static [Field],
    pub tags: &'static [Tag],
}

/// A field that versions `since..=until` have.
pub(super) struct Field {
    pub since: i16,
    pub until: i16,
    pub kind: Kind,
}

pub(super) enum Kind {
    /// So many bytes.
    Fixed(usize),
    /// Text, or none.
    Text,
    /// Bytes, or none.
    Blob,
    /// Items of so many bytes, or none.
    FixedList(usize),
    TextList,
    /// Structures, or none.
    List(&'static [Field], &'static [Tag]),
}

/// A tagged field that the decoder knows: it does not look at the length that the wire gives for it.
pub(super) struct Tag {
    pub number: u32,
    pub since: i16,
    pub kind: TagKind,
}

pub(super) enum TagKind {
    Value(Kind),
    Structure(&'static [Field]),
}

/// The bytes are no request of this shape.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Malformed;

/// Walks a request's header, from the client id on, and its body. Gives how many bytes were left over.
pub(super) fn walk(shape: &RequestShape, version: i16, bytes: &[u8]) -> Result<usize, Malformed> {
    let mut walker = Walker { bytes, version, is_flexible: false, elements: 0 };
    // The client id keeps its old form in every header.
    walker.text()?;
    walker.is_flexible = version >= shape.flexible_since;
    if walker.is_flexible {
        walker.tags(&[])?;
    }
    walker.structure(shape.fields, shape.tags)?;
    Ok(walker.bytes.len())
}

struct Walker<'a> {
    bytes: &'a [u8],
    version: i16,
    is_flexible: bool,
    elements: usize,
}

impl Walker<'_> {
    fn structure(&mut self, fields: &'static [Field], tags: &'static [Tag]) -> Result<(), Malformed> {
        let version = self.version;
        for field in fields.iter().filter(|field| (field.since..=field.until).contains(&version)) {
            self.value(&field.kind)?;
        }
        if self.is_flexible { self.tags(tags) } else { Ok(()) }
    }

    fn value(&mut self, kind: &Kind) -> Result<(), Malformed> {
        match kind {
            Kind::Fixed(bytes) => self.skip(*bytes),
            Kind::Text => self.text(),
            Kind::Blob => {
                let len = if self.is_flexible { self.compact_len()? } else { self.i32_len()? };
                self.skip(len)
            }
            Kind::FixedList(bytes) => {
                let count = self.list_len()?;
                self.skip(count.checked_mul(*bytes).ok_or(Malformed)?)
            }
            Kind::TextList => (0..self.list_len()?).try_for_each(|_| self.text()),
            Kind::List(fields, tags) => (0..self.list_len()?).try_for_each(|_| self.structure(fields, tags)),
        }
    }

    fn tags(&mut self, known: &'static [Tag]) -> Result<(), Malformed> {
        let count = self.varint()?;
        for _ in 0..count {
            self.element()?;
            let (number, len) = (self.varint()?, self.varint()?);
            match known.iter().find(|tag| tag.number == number) {
                Some(tag) if tag.since > self.version => return Err(Malformed),
                Some(Tag { kind: TagKind::Value(kind), .. }) => self.value(kind)?,
                Some(Tag { kind: TagKind::Structure(fields), .. }) => self.structure(fields, &[])?,
                None => self.skip(len as usize)?,
            }
        }
        Ok(())
    }

    fn text(&mut self) -> Result<(), Malformed> {
        let len = if self.is_flexible {
            self.compact_len()?
        } else {
            match i16::from_be_bytes(self.take()?) {
                -1 => 0,
                len => usize::try_from(len).map_err(|_| Malformed)?,
            }
        };
        self.skip(len)
    }

    /// The count of a list: each item needs a byte at least, so what is there bounds what may be claimed.
    fn list_len(&mut self) -> Result<usize, Malformed> {
        let count = if self.is_flexible { self.compact_len()? } else { self.i32_len()? };
        if count > self.bytes.len() {
            return Err(Malformed);
        }
        self.elements += count;
        if self.elements > REQUEST_ELEMENTS_MAX { Err(Malformed) } else { Ok(count) }
    }

    fn i32_len(&mut self) -> Result<usize, Malformed> {
        match i32::from_be_bytes(self.take()?) {
            -1 => Ok(0),
            len => usize::try_from(len).map_err(|_| Malformed),
        }
    }

    /// Length plus one; 0 is none.
    fn compact_len(&mut self) -> Result<usize, Malformed> {
        Ok((self.varint()? as usize).saturating_sub(1))
    }

    /// As the codec reads it: five bytes at most, and what does not fit is lost.
    fn varint(&mut self) -> Result<u32, Malformed> {
        let mut value = 0;
        for place in 0..5 {
            let [byte] = self.take()?;
            value |= u32::from(byte & 0x7f) << (place * 7);
            if byte < 0x80 {
                break;
            }
        }
        Ok(value)
    }

    fn element(&mut self) -> Result<(), Malformed> {
        self.elements += 1;
        if self.elements > REQUEST_ELEMENTS_MAX { Err(Malformed) } else { Ok(()) }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.bytes.split_first_chunk().ok_or(Malformed)?;
        self.bytes = rest;
        Ok(*taken)
    }

    fn skip(&mut self, len: usize) -> Result<(), Malformed> {
        self.bytes = self.bytes.get(len..).ok_or(Malformed)?;
        Ok(())
    }
}
