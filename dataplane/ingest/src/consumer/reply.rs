//! Questions to a shard that come from other threads, and the way of the answers back.
//!
//! Waits block (query threads have no runtime) or are awaited (the companion). The shard never waits for a slow reader with
//! more than one step's series in hand: it stops stepping.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::{Labels, Matcher, PartitionId, TenantId, TimeRange};
use tokio::sync::{mpsc, oneshot};
use tsdb::head::CutNumber;
use tsdb::read::{NamesQuestion, SelectRequest, SeriesSnapshot};

/// Why a question has no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the shard is stopping")]
    Stopped,
    #[error("the shard has too many questions waiting")]
    Busy,
    #[error("the query would take more memory than it may: {bytes_max} bytes")]
    OverBudget { bytes_max: u64 },
}

/// Bytes that a query may take from all shards together. Charged before anything is copied.
#[derive(Debug)]
pub struct ReadBudget {
    bytes_max: u64,
    charged: AtomicU64,
}

impl ReadBudget {
    #[must_use]
    pub fn new(bytes_max: u64) -> Arc<Self> {
        Arc::new(Self { bytes_max, charged: AtomicU64::new(0) })
    }

    /// Takes bytes for good.
    ///
    /// # Errors
    /// There are not so many left.
    pub fn charge(&self, bytes: u64) -> Result<(), ReadError> {
        let charge = |charged: u64| charged.checked_add(bytes).filter(|sum| *sum <= self.bytes_max);
        let charged = self.charged.fetch_update(Ordering::Relaxed, Ordering::Relaxed, charge);
        charged.map(drop).map_err(|_| ReadError::OverBudget { bytes_max: self.bytes_max })
    }

    #[must_use]
    pub fn charged_bytes(&self) -> u64 {
        self.charged.load(Ordering::Relaxed)
    }
}

/// A question for label names, or for the values of one label.
#[derive(Clone, Debug)]
pub struct NamesRequest {
    pub tenant: TenantId,
    pub question: NamesQuestion,
    /// May be empty: then all series count.
    pub matchers: Arc<[Matcher]>,
    pub range: TimeRange,
}

/// One answer that comes later. Dropping it gives the question up.
#[derive(Debug)]
#[must_use = "the answer is lost when this is dropped"]
pub struct Reply<T>(oneshot::Receiver<T>);

impl<T> Reply<T> {
    pub(super) fn channel() -> (oneshot::Sender<T>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self(receiver))
    }

    /// Blocks the calling thread, which must not be one of a runtime.
    ///
    /// # Errors
    /// The shard ended before it answered.
    pub fn wait(self) -> Result<T, ReadError> {
        self.0.blocking_recv().map_err(|_| ReadError::Stopped)
    }

    /// Waits inside of any runtime.
    ///
    /// # Errors
    /// The shard ended before it answered.
    pub async fn answer(self) -> Result<T, ReadError> {
        self.0.await.map_err(|_| ReadError::Stopped)
    }
}

/// Answers in pieces, each of some series; `T` is [`SeriesSnapshot`] or [`Labels`]. Dropping it gives the question up.
#[derive(Debug)]
#[must_use = "the answer is lost when this is dropped"]
pub struct SeriesStream<T> {
    pieces: mpsc::Receiver<Result<Vec<T>, ReadError>>,
    is_over: bool,
}

/// An empty piece is the end: a channel that closes without one says that the shard is gone.
pub(super) type PieceSender<T> = mpsc::Sender<Result<Vec<T>, ReadError>>;

/// Pieces that wait for the reader.
const PIECES_WAITING_MAX: usize = 2;

impl<T> SeriesStream<T> {
    pub(super) fn channel() -> (PieceSender<T>, Self) {
        let (sender, pieces) = mpsc::channel(PIECES_WAITING_MAX);
        (sender, Self { pieces, is_over: false })
    }

    /// The next piece, never an empty one; none at the end. Blocks the calling thread, which must not be one of a runtime.
    ///
    /// # Errors
    /// The answer is not whole and there will be no more of it.
    pub fn next_piece(&mut self) -> Result<Option<Vec<T>>, ReadError> {
        if self.is_over {
            return Ok(None);
        }
        let piece = self.pieces.blocking_recv();
        self.take(piece)
    }

    /// Like [`SeriesStream::next_piece`], inside of any runtime.
    ///
    /// # Errors
    /// See there.
    pub async fn next_piece_async(&mut self) -> Result<Option<Vec<T>>, ReadError> {
        if self.is_over {
            return Ok(None);
        }
        let piece = self.pieces.recv().await;
        self.take(piece)
    }

    /// An empty piece is the end; a closed channel without one means that the shard is gone.
    fn take(&mut self, piece: Option<Result<Vec<T>, ReadError>>) -> Result<Option<Vec<T>>, ReadError> {
        let piece = piece.unwrap_or(Err(ReadError::Stopped));
        self.is_over = piece.as_ref().map_or(true, Vec::is_empty);
        piece.map(|series| (!series.is_empty()).then_some(series))
    }
}

/// What the executor is asked to read.
#[derive(Debug)]
pub(super) enum Question {
    Select { request: SelectRequest, budget: Arc<ReadBudget>, pieces: PieceSender<SeriesSnapshot> },
    Series { request: SelectRequest, pieces: PieceSender<Labels> },
    Cut { tenant: TenantId, partition: PartitionId, cut: CutNumber, pieces: PieceSender<SeriesSnapshot> },
    Names { request: NamesRequest, reply: oneshot::Sender<Vec<Arc<str>>> },
}
