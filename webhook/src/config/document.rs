//! Reads a YAML or JSON text into a type, as Istio reads its charts' values: a `null` is a field
//! that is not set, a field that nobody knows is reported, not an error.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::error::ConfigError;

/// The text as a type, and the paths of the fields that the type does not have.
pub(super) fn read<T: DeserializeOwned>(
    source_name: &'static str,
    text: &str,
) -> Result<(T, Vec<String>), ConfigError> {
    let mut value = tree(source_name, text)?;
    remove_nulls(&mut value);
    let mut unknown = Vec::new();
    let mut collect = |path: serde_ignored::Path<'_>| unknown.push(path.to_string());
    let fields = serde_ignored::Deserializer::new(&value, &mut collect);
    let config = serde_path_to_error::deserialize(fields).map_err(|error| ConfigError::Field {
        source_name,
        path: error.path().to_string(),
        reason: error.inner().to_string(),
    })?;
    Ok((config, unknown))
}

/// The tree of a text; JSON, the usual form of `values`, is tried first because it is quicker.
fn tree(source_name: &'static str, text: &str) -> Result<Value, ConfigError> {
    if let Ok(value @ Value::Object(_)) = serde_json::from_str(text) {
        return Ok(value);
    }
    let parsed: Option<Value> =
        serde_saphyr::from_str(text).map_err(|error| ConfigError::Syntax {
            source_name,
            reason: error.to_string(),
        })?;
    match parsed {
        None | Some(Value::Null) => Ok(Value::Object(serde_json::Map::new())),
        Some(value) => Ok(value),
    }
}

fn remove_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(remove_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_nulls),
        _ => {}
    }
}

/// A text that YAML may have taken for a number or a truth value, such as the tag `1.24`.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        _ => Err(serde::de::Error::custom("expected a text")),
    }
}
