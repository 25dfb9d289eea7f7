//! Cases of the grammar: what is printed back, and what is refused with which words.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::{QUERY_BYTES_MAX, QUERY_DEPTH_MAX, parse, parse_selector};

#[track_caller]
fn check(query: &str, printed: &str) {
    let expr = parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
    assert_eq!(expr.to_string(), printed, "{query}");
    let again = parse(printed).unwrap_or_else(|error| panic!("{printed}: {error}"));
    assert_eq!(again.to_string(), printed, "printing {query} is not stable");
}

#[track_caller]
fn refuse(query: &str, message: &str) {
    match parse(query) {
        Ok(expr) => panic!("{query} was parsed as {expr}"),
        Err(error) => assert_eq!(error.to_string(), message, "{query}"),
    }
}

#[test]
fn literals() {
    check("1_000", "1000");
    check("0x1F", "31");
    check("-0x10", "-16");
    check("+Inf", "+Inf");
    check("-iNf", "-Inf");
    check("NaN", "NaN");
    check(".5", "0.5");
    check("1e-7", "0.0000001");
    check("5m30s", "5m30s");
    check("- 90d", "-90d");
    check("- - 1", "1");
    check(r#"'a"\'\n'"#, r#""a\"'\n""#);
    check("`a\\n`", r#""a\\n""#);
    check("# comment\n1 # another", "1");
}

#[test]
fn selectors() {
    check("foo", "foo");
    check("foo:bar", "foo:bar");
    check("foo{}", "foo");
    check(r#"foo{b!="x",a=~'y',}"#, r#"foo{a=~"y",b!="x"}"#);
    check(r#"{"metric.name", "label.x"="y"}"#, r#"{"label.x"="y",__name__="metric.name"}"#);
    check(r#"{__name__="a",__name__!="b"}"#, r#"{__name__!="b",__name__="a"}"#);
    check("sum", "sum");
    check("by + offset", "by + offset");
    check("fill + fill", "fill + fill");
    check("foo offset 5m", "foo offset 5m");
    check("foo offset -1h", "foo offset -1h");
    check("foo offset 90", "foo offset 1m30s");
    check("foo @ 1.5 offset 1w", "foo @ 1.500 offset 1w");
    check("foo offset 1y @ -0.001", "foo @ -0.001 offset 1y");
    check("foo[5m] @ end()", "foo[5m] @ end()");
    check("foo[1h30m] offset 1ms @ start()", "foo[1h30m] @ start() offset 1ms");
    check("foo[60]", "foo[1m]");
    check("foo[10m:6s]", "foo[10m:6s]");
    check("(foo+bar)[10m:] offset 5m", "(foo + bar)[10m:] offset 5m");
    check("foo smoothed", "foo smoothed");
    check("foo[5m] anchored @ 1 offset 2s", "foo[5m] anchored @ 1.000 offset 2s");
}

#[test]
fn duration_expressions() {
    check("foo[5m*2]", "foo[5m * 2]");
    check("foo[step()]", "foo[step()]");
    check("foo[max_of(5m, step() * 2)]", "foo[max_of(5m, step() * 2)]");
    check("foo[(1 + 2) * 3m]", "foo[(1 + 2) * 3m]");
    check("foo[2^3^2]", "foo[2 ^ 3 ^ 2]");
    check("foo[5m+step():step()/2]", "foo[5m + step():step() / 2]");
    check("foo offset step()", "foo offset step()");
    check("foo offset -step() + 1", "foo offset -step() + 1");
    check("foo offset -(step() + 1m)", "foo offset -(step() + 1m)");
    check("foo offset -2^2", "foo offset -2s ^ 2");
    check("foo offset min_of(1m, range())", "foo offset min_of(1m, range())");
    check("foo offset (1m) * 2", "foo offset (1m) * 2");
}

#[test]
fn operators() {
    check("1+2*3^4", "1 + 2 * 3 ^ 4");
    check("-foo^2", "-foo ^ 2");
    check("a or b and c unless d", "a or b and c unless d");
    check("a == bool b", "a == bool b");
    check("a atan2 b", "a atan2 b");
    check("a </ 5", "a </ 5");
    check("a >/ 5", "a >/ 5");
    check("a + on(x) b", "a + on (x) b");
    check("a + on() b", "a + on () b");
    check("a + ignoring(x, y) group_left(z) b", "a + ignoring (x, y) group_left (z) b");
    check("a + on(x) group_right b", "a + on (x) group_right () b");
    check(r#"a + on("x.y") b"#, r#"a + on ("x.y") b"#);
    check("a + fill(0) b", "a + fill (0) b");
    check("a + on(x) fill_right(-1) fill_left(2) b", "a + on (x) fill_left (2) fill_right (-1) b");
    check("2 ^ -1 * 3", "2 ^ -1 * 3");
    check("--foo", "--foo");
}

#[test]
fn aggregations_and_calls() {
    check("sum(foo)", "sum(foo)");
    check("SUM(foo) BY (a, b,)", "sum by (a, b) (foo)");
    check("sum without() (foo)", "sum without () (foo)");
    check("topk by(bool, on) (3, foo)", "topk by (bool, on) (3, foo)");
    check("count_values('v', foo)", r#"count_values("v", foo)"#);
    check("limit_ratio(0.5, foo)", "limit_ratio(0.5, foo)");
    check("quantile(0.9, foo)", "quantile(0.9, foo)");
    check("rate(foo[5m])", "rate(foo[5m])");
    check("step() + range() + start() + end()", "step() + range() + start() + end()");
    check("max_of(1, 2)", "max_of(1, 2)");
    check("time()", "time()");
    check("info(foo, {})", "info(foo, {})");
    check("label_join(foo, 'a', ',')", r#"label_join(foo, "a", ",")"#);
    check("histogram_quantiles(foo, 'q', 0.5, 0.9)", r#"histogram_quantiles(foo, "q", 0.5, 0.9)"#);
}

#[test]
fn refusals_of_syntax() {
    refuse("", "unknown position: parse error: no expression found in input");
    refuse(" ", "1:1: parse error: no expression found in input");
    refuse("1 +", "1:4: parse error: unexpected end of input");
    refuse("foo bar", "1:5: parse error: unexpected identifier \"bar\"");
    refuse("\n (1", "2:4: parse error: unclosed left parenthesis");
    refuse("1)", "1:3: parse error: unexpected right parenthesis ')'");
    refuse("foo{", "1:5: parse error: unexpected end of input inside braces");
    refuse("foo{a}", "1:6: parse error: unexpected \"}\" in label matching, expected label matching operator");
    refuse("foo{a=b}", "1:7: parse error: unexpected identifier \"b\" in label matching, expected string");
    refuse("foo{,}", "1:5: parse error: unexpected \",\" in label matching, expected identifier or \"}\"");
    refuse(
        r#"foo{a="b" c="d"}"#,
        r#"1:11: parse error: unexpected identifier "c" in label matching, expected "," or "}""#,
    );
    refuse("sum by foo (bar)", "1:8: parse error: unexpected identifier \"foo\" in grouping opts, expected \"(\"");
    refuse("sum by (1) (bar)", "1:9: parse error: unexpected number \"1\" in grouping opts, expected label");
    refuse("sum(foo,)", "1:8: parse error: trailing commas not allowed in function call args");
    refuse(
        "foo offset bar",
        "1:12: parse error: unexpected identifier \"bar\" in offset, expected number, duration, step(), or range()",
    );
    refuse("foo @ bar", "1:7: parse error: unexpected identifier \"bar\" in @, expected timestamp");
    refuse(
        "foo[step]",
        "1:9: parse error: unexpected \"]\" in subquery or range selector, expected number, duration, step(), or range()",
    );
    refuse(
        "foo[5m:step*]",
        "1:12: parse error: unexpected <op:*> in subquery selector, expected number, duration, step(), range(), or \"]\"",
    );
    refuse("sum(1 + )", "1:9: parse error: unexpected \")\" in aggregation");
    refuse(
        "foo offset -",
        "1:13: parse error: unexpected end of input in offset, expected number, duration, step(), or range()",
    );
    refuse("foo[5y1hs]", "1:5: parse error: unknown unit \"hs\" in duration \"5y1hs\"");
    refuse("foo[5m5h]", "1:5: parse error: not a valid duration string: \"5m5h\"");
    refuse("1e999", "1:1: parse error: error parsing number: invalid syntax in \"1e999\"");
    refuse("foo @ Inf", "1:1: parse error: timestamp out of bounds for @ modifier: +Inf");
    refuse("foo[5mm]", "1:5: parse error: bad number or duration syntax: \"5mm\"");
    refuse("foo[0]", "1:5: parse error: duration must be greater than 0");
    refuse("foo[5m][5m]", "1:8: parse error: ranges only allowed for vector selectors");
    refuse("foo offset 1m [5m]", "1:15: parse error: no offset modifiers allowed before range");
    refuse("foo offset 1m offset 2m", "1:1: parse error: offset may not be set multiple times");
    refuse(
        "1 offset 1d",
        "1:1: parse error: offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
    );
    refuse(r#""\q""#, "1:1: parse error: unknown escape sequence U+0071 'q'");
    refuse("'", "1:1: parse error: unterminated quoted string");
    refuse("nope(1)", "1:1: parse error: unknown function with name \"nope\"");
    refuse("a !~ b", "1:3: parse error: unexpected character after '!': '~'");
    refuse("*1", "1:1: parse error: unexpected <op:*>");
}

#[test]
fn refusals_of_meaning() {
    refuse("{}", "1:1: parse error: vector selector must contain at least one non-empty matcher");
    refuse(r#"{a=~".*"}"#, "1:1: parse error: vector selector must contain at least one non-empty matcher");
    refuse(r#"foo{__name__="bar"}"#, r#"1:1: parse error: metric name must not be set twice: "foo" or "bar""#);
    refuse("1 == 1", "1:3: parse error: comparisons between scalars must use BOOL modifier");
    refuse("foo + bool 1", "1:5: parse error: bool modifier can only be used on comparison operators");
    refuse("1 and foo", "1:1: parse error: set operator \"and\" not allowed in binary scalar expression");
    refuse("foo and on(a) group_left(b) bar", "1:1: parse error: no grouping allowed for \"and\" operation");
    refuse(
        "foo + on(a) group_left(a) bar",
        "1:5: parse error: label \"a\" must not occur in ON and GROUP clause at once",
    );
    refuse("foo[5m] + 1", "1:1: parse error: binary expression must contain only scalar and instant vector types");
    refuse(
        "rate(foo)",
        "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector",
    );
    refuse("rate(foo[5m], 1)", "1:1: parse error: expected 1 argument(s) in call to \"rate\", got 2");
    refuse("sum(1)", "1:5: parse error: expected type instant vector in aggregation expression, got scalar");
    refuse(
        "topk(foo)",
        "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1",
    );
    refuse(
        "-'a'",
        "1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got \"string\"",
    );
    refuse("1[5m:]", "1:1: parse error: subquery is only allowed on instant vector, got scalar instead");
    refuse("1 + on(a) foo", "1:1: parse error: vector matching only allowed between instant vectors");
}

#[test]
fn selectors_of_the_series_api() {
    assert_eq!(parse_selector(r#"up{job="a"}"#).unwrap().len(), 2);
    assert!(parse_selector("up offset 5m").is_err());
    assert!(parse_selector("rate(up[5m])").is_err());
}

#[test]
fn length_and_depth_are_bounded() {
    let long = " ".repeat(QUERY_BYTES_MAX + 1);
    assert!(parse(&long).unwrap_err().message.contains("the limit is"));
    let deep = |opening: &str, core: &str, closing: &str, count: usize| {
        parse(&format!("{}{core}{}", opening.repeat(count), closing.repeat(count)))
    };
    for (opening, core, closing) in [
        ("(", "1", ")"),
        ("-", "foo", ""),
        ("abs(", "foo", ")"),
        ("", "foo", " + foo"),
        ("foo ^ ", "foo", ""),
        ("", "foo", "[1m:1m]"),
        ("", "foo", " @ 1"),
    ] {
        for count in [QUERY_DEPTH_MAX + 1, 20_000] {
            let error = deep(opening, core, closing, count).unwrap_err();
            let is_refused = error.message.contains("levels deep") || error.message.contains("multiple times");
            assert!(is_refused, "{opening}{core}{closing}: {error}");
        }
    }
    assert!(deep("(", "1", ")", QUERY_DEPTH_MAX - 2).is_ok());
    assert!(deep("", "foo", " or foo", QUERY_DEPTH_MAX - 2).is_ok());
    let durations = format!("foo[{}1m{}]", "(".repeat(20_000), ")".repeat(20_000));
    assert!(parse(&durations).is_err());
}

/// Text that is often close to a query.
fn almost_queries() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "foo",
        "sum",
        "rate",
        "(",
        ")",
        "{",
        "}",
        "[",
        "]",
        "5m",
        "1",
        ":",
        ",",
        "+",
        "-",
        "^",
        "==",
        "by",
        "offset",
        "@",
        "start",
        "step()",
        "\"a\"",
        "a=\"b\"",
        " ",
        "bool",
        "on",
        "group_left",
        "and",
        "smoothed",
        "fill",
        "0x1f",
        "1e",
        ".",
        "#",
        "\n",
        "max_of",
        "ü",
        "`",
        "\\",
        "=~",
        "!",
        "</",
        "NaN",
        "inf",
        "without",
        "topk(1,",
        "[1h:",
        "label_replace(",
    ]);
    prop::collection::vec(words, 0..24).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4_000,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0x70726f6d),
        ..ProptestConfig::default()
    })]

    #[test]
    fn arbitrary_text_never_panics(text in ".{0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn what_parses_prints_and_parses_again(text in almost_queries()) {
        if let Ok(expr) = parse(&text) {
            let printed = expr.to_string();
            let again = parse(&printed).map_err(|error| TestCaseError::fail(format!("{text} -> {printed}: {error}")))?;
            prop_assert_eq!(again.to_string(), printed);
        }
    }
}
