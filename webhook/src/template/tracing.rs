//! What the proxy is told for traces: the resource attributes of OpenTelemetry, by its conventions for
//! services on Kubernetes (`OTEL_RESOURCE_ATTRIBUTES`).

use std::fmt::Write as _;

use super::Plan;
use crate::keys;

/// `KEY=VALUE,...`, if a provider of the mesh wants attributes by these conventions.
pub(super) fn resource_attributes(plan: &Plan<'_>) -> Option<String> {
    let follows_conventions = plan.mesh.extension_providers.iter().any(|provider| {
        let enrichment = provider
            .get("opentelemetry")
            .and_then(|settings| settings.get("serviceAttributeEnrichment"));
        enrichment.is_some_and(|enrichment| enrichment == "OTEL_SEMANTIC_CONVENTIONS")
    });
    if !follows_conventions || plan.is_gateway() {
        return None;
    }
    let annotation = |key: &str| {
        let value = plan.pod.metadata.annotations.as_ref()?.get(key)?;
        (!value.is_empty()).then(|| encode(value))
    };
    let namespace = annotation(keys::OTEL_NAMESPACE).unwrap_or_else(|| encode(plan.namespace));
    let mut attributes = format!("service.namespace={namespace}");
    if let Some(version) = annotation(keys::OTEL_VERSION).or_else(|| version(plan)) {
        attributes += &format!(",service.version={version}");
    }
    if let Some(instance) = annotation(keys::OTEL_INSTANCE).or_else(|| instance(plan)) {
        attributes += &format!(",service.instance.id={instance}");
    }
    Some(attributes)
}

/// The version by label, or by the image of the only container.
fn version(plan: &Plan<'_>) -> Option<String> {
    let labels = plan.pod.metadata.labels.as_ref();
    let label = labels.and_then(|labels| labels.get("app.kubernetes.io/version"));
    if let Some(version) = label.filter(|version| !version.is_empty()) {
        return Some(encode(version));
    }
    let [container] = plan.pod.spec.as_ref()?.containers.as_slice() else {
        return None;
    };
    let image = container.image.as_deref()?;
    let (reference, digest) = image.split_once('@').unwrap_or((image, ""));
    let (_, last) = reference.rsplit_once('/').unwrap_or(("", reference));
    let (_, tag) = last.split_once(':').unwrap_or((last, ""));
    let parts = [tag, digest].into_iter().filter(|part| !part.is_empty());
    let version = parts.collect::<Vec<_>>().join("@");
    (!version.is_empty()).then(|| encode(&version))
}

/// Namespace, pod and container. Kubernetes fills in the name of the pod, which nobody knows yet.
fn instance(plan: &Plan<'_>) -> Option<String> {
    let container = plan.pod.spec.as_ref()?.containers.first()?;
    let (namespace, container) = (encode(plan.namespace), encode(&container.name));
    Some(format!("{namespace}.$(POD_NAME).{container}"))
}

/// A value that stays one: what OpenTelemetry's list or Kubernetes' references would take for
/// something else is percent-encoded.
fn encode(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.:/@+~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
