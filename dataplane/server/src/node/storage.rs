//! All shards of the node as the one storage that queries read: the questions go to every shard at once, the answers are
//! taken shard after shard.

use std::sync::Arc;

use ingest::consumer::{NamesRequest as ShardNames, ReadBudget, ReadError as ShardError, SeriesStream, ShardHandle};
use model::Labels;
use query::{Batches, NamesRequest, ReadError, ReadScope, Storage};
use tsdb::read::{SelectRequest, SeriesSnapshot, StepCost};

/// Clones ask the same shards.
#[derive(Clone)]
pub struct NodeStorage {
    shards: Arc<[ShardHandle]>,
    /// Bytes that one selection may take from all shards together.
    selection_bytes_max: u64,
}

impl NodeStorage {
    #[must_use]
    pub fn new(shards: &[ShardHandle], selection_bytes_max: u64) -> Self {
        Self { shards: shards.into(), selection_bytes_max }
    }
}

impl Storage for NodeStorage {
    fn select<'a>(&'a self, request: &SelectRequest, scope: &Arc<ReadScope>) -> Batches<'a, SeriesSnapshot> {
        let budget = ReadBudget::new(self.selection_bytes_max);
        let ask = |shard: &ShardHandle| shard.select(request.clone(), budget.clone());
        let charge = |scope: &ReadScope, piece: &[SeriesSnapshot]| {
            let chunks = piece.iter().flat_map(|series| &series.chunks);
            let referenced_bytes = chunks.map(|chunk| chunk.bytes.len() as u64).sum();
            scope.charge(StepCost { copied_bytes: 0, referenced_bytes })?;
            scope.charge_series(piece.len())
        };
        stream(&self.shards, ask, scope, charge)
    }

    fn series<'a>(&'a self, request: &SelectRequest, scope: &Arc<ReadScope>) -> Batches<'a, Labels> {
        let ask = |shard: &ShardHandle| shard.series(request.clone());
        stream(&self.shards, ask, scope, |scope, piece: &[Labels]| scope.charge_series(piece.len()))
    }

    fn names(&self, request: &NamesRequest, scope: &Arc<ReadScope>) -> Result<Vec<Arc<str>>, ReadError> {
        let NamesRequest { tenant, question, matchers, range } = request.clone();
        let request = ShardNames { tenant, question, matchers, range };
        let asked: Result<Vec<_>, ShardError> = self.shards.iter().map(|shard| shard.names(request.clone())).collect();
        let mut names = Vec::new();
        for reply in asked.map_err(read_error)? {
            check(scope)?;
            names.extend(reply.wait().map_err(read_error)?);
        }
        Ok(names)
    }
}

type Charge<T> = fn(&ReadScope, &[T]) -> Result<(), ReadError>;

/// Asks all shards, then hands on their pieces.
fn stream<'a, T: Send + 'a>(
    shards: &[ShardHandle],
    ask: impl Fn(&ShardHandle) -> Result<SeriesStream<T>, ShardError>,
    scope: &Arc<ReadScope>,
    charge: Charge<T>,
) -> Batches<'a, T> {
    let asked: Result<Vec<SeriesStream<T>>, ShardError> = shards.iter().map(ask).collect();
    let mut streams = match asked {
        Ok(streams) => streams.into_iter(),
        Err(error) => return Box::new(std::iter::once(Err(read_error(error)))),
    };
    let (scope, mut current, mut is_over) = (scope.clone(), streams.next(), false);
    let mut next = move || -> Result<Option<Vec<T>>, ReadError> {
        while let Some(stream) = &mut current {
            check(&scope)?;
            if let Some(piece) = stream.next_piece().map_err(read_error)? {
                charge(&scope, &piece)?;
                return Ok(Some(piece));
            }
            current = streams.next();
        }
        Ok(None)
    };
    Box::new(std::iter::from_fn(move || {
        if is_over {
            return None;
        }
        let piece = next().transpose();
        is_over = !matches!(piece, Some(Ok(_)));
        piece
    }))
}

fn check(scope: &ReadScope) -> Result<(), ReadError> {
    if scope.interrupt().is_some() { Err(ReadError::Interrupted) } else { Ok(()) }
}

fn read_error(error: ShardError) -> ReadError {
    match error {
        ShardError::OverBudget { .. } => ReadError::Limit(error.to_string()),
        ShardError::Stopped | ShardError::Busy => ReadError::Failed(error.to_string()),
    }
}
