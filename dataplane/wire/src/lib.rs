//! Bytes to values and back: remote write 1 requests and the Kafka record versions, walked without building strings.
//!
//! Sans I/O: knows no socket and no clock. Every walk borrows from the bytes, is bounded by them, and never panics.

mod fields;
mod push;
mod record;
mod series;
mod symbols;
mod token;
mod validate;

pub use fields::Malformed;
pub use push::{InflateError, Inflater, WriteRequest, WriteRequestItem};
pub use record::{
    RecordError, RecordNotes, RecordSeries, RecordVersion, RecordVisitor, RecordWriter, Source, VERSION_HEADER,
    field_bytes, walk_record,
};
pub use series::{Noted, SampleIter, SeriesView, encode_sample};
pub use token::{metadata_token, series_token};
pub use validate::{LabelLimits, LabelRefusal, canonicalize, show_labels};
