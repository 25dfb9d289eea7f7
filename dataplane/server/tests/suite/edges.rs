//! Which crate may know which: the table of ARCHITECTURE.md, held by this test.

use std::collections::{BTreeMap, BTreeSet};

use crate::tidy::workspace_root;

/// Our own crates that a crate may depend on outside its tests.
const ALLOWED: &[(&str, &[&str])] = &[
    ("storage/model", &[]),
    ("storage/disk", &[]),
    ("storage/tsdb", &["model", "disk"]),
    ("dataplane/runtime", &["disk"]),
    ("dataplane/kafka", &["model"]),
    ("dataplane/broker", &["disk"]),
    ("dataplane/wire", &["model"]),
    ("dataplane/ingest", &["model", "disk", "tsdb", "wire", "kafka"]),
    ("dataplane/promql", &["model"]),
    ("dataplane/query", &["model", "tsdb", "promql"]),
    ("dataplane/server", &["model", "disk", "tsdb", "runtime", "kafka", "broker", "wire", "ingest", "promql", "query"]),
    ("ctl", &["model", "disk", "tsdb", "runtime", "kafka", "wire", "promql"]),
    ("perf", &["model", "wire"]),
];

/// Foreign crates that only one of ours may name, because it is the seam to them.
const SEAMS: &[(&str, &[&str])] = &[
    ("glommio", &["dataplane/runtime"]),
    ("rskafka", &["dataplane/kafka", "perf"]),
    ("kafka-protocol", &["dataplane/kafka", "dataplane/broker"]),
    ("hyper", &["dataplane/server"]),
];

/// The names below `[dependencies]` of a manifest: one `name.workspace = true` (or `name = ...`) a line.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let section = manifest.lines().skip_while(|line| line.trim() != "[dependencies]").skip(1);
    section
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['.', '=', ' ']).next())
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_arrows_go_one_way() {
    let root = workspace_root();
    let workspace = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let members: BTreeSet<&str> = workspace
        .lines()
        .skip_while(|line| !line.starts_with("members"))
        .skip(1)
        .take_while(|line| !line.starts_with(']'))
        .filter_map(|line| line.trim().strip_prefix('"')?.strip_suffix("\","))
        .collect();
    let table: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    assert_eq!(members, table.keys().copied().collect(), "the table knows every crate, and no other");
    let ours: BTreeSet<&str> = members.iter().filter_map(|path| path.rsplit('/').next()).collect();
    for (path, allowed) in table {
        let manifest = std::fs::read_to_string(root.join(path).join("Cargo.toml")).unwrap();
        for name in dependencies(&manifest) {
            let is_ours = ours.contains(name.as_str());
            assert!(!is_ours || allowed.contains(&name.as_str()), "{path} must not know {name}");
            let seam = SEAMS.iter().find(|(foreign, _)| *foreign == name);
            assert!(seam.is_none_or(|(_, users)| users.contains(&path)), "{path} must not name {name}");
        }
    }
}
