//! What only the embedded broker is asked: starts again, limits of connections, counters, a clean end.

use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

use broker::{AutoCreate, BrokerOptions, LogBudget, RefusalReason};
use futures_lite::future::block_on;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::*;
use kafka_protocol::records::Compression;

use crate::broker::{Broker, Embedded};
use crate::wire::{Wire, batch, name, now_ms, sequenced};

fn embedded(options: BrokerOptions) -> Broker {
    Broker::Embedded(Embedded::start(options))
}

#[test]
fn everything_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let now = now_ms();
    let mut identity = None;
    for start in 0..3 {
        let options = BrokerOptions { segment_bytes_max: 2_000, ..BrokerOptions::default() };
        let broker = Broker::Embedded(Embedded::start_in(dir.path(), options));
        let mut wire = Wire::connect(&broker);
        if start == 0 {
            wire.create_topic("kept", 2);
        }
        let wanted = MetadataRequestTopic::default().with_name(Some(name("kept")));
        let response = wire.call(12, &MetadataRequest::default().with_topics(Some(vec![wanted])));
        let found = (response.cluster_id.clone(), response.topics[0].topic_id);
        assert_eq!(*identity.get_or_insert(found.clone()), found, "the log is the same one");
        for round in 0..10 {
            let produced = wire.produce(9, ("kept", found.1), 1, batch(Compression::Lz4, &[now, now]));
            assert_eq!(produced.base_offset, 2 * (10 * start + round));
        }
    }
}

#[test]
fn what_is_known_of_producers_and_settings_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let now = now_ms();
    let mut ids = Vec::new();
    for start in 0..6 {
        // Large enough for one segment, or so small that every batch has its own.
        let options = BrokerOptions { segment_bytes_max: 2_000 + 100_000 * (start / 3), ..BrokerOptions::default() };
        let broker = Broker::Embedded(Embedded::start_in(dir.path(), options));
        let mut wire = Wire::connect(&broker);
        let id = if start == 0 { wire.create_topic("kept", 1) } else { wire.wait_for_leaders("kept", 1) };
        let request = InitProducerIdRequest::default().with_transactional_id(None);
        ids.push(wire.call(2, &request).producer_id.0);
        for sequence in 0..20 {
            let produced = wire.produce(9, ("kept", id), 0, sequenced((7, 0, 20 * start as i32 + sequence), &[now; 1]));
            assert_eq!((produced.error_code, produced.base_offset), (0, 20 * start as i64 + i64::from(sequence)));
        }
        // The last five of this start, and the last ones of the start before as far as they are remembered.
        for sequence in 15..20 {
            let repeated = wire.produce(9, ("kept", id), 0, sequenced((7, 0, 20 * start as i32 + sequence), &[now; 1]));
            assert_eq!((repeated.error_code, repeated.base_offset), (0, 20 * start as i64 + i64::from(sequence)));
        }
        drop(broker);
        if start == 3 {
            // Without the copies all is read from the segments.
            remove_copies(dir.path());
        }
        let broker = Broker::Embedded(Embedded::start_in(dir.path(), BrokerOptions::default()));
        let mut wire = Wire::connect(&broker);
        let last = 20 * start as i32 + 19;
        let repeated = wire.produce(9, ("kept", id), 0, sequenced((7, 0, last), &[now; 1]));
        assert_eq!((repeated.error_code, repeated.base_offset), (0, i64::from(last)), "start {start}");
        let gap = wire.produce(9, ("kept", id), 0, sequenced((7, 0, last + 2), &[now; 1]));
        assert_eq!(gap.error_code, 45);
    }
    assert!(ids.is_sorted_by(|left, right| left < right), "{ids:?}");
}

/// Removes what is kept of producers beside the segments.
fn remove_copies(dir: &std::path::Path) {
    let mut removed = 0;
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "producers") {
                std::fs::remove_file(path).unwrap();
                removed += 1;
            }
        }
    }
    assert_eq!(removed, 1);
}

#[test]
fn a_log_that_ends_is_an_error_only_where_nobody_stopped_it() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        // Which of two things the server hears of first is chance.
        for is_stopped in [true, false].repeat(32) {
            let (handle, inbox) = broker::channel();
            drop(inbox);
            if is_stopped {
                handle.shutdown().await;
            }
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let ended = broker::serve(listener, handle, BrokerOptions::default()).await;
            assert_eq!(ended.is_ok(), is_stopped, "{ended:?}");
        }
    });
}

#[test]
fn connections_are_limited() {
    let broker = embedded(BrokerOptions { connections_max: 3, ..BrokerOptions::default() });
    let mut wires: Vec<Wire> = (0..3).map(|_| Wire::connect(&broker)).collect();
    for wire in &mut wires {
        wire.versions::<MetadataRequest>();
    }
    let mut refused = TcpStream::connect(broker.address()).unwrap();
    refused.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    assert!(matches!(refused.read(&mut [0; 4]), Ok(0) | Err(_)));
    let Broker::Embedded(embedded) = &broker else { unreachable!() };
    let values = embedded.handle.counters().read();
    assert_eq!(values.refusals[RefusalReason::ConnectionLimit as usize], 1);
    assert_eq!(values.connections_open, 3);
    for wire in &mut wires {
        wire.versions::<MetadataRequest>();
    }
}

#[test]
fn idle_connections_are_closed() {
    let idle_max = Duration::from_millis(50);
    let broker = embedded(BrokerOptions { idle_max, ..BrokerOptions::default() });
    let mut silent = Wire::connect(&broker);
    assert!(silent.frame().is_none());
    // One that has asked before, and read its answer, is idle as well.
    let mut asked = Wire::connect(&broker);
    asked.send(0, &ApiVersionsRequest::default());
    while asked.frame().is_some() {}
}

#[test]
fn a_full_log_says_so_in_kafkas_words() {
    let broker = embedded(BrokerOptions { log_budget: LogBudget::Bytes(300_000), ..BrokerOptions::default() });
    let mut wire = Wire::connect(&broker);
    let id = wire.create_topic("full", 1);
    let now = now_ms();
    let records = batch(Compression::None, &[now; 100]);
    let mut written = 0;
    let refused = loop {
        let response = wire.produce(9, ("full", id), 0, records.clone());
        if response.error_code != 0 {
            break response;
        }
        written += 1;
    };
    assert_eq!((refused.error_code, refused.error_message.as_deref()), (56, Some("the log has no space left")));
    assert!(written >= 10, "{written}");
    let Broker::Embedded(embedded) = &broker else { unreachable!() };
    let values = embedded.handle.counters().read();
    assert_eq!(values.refusals[RefusalReason::NoSpace as usize], 1);
    assert_eq!((values.produced_batches, values.produced_records), (written, 100 * written));
    assert!(values.log_bytes <= 300_000 && values.syncs >= written && values.requests > written);
    assert_eq!(block_on(embedded.handle.offsets()).unwrap()[0].1[0].high_watermark as u64, 100 * written);
}

#[test]
fn unknown_topics_are_made_where_that_is_wanted() {
    let options = BrokerOptions { auto_create: AutoCreate::On, default_partitions: 4, ..BrokerOptions::default() };
    for (options, expected) in [(options, (0, 4)), (BrokerOptions::default(), (3, 0))] {
        let broker = embedded(options);
        let wanted = MetadataRequestTopic::default().with_name(Some(name("wanted")));
        let request = MetadataRequest::default().with_topics(Some(vec![wanted]));
        let response = Wire::connect(&broker).call(9, &request);
        assert_eq!((response.topics[0].error_code, response.topics[0].partitions.len()), expected);
    }
}

#[test]
fn a_stop_ends_waiting_fetches_and_refuses_what_comes_later() {
    let mut embedded = Embedded::start(BrokerOptions::default());
    let broker = Broker::Foreign(embedded.address.to_string());
    let mut wire = Wire::connect(&broker);
    let id = wire.create_topic("stopped", 1);
    let partition = fetch_request::FetchPartition::default().with_partition_max_bytes(1_000);
    let topic = fetch_request::FetchTopic::default().with_topic_id(id).with_partitions(vec![partition]);
    let request = FetchRequest::default().with_max_wait_ms(600_000).with_min_bytes(1).with_session_epoch(-1);
    wire.send(13, &request.with_max_bytes(1_000).with_replica_id(BrokerId(-1)).with_topics(vec![topic]));
    std::thread::sleep(Duration::from_millis(50));
    embedded.stop();
    assert!(wire.frame().is_none());
    assert!(TcpStream::connect(embedded.address).is_err());
}
