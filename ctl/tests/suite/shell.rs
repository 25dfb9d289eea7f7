//! What surrounds the commands: help, completions, manual pages, closed pipes, the check of this machine.

use std::io::Read;
use std::process::Stdio;

use serde_json::Value;

use crate::tool::{command, run};

#[test]
fn help_is_grouped() {
    let ended = run(&["--help"]);
    assert_eq!(ended.code, 0);
    for expected in ["See and move progress:\n  offsets", "Exit codes: 0 done", "--kafka-address", "Examples:"] {
        assert!(ended.stdout.contains(expected), "{expected}: {}", ended.stdout);
    }
}

#[test]
fn completions_and_manual_pages_are_made() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]).stdout;
        assert!(script.contains("wellctl") && script.contains("offsets"), "{script}");
    }
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("man1");
    assert_eq!(run(&["man", dir.to_str().unwrap()]).code, 0);
    let page = std::fs::read_to_string(dir.join("wellctl-offsets-reset.1")).unwrap();
    assert!(page.contains("earliest, latest"), "{page}");
}

#[test]
fn a_closed_pipe_is_an_end_like_any_other() {
    let mut tool = command(&["completions", "zsh"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(tool.stdout.take());
    let mut said = String::new();
    tool.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((tool.wait().unwrap().code(), said.as_str()), (Some(0), ""));
}

#[test]
fn this_machine_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let check = |dir: &str| {
        let ended = run(&["-o", "json", "--data-dir", dir, "check", "host", "--shards", "1"]);
        (ended.code, serde_json::from_str::<Value>(&ended.stdout).unwrap())
    };
    let (code, document) = check(folder.path().to_str().unwrap());
    let verdict = |name: &str| {
        let checks = document["checks"].as_array().unwrap();
        checks.iter().find(|check| check["check"] == name).unwrap()["verdict"].as_str().unwrap().to_owned()
    };
    // What the tests of a node need; the rest is as the machine is.
    assert_eq!((verdict("kernel").as_str(), verdict("io_uring").as_str()), ("ok", "ok"), "{document:#}");
    assert_eq!(code, if document["fit"] == true { 0 } else { 6 });
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the probe is gone");
    let (code, document) = check("/nonexistent/folder");
    assert_eq!((code, &document["fit"]), (6, &Value::Bool(false)));
}
