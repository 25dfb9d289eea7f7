//! Every script of ours passes as a whole: those in `scripts/` whenever names are removed, the others with one of the two ways.

use std::path::Path;

use promql::script::{Script, script_engine};
use promql::{Engine, NameRemoval};

/// Runs all scripts of a folder and gives the number of evaluations.
#[track_caller]
fn check(folder: &str, engine: &Engine) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite").join(folder);
    let mut evaluations = 0;
    let mut failures = Vec::new();
    for entry in std::fs::read_dir(&folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let text = std::fs::read_to_string(&path).expect("a readable script");
        let script = Script::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        evaluations += script.evaluations();
        failures.extend(script.run(engine).failures.iter().map(|failure| format!("{name}: {failure}")));
    }
    assert!(failures.is_empty(), "{} of {evaluations} failed:\n{}", failures.len(), failures.join("\n"));
    evaluations
}

#[test]
fn scripts_pass_with_names_removed_at_once() {
    assert_eq!(Engine::default().options().name_removal, NameRemoval::Immediate);
    assert!(check("scripts", &Engine::default()) > 200);
    assert!(check("scripts_immediate", &Engine::default()) > 5);
}

#[test]
fn scripts_pass_with_names_removed_at_the_end() {
    assert!(check("scripts", &script_engine()) > 200);
    assert!(check("scripts_delayed", &script_engine()) > 5);
}
