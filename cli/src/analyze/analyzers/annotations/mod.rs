//! IST0107, IST0108, IST0125, IST0135 and IST0136: annotations of Istio that are misplaced, unknown, have
//! a wrong value, are deprecated, or may change. What Deployments give to their pods is looked at too:
//! a wrong value there means that there will be no pods.

mod known;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodSpec;
use kube::{Resource as Kind, ResourceExt};
use lateen_webhook::annotations::problems;
use lateen_wire::names;

use super::super::code::{
    ALPHA_ANNOTATION, Code, DEPRECATED_ANNOTATION, INVALID_ANNOTATION, MISPLACED_ANNOTATION,
    UNKNOWN_ANNOTATION,
};
use super::super::report::Report;
use super::super::resource::Resource;
use super::super::world::World;
use known::{ANY, Known, known};

type Entries = BTreeMap<String, String>;

static NO_ENTRIES: Entries = Entries::new();

/// Annotations that the mesh writes itself.
const WRITTEN: [&str; 3] = [
    names::STATUS,
    names::REVISION,
    "gateway.istio.io/controller-version",
];

/// Annotations that the mesh writes itself on pods that a network plugin redirects.
const WRITTEN_FOR_PLUGINS: [&str; 4] = [
    "sidecar.istio.io/interceptionMode",
    "traffic.sidecar.istio.io/excludeInboundPorts",
    "traffic.sidecar.istio.io/includeInboundPorts",
    "traffic.sidecar.istio.io/includeOutboundIPRanges",
];

/// What is found, in words.
type Finding = (&'static Code, String);

/// What has annotations: an object, or a template of pods.
#[derive(Clone, Copy)]
struct Bearer<'a> {
    kind: &'a str,
    annotations: &'a Entries,
    labels: &'a Entries,
    /// Whether its traffic is redirected by a network plugin, as far as can be seen.
    has_plugin: bool,
}

/// Looks at annotations, but for their maturity.
pub(super) fn analyze(world: &World, report: &mut Report) {
    each(world, report, look);
}

/// Looks at the maturity of annotations.
pub(super) fn analyze_maturity(world: &World, report: &mut Report) {
    each(world, report, look_at_maturity);
}

/// Looks at everything that has annotations.
fn each(world: &World, report: &mut Report, look: fn(Bearer<'_>) -> Vec<Finding>) {
    fn tell<K: Kind>(about: &Resource<K>, found: Vec<Finding>, report: &mut Report) {
        for (code, text) in found {
            report.add(about, code, text);
        }
    }
    for namespace in &world.namespaces {
        tell(namespace, look(own(namespace, false)), report);
    }
    for service in &world.services {
        tell(service, look(own(service, false)), report);
    }
    for pod in &world.pods {
        let has_plugin = pod.object.spec.as_ref().is_some_and(has_plugin);
        tell(pod, look(own(pod, has_plugin)), report);
    }
    for deployment in &world.deployments {
        tell(deployment, look(own(deployment, false)), report);
        let spec = deployment.object.spec.as_ref();
        let Some(metadata) = spec.and_then(|spec| spec.template.metadata.as_ref()) else {
            continue;
        };
        let template = Bearer {
            kind: "Pod",
            annotations: metadata.annotations.as_ref().unwrap_or(&NO_ENTRIES),
            labels: metadata.labels.as_ref().unwrap_or(&NO_ENTRIES),
            has_plugin: false,
        };
        tell(deployment, look(template), report);
    }
}

/// An object as it bears annotations itself.
fn own<K: Kind>(resource: &Resource<K>, has_plugin: bool) -> Bearer<'_> {
    Bearer {
        kind: &resource.origin.kind,
        annotations: resource.object.annotations(),
        labels: resource.object.labels(),
        has_plugin,
    }
}

fn has_plugin(pod: &PodSpec) -> bool {
    let mut containers = pod.init_containers.iter().flatten();
    !containers.any(|container| container.name == names::INIT_CONTAINER)
}

fn look(bearer: Bearer<'_>) -> Vec<Finding> {
    let keys = bearer.annotations.keys().map(String::as_str);
    let keys = keys.filter(|key| is_istios(key) && !WRITTEN.contains(key));
    let mut found: Vec<Finding> = keys.flat_map(|key| of_key(key, bearer)).collect();
    if bearer.kind == "Pod" {
        let problems = problems(bearer.annotations).into_iter();
        found.extend(problems.map(|problem| (&INVALID_ANNOTATION, problem.to_string())));
    }
    found
}

fn of_key(key: &str, bearer: Bearer<'_>) -> Vec<Finding> {
    let Some(Known { kinds, maturity }) = known(key) else {
        let text = format!("annotation {key} has no effect: there is none of this name");
        return vec![(&UNKNOWN_ANNOTATION, text)];
    };
    let mut found = Vec::new();
    // Who has the label too knows, and keeps the annotation for an older mesh.
    let is_excused = key == names::INJECT && bearer.labels.contains_key(key);
    if maturity.is_deprecated() && !is_excused {
        let instead = match key {
            names::INJECT => "; the label of the same name takes its place",
            _ => "",
        };
        let text =
            format!("annotation {key} is deprecated and may have no effect some day{instead}");
        found.push((&DEPRECATED_ANNOTATION, text));
    }
    if !kinds.contains(&ANY) && !kinds.contains(&bearer.kind) {
        let instead = match bearer.kind {
            "Deployment" if kinds.contains(&"Pod") => ", that is below spec.template.metadata",
            _ => "",
        };
        let text = format!(
            "annotation {key} has no effect here: it belongs on {}{instead}",
            kinds.join(", ")
        );
        found.push((&MISPLACED_ANNOTATION, text));
    }
    found
}

fn look_at_maturity(bearer: Bearer<'_>) -> Vec<Finding> {
    let keys = bearer.annotations.keys().map(String::as_str);
    let is_written = |key: &str| {
        WRITTEN.contains(&key) || (bearer.has_plugin && WRITTEN_FOR_PLUGINS.contains(&key))
    };
    let alpha = keys.filter(|key| {
        let is_alpha = known(key).is_some_and(|known| known.maturity.is_alpha());
        is_alpha && !is_written(key)
    });
    alpha
        .map(|key| {
            let text = format!("annotation {key} is of alpha maturity and may change");
            (&ALPHA_ANNOTATION, text)
        })
        .collect()
}

/// Whether a key is in a domain of Istio's, or one that Istio documents.
fn is_istios(key: &str) -> bool {
    let domain = key.split_once('/').map_or(key, |(domain, _)| domain);
    let is_below = domain.strip_suffix("istio.io");
    key == "kubernetes.io/ingress.class"
        || is_below.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests;
