//! The body of a push: snappy (raw block format) under a limit, then a walk over `WriteRequest`.

use snap::raw::{Decoder, decompress_len};

use crate::fields::{Fields, Malformed};
use crate::series::SeriesView;

/// Why a body could not be inflated.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InflateError {
    #[error("the body inflates to {claimed} bytes, the limit is {bytes_max}")]
    TooLarge { claimed: usize, bytes_max: usize },
    #[error("the body is not snappy: {0}")]
    NotSnappy(String),
}

/// Inflates into a buffer that is used again.
#[derive(Default)]
pub struct Inflater {
    decoder: Decoder,
    buffer: Vec<u8>,
}

impl Inflater {
    /// The inflated bytes; valid until the next call. What the body *claims* is checked before anything is allocated.
    ///
    /// # Errors
    /// See [`InflateError`].
    pub fn inflate(&mut self, body: &[u8], bytes_max: usize) -> Result<&[u8], InflateError> {
        let not_snappy = |error: snap::Error| InflateError::NotSnappy(error.to_string());
        let claimed = decompress_len(body).map_err(not_snappy)?;
        if claimed > bytes_max {
            return Err(InflateError::TooLarge { claimed, bytes_max });
        }
        // One byte of snappy stands for at most 64 of the block (a copy element of 3 bytes yields up to 64).
        if claimed > body.len().saturating_mul(64) {
            return Err(InflateError::NotSnappy("it claims more bytes than it can hold".to_owned()));
        }
        if self.buffer.len() < claimed {
            self.buffer.resize(claimed, 0);
        }
        let len = self.decoder.decompress(body, &mut self.buffer[..claimed]).map_err(not_snappy)?;
        Ok(&self.buffer[..len])
    }

    /// Gives memory back after an unusually large body.
    pub fn shrink(&mut self, bytes: usize) {
        if self.buffer.capacity() > bytes {
            self.buffer = Vec::new();
        }
    }
}

/// One part of a request.
#[derive(Clone, Copy, Debug)]
pub enum WriteRequestItem<'a> {
    Series(SeriesView<'a>),
    /// A `MetricMetadata` message and the family that it names.
    Metadata {
        raw: &'a [u8],
        family: &'a [u8],
    },
}

/// Walks a remote write 1 `WriteRequest`. Unknown fields are passed over; the fields of version 2 are refused.
pub struct WriteRequest<'a>(Fields<'a>);

impl<'a> WriteRequest<'a> {
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(Fields::new(bytes))
    }

    /// The next part.
    ///
    /// # Errors
    /// The bytes are no such request; what came before is valid.
    #[inline]
    pub fn next_item(&mut self) -> Result<Option<WriteRequestItem<'a>>, Malformed> {
        while let Some((number, value)) = self.0.next_field()? {
            match number {
                1 => return Ok(Some(WriteRequestItem::Series(SeriesView::parse(value.bytes()?)?))),
                3 => {
                    let raw = value.bytes()?;
                    return Ok(Some(WriteRequestItem::Metadata { raw, family: family_of(raw)? }));
                }
                4 | 5 => return Err(Malformed("fields of remote write 2 in a request of version 1")),
                _ => {}
            }
        }
        Ok(None)
    }
}

/// `MetricMetadata`: 2 is the family's name.
fn family_of(raw: &[u8]) -> Result<&[u8], Malformed> {
    let mut fields = Fields::new(raw);
    let mut family: &[u8] = &[];
    while let Some((number, value)) = fields.next_field()? {
        if number == 2 {
            family = value.bytes()?;
        }
    }
    Ok(family)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_body_claims_is_not_believed() {
        let mut inflater = Inflater::default();
        let body = snap::raw::Encoder::new().compress_vec(&[7; 1000]).unwrap();
        assert_eq!(inflater.inflate(&body, 1000).unwrap(), &[7; 1000]);
        assert_eq!(inflater.inflate(&body, 999), Err(InflateError::TooLarge { claimed: 1000, bytes_max: 999 }));
        let claims_much = [0xff, 0xff, 0xff, 0x7f, 0];
        assert!(matches!(inflater.inflate(&claims_much, usize::MAX), Err(InflateError::NotSnappy(_))));
        assert!(inflater.inflate(b"", 10).is_ok_and(<[u8]>::is_empty) || inflater.inflate(b"", 10).is_err());
        assert!(inflater.inflate(b"no snappy", 1000).is_err());
    }
}
