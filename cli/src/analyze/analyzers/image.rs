//! IST0158: pods whose proxy is not the one that would be injected now, most often because the mesh was
//! upgraded and they were not made anew since.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::super::code::PROXY_IMAGE_MISMATCH;
use super::super::report::Report;
use super::super::world::World;
use crate::hooks::{Hook, proxy_image};
use crate::injection;

/// Annotation of a pod that has chosen its image itself.
const OWN_IMAGE: &str = "sidecar.istio.io/proxyImage";

/// Looks at pods that an injector claims.
pub(super) fn analyze(world: &World, report: &mut Report) {
    let hooks = world.hooks();
    let mut outdated: BTreeMap<(&str, String), Vec<&str>> = BTreeMap::new();
    for pod in &world.pods {
        let origin = &pod.origin;
        let namespace = origin.namespace.as_deref().unwrap_or_default();
        let Some(expected) = expected(world, &hooks, namespace, &pod.object) else {
            continue;
        };
        let image = injection::proxy(&pod.object).and_then(|proxy| proxy.image.as_deref());
        if image.is_some_and(|image| !is_variant(image, &expected)) {
            let pods = outdated.entry((namespace, expected)).or_default();
            pods.push(&origin.name);
        }
    }
    for ((namespace, expected), pods) in outdated {
        if let Some(namespace) = world.namespaces.get("", namespace) {
            let text = format!(
                "pods have another proxy than {expected}, which is injected now: {}; make them anew, for example by kubectl rollout restart",
                pods.join(", ")
            );
            report.add(namespace, &PROXY_IMAGE_MISMATCH, text);
        }
    }
}

/// The image that a pod would get if it were made now.
fn expected(world: &World, hooks: &[Hook], namespace: &str, pod: &Pod) -> Option<String> {
    if pod.annotations().contains_key(OWN_IMAGE) {
        return None;
    }
    let labels = world.labels_of(namespace);
    let mut claiming = hooks
        .iter()
        .filter(|hook| hook.firing(labels, pod.labels()).is_some());
    let [namespace, name] = proxy_image::place(claiming.next()?)?;
    proxy_image::of(&world.config_maps.get(&namespace, &name)?.object)
}

/// Whether an image is the expected one, of whatever type (`-debug`, `-distroless`).
fn is_variant(image: &str, expected: &str) -> bool {
    let rest = image.strip_prefix(expected);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::example::{heads, installed, namespace, pod, told};
    use super::*;

    fn proxy(list: &str, image: &str) -> Value {
        json!({list: [{"name": "istio-proxy", "image": image}]})
    }

    #[test]
    fn outdated_proxies_are_told_by_namespace() {
        let mut objects = installed("default", &["hub=hub", "tag=2"]);
        let own = json!({"annotations": {"sidecar.istio.io/proxyImage": "mine"}});
        objects.extend([
            namespace("shop", &json!({"istio-injection": "enabled"})),
            namespace("fresh", &json!({"istio-injection": "enabled"})),
            namespace("outside", &json!({})),
            pod(
                "shop/old",
                &json!({}),
                &proxy("initContainers", "hub/proxyv2:1"),
            ),
            pod(
                "shop/older",
                &json!({}),
                &proxy("containers", "hub/proxyv2:0"),
            ),
            pod("shop/own", &own, &proxy("containers", "mine/proxyv2:1")),
            pod(
                "fresh/new",
                &json!({}),
                &proxy("containers", "hub/proxyv2:2"),
            ),
            pod(
                "fresh/type",
                &json!({}),
                &proxy("containers", "hub/proxyv2:2-debug"),
            ),
            pod("fresh/none", &json!({}), &json!({})),
            pod(
                "outside/old",
                &json!({}),
                &proxy("containers", "hub/proxyv2:1"),
            ),
        ]);
        let told = told(analyze, &objects);
        assert_eq!(heads(&told), ["IST0158 Namespace shop"]);
        assert!(told[0].contains("hub/proxyv2:2"), "{told:?}");
        assert!(told[0].contains("now: old, older;"), "{told:?}");
    }
}
