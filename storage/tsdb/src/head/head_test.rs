//! Definitions, limits, memory accounts, and the cost of many series in operations instead of time.

use model::{Fingerprint, MatchOp, Matcher, RejectReason, SeriesRef};

use super::fixture::{EVER, Tenant, canonical, decoded, sample};
use super::{DefineError, HeadOptions, Horizon, Reading, sets};

fn fingerprint(number: u128) -> Fingerprint {
    Fingerprint(number << 64)
}

#[test]
fn definitions_are_numbered_in_their_order_and_found_again() {
    let mut tenant = Tenant::new();
    let labels = [("__name__", "up"), ("job", "node")];
    let other = [("__name__", "up"), ("job", "mimir")];
    assert_eq!((tenant.define(&labels), tenant.define(&other)), (SeriesRef(0), SeriesRef(1)));
    assert_eq!(tenant.define(&labels), SeriesRef(0));
    assert_eq!(tenant.head.labels(&tenant.symbols, SeriesRef(1)).to_string(), r#"{__name__="up", job="mimir"}"#);
    let mut found = Vec::new();
    let unknown = fingerprint(1);
    let known = tenant.key.fingerprint(&canonical(&other));
    tenant.head.find(&[unknown, known], &mut found);
    assert_eq!(found, [None, Some(SeriesRef(1))]);
}

#[test]
fn bytes_that_are_not_canonical_labels_are_refused_without_a_trace() {
    let check = |canonical_labels: &[u8], reason: RejectReason| {
        let mut tenant = Tenant::new();
        let defined = tenant.head.define(&mut tenant.symbols, fingerprint(1), canonical_labels);
        assert_eq!(defined, Err(reason));
        assert_eq!((tenant.head.series_count(), tenant.symbols.count()), (0, 0));
    };
    check(&[], RejectReason::MissingMetricName);
    check(&canonical(&[("b", "1"), ("a", "2")]), RejectReason::LabelsNotSorted);
    check(&canonical(&[("a", "1"), ("a", "2")]), RejectReason::DuplicateLabelName);
    check(&canonical(&[("", "1")]), RejectReason::InvalidLabelName);
    check(&canonical(&[("a", "")]), RejectReason::InvalidLabelValue);
    let mut truncated = canonical(&[("a", "1"), ("b", "2")]);
    truncated.pop();
    check(&truncated, RejectReason::InvalidLabelValue);
    let names: Vec<String> = (0..1025).map(|index| format!("l{index:04}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "v")).collect();
    check(&canonical(&many), RejectReason::TooManyLabels);
}

#[test]
fn a_full_head_refuses_new_series_and_goes_on_with_known_ones() {
    let mut tenant = Tenant::with_series_max(2);
    let known = tenant.define(&[("a", "1")]);
    tenant.define(&[("a", "2")]);
    let third = [("a", "3")];
    assert_eq!(tenant.define_as(fingerprint(3), &third), Err(RejectReason::SeriesLimit));
    assert_eq!(tenant.define(&[("a", "1")]), known);
    assert!(tenant.head.append(known, sample(1, 1.0), Horizon::NONE).is_ok());
    let defined = tenant.head.define_at(&mut tenant.symbols, SeriesRef(2), fingerprint(4), &canonical(&[("a", "4")]));
    assert_eq!(defined, Ok(()), "what the log holds was accepted once");
    tenant.head.set_options(HeadOptions { series_max: 4, future_grace_ms: 0, out_of_order_window_ms: 0 });
    assert_eq!(tenant.define_as(fingerprint(3), &third), Ok(SeriesRef(3)));
}

#[test]
fn definitions_of_the_log_follow_from_each_other() {
    let mut tenant = Tenant::new();
    let mut define_at = |series: u32, number: u128, labels: &[(&str, &str)]| {
        tenant.head.define_at(&mut tenant.symbols, SeriesRef(series), fingerprint(number), &canonical(labels))
    };
    assert_eq!(define_at(1, 10, &[("a", "1")]), Err(DefineError::Gap { expected: 0, found: 1 }));
    assert_eq!(define_at(0, 10, &[("a", "1")]), Ok(()));
    assert_eq!(define_at(1, 11, &[("a", "2")]), Ok(()));
    assert_eq!(define_at(0, 10, &[("a", "1")]), Ok(()), "a repeated frame changes nothing");
    assert_eq!(define_at(0, 12, &[("a", "3")]), Err(DefineError::Redefined { series: 0 }));
    assert_eq!(define_at(2, 11, &[("a", "2")]), Err(DefineError::Twice { first: 1, second: 2 }));
    let reason = RejectReason::MissingMetricName;
    assert_eq!(define_at(2, 12, &[]), Err(DefineError::Refused { series: 2, reason }));
    assert_eq!(tenant.head.series_count(), 2);
}

#[test]
fn a_dissolved_head_leaves_no_symbols_that_only_it_used() {
    let mut tenant = Tenant::new();
    let mut second = Tenant::new();
    tenant.define(&[("a", "1"), ("b", "1")]);
    let canonical_labels = canonical(&[("a", "1"), ("c", "2")]);
    second.head.define(&mut tenant.symbols, fingerprint(1), &canonical_labels).unwrap();
    assert_eq!(tenant.symbols.count(), 5);
    second.head.dissolve(&mut tenant.symbols);
    assert_eq!(tenant.symbols.count(), 3);
    assert_eq!(tenant.head.labels(&tenant.symbols, SeriesRef(0)).to_string(), r#"{a="1", b="1"}"#);
    tenant.head.dissolve(&mut tenant.symbols);
    assert_eq!(tenant.symbols.count(), 0);
}

/// Twelve labels of about 250 bytes, 500 series a host, most values repeated.
fn fleet_labels(number: u32) -> Vec<(&'static str, String)> {
    let (host, metric) = (number / 500, number % 500);
    vec![
        ("__name__", format!("node_subsystem_operation_{metric:03}_seconds_total")),
        ("availability_zone", "eu-central-1a".into()),
        ("cluster", "production-cluster-01".into()),
        ("container", "application-server".into()),
        ("environment", "production".into()),
        ("instance", format!("10.0.{}.{}:9100", host / 250, host % 250)),
        ("job", "kubernetes-service-endpoints".into()),
        ("mode", ["idle", "user", "system", "iowait"][metric as usize % 4].into()),
        ("namespace", "monitoring".into()),
        ("pod", format!("application-server-{host:05}-abcde")),
        ("region", "eu-central-1".into()),
        ("team", "platform".into()),
    ]
}

fn fleet(series_count: u32, rounds: i64) -> Tenant {
    let mut tenant = Tenant::new();
    for number in 0..series_count {
        let labels = fleet_labels(number);
        let labels: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
        tenant.define(&labels);
    }
    scrape(&mut tenant, 0..rounds);
    tenant
}

/// One sample for each series a round.
fn scrape(tenant: &mut Tenant, rounds: std::ops::Range<i64>) {
    let mut outcomes = Vec::new();
    for round in rounds {
        let value = |number: u32| f64::from(number % 7) * (round * round) as f64;
        let at_ms = 1_700_000_000_000 + round * 15_000;
        let numbers = 0..tenant.head.series_count();
        let items: Vec<_> = numbers.map(|number| (SeriesRef(number), sample(at_ms, value(number)))).collect();
        tenant.head.append_batch(&items, Horizon::NONE, Reading::First, &mut outcomes);
        assert!(outcomes.iter().all(Result::is_ok));
    }
}

/// What is accounted, against what the shapes say, from below and from above: an owner that forgets to count, or counts
/// twice, falls out of its range.
#[test]
fn bytes_are_accounted_by_owner() {
    const SERIES_COUNT: u32 = 20_000;
    #[track_caller]
    fn check(owner: &str, bytes: u64, per_series: std::ops::RangeInclusive<u64>) {
        let found = bytes / u64::from(SERIES_COUNT);
        assert!(per_series.contains(&found), "{owner}: {found} bytes per series, {per_series:?} expected");
    }
    let mut tenant = fleet(SERIES_COUNT, 100);
    let open = tenant.head.counters();
    let cost = tenant.select(&[], EVER).cost(&tenant.head, SERIES_COUNT as usize);
    assert_eq!((open.series, open.chunks_open, open.chunks_sealed), (20_000, 20_000, 0));
    // The line, twelve pairs, a table entry of 21 bytes at loads from 53 to 80 %.
    check("series", open.bytes.series, 64 + 48 + 26..=64 + 48 + 42 + 6);
    // Twelve numbers, up to a quarter of room to grow; pairs are few.
    check("postings", open.bytes.postings, 48..=48 * 5 / 4 + 8);
    // The bytes; what an append must find free; up to half more from slot sizes.
    let copied = cost.copied_bytes / u64::from(SERIES_COUNT);
    check("open chunks", open.bytes.chunks_open, copied..=(copied + 20) * 3 / 2);
    check("sealed chunks", open.bytes.chunks_sealed, 0..=0);
    assert!(tenant.symbols.bytes() < 20_000 * 8 && tenant.symbols.bytes() > 500 * 50);
    check("everything", open.bytes.total() + tenant.symbols.bytes(), 186 + copied..=600);

    scrape(&mut tenant, 100..130);
    let sealed = tenant.head.counters();
    assert_eq!((sealed.chunks_open, sealed.chunks_sealed), (20_000, 20_000));
    assert_eq!((sealed.bytes.series, sealed.bytes.postings), (open.bytes.series, open.bytes.postings));
    let cost = tenant.select(&[], EVER).cost(&tenant.head, SERIES_COUNT as usize);
    let referenced = cost.referenced_bytes / u64::from(SERIES_COUNT);
    check("sealed chunks", sealed.bytes.chunks_sealed, referenced + 56 + 16..=referenced + 56 + 16 + 12);
    // The next chunks will need the room again.
    check("open chunks", sealed.bytes.chunks_open, copied..=(referenced + 20) * 3 / 2);
    assert!(cost.copied_bytes < sealed.bytes.chunks_open / 4);
}

/// 100,000 series: the work grows with them, not with their square.
#[test]
fn many_series_cost_a_constant_number_of_operations_each() {
    let series_count = 100_000;
    let moved = sets::elements_touched();
    let tenant = fleet(series_count, 20);
    let per_series = (sets::elements_touched() - moved) / u64::from(series_count);
    // Growth by a quarter moves an element four times on average, in each of twelve sets.
    assert!(per_series <= 12 * 5, "{per_series} set elements moved per series");
    let probes = tenant.head.fingerprints.insert_probes() / u64::from(series_count);
    assert!(probes <= 8, "{probes} buckets looked at per series");
    let moved = tenant.head.arena.bytes_moved() / u64::from(series_count);
    // Twenty samples stay below 256 bytes; the sizes before add up to 584.
    assert!(moved <= 600, "{moved} chunk bytes moved per series");

    let ask = |matchers: &[(&str, MatchOp, &str)], series_expected: usize, touched_max: u64| {
        let matchers: Vec<Matcher> =
            matchers.iter().map(|(name, op, value)| Matcher::new(name, *op, value).unwrap()).collect();
        let before = sets::elements_touched();
        let found = tenant.select(&matchers, EVER).remaining();
        let touched = sets::elements_touched() - before;
        assert_eq!(found, series_expected, "{matchers:?}");
        assert!(touched <= touched_max, "{touched} elements touched for {matchers:?}");
    };
    let metric = ("__name__", MatchOp::Equal, "node_subsystem_operation_007_seconds_total");
    ask(&[metric], 200, 0);
    ask(&[metric, ("cluster", MatchOp::Equal, "production-cluster-01")], 200, 200 * 20);
    ask(&[("cluster", MatchOp::Equal, "production-cluster-01"), metric], 200, 200 * 20);
    ask(&[metric, ("instance", MatchOp::Regex, "10[.]0[.]0[.].*")], 200, 200 * 200);
    ask(&[metric, ("instance", MatchOp::Regex, ".+")], 200, 200);
    ask(&[metric, ("instance", MatchOp::NotRegex, "10[.]0[.]0[.]1.?:.*")], 189, 200 * 200);
    ask(&[("instance", MatchOp::Regex, ".+")], 100_000, 200_000);
    ask(&[("cluster", MatchOp::Regex, "prod.*"), ("mode", MatchOp::NotEqual, "idle")], 75_000, 1_000_000);
    assert_eq!(decoded(&tenant, SeriesRef(99_999)).len(), 20);
}
