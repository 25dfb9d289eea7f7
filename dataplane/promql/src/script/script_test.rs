//! The runner itself: what it accepts and, above all, what it refuses.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::{Script, script_engine};

#[track_caller]
fn check(script: &str, passed: usize, failures: &[&str]) {
    let report = Script::parse(script).unwrap().run(&script_engine());
    assert_eq!(report.passed, passed, "{:?}", report.failures);
    assert_eq!(report.failures.len(), failures.len(), "{:?}", report.failures);
    for (failure, part) in report.failures.iter().zip(failures) {
        assert!(failure.message.contains(part), "{failure} does not say {part:?}");
    }
}

#[test]
fn right_results_pass() {
    check(
        "load 1m\n  m{a=\"1\"} 1+1x3\n  m{a=\"2\"} _ 5 stale\n\n\
         eval instant at 1m m\n  m{a=\"1\"} 2\n  m{a=\"2\"} 5\n\n\
         eval range from 0 to 3m step 1m m\n  m{a=\"1\"} 1+1x3\n  m{a=\"2\"} _ 5\n\n\
         eval instant at 1m 1 + 1\n  2\n\n\
         eval instant at 1m \"x\"\n  expect string \"x\"\n\n\
         eval instant at 1m m + on() m\n  expect fail regex: found duplicate series.*\n\n\
         eval_fail instant at 1m nope(\n\n\
         eval instant at 2m m{a=\"1\"}[2m]\n  expect range vector from 1m to 2m step 1m\n  m{a=\"1\"} 2 3\n\n\
         clear\n\neval instant at 1m m\n",
        8,
        &[],
    );
}

#[test]
fn wrong_results_fail() {
    let load = "load 1m\n  m{a=\"1\"} 1+1x3\n  m{a=\"2\"} 7 6 5 4\n  h {{sum:1 count:2}}x3\n\n";
    let cases = [
        ("eval instant at 1m m\n  m{a=\"1\"} 3\n  m{a=\"2\"} 6", "expected Float(3.0)"),
        ("eval instant at 1m m\n  m{a=\"1\"} 2", "unexpected series"),
        ("eval instant at 1m m{a=\"1\"}\n  m{a=\"1\"} 2\n  m{a=\"3\"} 2", "is missing"),
        ("eval instant at 1m m{a=\"1\"}\n  expect fail\n  m{a=\"1\"} 2", "expected a failure"),
        ("eval instant at 1m nope()", "unknown function"),
        ("eval instant at 1m m + on() m\n  expect fail msg: other", "another failure"),
        ("eval instant at 1m sort(m)\n  expect ordered\n  m{a=\"2\"} 6\n  m{a=\"1\"} 2", "at place"),
        ("eval instant at 1m m{a=\"1\"}\n  expect warn\n  m{a=\"1\"} 2", "expected warning"),
        ("eval instant at 1m quantile(2, m)\n  expect no_warn\n  {} +Inf", "unexpected annotations"),
        ("eval range from 0 to 1m step 1m m{a=\"1\"}\n  m{a=\"1\"} 1", "unexpected 2"),
        ("eval range from 0 to 1m step 1m m{a=\"1\"}\n  m{a=\"1\"} 1 2 3", "more than there are steps"),
        ("eval instant at 1m h\n  expect fail", "another failure than: not supported yet: native histograms"),
        ("eval instant at 1m 1\n  2", "expected the scalar"),
        ("eval instant at 1m \"x\"\n  expect string \"y\"", "got the string"),
    ];
    for (evaluation, message) in cases {
        check(&format!("{load}{evaluation}\n"), 0, &[message]);
    }
}

#[test]
fn nonsense_is_refused_with_its_line() {
    let cases = [
        ("\nfoo", 2),
        ("load x", 1),
        ("load 1m\n  m 1\n  m{", 3),
        ("eval instant 1m m", 1),
        ("eval range from 0 to 1m m", 1),
        ("eval instant at 1m m\n  expect nothing", 2),
        ("eval instant at 1m m\n  expect fail regex: (", 2),
    ];
    for (script, line) in cases {
        assert_eq!(Script::parse(script).unwrap_err().line, line, "{script}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0x0073_6372),
        ..ProptestConfig::default()
    })]

    #[test]
    fn arbitrary_text_never_panics(text in "(load 1m\n|eval instant at 1m |m\\{a=\"b\"\\} |\\{\\{|x3|_|1\\+2|stale|\n| |[ -~]|\\PC){0,40}") {
        if let Ok(script) = Script::parse(&text) {
            let _ = script.run(&script_engine());
        }
    }
}
