//! What the node says about itself: readiness, metrics, configuration, log level.

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};

use super::answer::{self, Answer, text};
use crate::config::{Values, settings, yaml_path};
use crate::node::Node;

/// 200 once caught up and consuming, 503 before, with the state of each role and partition either way.
pub fn ready(node: &Node) -> Answer {
    let (is_ready, report) = node.readiness();
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    text(status, &report)
}

/// The metrics of all parts.
pub async fn metrics(node: &Node) -> Answer {
    answer::of(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", node.metrics().await.to_text())
}

/// The configuration in force as the YAML file that would give it.
pub fn config(node: &Node) -> Answer {
    answer::of(StatusCode::OK, "application/yaml", config_yaml(&node.values))
}

/// GET shows the level, POST sets it.
pub fn log_level(node: &Node, request: &Request<Incoming>) -> Answer {
    if request.method() == Method::GET {
        return text(StatusCode::OK, &format!("log_level={}", node.log_level.get()));
    }
    let query = request.uri().query().unwrap_or_default();
    let Some(level) = query.split('&').find_map(|pair| pair.strip_prefix("log_level=")) else {
        return text(StatusCode::BAD_REQUEST, "say which: POST /log_level?log_level=debug");
    };
    match node.log_level.set(level) {
        Ok(()) => {
            tracing::warn!(level, "the log level was changed");
            text(StatusCode::OK, &format!("log_level={level}"))
        }
        Err(reason) => text(StatusCode::BAD_REQUEST, &reason),
    }
}

/// The settings as YAML.
pub fn config_yaml(values: &Values) -> String {
    let mut paths: Vec<(String, &str, &str)> = settings()
        .iter()
        .map(|setting| (yaml_path(setting.name), values[setting.name].text.as_str(), setting.placeholder))
        .collect();
    paths.sort();
    let mut yaml = String::new();
    let mut open: Vec<&str> = Vec::new();
    for (path, value, placeholder) in &paths {
        let parts: Vec<&str> = path.split('.').collect();
        let (leaf, parents) = parts.split_last().expect("a path has a last part");
        let shared = open.iter().zip(parents).take_while(|(a, b)| a == b).count();
        open.truncate(shared);
        for parent in &parents[shared..] {
            yaml.push_str(&format!("{}{parent}:\n", "  ".repeat(open.len())));
            open.push(parent);
        }
        let is_plain = matches!(*placeholder, "BOOL" | "COUNT" | "PORT" | "PERCENT") && !value.is_empty();
        let value = if is_plain { (*value).to_owned() } else { format!("{value:?}") };
        yaml.push_str(&format!("{}{leaf}: {value}\n", "  ".repeat(open.len())));
    }
    yaml
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_a_file_that_gives_the_same() {
        let loaded = crate::config::load(["wellhead".into()], []).unwrap();
        let yaml = config_yaml(&loaded.values);
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, yaml.as_bytes()).unwrap();
        let flag = format!("--config.file={}", file.path().display());
        let again = crate::config::load(["wellhead".into(), flag.into()], []).unwrap();
        let texts =
            |values: &Values| values.iter().map(|(name, value)| (*name, value.text.clone())).collect::<Vec<_>>();
        assert_eq!(texts(&again.values), texts(&loaded.values), "{yaml}");
    }
}
