//! Requests and the exact bytes of their answers, over real heads.

use std::time::{Duration, Instant};

use model::TenantId;

use super::{ApiAnswer, ApiCall, ApiOptions, BuildInfo, Params, handle};
use crate::querier::heads::HeadStorage;
use crate::{ReadLimits, Watch};

const NOW_MS: i64 = 600_000;

/// Two heads; samples every 15 s from 0 to 600 s.
fn storage() -> HeadStorage {
    let mut storage = HeadStorage::new(2);
    let times = || (0..=40).map(|index| index * 15_000);
    let constant = |value: f64| times().map(move |time_ms| (time_ms, value));
    storage.append(0, &[("__name__", "up"), ("instance", "a:1"), ("job", "node")], constant(1.0));
    storage.append(1, &[("__name__", "up"), ("instance", "b:1"), ("job", "node")], constant(0.0));
    let counter = times().map(|time_ms| (time_ms, time_ms as f64 / 100.0));
    storage.append(1, &[("__name__", "http_requests_total"), ("job", "<api> & \"co\"")], counter);
    storage.append(0, &[("__name__", "odd"), ("http.status", "ok")], [(599_000, f64::NAN)]);
    storage.append(1, &[("__name__", "odd"), ("http.status", "tiny")], [(599_500, 1e-7)]);
    storage
}

fn options() -> ApiOptions {
    let build = BuildInfo { version: "1.2.3".to_owned(), revision: "abc".to_owned(), ..BuildInfo::default() };
    ApiOptions { build, ..ApiOptions::default() }
}

fn ask_with(options: &ApiOptions, watch: &Watch, endpoint: &str, query: &str) -> ApiAnswer {
    let (params, storage) = (Params::parse(Some(query), None).unwrap(), storage());
    let call = ApiCall { endpoint, params: &params, tenant: &storage.tenant, now_ms: NOW_MS, watch, warnings: &[] };
    handle(&call, &storage, options)
}

fn watch() -> Watch {
    Watch::until(Instant::now() + Duration::from_secs(3600))
}

fn text(answer: ApiAnswer) -> (u16, String) {
    assert_eq!(answer.content_type, "application/json");
    let body = String::from_utf8(answer.body).unwrap();
    assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok(), "{body}");
    (answer.status, body)
}

fn ask(endpoint: &str, query: &str) -> (u16, String) {
    text(ask_with(&options(), &watch(), endpoint, query))
}

/// `data` and what follows it.
#[track_caller]
fn check(endpoint: &str, query: &str, data: &str) {
    let expected = format!("{{\"status\":\"success\",\"data\":{data}}}");
    assert_eq!(ask(endpoint, query), (200, expected), "{endpoint}?{query}");
}

#[track_caller]
fn refuse(endpoint: &str, query: &str, status: u16, kind: &str, message: &str) {
    let message = serde_json::to_string(message).unwrap();
    let expected = format!("{{\"status\":\"error\",\"errorType\":\"{kind}\",\"error\":{message}}}");
    assert_eq!(ask(endpoint, query), (status, expected), "{endpoint}?{query}");
}

#[test]
fn instant_queries() {
    check(
        "query",
        "query=up",
        r#"{"resultType":"vector","result":[{"metric":{"__name__":"up","instance":"a:1","job":"node"},"value":[600,"1"]},{"metric":{"__name__":"up","instance":"b:1","job":"node"},"value":[600,"0"]}]}"#,
    );
    check(
        "query",
        "query=sum(up)&time=300.25",
        r#"{"resultType":"vector","result":[{"metric":{},"value":[300.250,"1"]}]}"#,
    );
    check("query", "query=missing", r#"{"resultType":"vector","result":[]}"#);
    check("query", "query=1e-7&time=1.5", r#"{"resultType":"scalar","result":[1.5,"0.0000001"]}"#);
    check(
        "query",
        "query=%22a%3Cb%22&time=1970-01-01T00:01:00Z",
        r#"{"resultType":"string","result":[60,"a\u003cb"]}"#,
    );
    check(
        "query",
        "query=odd&time=599.7",
        r#"{"resultType":"vector","result":[{"metric":{"__name__":"odd","http.status":"ok"},"value":[599.700,"NaN"]},{"metric":{"__name__":"odd","http.status":"tiny"},"value":[599.700,"1e-07"]}]}"#,
    );
    check(
        "query",
        "query=http_requests_total%5B31s%5D&time=46",
        r#"{"resultType":"matrix","result":[{"metric":{"__name__":"http_requests_total","job":"<api> & \"co\""},"values":[[30,"300"],[45,"450"]]}]}"#,
    );
    check("query", "query=up&time=1e6&lookback_delta=1s", r#"{"resultType":"vector","result":[]}"#);
    check(
        "query",
        "query=count(up)&time=604&lookback_delta=4.5",
        r#"{"resultType":"vector","result":[{"metric":{},"value":[604,"2"]}]}"#,
    );
    check("query", "query=count(up)&time=604&lookback_delta=3s", r#"{"resultType":"vector","result":[]}"#);
}

#[test]
fn range_queries() {
    check(
        "query_range",
        "query=http_requests_total/100&start=0&end=30&step=15",
        r#"{"resultType":"matrix","result":[{"metric":{"job":"<api> & \"co\""},"values":[[0,"0"],[15,"1.5"],[30,"3"]]}]}"#,
    );
    check(
        "query_range",
        "query=1&start=1970-01-01T00:00:00Z&end=1970-01-01T00:00:01Z&step=500ms",
        r#"{"resultType":"matrix","result":[{"metric":{},"values":[[0,"1"],[0.500,"1"],[1,"1"]]}]}"#,
    );
    check("query_range", "query=missing&start=0&end=30&step=15", r#"{"resultType":"matrix","result":[]}"#);
    // One point more than the limit passes, as in Prometheus.
    assert_eq!(ask("query_range", "query=1&start=0&end=11000&step=1").0, 200);
}

#[test]
fn names_values_and_series() {
    check("labels", "", r#"["__name__","http.status","instance","job"]"#);
    check("labels", "match[]=up", r#"["__name__","instance","job"]"#);
    check("labels", "match[]=up&match[]=odd", r#"["__name__","http.status","instance","job"]"#);
    check("labels", "start=601", "[]");
    check("label/job/values", "", r#"["\u003capi\u003e \u0026 \"co\"","node"]"#);
    check("label/__name__/values", "match[]={job=~\".%2B\"}", r#"["http_requests_total","up"]"#);
    check("label/U__http_2e_status/values", "", r#"["ok","tiny"]"#);
    check("label/http.status/values", "", r#"["ok","tiny"]"#);
    check("label/missing/values", "", "[]");
    check(
        "series",
        "match[]=up&match[]={job=\"node\"}",
        r#"[{"__name__":"up","instance":"a:1","job":"node"},{"__name__":"up","instance":"b:1","job":"node"}]"#,
    );
    check("series", "match[]=odd&start=599.2", r#"[{"__name__":"odd","http.status":"tiny"}]"#);
    check("series", "match[]=missing", "[]");
    check("metadata", "", "{}");
    check(
        "status/buildinfo",
        "",
        r#"{"version":"1.2.3","revision":"abc","branch":"","buildUser":"","buildDate":"","goVersion":""}"#,
    );
}

#[test]
fn limits_on_results_cut_and_say_so() {
    let warning = r#","warnings":["results truncated due to limit"]"#;
    for (endpoint, query, data) in [
        ("labels", "limit=1", r#"["__name__"]"#),
        ("label/job/values", "limit=1", r#"["\u003capi\u003e \u0026 \"co\""]"#),
        (
            "query",
            "query=sum(up)by(instance)&limit=1",
            r#"{"resultType":"vector","result":[{"metric":{"instance":"a:1"},"value":[600,"1"]}]}"#,
        ),
        (
            "query_range",
            "query=sum(up)by(instance)&limit=1&start=0&end=0&step=1",
            r#"{"resultType":"matrix","result":[{"metric":{"instance":"a:1"},"values":[[0,"1"]]}]}"#,
        ),
    ] {
        let expected = format!("{{\"status\":\"success\",\"data\":{data}{warning}}}");
        assert_eq!(ask(endpoint, query), (200, expected), "{endpoint}?{query}");
    }
    let (status, body) = ask("series", "match[]=up&limit=1");
    assert!(
        status == 200 && body.matches("__name__").count() == 1 && body.ends_with(&format!("{warning}}}")),
        "{body}"
    );
    check("labels", "limit=4", r#"["__name__","http.status","instance","job"]"#);
    check("query", "query=1&limit=1&time=0", r#"{"resultType":"scalar","result":[0,"1"]}"#);
}

#[test]
fn annotations_come_as_warnings_and_infos() {
    let (_, body) = ask("query", "query=rate(up%5B1m%5D)");
    assert!(body.contains(r#"}]},"infos":["PromQL info: metric might not be a counter"#), "{body}");
    let (_, body) = ask("query", "query=quantile(2,up)");
    assert!(body.contains(r#","warnings":["PromQL warning: quantile value should be between 0 and 1"#), "{body}");
}

#[test]
fn warnings_about_the_data_stand_first() {
    let storage = storage();
    let warnings = ["the newest samples may be missing".to_owned()];
    for (endpoint, query) in
        [("query", "query=quantile(2,up)"), ("labels", "limit=1"), ("series", "match[]=up&limit=1")]
    {
        let params = Params::parse(Some(query), None).unwrap();
        let watch = watch();
        let call = ApiCall {
            endpoint,
            params: &params,
            tenant: &storage.tenant,
            now_ms: NOW_MS,
            watch: &watch,
            warnings: &warnings,
        };
        let body = String::from_utf8(handle(&call, &storage, &ApiOptions::default()).body).unwrap();
        assert!(body.contains(r#","warnings":["the newest samples may be missing",""#), "{endpoint}: {body}");
    }
}

#[test]
fn wrong_parameters_are_named() {
    let bad = |endpoint: &str, query: &str, message: &str| refuse(endpoint, query, 400, "bad_data", message);
    bad("query", "", "invalid parameter \"query\": unknown position: parse error: no expression found in input");
    bad("query", "query=up{", "invalid parameter \"query\": 1:4: parse error: unexpected end of input inside braces");
    let time = "invalid parameter \"time\": invalid time value for 'time': cannot parse \"x\" to a valid timestamp";
    bad("query", "query=up&time=x", time);
    bad("query", "query=up&timeout=x", "invalid parameter \"timeout\": cannot parse \"x\" to a valid duration");
    bad("query", "query=up&limit=-1", "invalid parameter \"limit\": limit must be non-negative");
    bad("query", "query=up&limit=x", "invalid parameter \"limit\": strconv.Atoi: parsing \"x\": invalid syntax");
    let lookback = "error parsing lookback delta duration: cannot parse \"x\" to a valid duration";
    bad("query", "query=up&lookback_delta=x", lookback);
    let range = |query: &str, message: &str| refuse("query_range", query, 400, "bad_data", message);
    range("query=up", "invalid parameter \"start\": cannot parse \"\" to a valid timestamp");
    range("query=up&start=0&end=x", "invalid parameter \"end\": cannot parse \"x\" to a valid timestamp");
    range("query=up&start=2&end=1", "invalid parameter \"end\": end timestamp must not be before start time");
    range("query=up&start=1&end=2", "invalid parameter \"step\": cannot parse \"\" to a valid duration");
    let step = "zero or negative query resolution step widths are not accepted. Try a positive integer";
    range("query=up&start=1&end=2&step=0", &format!("invalid parameter \"step\": {step}"));
    let resolution = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution \
                      (?step=XX)";
    range("query=up&start=0&end=11001&step=1", resolution);
    range("query=up&start=-292273086-05-16T16:47:06Z&end=292277025-08-18T07:12:54.999999999Z&step=1y", resolution);
    let kind = "invalid expression type \"range vector\" for range query, must be Scalar or instant Vector";
    range("query=up%5B1m%5D&start=0&end=1&step=1", &format!("invalid parameter \"query\": {kind}"));
    bad("series", "", "no match[] parameter provided");
    bad("series", "match[]={}", "invalid parameter \"match[]\": match[] must contain at least one non-empty matcher");
    bad("labels", "match[]={a=~\".*\"}", "match[] must contain at least one non-empty matcher");
    bad(
        "labels",
        "start=x",
        "invalid parameter \"start\": invalid time value for 'start': cannot parse \"x\" to a valid timestamp",
    );
    bad("label//values", "", "invalid label name: \"\"");
    refuse("rules", "", 404, "not_found", "there is no endpoint /api/v1/rules");
}

#[test]
fn evaluation_fails_in_prometheus_words() {
    let (status, body) = ask("query", "query=up%2Bon(job)up");
    assert!(status == 422 && body.contains(r#""errorType":"execution","error":"found duplicate series"#), "{body}");
    refuse("query", "query=up&timeout=0", 503, "timeout", "query timed out in query queue");
    let gone = watch();
    gone.cancel();
    let (status, body) = text(ask_with(&options(), &gone, "query", "query=up"));
    assert!(status == 499 && body.contains("\"canceled\",\"error\":\"query was canceled in query queue"), "{body}");
    for endpoint in ["labels", "label/job/values", "series"] {
        let (status, body) = text(ask_with(&options(), &gone, endpoint, "match[]=up"));
        assert!(status == 499 && body.contains("canceled"), "{endpoint} {body}");
    }
}

#[test]
fn every_limit_has_its_answer() {
    let limited = |change: fn(&mut ApiOptions), endpoint: &str, query: &str| {
        let mut options = options();
        change(&mut options);
        text(ask_with(&options, &watch(), endpoint, query))
    };
    for (change, endpoint, sentence) in [
        ((|o| o.engine.samples_max = 1) as fn(&mut ApiOptions), "query", "would load too many samples into memory"),
        (|o| o.answer_bytes_max = 100, "query", "the answer has more than 100 bytes"),
        (|o| o.answer_bytes_max = 50, "labels", "the answer has more than 50 bytes"),
        (|o| o.read = ReadLimits { series_max: 1, ..o.read }, "query", "maximum number of series (limit: 1 series)"),
        (|o| o.read = ReadLimits { series_max: 1, ..o.read }, "series", "maximum number of series (limit: 1 series)"),
    ] {
        let (status, body) = limited(change, endpoint, "query=up&match[]=up");
        assert!(status == 422 && body.contains("\"execution\"") && body.contains(sentence), "{endpoint} {body}");
    }
}

#[test]
fn tenants_see_their_own() {
    let (params, storage, watch) = (Params::from_pairs(&[("query", "up"), ("match[]", "up")]), storage(), watch());
    let tenant = TenantId::new("other").unwrap();
    for endpoint in ["query", "labels", "series", "label/job/values"] {
        let call = ApiCall { endpoint, params: &params, tenant: &tenant, now_ms: NOW_MS, watch: &watch, warnings: &[] };
        let (status, body) = text(handle(&call, &storage, &options()));
        assert!(status == 200 && body.contains("[]"), "{endpoint} {body}");
    }
}

mod any_request {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn is_answered_with_json(
            endpoint in prop_oneof![Just("query"), Just("query_range"), Just("labels"), Just("series"), Just("label/a/values")],
            query in any::<String>(),
            time in prop_oneof![any::<String>(), (-1e20f64..1e20).prop_map(|time| time.to_string())],
            step in prop_oneof![any::<String>(), Just("1".to_owned()), Just("1e9".to_owned())],
        ) {
            let params = Params::from_pairs(&[
                ("query", &query), ("match[]", &query), ("time", &time), ("start", &time), ("end", &time), ("step", &step),
            ]);
            let (storage, watch) = (HeadStorage::new(1), watch());
            let call = ApiCall { endpoint, params: &params, tenant: &storage.tenant, now_ms: NOW_MS, watch: &watch, warnings: &[] };
            let (status, _) = text(handle(&call, &storage, &options()));
            prop_assert!([200, 400, 422].contains(&status), "{}", status);
        }
    }
}
