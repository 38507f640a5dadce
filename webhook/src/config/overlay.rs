//! Custom injection templates: a part of a pod that is laid over the injected one.
//!
//! ```yaml
//! templates:
//!   team: |
//!     metadata: {labels: {team: web}}
//!     spec:
//!       containers:
//!       - name: istio-proxy
//!         env: [{name: TEAM, value: "${label:team} of ${namespace}"}]
//! ```
//!
//! Istio's custom templates are programs that write YAML text. Ours are YAML: `${FIELD}` stands for a
//! text, and only inside a scalar, so that no value of a user can become structure. `$${` is a
//! literal `${`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodSpec;
use serde::Deserialize;
use serde_json::{Map, Value};

use lateen_api::{Error, document};

use super::policy::SOURCE;

const GO_SYNTAX: &str = "it is a Go template; write a pod in YAML instead, with ${FIELD} inside its values: \
     {{ .ObjectMeta.Labels.app }} is ${label:app}, {{ .Values.global.hub }} is ${hub}, and what a \
     condition chose becomes a template of its own";

/// A custom template.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Overlay {
    pub(crate) name: String,
    tree: Value,
}

/// A template whose fields are filled in.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct PodOverlay {
    pub(crate) metadata: Entries,
    pub(crate) spec: PodSpec,
}

/// The part of a pod's metadata that a template may change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Entries {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
}

/// What `${FIELD}` can stand for. A label or annotation that the pod does not have is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field<'a> {
    /// `${label:KEY}` of the pod.
    Label(&'a str),
    /// `${annotation:KEY}` of the pod.
    Annotation(&'a str),
    /// `${namespace}` that the pod is created in.
    Namespace,
    /// `${workload}`: name of the workload behind the pod.
    Workload,
    /// `${serviceAccount}` of the pod.
    ServiceAccount,
    /// `${revision}` that injects.
    Revision,
    /// `${hub}`: registry and folder of images.
    Hub,
    /// `${tag}` of images.
    Tag,
    /// `${cluster}`: name of the cluster.
    Cluster,
    /// `${trustDomain}` of the mesh.
    TrustDomain,
}

const FIELDS: &str = "label:KEY, annotation:KEY, namespace, workload, serviceAccount, revision, hub, tag, cluster, \
     trustDomain";

impl<'a> Field<'a> {
    fn parse(text: &'a str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("label", key)) => return Ok(Self::Label(key)),
            Some(("annotation", key)) => return Ok(Self::Annotation(key)),
            _ => {}
        }
        match text {
            "namespace" => Ok(Self::Namespace),
            "workload" => Ok(Self::Workload),
            "serviceAccount" => Ok(Self::ServiceAccount),
            "revision" => Ok(Self::Revision),
            "hub" => Ok(Self::Hub),
            "tag" => Ok(Self::Tag),
            "cluster" => Ok(Self::Cluster),
            "trustDomain" => Ok(Self::TrustDomain),
            _ => Err(format!("${{{text}}} is not known; fields are {FIELDS}")),
        }
    }
}

impl Overlay {
    /// Checks a template: the text of a pod in YAML, or the pod itself. Named beside it are fields
    /// that no pod has.
    pub(super) fn parse(name: &str, value: &Value) -> Result<(Self, Vec<String>), Error> {
        let refuse = |reason: String| Error::Field {
            kind: SOURCE,
            path: format!("templates.{name}"),
            reason,
        };
        let text = match value {
            Value::String(text) => Cow::Borrowed(text.as_str()),
            other => Cow::Owned(other.to_string()),
        };
        if text.contains("{{") && value.is_string() {
            return Err(refuse(GO_SYNTAX.to_owned()));
        }
        let parsed = document::parse::<Map<String, Value>>(SOURCE, &text);
        let (fields, _) = parsed.map_err(|error| refuse(error.to_string()))?;
        let parsed = document::parse::<PodOverlay>(SOURCE, &text);
        let (_, unknown) = parsed.map_err(|error| refuse(error.to_string()))?;
        let overlay = Self {
            name: name.to_owned(),
            tree: Value::Object(fields),
        };
        fill(&mut overlay.tree.clone(), &|_| String::new()).map_err(refuse)?;
        Ok((overlay, unknown))
    }

    /// The template for one pod. An error says what cannot be.
    pub(crate) fn fill(
        &self,
        value_of: &dyn Fn(Field<'_>) -> String,
    ) -> Result<PodOverlay, String> {
        let mut tree = self.tree.clone();
        fill(&mut tree, value_of)?;
        let checked = document::check(SOURCE, &tree).map_err(|error| error.to_string())?;
        Ok(checked.0)
    }
}

/// Replaces the fields in all scalars of a tree.
fn fill(tree: &mut Value, value_of: &dyn Fn(Field<'_>) -> String) -> Result<(), String> {
    match tree {
        Value::String(text) if text.contains("${") => {
            *text = fill_text(text, value_of)?;
            Ok(())
        }
        Value::Array(items) => items.iter_mut().try_for_each(|item| fill(item, value_of)),
        Value::Object(fields) => fields
            .values_mut()
            .try_for_each(|field| fill(field, value_of)),
        _ => Ok(()),
    }
}

fn fill_text(text: &str, value_of: &dyn Fn(Field<'_>) -> String) -> Result<String, String> {
    let (mut filled, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            filled.push_str(before);
            filled.push_str("${");
            rest = after;
            continue;
        }
        let (field, after) = after
            .split_once('}')
            .ok_or_else(|| format!("{text:?} has a ${{ without its }}"))?;
        filled.push_str(before);
        filled.push_str(&value_of(Field::parse(field)?));
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filled(template: &Value) -> Result<PodOverlay, String> {
        let (overlay, unknown) =
            Overlay::parse("mine", template).map_err(|error| error.to_string())?;
        assert_eq!(unknown, Vec::<String>::new());
        overlay.fill(&|field| match field {
            Field::Label(key) => format!("{key}: \"}}\n- x"),
            Field::Hub => "${tag}".to_owned(),
            other => format!("{other:?}"),
        })
    }

    #[test]
    fn a_field_fills_its_scalar_and_nothing_else() {
        let text = "
metadata: {annotations: {a: '${label:app}', b: '${hub}:${tag}', c: '$${hub} $(POD_NAME) $'}}
spec: {priorityClassName: '${namespace}-${workload}'}
";
        let overlay = filled(&json!(text)).unwrap();
        let annotations = json!(overlay.metadata.annotations);
        assert_eq!(
            annotations,
            json!({"a": "app: \"}\n- x", "b": "${tag}:Tag", "c": "${hub} $(POD_NAME) $"})
        );
        assert_eq!(
            overlay.spec.priority_class_name.as_deref(),
            Some("Namespace-Workload")
        );
        let as_object = json!({"metadata": {"labels": {"a": "${cluster}"}}});
        let labels = filled(&as_object).unwrap().metadata.labels;
        assert_eq!(labels["a"], "Cluster");
    }

    #[test]
    fn what_cannot_be_filled_is_refused_before_any_pod_comes() {
        let cases = [
            ("spec: {containers: [{{ .Values }}]}", "it is a Go template"),
            (
                "metadata: {labels: {a: '${pod.name}'}}",
                "${pod.name} is not known",
            ),
            ("metadata: {labels: {a: '${hub'}}", "without its }"),
            ("spec: {containers: 7}", "spec.containers"),
            ("[]", "expected fields"),
            (
                "spec: {terminationGracePeriodSeconds: '${tag}'}",
                "terminationGracePeriodSeconds",
            ),
        ];
        for (template, expected) in cases {
            let error = filled(&json!(template)).unwrap_err();
            assert!(
                error.contains("templates.mine") && error.contains(expected),
                "{error}"
            );
        }
    }

    #[test]
    fn fields_that_no_pod_has_are_named() {
        let template = json!({"metadata": {"name": "x"}, "spec": {"containres": []}});
        let (_, unknown) = Overlay::parse("mine", &template).unwrap();
        assert_eq!(unknown, ["metadata.name", "spec.containres"]);
    }
}
