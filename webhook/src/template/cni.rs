//! Annotations that a plugin of the container network reads to redirect a pod from outside: everything
//! that `istio-init` would be told otherwise.

use lateen_wire::names;
use serde_json::{Value, json};

use super::{Plan, init};
use crate::keys;

/// The provider that wants its network named by annotation.
const MULTUS: &str = "multus";
/// The network of Istio's plugin.
const NETWORK: (&str, &str) = ("default", "istio-cni");

/// The annotations, where a plugin is at work.
pub(super) fn annotations(plan: &Plan<'_>) -> Vec<(&'static str, String)> {
    if !plan.uses_cni() {
        return Vec::new();
    }
    let mode = plan.interception_mode().as_str().to_owned();
    let mut annotations = vec![(keys::INTERCEPTION_MODE, mode)];
    if plan.values.pilot.cni.provider == MULTUS {
        let present = plan.pod.metadata.annotations.as_ref();
        let present = present.and_then(|present| present.get(keys::MULTUS_NETWORKS));
        let networks = with_network(present.map(String::as_str).unwrap_or_default());
        annotations.push((keys::MULTUS_NETWORKS, networks));
    }
    let capture = init::Capture::of(plan);
    annotations.push((keys::INCLUDE_INBOUND_PORTS, capture.include_inbound_ports));
    annotations.push((keys::EXCLUDE_INBOUND_PORTS, capture.exclude_inbound_ports));
    let unless_empty = [
        (
            keys::INCLUDE_OUTBOUND_RANGES,
            capture.include_outbound_ranges,
        ),
        (
            keys::EXCLUDE_OUTBOUND_RANGES,
            capture.exclude_outbound_ranges,
        ),
        (keys::INCLUDE_OUTBOUND_PORTS, capture.include_outbound_ports),
        (keys::EXCLUDE_OUTBOUND_PORTS, capture.exclude_outbound_ports),
    ];
    annotations.extend(
        unless_empty
            .into_iter()
            .filter(|(_, value)| !value.is_empty()),
    );
    annotations
}

/// The list of networks with ours, in the form that it has: names with commas between, or JSON.
fn with_network(present: &str) -> String {
    let (namespace, name) = NETWORK;
    let ours = format!("{namespace}/{name}");
    if present.trim().is_empty() {
        return ours;
    }
    if let Ok(mut networks) = serde_json::from_str::<Vec<Value>>(present) {
        let is_ours = |network: &Value| {
            network.get("name") == Some(&json!(name))
                && network.get("namespace") == Some(&json!(namespace))
        };
        if networks.iter().any(is_ours) {
            return present.to_owned();
        }
        networks.push(json!({"name": name, "namespace": namespace}));
        return Value::Array(networks).to_string();
    }
    if present.split(',').any(|network| network.trim() == ours) {
        return present.to_owned();
    }
    format!("{present}, {ours}")
}

/// The container's name says what it does: program redirection, or only check it.
pub(super) fn init_name(plan: &Plan<'_>) -> &'static str {
    if plan.uses_cni() {
        names::VALIDATION_CONTAINER
    } else {
        names::INIT_CONTAINER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_the_network_once_in_the_form_there_is() {
        let cases = [
            ("", "default/istio-cni"),
            ("macvlan", "macvlan, default/istio-cni"),
            ("a, default/istio-cni", "a, default/istio-cni"),
            (
                r#"[{"name":"a"}]"#,
                r#"[{"name":"a"},{"name":"istio-cni","namespace":"default"}]"#,
            ),
            (
                r#"[{"name":"istio-cni", "namespace":"default"}]"#,
                r#"[{"name":"istio-cni", "namespace":"default"}]"#,
            ),
        ];
        for (present, expected) in cases {
            assert_eq!(with_network(present), expected);
        }
    }
}
