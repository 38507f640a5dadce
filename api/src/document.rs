//! Reads a YAML or JSON document into a checked type, as Istio reads its protobuf JSON: a `null` is a
//! field that is not set, and a field that nobody knows is reported, not an error.

use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Error;

/// A configuration, and what the text said that the configuration does not do.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed<T> {
    /// The configuration, with defaults filled in.
    pub config: T,
    /// Fields of Istio's that are set and have no effect yet.
    pub not_honoured: Vec<NotHonoured>,
    /// Paths of fields that are not Istio's at all: most often a typing error.
    pub unknown: Vec<String>,
}

/// A field that is set to a value without effect. Displayed as `PATH: REASON`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotHonoured {
    /// The field, such as `defaultConfig.tracing`.
    pub path: String,
    /// What does not happen, and what happens instead.
    pub reason: &'static str,
}

impl fmt::Display for NotHonoured {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.path, self.reason)
    }
}

/// The checked type of a text, and the paths of the fields that the type does not have. `kind` is
/// what errors call the text.
///
/// # Errors
/// When the text is neither YAML nor JSON, or a field has a value it cannot have; the error names
/// both.
pub fn parse<T: DeserializeOwned>(
    kind: &'static str,
    text: &str,
) -> Result<(T, Vec<String>), Error> {
    check(kind, &read(kind, text)?)
}

/// The tree of a text without its nulls; an empty text is an empty object.
pub(crate) fn read(kind: &'static str, text: &str) -> Result<Value, Error> {
    let parsed: Option<Value> = serde_saphyr::from_str(text).map_err(|error| Error::Syntax {
        kind,
        reason: error.to_string(),
    })?;
    let value = without_nulls(&parsed.unwrap_or_default());
    if !value.is_object() {
        let reason = "expected fields, such as `name: value`".to_owned();
        return Err(Error::Field {
            kind,
            path: ".".to_owned(),
            reason,
        });
    }
    Ok(value)
}

/// The checked type of a tree, and the paths of the fields that the type does not have.
///
/// # Errors
/// When a field has a value it cannot have; the error names both.
pub fn check<T: DeserializeOwned>(
    kind: &'static str,
    value: &Value,
) -> Result<(T, Vec<String>), Error> {
    let mut unknown = Vec::new();
    let mut collect = |path: serde_ignored::Path<'_>| unknown.push(readable(&path));
    let fields = serde_ignored::Deserializer::new(value, &mut collect);
    let config = serde_path_to_error::deserialize(fields).map_err(|error| Error::Field {
        kind,
        path: error.path().to_string(),
        reason: error.inner().to_string(),
    })?;
    Ok((config, unknown))
}

/// `a.b.0` without the marks that serde_ignored puts for `Option`s and newtypes.
fn readable(path: &serde_ignored::Path<'_>) -> String {
    use serde_ignored::Path;
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => join(&readable(parent), &index.to_string()),
        Path::Map { parent, key } => join(&readable(parent), key),
        Path::Some { parent }
        | Path::NewtypeStruct { parent }
        | Path::NewtypeVariant { parent } => readable(parent),
    }
}

fn join(parent: &str, child: &str) -> String {
    if parent.is_empty() {
        child.to_owned()
    } else {
        format!("{parent}.{child}")
    }
}

/// A tree without its nulls; nothing at all is an empty object.
pub(crate) fn without_nulls(value: &Value) -> Value {
    let mut value = match value {
        Value::Null => Value::Object(serde_json::Map::new()),
        value => value.clone(),
    };
    remove_nulls(&mut value);
    value
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

/// A field that Istio has and Lateen does not act on yet.
pub(crate) struct Unsupported {
    /// The field's path from the root of its document.
    pub(crate) path: &'static str,
    /// Values, as JSON, that ask for nothing that is missing; empty values never do.
    pub(crate) harmless: &'static [&'static str],
    /// What does not happen.
    pub(crate) reason: &'static str,
}

/// Those fields of the table that the tree sets to something that matters.
pub(crate) fn not_honoured(table: &[Unsupported], value: &Value) -> Vec<NotHonoured> {
    table
        .iter()
        .filter(|row| find(value, row.path).is_some_and(|set| matters(row, set)))
        .map(|row| NotHonoured {
            path: row.path.to_owned(),
            reason: row.reason,
        })
        .collect()
}

fn find<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.')
        .try_fold(value, |parent, field| parent.get(field))
}

fn matters(row: &Unsupported, value: &Value) -> bool {
    let empty = match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    };
    !empty && !row.harmless.contains(&value.to_string().as_str())
}
