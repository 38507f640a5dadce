//! Puts an injected pod together: the application's part with the custom templates, what the built-in
//! template adds to it, the user's own wishes over all, and at last the record of all this.

use k8s_openapi::DeepMerge;
use k8s_openapi::api::core::v1::{
    Container, EnvVar, LocalObjectReference, Pod, PodSecurityContext, PodSpec, Volume,
};

use lateen_wire::names;

use crate::merge::lay_container;
use crate::status::{self, Status};
use crate::template::{Parts, Plan, literal, metadata, proxy};
use crate::{hold, probes, prometheus};

/// The injected pod.
pub(crate) fn assemble(plan: &Plan<'_>) -> Pod {
    let mut pod = plan.pod.clone();
    let spec = pod.spec.get_or_insert_default();
    plan.overrides.remove_from(spec);
    let mut parts = plan.parts();
    let mut status = record(plan, &parts);
    status.extend(&plan.layers.status);
    parts.init = parts.init.map(|init| customised(init, plan));
    if let Some(mut proxy) = parts.proxy.take() {
        let variables = proxy.env.get_or_insert_default();
        variables.extend(metrics_variable(plan));
        variables.extend(rewrite_probes(plan, spec));
        let mut proxy = customised(proxy, plan);
        proxy::keep_recognisable(plan, &mut proxy);
        parts.proxy = Some(proxy);
        metadata::add(plan, &mut pod.metadata);
    }
    let has_proxy = parts.proxy.is_some();
    add_to(spec, parts, plan);
    if has_proxy && plan.holds_application_until_callers_leave() {
        hold::hold(spec, plan.status_port);
    }

    let annotations = pod.metadata.annotations.get_or_insert_default();
    if has_proxy && merges_metrics(plan) {
        prometheus::redirect(annotations, plan.status_port);
    }
    annotations.extend(status.annotation());
    let forced = plan.injected_annotations.iter();
    annotations.extend(forced.map(|(key, value)| (key.clone(), value.clone())));
    pod
}

/// One of our containers among what custom templates say of it, and with what the user says on top.
fn customised(ours: Container, plan: &Plan<'_>) -> Container {
    let of_it = |layers: &[Container]| -> Vec<Container> {
        let layers = layers.iter().filter(|layer| layer.name == ours.name);
        layers.cloned().collect()
    };
    let below = of_it(&plan.layers.below_proxy);
    let above = of_it(&plan.layers.above_proxy);
    let layers = below.into_iter().chain([ours]).chain(above);
    let lay = |mut under, over| {
        lay_container(&mut under, over);
        under
    };
    let mut container = layers.reduce(lay).unwrap_or_default();
    plan.overrides.apply(&mut container);
    container
}

/// Adds what the built-in template makes, each in its place.
fn add_to(spec: &mut PodSpec, parts: Parts, plan: &Plan<'_>) {
    let Parts {
        init,
        proxy,
        volumes,
        security_context,
    } = parts;
    if let Some(proxy) = proxy {
        place(spec, init, proxy, plan);
        add_pull_secrets(spec, &plan.values.global.image_pull_secrets);
    }
    add_volumes(spec, volumes);
    if let Some(context) = security_context {
        lay_under(spec.security_context.get_or_insert_default(), context);
    }
}

fn merges_metrics(plan: &Plan<'_>) -> bool {
    prometheus::is_merged(
        plan.options,
        plan.mesh.enable_prometheus_merge,
        plan.status_port,
    )
}

fn metrics_variable(plan: &Plan<'_>) -> Option<EnvVar> {
    if !merges_metrics(plan) {
        return None;
    }
    let value = prometheus::variable(&plan.options.scrape)?;
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

/// What the built-in template adds, by name. A volume of the user's by a name of ours is the user's.
fn record(plan: &Plan<'_>, parts: &Parts) -> Status {
    let name = |container: &Option<Container>| container.as_ref().map(|own| own.name.clone());
    let (init, proxy) = (name(&parts.init), name(&parts.proxy));
    let secrets = proxy
        .is_some()
        .then_some(&plan.values.global.image_pull_secrets);
    let (native, classic) = if plan.native {
        (proxy, None)
    } else {
        (None, proxy)
    };
    let own = plan
        .pod
        .spec
        .iter()
        .flat_map(|spec| spec.volumes.iter().flatten());
    let own: Vec<&str> = own.map(|volume| volume.name.as_str()).collect();
    let names = parts.volumes.iter().map(|volume| &volume.name);
    let volumes = names.filter(|name| !own.contains(&name.as_str())).cloned();
    Status {
        init_containers: status::names(init.into_iter().chain(native)),
        containers: status::names(classic),
        volumes: status::names(volumes),
        image_pull_secrets: status::names(secrets.into_iter().flatten().cloned()),
        revision: plan.values.revision().to_owned(),
    }
}

/// Puts the containers where they belong. Native: redirection, then the proxy, then the user's init
/// containers, which are in the mesh. Classic: the user's init containers run before redirection
/// exists, since nobody would serve them after it; but what checks redirection comes before all, so
/// that nothing of the user's runs without.
fn place(spec: &mut PodSpec, init: Option<Container>, proxy: Container, plan: &Plan<'_>) {
    if plan.native {
        let ours = init.into_iter().chain([proxy]);
        spec.init_containers
            .get_or_insert_default()
            .splice(0..0, ours);
        return;
    }
    if let Some(init) = init {
        let init_containers = spec.init_containers.get_or_insert_default();
        let checks = init.name == names::VALIDATION_CONTAINER;
        let place = if checks { 0 } else { init_containers.len() };
        init_containers.insert(place, init);
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
    if ours.is_empty() {
        return;
    }
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

/// Completes the user's own security context with ours.
fn lay_under(own: &mut PodSecurityContext, mut under: PodSecurityContext) {
    let settings = own.sysctls.take();
    under.merge_from(std::mem::take(own));
    let ours = under.sysctls.take().into_iter().flatten();
    let mut all = settings.unwrap_or_default();
    for setting in ours {
        if !all.iter().any(|taken| taken.name == setting.name) {
            all.push(setting);
        }
    }
    under.sysctls = (!all.is_empty()).then_some(all);
    *own = under;
}
