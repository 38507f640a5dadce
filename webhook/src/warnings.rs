//! What a pod asks for and does not get, and what it probably does not mean, for whoever creates it to
//! read (`warnings` of the answer to the API server, which `kubectl` prints): nothing is ignored in
//! silence.

mod application;
mod spelling;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod};

use lateen_api::NotHonoured;
use lateen_api::mesh::{InterceptionMode, WrongVariable, wrong_variables};
use lateen_wire::names;

use crate::config::Config;
use crate::config::templates::BuiltIn;
use crate::decide::{Reason, decide_regardless_of, stated_wish};
use crate::keys;
use crate::settings::Ignored;
use crate::template::Plan;

const BOOTSTRAP: &str = "there is no Envoy to be set up";

/// Annotations that Istio acts on, and why Lateen does not.
const WITHOUT_EFFECT: &[(&str, &str)] = &[
    (keys::BOOTSTRAP_OVERRIDE, BOOTSTRAP),
    (
        keys::COMPONENT_LOG_LEVEL,
        "the proxy has one log level for all of its parts",
    ),
    (
        keys::DISCOVERY_ADDRESS,
        "write discoveryAddress into annotation proxy.istio.io/config",
    ),
    (
        keys::EXTRA_STAT_TAGS,
        "labels of metrics cannot be changed yet",
    ),
    (
        keys::READINESS_PORTS,
        "the application's own probes say when it is ready",
    ),
    (keys::SECURE_PORT, SECURE_METRICS),
];

/// How the names of annotations about statistics of Envoy begin.
const STATISTICS: &str = "sidecar.istio.io/stats";

const SECURE_METRICS: &str = "metrics are not served over mutual TLS yet";

/// Variables of the proxy that Istio acts on, and why Lateen does not.
const VARIABLES_WITHOUT_EFFECT: &[(&str, &str)] = &[
    ("ENVOY_SECURE_MERGED_METRICS_PORT", SECURE_METRICS),
    ("ENVOY_SECURE_METRICS_PORT", SECURE_METRICS),
];

/// Annotations for traces, each with the tracer that it is for.
const TRACING: &[(&str, &str)] = &[
    ("apm.datadoghq.com/env", "datadog"),
    (
        "resource.opentelemetry.io/service.instance.id",
        "opentelemetry",
    ),
    (
        "resource.opentelemetry.io/service.namespace",
        "opentelemetry",
    ),
    ("resource.opentelemetry.io/service.version", "opentelemetry"),
];

/// One sentence for everything about a pod that is left alone.
pub(crate) fn of_skipped(
    pod: &Pod,
    reason: Reason,
    namespace: &str,
    config: &Config,
) -> Vec<String> {
    let mut warnings = Vec::new();
    warnings.extend(unread_wish(pod));
    warnings.extend(spelling::of_keys(pod));
    let obstacle = match reason {
        Reason::HostNetwork => ", whose traffic must not be redirected",
        Reason::OperatingSystem => ", for which there is none",
        _ => return warnings,
    };
    if decide_regardless_of(reason, pod, namespace, &config.injection).inject {
        let key = names::INJECT;
        warnings.push(format!(
            "no sidecar: {reason}{obstacle}; label {key}=false says that this is meant"
        ));
    }
    warnings
}

/// One sentence for everything about an injected pod. `ignored` is what has no effect of what the pod
/// says of its proxy's configuration.
pub(crate) fn of_injected(plan: &Plan<'_>, ignored: &Ignored, injected: &Pod) -> Vec<String> {
    let mut warnings = Vec::new();
    warnings.extend(unread_wish(plan.pod));
    warnings.extend(spelling::of_keys(plan.pod));
    warnings.extend(of_ignored(ignored));
    if let Some(annotations) = &plan.pod.metadata.annotations {
        warnings.extend(of_annotations(annotations, plan));
    }
    warnings.extend(of_variables(injected));
    if plan.selection.base == Some(BuiltIn::Sidecar) {
        warnings.extend(application::of_ports(plan));
        warnings.extend(application::of_users(plan));
        warnings.extend(of_redirection(plan));
    }
    warnings.extend(of_dns(plan.pod));
    warnings
}

/// A wish about injection that says nothing.
fn unread_wish(pod: &Pod) -> Option<String> {
    let wish = stated_wish(pod)?;
    let (key, is_wish) = (names::INJECT, matches!(wish, "" | "true" | "false"));
    let meant = match wish.to_ascii_lowercase().as_str() {
        meant @ ("true" | "false") => format!("; is {meant:?} meant?"),
        _ => String::new(),
    };
    (!is_wish).then(|| format!("{key} has no effect: {wish:?} is neither true nor false{meant}"))
}

fn of_ignored(ignored: &Ignored) -> impl Iterator<Item = String> {
    let key = keys::PROXY_CONFIG;
    let not_honoured = ignored.not_honoured.iter();
    let not_honoured = not_honoured.map(move |NotHonoured { path, reason }| {
        format!("annotation {key}: field {path} has no effect: {reason}")
    });
    let unknown = ignored.unknown.iter();
    not_honoured
        .chain(unknown.map(move |path| format!("annotation {key}: there is no field {path}")))
}

fn of_annotations(
    annotations: &BTreeMap<String, String>,
    plan: &Plan<'_>,
) -> impl Iterator<Item = String> {
    let without_effect =
        |key: &str, reason: &str| format!("annotation {key} has no effect: {reason}");
    let named = WITHOUT_EFFECT.iter();
    let named = named.filter(move |(key, _)| annotations.contains_key(*key));
    let statistics = annotations.keys();
    let statistics = statistics.filter(|key| key.starts_with(STATISTICS));
    let tracing = TRACING.iter();
    let tracing =
        tracing.filter(move |(key, tracer)| annotations.contains_key(*key) && uses(plan, tracer));
    named
        .map(move |(key, reason)| without_effect(key, reason))
        .chain(statistics.map(move |key| without_effect(key, BOOTSTRAP)))
        .chain(tracing.map(move |(key, _)| without_effect(key, "there are no traces yet")))
}

/// Whether the mesh or the pod is set up for a tracer; to others its annotations are not our affair.
fn uses(plan: &Plan<'_>, tracer: &str) -> bool {
    let own = plan.proxy_config.tracing.iter();
    let mut all = own.chain(&plan.mesh.extension_providers);
    all.any(|settings| settings.get(tracer).is_some())
}

fn of_variables(injected: &Pod) -> Vec<String> {
    let spec = injected.spec.iter();
    let containers = spec.flat_map(|spec| {
        let init_containers = spec.init_containers.iter().flatten();
        spec.containers.iter().chain(init_containers)
    });
    let is_proxy = |container: &&Container| container.name == names::PROXY_CONTAINER;
    let set: Vec<&str> = containers
        .filter(is_proxy)
        .flat_map(|proxy| proxy.env.iter().flatten())
        .map(|variable| variable.name.as_str())
        .collect();
    let ours = VARIABLES_WITHOUT_EFFECT.iter();
    ours.filter(|(name, _)| set.contains(name))
        .map(|(name, reason)| format!("variable {name} of the proxy has no effect: {reason}"))
        .collect()
}

/// What the mesh or its namespace tells redirection and cannot be. A pod that says so itself is refused.
fn of_redirection<'a>(plan: &'a Plan<'_>) -> impl Iterator<Item = String> + 'a {
    let is_redirected = plan.interception_mode() != InterceptionMode::None;
    let wrong = wrong_variables(&plan.proxy_config.proxy_metadata);
    let wrong = wrong.filter(move |_| is_redirected);
    wrong.map(|WrongVariable { name, reason }| {
        format!("istio-init will fail: variable {name} of the proxy's configuration: {reason}")
    })
}

/// The proxy is of the pod, and finds control by its name in the cluster.
fn of_dns(pod: &Pod) -> Option<String> {
    let policy = pod.spec.as_ref()?.dns_policy.as_ref()?;
    let finds_services = policy.starts_with("ClusterFirst");
    (!finds_services).then(|| {
        format!("with dnsPolicy {policy} the proxy may not find control, and then is never ready")
    })
}
