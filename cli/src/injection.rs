//! What namespaces and pods themselves say of their injection, by labels, annotations and containers.

use k8s_openapi::api::core::v1::{Container, Pod};
use kube::ResourceExt;
use lateen_wire::names;
use serde_json::Value;

use crate::hooks::selector::Labels;

/// Label of namespaces that says how their pods are in the mesh.
pub(crate) const MODE: &str = "istio.io/dataplane-mode";
/// Its value for pods that are in it without sidecars.
pub(crate) const AMBIENT: &str = "ambient";

/// The label by which a namespace asks to be injected: `istio-injection=enabled`, or else the name of
/// a revision or tag.
pub(crate) fn wish(namespace: &Labels) -> Option<(&str, &str)> {
    let asking = match namespace.get_key_value(names::INJECTION) {
        Some((key, value)) => (value == "enabled").then_some((key, value)),
        None => namespace.get_key_value(names::REVISION),
    };
    asking.map(|(key, value)| (key.as_str(), value.as_str()))
}

/// Whether the pods of a namespace are in the mesh without sidecars.
pub(crate) fn is_ambient(namespace: &Labels) -> bool {
    namespace.get(MODE).is_some_and(|mode| mode == AMBIENT)
}

/// Whether a pod says that it is not to be injected, by label or else by annotation.
pub(crate) fn refuses(pod: &Pod) -> bool {
    let said = pod.labels().get(names::INJECT);
    let said = said.or_else(|| pod.annotations().get(names::INJECT));
    said.is_some_and(|value| value.eq_ignore_ascii_case("false"))
}

/// The revision that has injected a pod.
pub(crate) fn injected_by(pod: &Pod) -> Option<String> {
    let status = pod.annotations().get(names::STATUS)?;
    let status: Value = serde_json::from_str(status).unwrap_or_default();
    let revision = status.get("revision").and_then(Value::as_str);
    Some(revision.unwrap_or(names::DEFAULT_REVISION).to_owned())
}

/// The container of a pod with the proxy, of either form.
pub(crate) fn proxy(pod: &Pod) -> Option<&Container> {
    let spec = pod.spec.as_ref()?;
    let first = spec.init_containers.iter().flatten();
    let mut all = first.chain(&spec.containers);
    all.find(|container| container.name == names::PROXY_CONTAINER)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(metadata: &Value) -> Pod {
        serde_json::from_value(json!({ "metadata": metadata })).unwrap()
    }

    #[test]
    fn the_label_of_a_pod_speaks_before_its_annotation() {
        let says = |value: &str| json!({"sidecar.istio.io/inject": value});
        assert!(refuses(&pod(&json!({"annotations": says("False")}))));
        let both = json!({"annotations": says("false"), "labels": says("true")});
        assert!(!refuses(&pod(&both)));
        assert!(!refuses(&pod(&json!({}))));
    }

    #[test]
    fn the_old_label_of_a_namespace_speaks_before_the_new_one() {
        let labels = |pairs: &[(&str, &str)]| -> Labels {
            let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
            pairs.iter().map(owned).collect()
        };
        let revision = ("istio.io/rev", "canary");
        assert_eq!(wish(&labels(&[revision])), Some(revision));
        assert_eq!(wish(&labels(&[("istio-injection", "off"), revision])), None);
        let enabled = ("istio-injection", "enabled");
        assert_eq!(wish(&labels(&[enabled, revision])), Some(enabled));
    }
}
