//! The house rules that a machine can hold: every file opens with its purpose, stays small, and has a name that says something.

use std::path::{Path, PathBuf};

/// A file longer than this is two concepts.
const LINES_MAX: usize = 600;
const EMPTY_NAMES: &[&str] = &["util", "utils", "common", "helper", "helpers", "misc", "types", "v2"];
/// Where `unsafe` may stand: the ring code, the prefetching table.
const UNSAFE_HOMES: &[&str] = &["dataplane/runtime/src/", "storage/disk/src/map.rs", "storage/tsdb/src/head/"];

pub fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the crate lies two folders deep").to_owned()
}

fn rust_files() -> Vec<PathBuf> {
    let root = workspace_root();
    let mut folders: Vec<PathBuf> =
        ["storage", "dataplane", "ctl", "perf"].iter().map(|name| root.join(name)).collect();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    assert!(files.len() > 20, "the walk found the sources");
    files
}

#[test]
fn files_follow_the_house_rules() {
    let root = workspace_root();
    let mut broken = Vec::new();
    for path in rust_files() {
        let shown = path.strip_prefix(&root).unwrap().display().to_string();
        let content = std::fs::read_to_string(&path).unwrap();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        if !content.starts_with("//!") {
            broken.push(format!("{shown}: does not open with //!"));
        }
        let lines = content.lines().count();
        if lines > LINES_MAX {
            broken.push(format!("{shown}: {lines} lines, at most {LINES_MAX}"));
        }
        if EMPTY_NAMES.contains(&stem) {
            broken.push(format!("{shown}: a name that says nothing"));
        }
        let has_unsafe = content.lines().any(|line| {
            let code = line.split("//").next().unwrap_or_default();
            ["unsafe {", "unsafe fn", "unsafe impl"].iter().any(|word| code.contains(word)) && !code.contains('"')
        });
        if has_unsafe && !UNSAFE_HOMES.iter().any(|home| shown.starts_with(home)) {
            broken.push(format!("{shown}: unsafe outside its homes"));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
