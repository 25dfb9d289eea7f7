//! Matchers against a model that asks every series' labels.

use model::{Labels, MatchOp, Matcher};
use proptest::prelude::*;

use super::Horizon;
use super::fixture::{EVER, Tenant, sample};
use crate::read::NamesQuestion;

const OPS: [MatchOp; 4] = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];
const NAMES: [&str; 5] = ["__name__", "instance", "job", "zone", "missing"];
const VALUES: [&str; 16] = [
    "",
    "a",
    "b",
    "v7",
    "unknown",
    "a|b",
    "(a|b|v3)",
    "a|",
    "(?:|v1|v2)",
    ".*",
    ".+",
    "[ab]",
    "v.*",
    "a?",
    ".*|a",
    "v\\d|b",
];

fn matcher(name: &str, op: MatchOp, value: &str) -> Matcher {
    Matcher::new(name, op, value).unwrap()
}

/// Few values for two labels, many for a third, some series without one.
fn any_labels() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let few = || prop_oneof![Just(String::new()), Just("a".into()), Just("b".into()), Just("c".into())];
    let many = prop_oneof![1 => Just(String::new()), 5 => (0..40).prop_map(|i| format!("v{i}"))];
    (prop_oneof![Just("a"), Just("b")], many, few(), few()).prop_map(|(name, instance, job, zone)| {
        vec![("__name__", name.to_owned()), ("instance", instance), ("job", job), ("zone", zone)]
    })
}

fn any_matchers() -> impl Strategy<Value = Vec<Matcher>> {
    let one = (0..NAMES.len(), 0..OPS.len(), 0..VALUES.len())
        .prop_map(|(name, op, value)| matcher(NAMES[name], OPS[op], VALUES[value]));
    proptest::collection::vec(one, 0..5)
}

fn filled(series: &[Vec<(&'static str, String)>]) -> Tenant {
    let mut tenant = Tenant::new();
    for labels in series {
        let labels: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let present: Vec<(&str, &str)> = labels.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let series = tenant.define(&present);
        let _ = tenant.head.append(series, sample(1000, 1.0), Horizon::NONE);
    }
    tenant
}

/// The labels of the series that satisfy all matchers, by asking each.
fn expected(tenant: &Tenant, matchers: &[Matcher]) -> Vec<Labels> {
    let all =
        (0..tenant.head.series_count()).map(|series| tenant.head.labels(&tenant.symbols, model::SeriesRef(series)));
    all.filter(|labels| matchers.iter().all(|matcher| matcher.matches(labels.get(&matcher.name)))).collect()
}

fn selected(tenant: &Tenant, matchers: &[Matcher]) -> Vec<Labels> {
    let (mut cursor, mut found) = (tenant.select(matchers, EVER), Vec::new());
    while !cursor.is_done() {
        cursor.next_labels(&tenant.head, &tenant.symbols, 7, &mut found);
    }
    found
}

fn distinct(mut texts: Vec<String>) -> Vec<String> {
    texts.sort_unstable();
    texts.dedup();
    texts
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(4), ..ProptestConfig::default() })]

    #[test]
    fn set_operations_select_what_asking_each_series_does(
        series in proptest::collection::vec(any_labels(), 0..120),
        questions in proptest::collection::vec(any_matchers(), 8),
    ) {
        let tenant = filled(&series);
        for matchers in questions {
            let expected = expected(&tenant, &matchers);
            prop_assert_eq!(&selected(&tenant, &matchers), &expected, "{:?}", matchers);

            let names = expected.iter().flatten().map(|label| label.name.to_string()).collect();
            prop_assert_eq!(tenant.names(&NamesQuestion::Names, &matchers, EVER), distinct(names));
            for name in NAMES {
                let values = expected.iter().map(|labels| labels.get(name).to_owned()).filter(|value| !value.is_empty());
                let found = tenant.names(&NamesQuestion::ValuesOf(name.into()), &matchers, EVER);
                prop_assert_eq!(found, distinct(values.collect()));
            }
        }
    }
}

/// Every matcher alone, and every pair of matchers, on one set of series: the cells that random choice may miss.
#[test]
fn every_matcher_and_every_pair_of_matchers() {
    let values = ["", "a", "b", "v1", "v7"];
    let mut series = Vec::new();
    for (index, job) in values.iter().enumerate() {
        for zone in values {
            let instance = format!("v{}", series.len());
            let instance = if index == 2 { String::new() } else { instance };
            series.push(vec![
                ("__name__", "a".into()),
                ("instance", instance),
                ("job", (*job).into()),
                ("zone", zone.into()),
            ]);
        }
    }
    let tenant = filled(&series);
    let mut all = Vec::new();
    for name in ["instance", "job", "missing"] {
        for op in OPS {
            all.extend(VALUES.map(|value| matcher(name, op, value)));
        }
    }
    for first in &all {
        for second in &all {
            let matchers = [first.clone(), second.clone()];
            assert_eq!(selected(&tenant, &matchers), expected(&tenant, &matchers), "{first} {second}");
        }
    }
}
