//! Container `istio-init`: programs redirection before anything else runs.

use k8s_openapi::api::core::v1::{Capabilities, Container, EnvVar, SecurityContext};

use lateen_api::mesh::InterceptionMode;
use lateen_wire::{names, ports};

use super::{Plan, image};
use crate::annotations::traffic::{Ports, join};

/// The container; `None` if nothing is redirected.
pub(crate) fn container(plan: &Plan<'_>) -> Option<Container> {
    if plan.interception_mode() == InterceptionMode::None {
        return None;
    }
    let global = &plan.values.global;
    let policy = &global.image_pull_policy;
    Some(Container {
        name: names::INIT_CONTAINER.to_owned(),
        image: Some(image(plan)),
        image_pull_policy: (!policy.is_empty()).then(|| policy.clone()),
        args: Some(arguments(plan)),
        env: environment(plan),
        resources: Some(plan.resources()),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(global.proxy.privileged),
            capabilities: Some(Capabilities {
                add: Some(vec!["NET_ADMIN".to_owned(), "NET_RAW".to_owned()]),
                drop: Some(vec!["ALL".to_owned()]),
            }),
            privileged: Some(global.proxy.privileged),
            read_only_root_filesystem: Some(false),
            run_as_group: Some(0),
            run_as_non_root: Some(false),
            run_as_user: Some(0),
            seccomp_profile: global.proxy.seccomp_profile.clone(),
            ..SecurityContext::default()
        }),
        ..Container::default()
    })
}

fn image(plan: &Plan<'_>) -> String {
    let global = &plan.values.global;
    let name = plan
        .options
        .image
        .as_deref()
        .unwrap_or(&global.proxy_init.image);
    image::reference(&global.hub, name, &global.tag, image_type(plan))
}

/// The type of both images: the pod's wish, the proxy configuration's, the installation's.
pub(super) fn image_type<'a>(plan: &'a Plan<'_>) -> &'a str {
    let configured = plan
        .proxy_config
        .image
        .as_ref()
        .map(|image| image.image_type.as_str());
    plan.options
        .image_type
        .as_deref()
        .or(configured.filter(|image_type| !image_type.is_empty()))
        .unwrap_or(&plan.values.global.variant)
}

/// The arguments of `istio-iptables`, in Istio's order.
fn arguments(plan: &Plan<'_>) -> Vec<String> {
    let (defaults, options) = (plan.traffic, &plan.options.traffic);
    let include_ranges = options
        .include_outbound_ranges
        .as_ref()
        .unwrap_or(&defaults.include_outbound_ranges);
    let exclude_ranges = options
        .exclude_outbound_ranges
        .as_ref()
        .unwrap_or(&defaults.exclude_outbound_ranges);
    let mut arguments = vec!["istio-iptables".to_owned()];
    let mut flag = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    flag("-p", plan.mesh.proxy_listen_port.to_string());
    flag("-z", plan.mesh.proxy_inbound_listen_port.to_string());
    flag("-u", plan.proxy_user().to_string());
    flag("-m", plan.interception_mode().as_str().to_owned());
    flag("-i", include_ranges.to_string());
    flag("-x", join(exclude_ranges));
    flag("-b", include_inbound_ports(plan).to_string());
    flag("-d", join(&excluded_inbound_ports(plan)));
    let lists = [
        (
            "-q",
            join(
                options
                    .include_outbound_ports
                    .as_ref()
                    .unwrap_or(&defaults.include_outbound_ports),
            ),
        ),
        (
            "-o",
            join(
                options
                    .exclude_outbound_ports
                    .as_ref()
                    .unwrap_or(&defaults.exclude_outbound_ports),
            ),
        ),
        ("-k", join(&options.reroute_interfaces)),
        ("-c", join(&options.exclude_interfaces)),
    ];
    for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        flag(name, list);
    }
    let global = &plan.values.global;
    arguments.push(format!("--log_output_level={}", plan.agent_log_level()));
    let switches = [
        ("--log_as_json", global.log_as_json),
        ("--force-apply", global.proxy_init.force_apply_iptables),
        ("--native-nftables", global.native_nftables),
    ];
    arguments.extend(
        switches
            .iter()
            .filter(|(_, on)| *on)
            .map(|(name, _)| (*name).to_owned()),
    );
    arguments
}

fn include_inbound_ports<'a>(plan: &'a Plan<'_>) -> &'a Ports {
    let wish = plan.options.traffic.include_inbound_ports.as_ref();
    wish.unwrap_or(&plan.traffic.include_inbound_ports)
}

/// Ports that are never captured: those of the proxy itself, the user's, and the agent's.
fn excluded_inbound_ports(plan: &Plan<'_>) -> Vec<u16> {
    let wish = plan.options.traffic.exclude_inbound_ports.as_ref();
    let mut excluded = vec![ports::METRICS, ports::HEALTH];
    excluded.extend(wish.unwrap_or(&plan.traffic.exclude_inbound_ports));
    if plan.status_port != 0 && !excluded.contains(&plan.status_port) {
        excluded.push(plan.status_port);
    }
    excluded
}

fn environment(plan: &Plan<'_>) -> Option<Vec<EnvVar>> {
    let variable = |(name, value): (&String, &String)| EnvVar {
        name: name.clone(),
        value: Some(value.clone()),
        ..EnvVar::default()
    };
    let variables: Vec<EnvVar> = plan
        .proxy_config
        .proxy_metadata
        .iter()
        .map(variable)
        .collect();
    (!variables.is_empty()).then_some(variables)
}
