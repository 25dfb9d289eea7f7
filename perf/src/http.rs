//! A receiver's HTTP: pushes, queries, and what a wellhead node says about itself. Blocking; one client per thread.

use std::time::Duration;

use serde_json::Value;

use crate::failure::Failure;

/// Where a wellhead node takes pushes and answers queries, below its URL.
pub const PUSH_PATH: &str = "/api/v1/push";
pub const QUERY_PATH: &str = "/prometheus/api/v1";
const TIMEOUT: Duration = Duration::from_secs(120);
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// A client that keeps its connection.
pub struct Http {
    agent: ureq::Agent,
}

/// The URLs of one receiver.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoints {
    pub push: String,
    /// The folder of `query` and `query_range`.
    pub api: String,
}

impl Endpoints {
    /// Those of a wellhead node.
    ///
    /// # Errors
    /// No URL.
    pub fn of_node(url: &str) -> Result<Self, Failure> {
        let url = base(url)?;
        Ok(Self { push: format!("{url}{PUSH_PATH}"), api: format!("{url}{QUERY_PATH}") })
    }
}

/// A URL without its last slash, with a scheme.
///
/// # Errors
/// No URL.
pub fn base(url: &str) -> Result<String, Failure> {
    let trimmed = url.trim_end_matches('/');
    let full = if trimmed.contains("://") { trimmed.to_owned() } else { format!("http://{trimmed}") };
    if !full.starts_with("http://") || full.len() == "http://".len() {
        return Err(Failure::usage(format!("the URL {url:?} cannot be used: write http://HOST:PORT")));
    }
    Ok(full)
}

impl Default for Http {
    fn default() -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .timeout_connect(Some(Duration::from_secs(5)))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent(concat!("wellperf/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { agent: config.into() }
    }
}

impl Http {
    /// Sends a compressed remote write 1 request.
    ///
    /// # Errors
    /// Nobody answers, or the answer is a refusal: a measurement with refusals measures something else.
    pub fn push(&self, url: &str, body: &[u8]) -> Result<(), Failure> {
        let request = self
            .agent
            .post(url)
            .header("Content-Type", "application/x-protobuf")
            .header("Content-Encoding", "snappy")
            .header("X-Prometheus-Remote-Write-Version", "0.1.0");
        let (status, answer) = read(url, request.send(body))?;
        if status / 100 == 2 {
            return Ok(());
        }
        let said: String = String::from_utf8_lossy(&answer).trim().chars().take(200).collect();
        Err(Failure::refused(format!("{url} refuses a push with {status}: {said}")))
    }

    /// The text of a page.
    ///
    /// # Errors
    /// Nobody answers, or not with 200.
    pub fn page(&self, url: &str) -> Result<Vec<u8>, Failure> {
        let (status, answer) = read(url, self.agent.get(url).call())?;
        if status == 200 {
            return Ok(answer);
        }
        let said: String = String::from_utf8_lossy(&answer).trim().chars().take(200).collect();
        Err(Failure::failed(format!("{url} answers {status}: {said}")))
    }

    /// # Errors
    /// Nobody answers with JSON.
    pub fn json(&self, url: &str) -> Result<Value, Failure> {
        let page = self.page(url)?;
        serde_json::from_slice(&page).map_err(|error| Failure::failed(format!("{url} answers with no JSON: {error}")))
    }

    /// The `data` of an instant query.
    ///
    /// # Errors
    /// Nobody answers, or not with a result.
    pub fn instant(&self, endpoints: &Endpoints, query: &str, time_ms: i64) -> Result<Value, Failure> {
        let time = format!("{}.{:03}", time_ms / 1000, time_ms % 1000);
        self.data(&format!("{}/query?query={}&time={time}", endpoints.api, encoded(query)))
    }

    /// The `data` of a range query with one point a step.
    ///
    /// # Errors
    /// Nobody answers, or not with a result.
    pub fn range(&self, endpoints: &Endpoints, query: &str, span: RangeSpan) -> Result<Value, Failure> {
        let RangeSpan { start_ms, end_ms, step_ms } = span;
        let (start, end, step) = (start_ms as f64 / 1e3, end_ms as f64 / 1e3, step_ms as f64 / 1e3);
        self.data(&format!(
            "{}/query_range?query={}&start={start:.3}&end={end:.3}&step={step:.3}",
            endpoints.api,
            encoded(query)
        ))
    }

    fn data(&self, url: &str) -> Result<Value, Failure> {
        let mut answer = self.json(url)?;
        if answer["status"] != "success" {
            return Err(Failure::failed(format!("{url} answers without success: {}", answer["error"])));
        }
        Ok(answer["data"].take())
    }
}

/// The steps of a range query.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RangeSpan {
    pub start_ms: i64,
    pub end_ms: i64,
    pub step_ms: i64,
}

/// The number of a result with one sample; `None` for an empty result.
pub fn scalar(data: &Value) -> Option<f64> {
    data["result"][0]["value"][1].as_str()?.parse().ok()
}

fn read(url: &str, answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<(u16, Vec<u8>), Failure> {
    let unreachable = |error: ureq::Error| Failure::unreachable(format!("cannot reach {url}: {error}"));
    let mut answer = answer.map_err(unreachable)?;
    let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec().map_err(unreachable)?;
    Ok((answer.status().as_u16(), body))
}

/// Percent-encodes a query for a URL.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_put_together() {
        let endpoints = Endpoints::of_node("127.0.0.1:8080/").unwrap();
        assert_eq!(endpoints.push, "http://127.0.0.1:8080/api/v1/push");
        assert_eq!(endpoints.api, "http://127.0.0.1:8080/prometheus/api/v1");
        for bad in ["", "https://a", "ftp://a:1"] {
            assert_eq!(base(bad).unwrap_err().kind, crate::failure::Kind::Usage, "{bad}");
        }
        assert_eq!(encoded("a{b=\"c\"}"), "a%7Bb%3D%22c%22%7D");
    }
}
