//! OpenAPI schemas of resources, made from their Rust types, in the structural form that the API
//! server demands: every part has a type, and nothing refers to anything else.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use kube_core::schema::StructuralSchemaRewriter;
use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::{Spec, Status};
use crate::Duration;

/// Marks a type of which at most one of the named fields may be set (protobuf's `oneof`).
const ONE_OF: &str = "x-one-of";

/// Formats that the API server knows; it warns of all others.
const FORMATS: [&str; 5] = ["byte", "date-time", "double", "int32", "int64"];

/// The schema of a kind's resources.
pub(super) fn of<S: Spec>() -> JSONSchemaProps {
    let kind = S::KIND.kind;
    let schema = json!({
        "type": "object",
        "properties": {
            "spec": part::<S>(),
            "status": part::<Status>(),
        },
    });
    match serde_json::from_value(schema) {
        Ok(schema) => schema,
        Err(error) => unreachable!("the schema of {kind} comes from a Rust type alone: {error}"),
    }
}

fn part<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::openapi3().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings
        .with_transform(StructuralSchemaRewriter)
        .with_transform(Kubernetes)
        .into_generator()
        .into_root_schema_for::<T>();
    schema.remove("title");
    schema.to_value()
}

/// Removes what Kubernetes does not take, and writes down what Istio's API asks for.
#[derive(Clone, Debug)]
struct Kubernetes;

impl Transform for Kubernetes {
    fn transform(&mut self, schema: &mut Schema) {
        if let Some(fields) = schema.as_object_mut() {
            unwrap_optional(fields);
            fields.remove("nullable");
            fields.remove("default");
            let known = |format: &Value| format.as_str().is_some_and(|f| FORMATS.contains(&f));
            if fields.get("format").is_some_and(|format| !known(format)) {
                fields.remove("format");
            }
        }
        transform_subschemas(self, schema);
        if let Some(names) = schema.remove(ONE_OF) {
            schema.insert("oneOf".to_owned(), at_most_one(&names));
        }
    }
}

/// Turns "a thing or null" into the thing, with the description of the field rather than of the
/// field's type: in Istio's API no field is ever null.
fn unwrap_optional(fields: &mut Map<String, Value>) {
    let Some(Value::Array(choices)) = fields.get("anyOf") else {
        return;
    };
    let [Value::Object(thing), _null] = choices.as_slice() else {
        return;
    };
    let thing = thing.clone();
    fields.remove("anyOf");
    for (name, value) in thing {
        fields.entry(name).or_insert(value);
    }
}

/// No field of the list, or exactly one.
fn at_most_one(names: &Value) -> Value {
    let each: Vec<Value> = names
        .as_array()
        .into_iter()
        .flatten()
        .map(|name| json!({"required": [name]}))
        .collect();
    let mut choices = vec![json!({"not": {"anyOf": each}})];
    choices.extend(each);
    Value::Array(choices)
}

/// The schema of a field that holds whatever another program understands.
pub(crate) fn object_of_anything(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

impl JsonSchema for Duration {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string"})
    }
}
