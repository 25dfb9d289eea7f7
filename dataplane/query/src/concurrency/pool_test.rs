//! The pool's states, reached by channels and never by waiting for a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use promql::Interrupt;

use super::{PoolFull, PoolOptions, QueryPool, QueryTicket, Watch};

fn pool(threads: usize, waiting_max: usize) -> QueryPool {
    QueryPool::start(PoolOptions { threads, waiting_max, time_max: Duration::from_secs(3600) }, || {}).unwrap()
}

/// A query that says when it started and ends when it is told to.
struct Held {
    _ticket: QueryTicket,
    end: Sender<()>,
}

fn hold(pool: &QueryPool) -> Held {
    let (started, has_started) = channel();
    let (end, ended): (Sender<()>, Receiver<()>) = channel();
    let ticket = pool.submit(move |_| {
        started.send(()).unwrap();
        let _ = ended.recv();
    });
    has_started.recv().unwrap();
    Held { _ticket: ticket.unwrap(), end }
}

/// Runs something on the pool and waits for it: with one thread, all that was handed in before is then done.
fn run<T: Send + 'static>(pool: &QueryPool, work: impl FnOnce(&Watch) -> T + Send + 'static) -> T {
    let (done, is_done) = channel();
    let _ticket = pool.submit(move |watch| done.send(work(watch)).unwrap()).unwrap();
    is_done.recv().unwrap()
}

#[test]
fn fullness_is_a_value() {
    let pool = pool(2, 1);
    let held = [hold(&pool), hold(&pool)];
    let waiting = pool.submit(|_| {}).unwrap();
    let full = pool.submit(|_| {}).unwrap_err();
    assert_eq!(full, PoolFull { threads: 2, waiting_max: 1 });
    let sentence = "too many outstanding requests: all 2 query threads are busy and 1 queries wait already";
    assert_eq!(full.to_string(), sentence);
    let counters = pool.counters();
    assert_eq!((counters.running, counters.waiting, counters.refused, counters.finished), (2, 1, 1, 0));
    drop((held, waiting));
}

#[test]
fn a_query_that_nobody_waits_for_is_not_started() {
    let pool = pool(1, 10);
    let held = hold(&pool);
    let runs = Arc::new(AtomicUsize::new(0));
    let tickets: Vec<QueryTicket> = (0..3)
        .map(|_| {
            let runs = runs.clone();
            pool.submit(move |_| assert!(runs.fetch_add(1, Ordering::Relaxed) < 2)).unwrap()
        })
        .collect();
    let mut tickets = tickets.into_iter();
    drop(tickets.next());
    held.end.send(()).unwrap();
    run(&pool, |_| ());
    assert_eq!(runs.load(Ordering::Relaxed), 2);
    assert_eq!((pool.counters().abandoned, pool.counters().finished >= 3), (1, true));
}

#[test]
fn a_running_query_sees_that_its_client_left() {
    let pool = pool(1, 1);
    let (started, has_started) = channel();
    let (ended, has_ended) = channel();
    let ticket = pool.submit(move |watch| {
        started.send(watch.interrupt()).unwrap();
        while watch.interrupt().is_none() {
            std::thread::yield_now();
        }
        ended.send(watch.interrupt()).unwrap();
    });
    assert_eq!(has_started.recv().unwrap(), None);
    drop(ticket.unwrap());
    assert_eq!(has_ended.recv().unwrap(), Some(Interrupt::Canceled));
}

#[test]
fn the_end_of_the_pool_ends_its_queries() {
    let pool = pool(1, 1);
    let (started, has_started) = channel();
    let _ticket = pool.submit(move |watch| {
        started.send(()).unwrap();
        while watch.interrupt() != Some(Interrupt::Canceled) {
            std::thread::yield_now();
        }
    });
    has_started.recv().unwrap();
    // Would hang if nothing told the query.
    drop(pool);
}

#[test]
fn deadlines_count_from_handing_in() {
    let options = PoolOptions { threads: 1, waiting_max: 1, time_max: Duration::ZERO };
    let pool = QueryPool::start(options, || {}).unwrap();
    assert_eq!(run(&pool, |watch| (watch.interrupt(), watch.time_left())), (Some(Interrupt::TimedOut), Duration::ZERO));
}

#[test]
fn deadlines_can_only_come_nearer() {
    let watch = Watch::until(Instant::now() + Duration::from_secs(3600));
    assert_eq!(watch.at_most(Duration::ZERO).interrupt(), Some(Interrupt::TimedOut));
    assert!(watch.at_most(Duration::MAX).time_left() <= Duration::from_secs(3600));
    let sooner = watch.at_most(Duration::from_secs(60));
    assert!(sooner.time_left() <= Duration::from_secs(60));
    watch.cancel();
    assert_eq!(sooner.interrupt(), Some(Interrupt::Canceled), "they share the flag");
}

#[test]
fn every_thread_is_prepared_before_it_works() {
    let prepared = Arc::new(AtomicUsize::new(0));
    let count = prepared.clone();
    let options = PoolOptions { threads: 3, ..PoolOptions::default() };
    let pool = QueryPool::start(options, move || {
        count.fetch_add(1, Ordering::Relaxed);
    })
    .unwrap();
    assert!(
        run(&pool, {
            let prepared = prepared.clone();
            move |_| prepared.load(Ordering::Relaxed)
        }) >= 1
    );
    drop(pool);
    assert_eq!(prepared.load(Ordering::Relaxed), 3);
}
