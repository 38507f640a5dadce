//! What the application does that the proxy gets in the way of, or that gets in the way of the proxy.

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

use crate::annotations::RESERVED_PORTS;
use crate::overrides::is_ours;
use crate::template::Plan;

/// Ports that the application serves and that are the proxy's own, or that the pod keeps from the
/// proxy.
pub(super) fn of_ports(plan: &Plan<'_>) -> Vec<String> {
    let excluded = plan.options.traffic.exclude_inbound_ports.as_deref();
    let excluded = excluded.unwrap_or_default();
    let mut warnings = Vec::new();
    for (container, port) in served(plan.pod) {
        if RESERVED_PORTS.contains(&port) || port == plan.status_port {
            warnings.push(format!(
                "container {container:?} serves port {port}, which the proxy uses itself: one of them \
                 will not start"
            ));
        } else if excluded.contains(&port) {
            warnings.push(format!(
                "container {container:?} serves port {port}, which the pod excludes from the mesh: there \
                 is no mutual TLS, no policy and no telemetry for it"
            ));
        }
    }
    warnings
}

/// Containers whose traffic is taken for the proxy's: of its user, or of the group of that number.
pub(super) fn of_users(plan: &Plan<'_>) -> Vec<String> {
    let proxy = plan.identity.user;
    let Some(spec) = &plan.pod.spec else {
        return Vec::new();
    };
    let of_pod = spec.security_context.as_ref();
    let (user_of_pod, group_of_pod) = (
        of_pod.and_then(|context| context.run_as_user),
        of_pod.and_then(|context| context.run_as_group),
    );
    let warning = |container: &Container| {
        let context = container.security_context.as_ref();
        let user = context.and_then(|context| context.run_as_user);
        let group = context.and_then(|context| context.run_as_group);
        let shared = if user.or(user_of_pod) == Some(proxy) {
            "user"
        } else if group.or(group_of_pod) == Some(proxy) {
            "group"
        } else {
            return None;
        };
        Some(format!(
            "container {:?} runs as {shared} {proxy}, the proxy's: its outbound traffic bypasses the mesh",
            container.name
        ))
    };
    containers(spec).filter_map(warning).collect()
}

/// The TCP ports that the application declares, each with its container.
fn served(pod: &Pod) -> impl Iterator<Item = (&str, u16)> {
    let containers = pod.spec.iter().flat_map(containers);
    containers.flat_map(|container| {
        let ports = container.ports.iter().flatten();
        let over_tcp =
            ports.filter(|port| port.protocol.as_deref().is_none_or(|name| name == "TCP"));
        over_tcp.filter_map(|port| {
            let number = u16::try_from(port.container_port).ok()?;
            Some((container.name.as_str(), number))
        })
    })
}

/// Containers of the application.
fn containers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    let init_containers = spec.init_containers.iter().flatten();
    let all = spec.containers.iter().chain(init_containers);
    all.filter(|container| !is_ours(container))
}
