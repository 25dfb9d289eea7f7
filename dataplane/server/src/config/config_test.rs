//! What a configuration is understood as, and what is said about one that cannot be.

use std::io::Write;

use super::{Loaded, StartPosition, Target, environment_name, load, settings, yaml_path};

fn load_from(arguments: &[&str], environment: &[(&str, &str)], yaml: &str) -> Result<Loaded, String> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(yaml.as_bytes()).unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    let mut all = vec!["wellhead".to_owned()];
    if !yaml.is_empty() {
        all.push(format!("--config.file={path}"));
    }
    all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    load(all.into_iter().map(Into::into), environment).map_err(|error| error.0.replace(&path, "FILE"))
}

/// `expected` is the whole error, or a part of it.
#[track_caller]
fn check_error(arguments: &[&str], environment: &[(&str, &str)], yaml: &str, expected: &str) {
    let error = load_from(arguments, environment, yaml).expect_err("it must be refused");
    assert!(error.contains(expected), "{error:?} does not contain {expected:?}");
}

#[test]
fn the_defaults_are_a_whole_system() {
    let loaded = load_from(&[], &[], "").unwrap();
    assert!(loaded.options.kafka.addresses.is_empty() && loaded.warnings.is_empty());
    assert_eq!((loaded.options.http.port, loaded.options.broker.port), (8080, 9092));
    assert_eq!(loaded.options.kafka.group, "wellhead-0");
}

#[test]
fn flags_win_over_environment_over_file() {
    let yaml = "server:\n  http_listen_port: 1\nlog:\n  level: warn\ningest_storage:\n  kafka:\n    topic: from-file\n";
    let environment = [("WELLHEAD_SERVER_HTTP_LISTEN_PORT", "2"), ("WELLHEAD_LOG_LEVEL", "debug")];
    let options = load_from(&["--server.http-listen-port=3"], &environment, yaml).unwrap().options;
    assert_eq!((options.http.port, &*options.log.level, &*options.kafka.topic), (3, "debug", "from-file"));
}

#[test]
fn one_dash_is_enough_and_a_bare_boolean_is_true() {
    let options = load_from(&["-target=all", "-auth.multitenancy-enabled", "-data-dir", "x"], &[], "").unwrap().options;
    assert_eq!((options.identity, options.data_dir.to_str()), (super::IdentityMode::Header, Some("x")));
}

#[test]
fn keys_of_mimir_are_known() {
    let yaml = "multitenancy_enabled: true\nmemberlist:\n  join_members: [a, b]\n";
    let loaded = load_from(&["-store-gateway.sharding-ring.replication-factor=3"], &[], yaml).unwrap();
    assert_eq!(loaded.options.identity, super::IdentityMode::Header);
    assert_eq!(loaded.warnings.len(), 2, "{:?}", loaded.warnings);
    check_error(
        &["-ingest-storage.kafka.tls-enabled=true"],
        &[],
        "",
        "--ingest-storage.kafka.tls-enabled cannot be ignored: TLS",
    );
    check_error(
        &[],
        &[],
        "compactor:\n  blocks_retention_period: 1y\n",
        "compactor.blocks_retention_period in the configuration file",
    );
}

#[test]
fn a_configuration_can_be_checked_only() {
    assert!(!load_from(&[], &[], "").unwrap().is_check);
    assert!(load_from(&["--config.check"], &[], "memory_limit: 1GiB\n").unwrap().is_check);
    check_error(&["--config.check"], &[], "memory_limits: 1GiB\n", "memory_limits in the configuration file");
}

#[test]
fn unknown_keys_are_refused_with_their_path() {
    check_error(
        &[],
        &[],
        "server:\n  http_listen_prot: 1\n",
        "server.http_listen_prot in the configuration file is no setting of wellhead; did you mean server.http_listen_port?",
    );
    check_error(
        &[],
        &[("WELLHEAD_LOGLEVEL", "x")],
        "",
        "WELLHEAD_LOGLEVEL is no setting of wellhead; did you mean WELLHEAD_LOG_LEVEL?",
    );
    check_error(&[], &[], "- a\n", "not a mapping");
    check_error(&["--config.file=/nonexistent"], &[], "", "/nonexistent cannot be used");
}

#[test]
fn wrong_values_say_what_would_be_right() {
    check_error(&["--target=ingester"], &[], "", "only `all` (every role in one process) and `broker`");
    assert_eq!(load_from(&["--target=broker"], &[], "").unwrap().options.target, Target::Broker);
    check_error(
        &["--target=broker", "--ingest-storage.kafka.address=a:1"],
        &[],
        "",
        "`broker` is the embedded broker: leave ingest-storage.kafka.address empty",
    );
    check_error(
        &["--server.http-listen-port=99999"],
        &[],
        "",
        "--server.http-listen-port is \"99999\": write a port from 0 to 65535",
    );
    check_error(
        &[],
        &[("WELLHEAD_SHARDS", "0")],
        "",
        "the environment variable WELLHEAD_SHARDS is \"0\": write a number from 1",
    );
    check_error(
        &[],
        &[],
        "memory_limit: lots\n",
        "memory_limit in the configuration file is \"lots\": write a number of bytes",
    );
    check_error(&["--ingest-storage.kafka.address=kafka"], &[], "", "write HOST:PORT");
    check_error(&["--ingest-storage.kafka.topic=a b"], &[], "", "a topic has 1 to 249");
}

#[test]
fn contradictions_are_refused() {
    const POSITION: &str = "--ingest-storage.kafka.consume-from-position-at-startup";
    const TIMESTAMP: &str = "--ingest-storage.kafka.consume-from-timestamp-at-startup=1700000000000";
    check_error(&[&format!("{POSITION}=timestamp")], &[], "", "needs a time in milliseconds");
    check_error(&[&format!("{POSITION}=start"), TIMESTAMP], &[], "", "only used with");
    let options = load_from(&[&format!("{POSITION}=timestamp"), TIMESTAMP], &[], "").unwrap().options;
    assert_eq!(options.kafka.start, StartPosition::Timestamp { unix_ms: 1_700_000_000_000 });
}

#[test]
fn names_are_unique_in_every_form() {
    let count = settings().len();
    for form in [environment_name as fn(&str) -> String, yaml_path] {
        let names: std::collections::BTreeSet<String> = settings().iter().map(|setting| form(setting.name)).collect();
        assert_eq!(names.len(), count);
    }
}
