//! The node as its users meet it: starts, refusals, pushes, queries, restarts.

use crate::client::{self, Series};
use crate::start::{self, Node};

fn now_ms() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64
}

fn series<'a>(name: &str, label: &'a str, value: &str, samples: &[(i64, f64)]) -> Series<'a> {
    (vec![("__name__", name.to_owned()), (label, value.to_owned())], samples.to_vec())
}

/// The one value of an instant query, waited for.
#[track_caller]
fn check_value(node: &Node, query: &str, expected: &str) {
    let path = format!("/prometheus/api/v1/query?query={}", client::encoded(query));
    node.wait_until(query, |node| node.query(&path)["result"][0]["value"][1] == expected);
}

#[test]
fn a_sample_survives_kill_and_stop() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let now = now_ms();
    let node = Node::start(&data_dir, &[]);
    let body = client::push_body(&[series("up", "job", "a", &[(now - 2000, 1.0), (now - 1000, 2.5)])]);
    assert_eq!(client::push(node.http, None, &body).unwrap().status, 200);
    check_value(&node, "up{job=\"a\"}", "2.5");
    node.kill();
    // Another number of shards: the partitions move, their samples come along.
    let node = Node::start(&data_dir, &["--shards=1"]);
    check_value(&node, "sum_over_time(up{job=\"a\"}[10m])", "3.5");
    assert_eq!(client::push(node.http, None, &body).unwrap().status, 200, "a retry is no error");
    let body = client::push_body(&[series("up", "job", "a", &[(now, 7.0)])]);
    assert_eq!(client::push(node.http, None, &body).unwrap().status, 200);
    check_value(&node, "count_over_time(up{job=\"a\"}[10m])", "3");
    assert!(node.stop().success());
    assert!(!data_dir.join("node.json").exists(), "a clean stop takes node.json away");
    let node = Node::start(&data_dir, &["--shards=3"]);
    check_value(&node, "sum_over_time(up{job=\"a\"}[10m])", "10.5");
}

#[test]
fn it_records_its_own_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(&folder.path().join("data"), &["--self-monitoring.interval=1s"]);
    check_value(&node, "up{job=\"wellhead\"}", "1");
    check_value(&node, "count(wellhead_build_info)", "1");
}

#[test]
fn tenants_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(&folder.path().join("data"), &["--auth.multitenancy-enabled=true"]);
    let body = |value| client::push_body(&[series("up", "job", "a", &[(now_ms(), value)])]);
    assert_eq!(client::push(node.http, None, &body(1.0)).unwrap().status, 401);
    assert_eq!(client::push(node.http, Some("a/b"), &body(1.0)).unwrap().status, 400);
    for (tenant, value) in [("team-a", 1.0), ("team-b", 2.0)] {
        assert_eq!(client::push(node.http, Some(tenant), &body(value)).unwrap().status, 200);
    }
    let query = |tenant: Option<&str>| {
        let headers: Vec<_> = tenant.map(|tenant| ("X-Scope-OrgID", tenant)).into_iter().collect();
        client::request(node.http, "GET", "/prometheus/api/v1/query?query=up", &headers, &[]).unwrap()
    };
    assert_eq!(query(None).status, 401);
    for (tenant, value) in [("team-a", "1"), ("team-b", "2")] {
        node.wait_until(tenant, |_| query(Some(tenant)).json()["data"]["result"][0]["value"][1] == value);
        assert_eq!(query(Some(tenant)).json()["data"]["result"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn bad_pushes_get_a_clear_answer_and_sink_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(&folder.path().join("data"), &[]);
    let now = now_ms();
    assert_eq!(client::push(node.http, None, b"no snappy").unwrap().status, 400);
    let unsorted = (vec![("job", "x".to_owned()), ("__name__", "bad".to_owned())], vec![(now, 1.0)]);
    let future = series("future", "job", "a", &[(now + 3_600_000, 1.0)]);
    let body = client::push_body(&[unsorted, future, series("good", "job", "a", &[(now, 1.0)])]);
    let answer = client::push(node.http, None, &body).unwrap();
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("bad") || answer.text().contains("future"), "{}", answer.text());
    check_value(&node, "good", "1");
    assert_eq!(node.query("/prometheus/api/v1/query?query=future")["result"].as_array().unwrap().len(), 0);
}

#[test]
fn a_start_that_cannot_be_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let node = Node::start(&data_dir, &[]);
    let port = node.http.port();
    let broker_port: u16 = node.kafka.rsplit(':').next().unwrap().parse().unwrap();
    let refused = |name: &str, flags: &[String], expected: &str| {
        let own = folder.path().join(name);
        let mut command = start::command(if name == "same" { &data_dir } else { &own });
        let output = command.args(flags).stderr(std::process::Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{name} must be refused");
        assert!(said.contains(expected), "{name}: {said}");
    };
    refused("same", &[], "in use by process");
    refused("http", &[format!("--server.http-listen-port={port}")], &format!("127.0.0.1:{port}"));
    refused("broker", &[format!("--broker.listen-port={broker_port}")], &format!("127.0.0.1:{broker_port}"));
    refused("kafka", &["--ingest-storage.kafka.address=127.0.0.1:1".into()], "127.0.0.1:1");
    refused("key", &["--server.http-listen-prot=1".into()], "--server.http-listen-prot");
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    refused("folder", &[format!("--data-dir={}", file.join("x").display())], "data folder");
}

#[test]
fn an_operator_sees_it_run() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(&folder.path().join("data"), &["--self-monitoring.enabled=false"]);
    for path in ["/ready", "/-/ready", "/-/healthy", "/metrics", "/config", "/"] {
        assert_eq!(client::get(node.http, path).unwrap().status, 200, "{path}");
    }
    assert_eq!(client::get(node.http, "/nowhere").unwrap().status, 404);
    assert_eq!(client::request(node.http, "DELETE", "/ready", &[], &[]).unwrap().status, 405);
    let config = client::get(node.http, "/config").unwrap().text();
    assert!(config.contains("http_listen_port: 0"), "{config}");
    let level = |method, path| client::request(node.http, method, path, &[], &[]).unwrap();
    assert_eq!(level("POST", "/log_level?log_level=debug").status, 200);
    assert!(level("GET", "/log_level").text().contains("debug"));
    assert_eq!(level("POST", "/log_level?log_level=loud").status, 400);
    assert!(node.metric("process_resident_memory_bytes") > 0.0);
    assert_eq!(node.query("/prometheus/api/v1/status/buildinfo")["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        node.pid() as f64,
        serde_json::from_slice::<serde_json::Value>(&std::fs::read(folder.path().join("data/node.json")).unwrap())
            .unwrap()["pid"]
            .as_f64()
            .unwrap()
    );
}

#[test]
fn its_status_is_a_document() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(&folder.path().join("data"), &["--shards=2", "--broker.partitions=3"]);
    let series = (vec![("__name__", "up".to_owned())], vec![(now_ms(), 1.0)]);
    assert_eq!(client::push(node.http, None, &client::push_body(&[series])).unwrap().status, 200);
    let status = || client::get(node.http, "/wellhead/status").unwrap().json();
    node.wait_until("something is committed", |_| {
        status()["partitions"]
            .as_array()
            .unwrap()
            .iter()
            .any(|partition| partition["committed_next"].as_i64() > Some(0))
    });
    let status = status();
    assert_eq!((&status["ready"], &status["reason"]), (&true.into(), &serde_json::Value::Null), "{status:#}");
    assert_eq!((status["pid"].as_u64(), &status["kafka"]["embedded"]), (Some(node.pid().into()), &true.into()));
    assert_eq!((status["partition_count"].as_u64(), status["shards"].as_array().unwrap().len()), (Some(3), 2));
    for (index, partition) in status["partitions"].as_array().unwrap().iter().enumerate() {
        assert_eq!((partition["partition"].as_u64(), &partition["state"]), (Some(index as u64), &"consuming".into()));
        let mark = |name: &str| partition[name].as_i64();
        assert!(
            mark("high_watermark") >= mark("durable") && mark("durable") >= mark("committed_next"),
            "{partition:#}"
        );
        let last_consumed = mark("committed_next").filter(|next| *next > 0).map(|next| next - 1);
        assert_eq!(mark("committed_last_consumed"), last_consumed);
    }
}

/// systemd's protocol: a datagram when ready, another when it begins to stop.
#[test]
fn a_supervisor_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let address = folder.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&address).unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    let data_dir = folder.path().join("data");
    let node = Node::start_as(&data_dir, start::command(&data_dir).env("NOTIFY_SOCKET", &address));
    let heard = || {
        let mut bytes = [0; 256];
        let len = socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..len]).into_owned()
    };
    assert!(heard().contains("READY=1"));
    assert!(node.stop().success());
    assert!(heard().contains("STOPPING=1"));
}

/// One node's embedded broker is the other's Kafka; it goes away and comes back.
#[test]
fn an_outage_of_kafka_is_told_and_survived() {
    let folder = tempfile::tempdir().unwrap();
    let (kafka_dir, data_dir) = (folder.path().join("kafka"), folder.path().join("data"));
    let kafka = Node::start(&kafka_dir, &["--self-monitoring.enabled=false"]);
    let (address, port) = (kafka.kafka.clone(), kafka.kafka.rsplit(':').next().unwrap().to_owned());
    let flags = [
        format!("--ingest-storage.kafka.address={address}"),
        "--ingest-storage.kafka.topic=outage".to_owned(),
        "--ingest-storage.kafka.auto-create-topic-default-partitions=2".to_owned(),
        "--ingest-storage.kafka.write-timeout=3s".to_owned(),
        "--self-monitoring.enabled=false".to_owned(),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let node = Node::start(&data_dir, &flags);
    let push = |value: f64| {
        let body = client::push_body(&[series("outage", "n", "1", &[(now_ms(), value)])]);
        client::push(node.http, None, &body).unwrap().status
    };
    let ask = || client::get(node.http, "/prometheus/api/v1/query?query=outage").unwrap().json();
    assert_eq!(push(1.0), 200);
    check_value(&node, "outage", "1");
    assert!(ask()["warnings"].is_null(), "{}", ask());

    kafka.kill();
    node.wait_until("the outage is seen", |_| {
        ask()["warnings"][0].as_str().is_some_and(|it| it.contains("from Kafka"))
    });
    check_value(&node, "outage", "1");
    assert_eq!(push(2.0) / 100, 5, "nothing is acknowledged that Kafka does not have");
    assert_eq!(client::get(node.http, "/ready").unwrap().status, 200, "Kafka is at fault, not this node");

    let port = format!("--broker.listen-port={port}");
    let kafka = Node::start(&kafka_dir, &["--self-monitoring.enabled=false", &port]);
    node.wait_until("pushes go through", |_| push(3.0) == 200);
    check_value(&node, "outage", "3");
    node.wait_until("the warning is gone", |_| ask()["warnings"].is_null());
    assert!(node.stop().success());
    assert!(kafka.stop().success());
}
