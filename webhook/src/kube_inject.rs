//! Injection by hand: the pod templates of a text of manifests, whatever workload they are in.
//! Documents without anything to inject stay as they are, byte by byte.

pub mod documents;

use std::borrow::Cow;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Map, Value};

use self::documents::{Document, SEPARATOR};
use crate::error::InjectError;
use crate::inject::{Injector, Outcome, Target};
use crate::owner::Owner;

/// API groups of workloads; other groups have other things in kinds of the same names.
const GROUPS: [&str; 5] = ["", "apps", "apps.openshift.io", "batch", "extensions"];

/// Kinds with a pod template at `spec.template`.
const TEMPLATED: [&str; 7] = [
    "DaemonSet",
    "Deployment",
    "DeploymentConfig",
    "Job",
    "ReplicaSet",
    "ReplicationController",
    "StatefulSet",
];

/// Manifests after injection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifests {
    /// The documents, each ended by `---`; those that were injected are YAML.
    pub yaml: String,
    /// A sentence for every workload that was left as it was, and why, and for everything that one
    /// asks for and does not get. Not for standard output.
    pub notices: Vec<String>,
}

/// Injects every pod and every pod template of a text of manifests: YAML with any number of
/// documents, or JSON. Lists are entered; documents without pods pass through unchanged.
///
/// `target` says where pods are created whose manifest names no namespace; its owner is ignored.
///
/// # Errors
/// When the text is not YAML, a document is no Kubernetes object, or a pod has annotations with
/// values they cannot have. The error names the document by its number.
pub fn kube_inject(
    manifests: &str,
    injector: &Injector,
    target: &Target<'_>,
) -> Result<Manifests, InjectError> {
    let mut result = Manifests::default();
    for (index, document) in documents::split(manifests).iter().enumerate() {
        let text = inject_document(document, injector, target, &mut result.notices);
        let text = text.map_err(|reason| InjectError::Document {
            number: index + 1,
            reason,
        })?;
        result.yaml.push_str(&text);
        if !text.ends_with('\n') {
            result.yaml.push('\n');
        }
        result.yaml.push_str(SEPARATOR);
        result.yaml.push('\n');
    }
    Ok(result)
}

/// A document after injection: its own text if there is nothing to inject.
fn inject_document<'a>(
    document: &Document<'a>,
    injector: &Injector,
    target: &Target<'_>,
    notices: &mut Vec<String>,
) -> Result<Cow<'a, str>, String> {
    let before = document.parse()?;
    if before.is_null() {
        return Ok(document.text.into());
    }
    let mut after = before.clone();
    inject_object(&mut after, injector, target, notices)?;
    if after == before {
        return Ok(document.text.into());
    }
    let yaml = serde_saphyr::to_string(&after).map_err(|error| error.to_string())?;
    Ok(yaml.into())
}

fn inject_object(
    object: &mut Value,
    injector: &Injector,
    target: &Target<'_>,
    notices: &mut Vec<String>,
) -> Result<(), String> {
    let text = |name: &str| {
        object
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    if kind.is_empty() || api_version.is_empty() {
        return Err("it has no apiVersion and kind, so it is no Kubernetes object".to_owned());
    }
    if kind.ends_with("List") {
        let items = object.get_mut("items").and_then(Value::as_array_mut);
        let mut items = items.into_iter().flatten();
        return items.try_for_each(|item| inject_object(item, injector, target, notices));
    }
    let metadata = |name: &str| {
        let value = object.get("metadata")?.get(name)?.as_str()?;
        Some(value.to_owned())
    };
    let name = metadata("name").unwrap_or_default();
    let namespace = metadata("namespace");
    let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
    if !GROUPS.contains(&group) {
        return Ok(());
    }
    let owner = Owner {
        api_version,
        kind: kind.clone(),
        name: name.clone(),
    };
    let target = Target {
        namespace: namespace.as_deref().unwrap_or(target.namespace),
        owner: (kind != "Pod").then_some(&owner),
        ..*target
    };
    let Some(template) = pod_template(object, &kind) else {
        return Ok(());
    };
    let what = format!("{kind} {name:?}");
    inject_template(template, injector, &target)
        .map(|new| notices.extend(new.iter().map(|notice| format!("{what}: {notice}"))))
        .map_err(|reason| format!("{what}: {reason}"))
}

/// The object that holds a pod's `metadata` and `spec`.
fn pod_template<'a>(object: &'a mut Value, kind: &str) -> Option<&'a mut Value> {
    let path: &[&str] = match kind {
        "Pod" => &[],
        "CronJob" => &["spec", "jobTemplate", "spec", "template"],
        _ if TEMPLATED.contains(&kind) => &["spec", "template"],
        _ => return None,
    };
    path.iter()
        .try_fold(object, |parent, name| parent.get_mut(name))
}

/// Injects one template; answers with what there is to say about it.
fn inject_template(
    template: &mut Value,
    injector: &Injector,
    target: &Target<'_>,
) -> Result<Vec<String>, String> {
    let Some(fields) = template.as_object_mut() else {
        return Err("its pod template is no object".to_owned());
    };
    let part = |name: &str| fields.get(name).cloned().unwrap_or_default();
    let metadata: Option<ObjectMeta> =
        serde_json::from_value(part("metadata")).map_err(|error| error.to_string())?;
    let pod = Pod {
        metadata: metadata.unwrap_or_default(),
        spec: serde_json::from_value(part("spec")).map_err(|error| error.to_string())?,
        status: None,
    };
    let outcome = injector
        .inject(&pod, target)
        .map_err(|error| error.to_string())?;
    let notices = match &outcome {
        Outcome::AlreadyInjected => vec!["left alone because it is injected already".to_owned()],
        Outcome::Skipped { reason, warnings } => {
            let mut notices = vec![format!("left alone because {reason}")];
            notices.extend_from_slice(warnings);
            notices
        }
        Outcome::Injected(injection) => injection.warnings.clone(),
    };
    if let Some(patch) = outcome.patch(pod) {
        if part("metadata").is_null() {
            fields.insert("metadata".to_owned(), Value::Object(Map::new()));
        }
        patch.apply(template).map_err(|error| error.to_string())?;
    }
    Ok(notices)
}

#[cfg(test)]
mod tests;
