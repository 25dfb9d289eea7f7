//! Which path is answered by whom. One `match`, so that all that the node answers stands on one screen.

use std::rc::Rc;

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};

use super::answer::{Answer, text};
use super::service::Service;
use super::{node_status, push, queries, reset, status};

/// Answers one request.
pub async fn answer(service: Rc<Service>, request: Request<Incoming>) -> Answer {
    let path = request.uri().path().to_owned();
    let endpoint = Endpoint::of(&path);
    let Some(endpoint) = endpoint else {
        return text(StatusCode::NOT_FOUND, &format!("{path} is no path of wellhead; GET / lists them"));
    };
    if !endpoint.methods().contains(request.method()) {
        let allowed: Vec<_> = endpoint.methods().iter().map(Method::as_str).collect();
        return text(StatusCode::METHOD_NOT_ALLOWED, &format!("{path} takes {}", allowed.join(" and ")));
    }
    match endpoint {
        Endpoint::Push => push::answer(&service, request).await,
        Endpoint::Query(path) => queries::answer(&service, path, request).await,
        Endpoint::Index => text(StatusCode::OK, INDEX),
        Endpoint::Healthy => text(StatusCode::OK, "wellhead is alive"),
        Endpoint::Ready => status::ready(&service.node),
        Endpoint::Metrics => status::metrics(&service.node).await,
        Endpoint::Config => status::config(&service.node),
        Endpoint::NodeStatus => node_status::answer(&service.node).await,
        Endpoint::Reset => reset::answer(&service.node, request).await,
        Endpoint::LogLevel => status::log_level(&service.node, &request),
    }
}

/// Everything that is answered.
enum Endpoint {
    Push,
    /// A path of Prometheus' API below `/api/v1/`.
    Query(String),
    Index,
    Healthy,
    Ready,
    Metrics,
    Config,
    NodeStatus,
    Reset,
    LogLevel,
}

const GET: &[Method] = &[Method::GET, Method::HEAD];
const POST: &[Method] = &[Method::POST];
const GET_POST: &[Method] = &[Method::GET, Method::POST];

impl Endpoint {
    fn of(path: &str) -> Option<Self> {
        Some(match path {
            "/" => Self::Index,
            "/api/v1/push" | "/api/v1/write" => Self::Push,
            "/ready" | "/-/ready" => Self::Ready,
            "/healthy" | "/-/healthy" => Self::Healthy,
            "/metrics" => Self::Metrics,
            "/config" => Self::Config,
            "/wellhead/status" => Self::NodeStatus,
            "/wellhead/partitions/reset" => Self::Reset,
            "/log_level" => Self::LogLevel,
            // Under Mimir's prefix, and at the root for clients that know only Prometheus.
            _ => Self::Query(path.strip_prefix("/prometheus").unwrap_or(path).strip_prefix("/api/v1/")?.to_owned()),
        })
    }

    fn methods(&self) -> &'static [Method] {
        match self {
            Self::Push | Self::Reset => POST,
            Self::Query(_) | Self::LogLevel => GET_POST,
            _ => GET,
        }
    }
}

const INDEX: &str = "\
wellhead

POST /api/v1/push                              Prometheus remote write 1
GET  /prometheus/api/v1/query                  instant query
GET  /prometheus/api/v1/query_range            range query
GET  /prometheus/api/v1/labels                 label names
GET  /prometheus/api/v1/label/<name>/values    values of a label
GET  /prometheus/api/v1/series                 series that match
GET  /prometheus/api/v1/status/buildinfo       version
GET  /ready                                    is it caught up and consuming; the body tells the state of each partition
GET  /-/healthy                                is the process alive
GET  /metrics                                  its own metrics
GET  /config                                   the configuration in force
GET  /wellhead/status                          the node, its shards and partitions with their marks, as JSON
POST /wellhead/partitions/reset                consume partitions from other offsets
GET  /log_level, POST /log_level?log_level=L   the level of the logs
";
