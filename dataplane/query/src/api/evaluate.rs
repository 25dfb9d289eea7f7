//! `query` and `query_range`.

use std::time::Duration;

use promql::{Answer, Engine, EngineOptions, QueryContext, QueryError, QueryResult, RangeTimes, Severity};

use super::answer::Body;
use super::json::{push_labels, push_scalar_timestamp, push_scalar_value, push_text_html, push_timestamp, push_value};
use super::time::{parse_duration, parse_duration_ns, parse_limit, parse_time};
use super::{ApiAnswer, ApiCall, ApiOptions, Failure};
use crate::{Querier, ReadScope, Storage, Watch};

const NS_PER_MS: i64 = 1_000_000;

/// Parameters that both forms have.
struct Common {
    limit: Option<usize>,
    watch: Watch,
    engine: Engine,
}

impl Common {
    /// `limit` was read before, because it is checked first.
    fn parse(call: &ApiCall<'_>, limit: Option<usize>, options: &ApiOptions) -> Result<Self, Failure> {
        let watch = match call.params.get("timeout") {
            "" => call.watch.clone(),
            text => call.watch.at_most(parse_duration(text).map_err(|reason| Failure::param("timeout", &reason))?),
        };
        let engine = Engine::new(EngineOptions { lookback_ms: lookback_ms(call, options)?, ..options.engine.clone() });
        Ok(Self { limit, watch, engine })
    }

    fn run(
        &self,
        call: &ApiCall<'_>,
        storage: &dyn Storage,
        options: &ApiOptions,
        evaluate: impl FnOnce(&Engine, QueryContext<'_>) -> Result<Answer, QueryError>,
    ) -> Result<ApiAnswer, Failure> {
        let scope = ReadScope::new(self.watch.clone(), options.read);
        let querier = Querier { storage, tenant: call.tenant, scope: &scope };
        let context = QueryContext { select: &querier, interrupt: &|| self.watch.interrupt() };
        if let Some(interrupt) = self.watch.interrupt() {
            return Err(Failure::queued(interrupt));
        }
        let answer = evaluate(&self.engine, context).map_err(|error| Failure::query(&error))?;
        encode(call, answer, call.params.get("query"), self.limit, options.answer_bytes_max)
    }
}

/// Evaluates at one time.
pub(super) fn instant(call: &ApiCall<'_>, storage: &dyn Storage, options: &ApiOptions) -> Result<ApiAnswer, Failure> {
    let limit = limit(call)?;
    let time_ms = time_or(call, "time", call.now_ms)?;
    let common = Common::parse(call, limit, options)?;
    let query = call.params.get("query");
    common.run(call, storage, options, |engine, context| engine.instant(query, time_ms, context))
}

/// Evaluates at every step.
pub(super) fn range(call: &ApiCall<'_>, storage: &dyn Storage, options: &ApiOptions) -> Result<ApiAnswer, Failure> {
    let limit = limit(call)?;
    let times = range_times(call)?;
    let common = Common::parse(call, limit, options)?;
    let query = call.params.get("query");
    common.run(call, storage, options, |engine, context| engine.range(query, times, context))
}

fn range_times(call: &ApiCall<'_>) -> Result<RangeTimes, Failure> {
    let time = |name| parse_time(call.params.get(name)).map_err(|reason| Failure::param(name, &reason));
    let (start_ms, end_ms) = (time("start")?, time("end")?);
    if end_ms < start_ms {
        return Err(Failure::param("end", "end timestamp must not be before start time"));
    }
    let step_ns = parse_duration_ns(call.params.get("step")).map_err(|reason| Failure::param("step", &reason))?;
    if step_ns <= 0 {
        let reason = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(Failure::param("step", reason));
    }
    let span_ns = (i128::from(end_ms) - i128::from(start_ms)) * i128::from(NS_PER_MS);
    if span_ns / i128::from(step_ns) > i128::from(POINTS_MAX) {
        return Err(Failure::bad_data(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
        ));
    }
    // Times are whole milliseconds, so that is the shortest step.
    Ok(RangeTimes { start_ms, end_ms, step_ms: (step_ns / NS_PER_MS).max(1) })
}

/// Prometheus' bound, which clients know.
const POINTS_MAX: i64 = 11_000;

fn lookback_ms(call: &ApiCall<'_>, options: &ApiOptions) -> Result<i64, Failure> {
    let text = call.params.get("lookback_delta");
    if text.is_empty() {
        return Ok(options.engine.lookback_ms);
    }
    let lookback = parse_duration(text)
        .map_err(|reason| Failure::bad_data(format!("error parsing lookback delta duration: {reason}")))?;
    // As in Prometheus, nothing and less mean the default.
    Ok(if lookback < Duration::from_millis(1) { options.engine.lookback_ms } else { lookback.as_millis() as i64 })
}

pub(super) fn limit(call: &ApiCall<'_>) -> Result<Option<usize>, Failure> {
    parse_limit(call.params.get("limit")).map_err(|reason| Failure::param("limit", &reason))
}

/// An optional time.
pub(super) fn time_or(call: &ApiCall<'_>, name: &str, default_ms: i64) -> Result<i64, Failure> {
    let text = call.params.get(name);
    if text.is_empty() {
        return Ok(default_ms);
    }
    parse_time(text).map_err(|reason| Failure::param(name, &format!("invalid time value for '{name}': {reason}")))
}

pub(super) const TRUNCATED: &str = "results truncated due to limit";

fn encode(
    call: &ApiCall<'_>,
    answer: Answer,
    query: &str,
    limit: Option<usize>,
    bytes_max: usize,
) -> Result<ApiAnswer, Failure> {
    let mut warnings = call.warnings.to_vec();
    warnings.extend(answer.annotations.sentences(Severity::Warning, query));
    let infos = answer.annotations.sentences(Severity::Info, query);
    let limit = limit.unwrap_or(usize::MAX);
    let mut body = Body::success(bytes_max);
    let is_truncated = match answer.result {
        QueryResult::Scalar { timestamp_ms, value } => {
            open(&mut body, "scalar");
            push_single(&mut body.out, timestamp_ms, |out| push_scalar_value(out, value));
            false
        }
        QueryResult::String { timestamp_ms, value } => {
            open(&mut body, "string");
            push_single(&mut body.out, timestamp_ms, |out| push_text_html(out, &value));
            false
        }
        QueryResult::Vector(samples) => {
            open(&mut body, "vector");
            let elements = samples.iter().take(limit).map(|sample| (&sample.labels, sample));
            push_elements(&mut body, elements, |out, sample| {
                out.extend_from_slice(b"\"value\":");
                push_point(out, sample.timestamp_ms, |out| push_value(out, sample.value));
            })?;
            samples.len() > limit
        }
        QueryResult::Matrix(series) => {
            open(&mut body, "matrix");
            let elements = series.iter().take(limit).map(|series| (&series.labels, series));
            push_elements(&mut body, elements, |out, series| {
                out.extend_from_slice(b"\"values\":[");
                for (index, (timestamp_ms, value)) in series.timestamps_ms.iter().zip(&series.values).enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    push_point(out, *timestamp_ms, |out| push_value(out, *value));
                }
                out.push(b']');
            })?;
            series.len() > limit
        }
    };
    body.out.push(b'}');
    if is_truncated {
        warnings.push(TRUNCATED.to_owned());
    }
    Ok(body.finish(&warnings, &infos))
}

fn open(body: &mut Body, result_type: &str) {
    body.out.extend_from_slice(b"{\"resultType\":\"");
    body.out.extend_from_slice(result_type.as_bytes());
    body.out.extend_from_slice(b"\",\"result\":");
}

/// `[{"metric":{...},...},...]`
fn push_elements<'a, T: 'a>(
    body: &mut Body,
    elements: impl Iterator<Item = (&'a model::Labels, &'a T)>,
    push: impl Fn(&mut Vec<u8>, &T),
) -> Result<(), Failure> {
    body.out.push(b'[');
    for (index, (labels, element)) in elements.enumerate() {
        body.out.extend_from_slice(if index == 0 { b"{\"metric\":" } else { b",{\"metric\":" });
        push_labels(&mut body.out, labels);
        body.out.push(b',');
        push(&mut body.out, element);
        body.out.push(b'}');
        body.check()?;
    }
    body.out.push(b']');
    Ok(())
}

/// `[1435781451.78,"1"]`: a result without labels.
fn push_single(out: &mut Vec<u8>, timestamp_ms: i64, push: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'[');
    push_scalar_timestamp(out, timestamp_ms);
    out.push(b',');
    push(out);
    out.push(b']');
}

/// `[1435781451.780,"1"]`
fn push_point(out: &mut Vec<u8>, timestamp_ms: i64, push: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'[');
    push_timestamp(out, timestamp_ms);
    out.push(b',');
    push(out);
    out.push(b']');
}
