//! Prometheus' HTTP API: parameters in, a whole answer out. The words, the order of fields and the numbers are those of
//! Prometheus 3 (`web/api/v1`).
//!
//! Not here: routes, headers, compression, tenants' authentication; and the endpoints about scraping, rules and alerts, which
//! a data plane has no answer for.

mod answer;
mod call;
mod evaluate;
mod failure;
mod json;
mod lookup;
mod name;
mod params;
mod time;

#[cfg(test)]
mod api_test;

pub use answer::ApiAnswer;
pub use call::{ApiCall, ApiOptions, BuildInfo};
pub use failure::{Failure, FailureKind};
pub use params::{Params, ParamsError};

use crate::Storage;
use answer::Body;
use json::push_text_html;

/// Answers one request. Blocks: meant for query threads.
#[must_use]
pub fn handle(call: &ApiCall<'_>, storage: &dyn Storage, options: &ApiOptions) -> ApiAnswer {
    let answer = match call.endpoint {
        "query" => evaluate::instant(call, storage, options),
        "query_range" => evaluate::range(call, storage, options),
        "labels" => lookup::label_names(call, storage, options),
        "series" => lookup::series(call, storage, options),
        "status/buildinfo" => Ok(build_info(&options.build)),
        "metadata" => Ok(metadata()),
        other => match other.strip_prefix("label/").and_then(|rest| rest.strip_suffix("/values")) {
            Some(name) => lookup::label_values(name, call, storage, options),
            None => Err(Failure::not_found(format!("there is no endpoint /api/v1/{other}"))),
        },
    };
    answer.unwrap_or_else(|failure| failure.into_answer())
}

fn build_info(build: &BuildInfo) -> ApiAnswer {
    let fields = [
        ("version", &build.version),
        ("revision", &build.revision),
        ("branch", &build.branch),
        ("buildUser", &build.build_user),
        ("buildDate", &build.build_date),
        // Clients read this one, so it stands there although nothing here is built with Go.
        ("goVersion", &build.go_version),
    ];
    let mut body = Body::success(usize::MAX);
    for (index, (name, value)) in fields.into_iter().enumerate() {
        body.out.extend_from_slice(if index == 0 { b"{\"" } else { b",\"" });
        body.out.extend_from_slice(name.as_bytes());
        body.out.extend_from_slice(b"\":");
        push_text_html(&mut body.out, value);
    }
    body.out.push(b'}');
    body.finish(&[], &[])
}

/// Remote write 1 carries metadata in requests of its own, which are not kept: there is none to show.
fn metadata() -> ApiAnswer {
    let mut body = Body::success(usize::MAX);
    body.out.extend_from_slice(b"{}");
    body.finish(&[], &[])
}
