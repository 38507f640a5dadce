//! IST0146 and IST0147: `image: auto` stands for the image that an injector puts there; where nobody
//! injects, it stays and cannot be pulled.

use k8s_openapi::api::core::v1::PodSpec;
use lateen_wire::names;

use super::super::code::{AUTO_IMAGE_IN_DEPLOYMENT, AUTO_IMAGE_IN_POD};
use super::super::report::Report;
use super::super::world::World;
use crate::hooks::selector::Labels;

/// Stands for the image that is injected.
const AUTO: &str = "auto";

/// Looks at pods, which should have been injected, and at Deployments, whose pods should be.
pub(super) fn analyze(world: &World, report: &mut Report) {
    for pod in &world.pods {
        if pod.object.spec.as_ref().is_some_and(has_auto_image) {
            let text = "its image `auto` was not replaced, since nobody injected the pod; make it anew once its labels and those of its namespace name an injector";
            report.add(pod, &AUTO_IMAGE_IN_POD, text);
        }
    }
    if !world.webhooks.is_complete {
        return;
    }
    let hooks = world.hooks();
    for deployment in &world.deployments {
        let Some(template) = deployment.object.spec.as_ref().map(|spec| &spec.template) else {
            continue;
        };
        let labels = template.metadata.as_ref();
        let labels = labels.and_then(|metadata| metadata.labels.clone());
        let labels: Labels = labels.unwrap_or_default();
        let namespace = deployment.origin.namespace.as_deref().unwrap_or_default();
        let namespace = world.labels_of(namespace);
        let mut asked = hooks
            .iter()
            .filter_map(|hook| hook.firing(namespace, &labels));
        if template.spec.as_ref().is_some_and(has_auto_image) && asked.next().is_none() {
            let text = "its pods have image `auto`, and no injector claims them; label them sidecar.istio.io/inject=true or label their namespace";
            report.add(deployment, &AUTO_IMAGE_IN_DEPLOYMENT, text);
        }
    }
}

fn has_auto_image(spec: &PodSpec) -> bool {
    let mut containers = spec.containers.iter();
    containers.any(|container| {
        container.name == names::PROXY_CONTAINER && container.image.as_deref() == Some(AUTO)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::example::{deployment, heads, installed, namespace, pod, told, told_of_some};
    use super::*;

    fn gateway(image: &str) -> Value {
        json!({"containers": [{"name": "istio-proxy", "image": image}]})
    }

    #[test]
    fn auto_that_nobody_replaces_is_told() {
        let mut objects = installed("default", &[]);
        let labels = json!({"labels": {"sidecar.istio.io/inject": "true"}});
        objects.extend([
            namespace("shop", &json!({})),
            namespace("mesh", &json!({"istio-injection": "enabled"})),
            pod("shop/made", &json!({}), &gateway("auto")),
            pod("shop/injected", &json!({}), &gateway("hub/proxyv2:1")),
            deployment("shop/alone", &json!({}), &gateway("auto")),
            deployment("shop/asking", &labels, &gateway("auto")),
            deployment("shop/plain", &json!({}), &gateway("hub/proxyv2:1")),
            deployment("mesh/injected", &json!({}), &gateway("auto")),
        ]);
        let expected = ["IST0147 Pod shop/made", "IST0146 Deployment shop/alone"];
        assert_eq!(heads(&told(analyze, &objects)), expected);
    }

    #[test]
    fn nothing_is_concluded_from_injectors_that_are_not_known() {
        let objects = [deployment("shop/alone", &json!({}), &gateway("auto"))];
        assert_eq!(told_of_some(analyze, &objects), Vec::<String>::new());
    }
}
