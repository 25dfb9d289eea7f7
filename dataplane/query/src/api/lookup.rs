//! `labels`, `label/<name>/values` and `series`: what there is, without samples.

use std::collections::HashSet;
use std::sync::Arc;

use model::{Labels, Matcher, TimeRange};
use promql::parser::parse_selector;
use tsdb::read::{NamesQuestion, SelectRequest};

use super::answer::Body;
use super::evaluate::{TRUNCATED, limit, time_or};
use super::json::{push_labels, push_text_html};
use super::name::label_name;
use super::{ApiAnswer, ApiCall, ApiOptions, Failure};
use crate::{NamesRequest, ReadError, ReadScope, Storage};

/// All label names.
pub(super) fn label_names(
    call: &ApiCall<'_>,
    storage: &dyn Storage,
    options: &ApiOptions,
) -> Result<ApiAnswer, Failure> {
    names(&NamesQuestion::Names, call, storage, options)
}

/// The values of the label that a path segment names.
pub(super) fn label_values(
    segment: &str,
    call: &ApiCall<'_>,
    storage: &dyn Storage,
    options: &ApiOptions,
) -> Result<ApiAnswer, Failure> {
    let name = label_name(segment)?;
    names(&NamesQuestion::ValuesOf(name.into()), call, storage, options)
}

fn names(
    question: &NamesQuestion,
    call: &ApiCall<'_>,
    storage: &dyn Storage,
    options: &ApiOptions,
) -> Result<ApiAnswer, Failure> {
    let limit = limit(call)?;
    let range = time_range(call)?;
    let mut selectors = selectors(call).map_err(Failure::bad_data)?;
    if selectors.is_empty() {
        selectors.push(Arc::new([]));
    }
    let scope = ReadScope::new(call.watch.clone(), options.read);
    let mut found = Vec::new();
    for matchers in selectors {
        check_interrupt(&scope, call)?;
        let request = NamesRequest { tenant: call.tenant.clone(), question: question.clone(), matchers, range };
        found.extend(storage.names(&request, &scope).map_err(|error| Failure::read(error, call.watch))?);
    }
    found.sort_unstable();
    found.dedup();
    list(call, &found, limit, options, |out, text| push_text_html(out, text))
}

/// The label sets of series that match any of the selectors.
pub(super) fn series(call: &ApiCall<'_>, storage: &dyn Storage, options: &ApiOptions) -> Result<ApiAnswer, Failure> {
    if call.params.all("match[]").next().is_none() {
        return Err(Failure::bad_data("no match[] parameter provided"));
    }
    let limit = limit(call)?;
    let range = time_range(call)?;
    let selectors = selectors(call).map_err(|reason| Failure::param("match[]", &reason))?;
    let scope = ReadScope::new(call.watch.clone(), options.read);
    let mut found: HashSet<Labels> = HashSet::new();
    'all: for matchers in selectors {
        let request = SelectRequest { tenant: call.tenant.clone(), matchers, range };
        for batch in storage.series(&request, &scope) {
            found.extend(batch.map_err(|error| Failure::read(error, call.watch))?);
            check_interrupt(&scope, call)?;
            if limit.is_some_and(|limit| found.len() > limit) {
                break 'all;
            }
        }
    }
    let mut found: Vec<Labels> = found.into_iter().collect();
    found.sort_unstable();
    list(call, &found, limit, options, push_labels)
}

fn check_interrupt(scope: &ReadScope, call: &ApiCall<'_>) -> Result<(), Failure> {
    match scope.interrupt() {
        Some(_) => Err(Failure::read(ReadError::Interrupted, call.watch)),
        None => Ok(()),
    }
}

fn time_range(call: &ApiCall<'_>) -> Result<TimeRange, Failure> {
    Ok(TimeRange { min_ms: time_or(call, "start", i64::MIN)?, max_ms: time_or(call, "end", i64::MAX)? })
}

/// What the parser says of a selector that would select everything; the API has words of its own for it.
const EMPTY_SELECTOR: &str = "vector selector must contain at least one non-empty matcher";

fn selectors(call: &ApiCall<'_>) -> Result<Vec<Arc<[Matcher]>>, String> {
    let parse = |text| match parse_selector(text) {
        Ok(matchers) => Ok(matchers.into()),
        Err(error) if error.message == EMPTY_SELECTOR => {
            Err("match[] must contain at least one non-empty matcher".to_owned())
        }
        Err(error) => Err(error.to_string()),
    };
    call.params.all("match[]").map(parse).collect()
}

/// `[...]`, cut at the limit.
fn list<T>(
    call: &ApiCall<'_>,
    found: &[T],
    limit: Option<usize>,
    options: &ApiOptions,
    push: impl Fn(&mut Vec<u8>, &T),
) -> Result<ApiAnswer, Failure> {
    let shown = limit.unwrap_or(usize::MAX).min(found.len());
    let mut body = Body::success(options.answer_bytes_max);
    body.out.push(b'[');
    for (index, element) in found[..shown].iter().enumerate() {
        if index > 0 {
            body.out.push(b',');
        }
        push(&mut body.out, element);
        body.check()?;
    }
    body.out.push(b']');
    let mut warnings = call.warnings.to_vec();
    if shown < found.len() {
        warnings.push(TRUNCATED.to_owned());
    }
    Ok(body.finish(&warnings, &[]))
}
