//! Answering questions in steps of some series each, with a yield between, so that ingest goes on.
//!
//! A question is a future beside the loop. It borrows the store only within a step, never over an `await`, and takes no step
//! while its reader is behind.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use disk::Disk;
use futures_lite::future::yield_now;
use model::Labels;
use tokio::sync::oneshot;
use tsdb::read::{SelectRequest, SeriesSnapshot};
use tsdb::store::{CutWalk, ShardStore};

use super::reply::{PieceSender, Question};
use super::{NamesRequest, ReadBudget};

/// Series of one step that copies chunks.
const SELECT_SERIES_MAX: usize = 128;
/// Series of one step that looks at labels only.
const LABELS_SERIES_MAX: usize = 512;

/// The store, shared between the loop and the questions of one thread.
pub(super) type SharedStore<D> = Rc<RefCell<ShardStore<D>>>;

/// Answers a question; `steps` counts for the loop's fairness.
pub(super) async fn answer<D: Disk>(store: SharedStore<D>, question: Question, steps: Rc<Cell<u64>>) {
    match question {
        Question::Select { request, budget, pieces } => select(&store, &request, &budget, &pieces, &steps).await,
        Question::Series { request, pieces } => series(&store, &request, &pieces, &steps).await,
        Question::Cut { tenant, partition, cut, pieces } => {
            let walk = store.borrow().read_cut(&tenant, partition, cut);
            frozen(&store, walk, &pieces, &steps).await;
        }
        Question::Names { request, reply } => names(&store, &request, reply, &steps).await,
    }
}

async fn select<D: Disk>(
    store: &SharedStore<D>,
    request: &SelectRequest,
    budget: &Arc<ReadBudget>,
    pieces: &PieceSender<SeriesSnapshot>,
    steps: &Cell<u64>,
) {
    let mut walk = store.borrow().select(request);
    while !walk.is_done() {
        // Nobody waits for the answer any more.
        let Ok(place) = pieces.reserve().await else { return };
        let mut found = Vec::new();
        let step = {
            let store = store.borrow();
            let cost = store.select_cost(&walk, SELECT_SERIES_MAX);
            let charged = budget.charge(cost.copied_bytes + cost.referenced_bytes);
            if charged.is_ok() {
                store.select_step(&mut walk, SELECT_SERIES_MAX, &mut found);
            }
            charged
        };
        steps.set(steps.get() + 1);
        if let Err(error) = step {
            place.send(Err(error));
            return;
        }
        if !found.is_empty() {
            place.send(Ok(found));
        }
        yield_now().await;
    }
    let _ = pieces.send(Ok(Vec::new())).await;
}

/// What a cut froze; nothing where there is no such head.
async fn frozen<D: Disk>(
    store: &SharedStore<D>,
    mut walk: Option<CutWalk>,
    pieces: &PieceSender<SeriesSnapshot>,
    steps: &Cell<u64>,
) {
    while let Some(walk) = walk.as_mut().filter(|walk| !walk.is_done()) {
        let Ok(place) = pieces.reserve().await else { return };
        let mut found = Vec::new();
        store.borrow().cut_step(walk, SELECT_SERIES_MAX as u32, &mut found);
        steps.set(steps.get() + 1);
        if !found.is_empty() {
            place.send(Ok(found));
        }
        yield_now().await;
    }
    let _ = pieces.send(Ok(Vec::new())).await;
}

async fn series<D: Disk>(
    store: &SharedStore<D>,
    request: &SelectRequest,
    pieces: &PieceSender<Labels>,
    steps: &Cell<u64>,
) {
    let mut walk = store.borrow().select(request);
    while !walk.is_done() {
        let Ok(place) = pieces.reserve().await else { return };
        let mut found = Vec::new();
        store.borrow().select_labels_step(&mut walk, LABELS_SERIES_MAX, &mut found);
        steps.set(steps.get() + 1);
        if !found.is_empty() {
            place.send(Ok(found));
        }
        yield_now().await;
    }
    let _ = pieces.send(Ok(Vec::new())).await;
}

async fn names<D: Disk>(
    store: &SharedStore<D>,
    request: &NamesRequest,
    reply: oneshot::Sender<Vec<Arc<str>>>,
    steps: &Cell<u64>,
) {
    let NamesRequest { tenant, question, matchers, range } = request;
    let mut walk = store.borrow().names(tenant, question, matchers, *range);
    while !walk.is_done() && !reply.is_closed() {
        store.borrow().names_step(&mut walk, LABELS_SERIES_MAX);
        steps.set(steps.get() + 1);
        yield_now().await;
    }
    let _ = reply.send(walk.into_texts());
}
