//! Container `istio-proxy`: the data plane of the pod.

use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, ExecAction, HTTPGetAction, Lifecycle, LifecycleHandler,
    Probe, SecurityContext,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use lateen_api::mesh::InterceptionMode;
use lateen_wire::{names, ports};

use super::{Plan, environment, image, init, volumes};

/// The agent's program, under the name that Istio's users know.
const AGENT: &str = "pilot-agent";
const READY_PATH: &str = "/healthz/ready";
/// An entry of `proxyMetadata` that makes redirection log every packet, for which the proxy must be
/// root.
const TRACE_REDIRECTION: &str = "IPTABLES_TRACE_LOGGING";

/// The container.
pub(crate) fn container(plan: &Plan<'_>) -> Container {
    let policy = &plan.values.global.image_pull_policy;
    Container {
        name: names::PROXY_CONTAINER.to_owned(),
        image: Some(image(plan)),
        image_pull_policy: (!policy.is_empty()).then(|| policy.clone()),
        ports: Some(vec![ContainerPort {
            container_port: i32::from(ports::METRICS),
            name: Some("http-envoy-prom".to_owned()),
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        args: Some(arguments(plan)),
        env: Some(environment::variables(plan)),
        lifecycle: lifecycle(plan),
        readiness_probe: readiness_probe(plan),
        startup_probe: startup_probe(plan),
        resources: Some(plan.resources()),
        restart_policy: plan.native.then(|| "Always".to_owned()),
        security_context: Some(security_context(plan)),
        volume_mounts: Some(volumes::mounts(plan)),
        ..Container::default()
    }
}

/// With TPROXY the proxy must be root and is known to redirection by its group, whatever the user's own
/// container wants.
pub(crate) fn keep_recognisable(plan: &Plan<'_>, container: &mut Container) {
    if plan.interception_mode() == InterceptionMode::Tproxy {
        let context = container.security_context.get_or_insert_default();
        context.run_as_user = Some(0);
        context.run_as_group = Some(i64::from(names::PROXY_UID));
        context.run_as_non_root = Some(false);
    }
}

fn image(plan: &Plan<'_>) -> String {
    let global = &plan.values.global;
    let name = plan.options.image.as_deref().unwrap_or(&global.proxy.image);
    image::reference(&global.hub, name, &global.tag, init::image_type(plan))
}

fn arguments(plan: &Plan<'_>) -> Vec<String> {
    let proxy = &plan.values.global.proxy;
    let level = plan.options.log_level.as_ref().unwrap_or(&proxy.log_level);
    let component_level = plan
        .options
        .component_log_level
        .as_ref()
        .unwrap_or(&proxy.component_log_level);
    let mut arguments = vec![
        "proxy".to_owned(),
        if plan.is_gateway() {
            "router"
        } else {
            "sidecar"
        }
        .to_owned(),
        "--domain".to_owned(),
        format!("$(POD_NAMESPACE).svc.{}", proxy.cluster_domain),
        format!("--proxyLogLevel={level}"),
        format!("--proxyComponentLogLevel={component_level}"),
        format!("--log_output_level={}", plan.agent_log_level()),
    ];
    let exchange = plan.values.global.sts.service_port;
    if exchange != 0 {
        arguments.push(format!("--stsPort={exchange}"));
    }
    if plan.values.global.log_as_json {
        arguments.push("--log_as_json".to_owned());
    }
    if !proxy.outlier_log_path.is_empty() && !plan.is_gateway() {
        arguments.push(format!("--outlierLogPath={}", proxy.outlier_log_path));
    }
    arguments
}

/// The installation's hooks, or else: a classic proxy that the application waits for says when it
/// is ready; a native one starts to drain when the pod begins to end.
fn lifecycle(plan: &Plan<'_>) -> Option<Lifecycle> {
    if let Some(lifecycle) = &plan.values.global.proxy.lifecycle {
        return Some(lifecycle.clone());
    }
    if plan.is_gateway() {
        return None;
    }
    if plan.proxy_is_first() {
        let post_start = Some(run(&[AGENT, "wait"]));
        return Some(Lifecycle {
            post_start,
            ..Lifecycle::default()
        });
    }
    if !plan.native || plan.status_port == 0 {
        return None;
    }
    let port = format!("--debug-port={}", plan.status_port);
    let pre_stop = Some(run(&[AGENT, "request", &port, "POST", "drain"]));
    Some(Lifecycle {
        pre_stop,
        ..Lifecycle::default()
    })
}

fn run(command: &[&str]) -> LifecycleHandler {
    let command = command.iter().map(|&word| word.to_owned()).collect();
    LifecycleHandler {
        exec: Some(ExecAction {
            command: Some(command),
        }),
        ..LifecycleHandler::default()
    }
}

fn startup_probe(plan: &Plan<'_>) -> Option<Probe> {
    let startup = &plan.values.global.proxy.startup_probe;
    startup
        .enabled
        .then(|| ready_probe(plan, 1, startup.failure_threshold))
        .flatten()
}

fn readiness_probe(plan: &Plan<'_>) -> Option<Probe> {
    let (defaults, wishes) = (&plan.values.global.proxy, &plan.options.readiness);
    let delay = wishes
        .initial_delay
        .unwrap_or(defaults.readiness_initial_delay_seconds);
    let probe = ready_probe(
        plan,
        wishes.period.unwrap_or(defaults.readiness_period_seconds),
        wishes
            .failure_threshold
            .unwrap_or(defaults.readiness_failure_threshold),
    )?;
    Some(Probe {
        initial_delay_seconds: (delay != 0).then_some(delay),
        ..probe
    })
}

/// Asks the proxy whether it is ready; `None` for a pod that wants no status port.
fn ready_probe(plan: &Plan<'_>, period: i32, failure_threshold: i32) -> Option<Probe> {
    (plan.status_port != 0).then(|| Probe {
        http_get: Some(HTTPGetAction {
            path: Some(READY_PATH.to_owned()),
            port: IntOrString::Int(i32::from(ports::HEALTH)),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(3),
        failure_threshold: Some(failure_threshold),
        ..Probe::default()
    })
}

fn security_context(plan: &Plan<'_>) -> SecurityContext {
    let proxy = &plan.values.global.proxy;
    let transparent = plan.interception_mode() == InterceptionMode::Tproxy;
    let binds_low_ports = plan
        .options
        .cap_net_bind_service
        .unwrap_or(proxy.cap_net_bind_service);
    let metadata = &plan.proxy_config.proxy_metadata;
    let traces = metadata
        .get(TRACE_REDIRECTION)
        .is_some_and(|value| value == "true");
    let capabilities = [
        ("NET_ADMIN", transparent || traces),
        ("NET_BIND_SERVICE", binds_low_ports),
    ];
    let added: Vec<String> = capabilities
        .iter()
        .filter(|(_, wanted)| *wanted)
        .map(|(name, _)| (*name).to_owned())
        .collect();
    let root = !added.is_empty();
    let privileged = proxy.privileged || traces;
    SecurityContext {
        allow_privilege_escalation: Some(privileged),
        capabilities: Some(Capabilities {
            add: root.then_some(added),
            drop: Some(vec!["ALL".to_owned()]),
        }),
        privileged: Some(privileged),
        read_only_root_filesystem: Some(true),
        // As root it is known by its group, which is the number that redirection leaves alone.
        run_as_group: Some(if root {
            plan.proxy_user()
        } else {
            plan.identity.group
        }),
        run_as_non_root: Some(!root),
        run_as_user: Some(if root { 0 } else { plan.identity.user }),
        seccomp_profile: proxy.seccomp_profile.clone(),
        ..SecurityContext::default()
    }
}
