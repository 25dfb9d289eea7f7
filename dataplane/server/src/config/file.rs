//! The YAML file: flattened into (path, text) pairs, then matched with the table of settings.

use std::path::Path;

use super::ConfigError;

const FILE_BYTES_MAX: u64 = 4 << 20;

/// Reads a YAML tree and gives its leaves as (dotted path with underscores, text), in the file's order.
///
/// # Errors
/// The file cannot be read or is no YAML mapping.
pub fn read_yaml(path: &Path) -> Result<Vec<(String, String)>, ConfigError> {
    let describe = |problem: &dyn std::fmt::Display| {
        ConfigError(format!("the configuration file {} cannot be used: {problem}", path.display()))
    };
    let size = std::fs::metadata(path).map_err(|error| describe(&error))?.len();
    if size > FILE_BYTES_MAX {
        return Err(describe(&format!("it has {size} bytes, the limit is {FILE_BYTES_MAX}")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| describe(&error))?;
    parse_yaml(&text).map_err(|error| describe(&error.0))
}

/// As [`read_yaml`], from text.
///
/// # Errors
/// No YAML, or no mapping.
pub fn parse_yaml(text: &str) -> Result<Vec<(String, String)>, ConfigError> {
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(Vec::new());
    }
    let tree: serde_json::Value = serde_saphyr::from_str(text).map_err(|error| ConfigError(error.to_string()))?;
    let mut leaves = Vec::new();
    flatten("", &tree, &mut leaves)?;
    Ok(leaves)
}

fn flatten(path: &str, value: &serde_json::Value, leaves: &mut Vec<(String, String)>) -> Result<(), ConfigError> {
    use serde_json::Value;
    let text = match value {
        Value::Object(map) => {
            for (key, value) in map {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                flatten(&path, value, leaves)?;
            }
            return Ok(());
        }
        _ if path.is_empty() => return Err(ConfigError("its top level is not a mapping of keys to values".into())),
        Value::Null => String::new(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let texts: Option<Vec<_>> = items.iter().map(scalar_text).collect();
            texts.ok_or_else(|| ConfigError(format!("{path} is a list of more than plain values")))?.join(",")
        }
    };
    leaves.push((path.to_owned(), text));
    Ok(())
}

fn scalar_text(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        serde_json::Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}
