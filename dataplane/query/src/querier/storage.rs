//! The seam to the shards of a node. Calls block: they come from query threads.

use std::sync::Arc;

use model::{Labels, Matcher, TenantId, TimeRange};
use tsdb::read::{NamesQuestion, SelectRequest, SeriesSnapshot};

use super::ReadScope;

/// What comes in pieces, each of a bounded number of series. The first error ends it.
pub type Batches<'a, T> = Box<dyn Iterator<Item = Result<Vec<T>, ReadError>> + 'a>;

/// Whatever holds the tenants' series: all shards of a node, in any order.
///
/// An implementation charges the scope before it copies anything, and stops soon after the scope was interrupted or the
/// iterator dropped. A series may come more than once (from several heads); readers merge by labels.
pub trait Storage: Sync {
    /// The series that match and have samples in the range, with the chunks that overlap it.
    fn select<'a>(&'a self, request: &SelectRequest, scope: &Arc<ReadScope>) -> Batches<'a, SeriesSnapshot>;

    /// Like [`Storage::select`], labels only.
    fn series<'a>(&'a self, request: &SelectRequest, scope: &Arc<ReadScope>) -> Batches<'a, Labels>;

    /// Label names, or the values of one label; in any order, and the same text may come several times.
    ///
    /// # Errors
    /// What could not be read, a limit, or an interruption.
    fn names(&self, request: &NamesRequest, scope: &Arc<ReadScope>) -> Result<Vec<Arc<str>>, ReadError>;
}

/// A question for label names or values.
#[derive(Clone, Debug)]
pub struct NamesRequest {
    pub tenant: TenantId,
    pub question: NamesQuestion,
    /// Those of series that match all; none means every series.
    pub matchers: Arc<[Matcher]>,
    pub range: TimeRange,
}

/// Why reading ended early.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReadError {
    /// A limit of the query; the sentence is for its author.
    #[error("{0}")]
    Limit(String),
    /// The scope says why.
    #[error("interrupted")]
    Interrupted,
    /// A shard failed or is gone: operation, target, reason.
    #[error("{0}")]
    Failed(String),
}
