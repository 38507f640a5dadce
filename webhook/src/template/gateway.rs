//! Istio's template `gateway`: a proxy by itself, whose Deployment, Service and ports are the user's. The
//! pod has a container `istio-proxy` with `image: auto`, which is completed.

use k8s_openapi::api::core::v1::{PodSecurityContext, SecurityContext, Sysctl};

use super::{Parts, Plan, proxy, volumes};

/// Lets the proxy listen on ports below 1024 without being root.
const FIRST_UNPRIVILEGED_PORT: (&str, &str) = ("net.ipv4.ip_unprivileged_port_start", "0");

/// What a gateway gets.
pub(super) fn parts(plan: &Plan<'_>) -> Parts {
    let mut proxy = proxy::container(plan);
    proxy.security_context = Some(SecurityContext {
        run_as_user: Some(plan.identity.user),
        run_as_group: Some(plan.identity.group),
        ..SecurityContext::default()
    });
    proxy.resources = None;
    proxy.startup_probe = None;
    Parts {
        init: None,
        proxy: Some(proxy),
        volumes: volumes::volumes(plan),
        security_context: Some(security_context(plan)),
    }
}

fn security_context(plan: &Plan<'_>) -> PodSecurityContext {
    let (name, value) = FIRST_UNPRIVILEGED_PORT;
    let configured = plan.values.gateways.security_context.clone();
    configured.unwrap_or_else(|| PodSecurityContext {
        sysctls: Some(vec![Sysctl {
            name: name.to_owned(),
            value: value.to_owned(),
        }]),
        ..PodSecurityContext::default()
    })
}
