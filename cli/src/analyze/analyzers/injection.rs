//! IST0102, IST0123 and IST0148, about labels of namespaces, and IST0103, about pods without a sidecar
//! where there should be one.

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::ResourceExt;
use lateen_webhook::decide::uses_node_network;
use lateen_wire::names;

use super::super::code::{
    INJECTION_BY_DEFAULT, MULTIPLE_INJECTION_LABELS, NAMESPACE_NOT_INJECTED, POD_MISSING_PROXY,
};
use super::super::report::Report;
use super::super::resource::Resource;
use super::super::world::World;
use crate::hooks::Hook;
use crate::hooks::selector::Labels;
use crate::injection::{MODE, is_ambient, proxy, refuses, wish};
use crate::manifest::admission::SYSTEM_NAMESPACES;

/// Looks at namespaces, and at the pods of those that are injected.
pub(super) fn analyze(world: &World, report: &mut Report) {
    let hooks = world.hooks();
    for namespace in &world.namespaces {
        let name = namespace.origin.name.as_str();
        if name != world.system_namespace && !SYSTEM_NAMESPACES.contains(&name) {
            look_at_namespace(namespace, &hooks, report);
        }
    }
    for pod in &world.pods {
        let namespace = pod.origin.namespace.as_deref().unwrap_or_default();
        let labels = world.labels_of(namespace);
        let asks = wish(labels).is_some() && !is_ambient(labels);
        if asks && !SYSTEM_NAMESPACES.contains(&namespace) && lacks_proxy(&pod.object) {
            let text = "the pod has no sidecar although its namespace is injected; make it anew, for example by kubectl rollout restart";
            report.add(pod, &POD_MISSING_PROXY, text);
        }
    }
}

fn look_at_namespace(namespace: &Resource<Namespace>, hooks: &[Hook], report: &mut Report) {
    let labels = namespace.object.labels();
    let told = competing(labels);
    if told.len() > 1 {
        let text = format!(
            "labels contradict each other: {}; keep one of them",
            told.join(", ")
        );
        report.add(namespace, &MULTIPLE_INJECTION_LABELS, text);
    }
    let is_labelled = labels.contains_key(names::INJECTION) || labels.contains_key(names::REVISION);
    if is_labelled || is_ambient(labels) {
        return;
    }
    let mut hooks = hooks.iter();
    match hooks.find(|hook| hook.firing(labels, &Labels::new()).is_some()) {
        Some(hook) => report.add(
            namespace,
            &INJECTION_BY_DEFAULT,
            format!(
                "{} injects the namespace although it has no label; istio-injection=disabled keeps it out",
                hook.name()
            ),
        ),
        None => report.add(
            namespace,
            &NAMESPACE_NOT_INJECTED,
            format!(
                "its pods get no sidecar; `kubectl label namespace {0} istio-injection=enabled` injects them, `kubectl label namespace {0} istio-injection=disabled` says that this is meant",
                namespace.origin.name
            ),
        ),
    }
}

/// The labels that decide about injection. One that keeps the namespace out decides alone.
fn competing(labels: &Labels) -> Vec<String> {
    let is_kept_out = labels
        .get(names::INJECTION)
        .is_some_and(|value| value != "enabled");
    let deciding = [names::INJECTION, names::REVISION, MODE];
    let deciding = deciding.iter().filter_map(|key| labels.get_key_value(*key));
    let deciding = deciding.filter(|(key, _)| *key == names::INJECTION || !is_kept_out);
    deciding
        .map(|(key, value)| format!("{key}={value}"))
        .collect()
}

/// Whether a pod that could have a proxy, and does not refuse it, has none.
fn lacks_proxy(pod: &Pod) -> bool {
    !refuses(pod) && !uses_node_network(pod) && proxy(pod).is_none()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::example::{heads, installed, namespace, pod, told};
    use super::*;

    #[test]
    fn namespaces_without_labels_are_told() {
        let namespaces = [
            namespace("plain", &json!({})),
            namespace("out", &json!({"istio-injection": "disabled"})),
            namespace("in", &json!({"istio.io/rev": "canary"})),
            namespace("ambient", &json!({"istio.io/dataplane-mode": "ambient"})),
            namespace("istio-system", &json!({})),
            namespace("kube-system", &json!({})),
        ];
        let told = told(analyze, &namespaces);
        assert_eq!(heads(&told), ["IST0102 Namespace plain"]);
        assert!(told[0].starts_with("Info [IST0102]"), "{told:?}");
        assert!(
            told[0].contains("kubectl label namespace plain "),
            "{told:?}"
        );
    }

    #[test]
    fn namespaces_that_are_injected_by_default_are_told_so() {
        let value = "sidecarInjectorWebhook.enableNamespacesByDefault=true";
        let mut objects = installed("default", &[value]);
        objects.push(namespace("plain", &json!({})));
        assert_eq!(heads(&told(analyze, &objects)), ["IST0148 Namespace plain"]);
    }

    #[test]
    fn labels_that_contradict_each_other_are_told() {
        let labels = |injection: &str| json!({"istio-injection": injection, "istio.io/rev": "a"});
        let namespaces = [
            namespace("both", &labels("enabled")),
            namespace("out", &labels("disabled")),
            namespace("one", &json!({"istio.io/rev": "a"})),
            namespace(
                "mode",
                &json!({"istio.io/rev": "a", "istio.io/dataplane-mode": "ambient"}),
            ),
        ];
        let told = told(analyze, &namespaces);
        assert_eq!(
            heads(&told),
            ["IST0123 Namespace both", "IST0123 Namespace mode"]
        );
        assert!(
            told[0].contains("istio-injection=enabled, istio.io/rev=a"),
            "{told:?}"
        );
    }

    #[test]
    fn pods_without_a_sidecar_are_told_where_there_should_be_one() {
        let none = json!({});
        let proxy = json!([{"name": "istio-proxy", "image": "x"}]);
        let refusing = json!({"sidecar.istio.io/inject": "false"});
        let objects = [
            namespace("shop", &json!({"istio-injection": "enabled"})),
            namespace("canary", &json!({"istio.io/rev": "canary"})),
            namespace("out", &json!({"istio-injection": "disabled"})),
            namespace(
                "ambient",
                &json!({"istio.io/rev": "canary", "istio.io/dataplane-mode": "ambient"}),
            ),
            pod("ambient/bare", &none, &none),
            pod("shop/bare", &none, &none),
            pod("canary/bare", &none, &none),
            pod("shop/classic", &none, &json!({ "containers": proxy })),
            pod("shop/native", &none, &json!({ "initContainers": proxy })),
            pod("shop/label", &json!({ "labels": refusing }), &none),
            pod(
                "shop/annotation",
                &json!({ "annotations": refusing }),
                &none,
            ),
            pod("shop/node", &none, &json!({"hostNetwork": true})),
            pod("out/bare", &none, &none),
        ];
        let mut heads = heads(&told(analyze, &objects));
        heads.retain(|head| head.starts_with("IST0103"));
        assert_eq!(heads, ["IST0103 Pod canary/bare", "IST0103 Pod shop/bare"]);
    }
}
