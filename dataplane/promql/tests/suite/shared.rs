//! Two thirds of Prometheus' own scripts, which lie beside the project and are no part of it. `shared_passed.txt` holds how many
//! evaluations of each file passed at least: it may only grow.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use promql::script::{Script, ScriptReport, script_engine};

const PASSED: &str = include_str!("shared_passed.txt");

/// Set to print every failure of files whose name contains the value.
const SHOW: &str = "PROMQL_SHOW";

#[test]
fn shared_scripts_pass_as_far_as_before() {
    let Some(folder) = find_folder() else {
        println!("SKIPPED: no shared/promqltest beside the project or one of its parents");
        return;
    };
    let minimum = parse_minimum();
    let shown = std::env::var(SHOW).ok();
    let mut worse = Vec::new();
    let mut seen = BTreeMap::new();
    for path in scripts_in(&folder) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let report = run(&path);
        if shown.as_ref().is_some_and(|part| name.contains(part.as_str())) {
            report.failures.iter().for_each(|failure| println!("{name}: {failure}"));
        }
        println!("{name}: {} passed, {} failed", report.passed, report.failures.len());
        let expected = minimum.get(name.as_str()).copied().unwrap_or(0);
        if report.passed < expected {
            worse.push(format!("{name}: {} passed, {expected} did before", report.passed));
        }
        seen.insert(name, report.passed);
    }
    println!("{} passed in all", seen.values().sum::<usize>());
    assert!(worse.is_empty(), "{}", worse.join("\n"));
    let missing: Vec<_> = minimum.keys().filter(|name| !seen.contains_key(**name)).collect();
    assert!(missing.is_empty(), "scripts of the list are gone: {missing:?}");
}

fn run(path: &Path) -> ScriptReport {
    let text = std::fs::read_to_string(path).expect("a readable script");
    let script = Script::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    script.run(&script_engine())
}

fn scripts_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut scripts: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|end| end == "test")).collect();
    scripts.sort();
    scripts
}

/// `../shared/promqltest`, seen from the workspace.
fn find_folder() -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?.parent()?;
    Some(workspace.parent()?.join("shared/promqltest")).filter(|folder| folder.is_dir())
}

fn parse_minimum() -> BTreeMap<&'static str, usize> {
    let lines = PASSED.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let (name, passed) = line.split_once(' ').expect("a file's name and a number");
            (name, passed.trim().parse().expect("a number"))
        })
        .collect()
}
