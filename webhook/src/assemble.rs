//! Puts an injected pod together: the application's part, the proxy's containers and volumes, labels
//! and annotations, and at last the record of all this.

use k8s_openapi::api::core::v1::{Container, EnvVar, LocalObjectReference, Pod, PodSpec, Volume};

use lateen_wire::names;

use crate::overrides::Overrides;
use crate::status::{self, Status};
use crate::template::{Plan, init, literal, metadata, proxy, volumes};
use crate::{probes, prometheus};

/// The injected pod.
pub(crate) fn assemble(plan: &Plan<'_>) -> Pod {
    let mut pod = plan.pod.clone();
    let spec = pod.spec.get_or_insert_default();
    Overrides::remove_from(spec);
    let init = init_container(plan);
    let proxy = proxy_container(plan, spec);
    let volumes = volumes::volumes(plan);
    let status = record(plan, init.is_some(), &volumes);
    place(spec, init, proxy, plan);
    add_volumes(spec, volumes);
    add_pull_secrets(spec, &plan.values.global.image_pull_secrets);

    metadata::add(plan, &mut pod.metadata);
    let annotations = pod.metadata.annotations.get_or_insert_default();
    if merges_metrics(plan) {
        prometheus::redirect(annotations, plan.status_port);
    }
    annotations.extend(status.annotation());
    let forced = plan.injected_annotations.iter();
    annotations.extend(forced.map(|(key, value)| (key.clone(), value.clone())));
    pod
}

fn init_container(plan: &Plan<'_>) -> Option<Container> {
    let mut init = init::container(plan)?;
    plan.overrides.apply(&mut init);
    Some(init)
}

/// The proxy's container, which is told of the application's metrics and of the probes that are
/// rewritten in `spec`.
fn proxy_container(plan: &Plan<'_>, spec: &mut PodSpec) -> Container {
    let mut proxy = proxy::container(plan);
    let variables = proxy.env.get_or_insert_default();
    variables.extend(metrics_variable(plan));
    variables.extend(rewrite_probes(plan, spec));
    plan.overrides.apply(&mut proxy);
    proxy::keep_recognisable(plan, &mut proxy);
    proxy
}

fn merges_metrics(plan: &Plan<'_>) -> bool {
    prometheus::is_merged(
        plan.options,
        plan.mesh.enable_prometheus_merge,
        plan.status_port,
    )
}

fn metrics_variable(plan: &Plan<'_>) -> Option<EnvVar> {
    let merges = merges_metrics(plan);
    let value = merges
        .then(|| prometheus::variable(&plan.options.scrape))
        .flatten()?;
    Some(literal(prometheus::VARIABLE, &value))
}

fn rewrite_probes(plan: &Plan<'_>, spec: &mut PodSpec) -> Option<EnvVar> {
    let default = plan.values.sidecar_injector_webhook.rewrite_app_http_probe;
    if !plan.options.rewrite_probes.unwrap_or(default) || plan.status_port == 0 {
        return None;
    }
    let probers = probes::rewrite(spec, plan.status_port, plan.native);
    if probers.is_empty() {
        return None;
    }
    Some(literal(
        probes::VARIABLE,
        &serde_json::to_string(&probers).ok()?,
    ))
}

fn record(plan: &Plan<'_>, has_init: bool, volumes: &[Volume]) -> Status {
    let init = has_init.then_some(names::INIT_CONTAINER);
    let proxy = Some(names::PROXY_CONTAINER);
    let (native, classic) = if plan.native {
        (proxy, None)
    } else {
        (None, proxy)
    };
    let secrets = &plan.values.global.image_pull_secrets;
    Status {
        init_containers: status::names(init.into_iter().chain(native)),
        containers: status::names(classic),
        volumes: status::names(volumes.iter().map(|volume| volume.name.as_str())),
        image_pull_secrets: status::names(secrets.iter().map(String::as_str)),
        revision: plan.values.revision().to_owned(),
    }
}

/// Puts the containers where they belong. Native: redirection, then the proxy, then the user's init
/// containers, which are in the mesh. Classic: the user's init containers run before redirection
/// exists, since nobody would serve them after it.
fn place(spec: &mut PodSpec, init: Option<Container>, proxy: Container, plan: &Plan<'_>) {
    if plan.native {
        let ours = init.into_iter().chain([proxy]);
        spec.init_containers
            .get_or_insert_default()
            .splice(0..0, ours);
        return;
    }
    if let Some(init) = init {
        spec.init_containers.get_or_insert_default().push(init);
    }
    let place = if plan.proxy_is_first() {
        0
    } else {
        spec.containers.len()
    };
    spec.containers.insert(place, proxy);
}

/// Puts our volumes before the user's, except those whose names the user has taken.
fn add_volumes(spec: &mut PodSpec, mut ours: Vec<Volume>) {
    let volumes = spec.volumes.get_or_insert_default();
    ours.retain(|volume| !volumes.iter().any(|taken| taken.name == volume.name));
    volumes.splice(0..0, ours);
}

fn add_pull_secrets(spec: &mut PodSpec, secrets: &[String]) {
    if secrets.is_empty() {
        return;
    }
    let list = spec.image_pull_secrets.get_or_insert_default();
    for name in secrets {
        if !list.iter().any(|secret| secret.name == *name) {
            list.push(LocalObjectReference { name: name.clone() });
        }
    }
}
