//! Every script in `scripts/` passes as a whole.

use std::path::Path;

use promql::script::{Script, script_engine};

#[test]
fn our_scripts_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/scripts");
    let mut evaluations = 0;
    let mut failures = Vec::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let script =
            Script::parse(&std::fs::read_to_string(&path).unwrap()).unwrap_or_else(|error| panic!("{name}: {error}"));
        evaluations += script.evaluations();
        let report = script.run(&script_engine());
        failures.extend(report.failures.iter().map(|failure| format!("{name}: {failure}")));
    }
    assert!(failures.is_empty(), "{} of {evaluations} failed:\n{}", failures.len(), failures.join("\n"));
    assert!(evaluations > 100, "only {evaluations} evaluations were found in {}", folder.display());
}
