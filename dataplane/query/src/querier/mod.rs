//! Joins what shards hold into the columns that the PromQL engine reads.

mod columns;
mod scope;
mod storage;

#[cfg(test)]
pub(crate) mod heads;
#[cfg(test)]
mod querier_test;

use std::sync::Arc;

use model::TenantId;
use promql::{Select, SelectError, Series};

use columns::SeriesColumns;

pub use scope::{ReadLimits, ReadScope};
pub use storage::{Batches, NamesRequest, ReadError, Storage};

/// One tenant's series for one query.
pub struct Querier<'a> {
    pub storage: &'a dyn Storage,
    pub tenant: &'a TenantId,
    pub scope: &'a Arc<ReadScope>,
}

impl Select for Querier<'_> {
    /// Sorted by labels.
    fn select(&self, request: &promql::SelectRequest<'_>) -> Result<Vec<Series>, SelectError> {
        let selection = tsdb::read::SelectRequest {
            tenant: self.tenant.clone(),
            matchers: request.matchers.into(),
            range: request.range,
        };
        let mut columns = SeriesColumns::new(request.range, request.samples_max);
        for batch in self.storage.select(&selection, self.scope) {
            for snapshot in batch.map_err(ReadError::into_select)? {
                columns.add(snapshot)?;
            }
            if self.scope.interrupt().is_some() {
                return Err(SelectError::Interrupted);
            }
        }
        Ok(columns.finish())
    }
}

impl ReadError {
    fn into_select(self) -> SelectError {
        match self {
            Self::Limit(sentence) => SelectError::Limit(sentence),
            Self::Interrupted => SelectError::Interrupted,
            Self::Failed(sentence) => SelectError::Storage(sentence),
        }
    }
}
