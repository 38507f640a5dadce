//! Container `istio-init` programs redirection before anything else runs; its variant
//! `istio-validation` only checks it, where a plugin of the container network programs it.

use k8s_openapi::api::core::v1::{Capabilities, Container, EnvVar, SecurityContext};

use lateen_api::mesh::InterceptionMode;
use lateen_wire::ports;

use super::{Plan, cni, image};
use crate::annotations::traffic::join;

/// The container; `None` if nothing is redirected.
pub(super) fn container(plan: &Plan<'_>) -> Option<Container> {
    if plan.interception_mode() == InterceptionMode::None {
        return None;
    }
    let policy = &plan.values.global.image_pull_policy;
    Some(Container {
        name: cni::init_name(plan).to_owned(),
        image: Some(image(plan)),
        image_pull_policy: (!policy.is_empty()).then(|| policy.clone()),
        args: Some(arguments(plan)),
        env: environment(plan),
        resources: Some(plan.resources()),
        security_context: Some(security_context(plan)),
        ..Container::default()
    })
}

/// Programming needs root and two capabilities. Checking needs nothing, and is done as the proxy's
/// user, whose traffic is left alone.
fn security_context(plan: &Plan<'_>) -> SecurityContext {
    let proxy = &plan.values.global.proxy;
    let programs = !plan.uses_cni();
    let added = programs.then(|| vec!["NET_ADMIN".to_owned(), "NET_RAW".to_owned()]);
    SecurityContext {
        allow_privilege_escalation: Some(proxy.privileged),
        capabilities: Some(Capabilities {
            add: added,
            drop: Some(vec!["ALL".to_owned()]),
        }),
        privileged: Some(proxy.privileged),
        read_only_root_filesystem: Some(!programs),
        run_as_group: Some(if programs { 0 } else { plan.proxy_group() }),
        run_as_non_root: Some(!programs),
        run_as_user: Some(if programs { 0 } else { plan.proxy_user() }),
        seccomp_profile: proxy.seccomp_profile.clone(),
        ..SecurityContext::default()
    }
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

/// The arguments of `istio-iptables`, in Istio's order, and last our own.
fn arguments(plan: &Plan<'_>) -> Vec<String> {
    let (capture, options) = (Capture::of(plan), &plan.options.traffic);
    let mut arguments = vec!["istio-iptables".to_owned()];
    let mut flag = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    flag("-p", plan.mesh.proxy_listen_port.to_string());
    flag("-z", plan.mesh.proxy_inbound_listen_port.to_string());
    flag("-u", plan.proxy_user().to_string());
    flag("-m", plan.interception_mode().as_str().to_owned());
    flag("-i", capture.include_outbound_ranges);
    flag("-x", capture.exclude_outbound_ranges);
    flag("-b", capture.include_inbound_ports);
    let never = format!("{},{}", ports::METRICS, ports::HEALTH);
    let lists = [never, capture.exclude_inbound_ports];
    flag("-d", without_empty(lists).join(","));
    let lists = [
        ("-q", capture.include_outbound_ports),
        ("-o", capture.exclude_outbound_ports),
        ("-k", join(&options.reroute_interfaces)),
        ("-c", join(&options.exclude_interfaces)),
    ];
    for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        flag(name, list);
    }
    let global = &plan.values.global;
    arguments.push(format!("--log_output_level={}", plan.agent_log_level()));
    let force = global.proxy_init.force_apply_iptables && !plan.uses_cni();
    let switches = [
        ("--log_as_json", global.log_as_json),
        ("--run-validation", plan.uses_cni()),
        ("--skip-rule-apply", plan.uses_cni()),
        ("--force-apply", force),
        ("--native-nftables", global.native_nftables),
    ];
    let wanted = switches.iter().filter(|(_, wanted)| *wanted);
    arguments.extend(wanted.map(|(name, _)| (*name).to_owned()));
    arguments.extend(global.proxy_init.backend.argument().map(str::to_owned));
    arguments
}

fn without_empty(lists: [String; 2]) -> Vec<String> {
    lists.into_iter().filter(|list| !list.is_empty()).collect()
}

/// Which connections are captured, as `istio-iptables` and the annotations spell it.
pub(super) struct Capture {
    pub(super) include_outbound_ranges: String,
    pub(super) exclude_outbound_ranges: String,
    pub(super) include_inbound_ports: String,
    /// Without the ports of the proxy itself.
    pub(super) exclude_inbound_ports: String,
    pub(super) include_outbound_ports: String,
    pub(super) exclude_outbound_ports: String,
}

impl Capture {
    /// The pod's wishes over the installation's.
    pub(super) fn of(plan: &Plan<'_>) -> Self {
        let (defaults, wishes) = (plan.traffic, &plan.options.traffic);
        let include_ranges = wishes.include_outbound_ranges.as_ref();
        let exclude_ranges = wishes.exclude_outbound_ranges.as_ref();
        let include_inbound = wishes.include_inbound_ports.as_ref();
        let include_outbound = wishes.include_outbound_ports.as_ref();
        let exclude_outbound = wishes.exclude_outbound_ports.as_ref();
        Self {
            include_outbound_ranges: include_ranges
                .unwrap_or(&defaults.include_outbound_ranges)
                .to_string(),
            exclude_outbound_ranges: join(
                exclude_ranges.unwrap_or(&defaults.exclude_outbound_ranges),
            ),
            include_inbound_ports: include_inbound
                .unwrap_or(&defaults.include_inbound_ports)
                .to_string(),
            exclude_inbound_ports: join(&excluded_inbound_ports(plan)),
            include_outbound_ports: join(
                include_outbound.unwrap_or(&defaults.include_outbound_ports),
            ),
            exclude_outbound_ports: join(
                exclude_outbound.unwrap_or(&defaults.exclude_outbound_ports),
            ),
        }
    }
}

/// The ports that the pod excludes, and the agent's.
fn excluded_inbound_ports(plan: &Plan<'_>) -> Vec<u16> {
    let wish = plan.options.traffic.exclude_inbound_ports.as_ref();
    let mut excluded = wish.unwrap_or(&plan.traffic.exclude_inbound_ports).clone();
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
