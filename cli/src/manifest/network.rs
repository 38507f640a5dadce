//! NetworkPolicies, on request (`global.networkPolicy.enabled`): nothing but the ports that a
//! component serves is reachable. Callers are not restricted: proxies, the API server and the kubelet
//! come from everywhere. Nor is what a component calls, since JWKS may be anywhere.

use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use lateen_wire::ports;

use super::component::{CONTROL_HEALTH, Component};
use crate::values::Values;

/// The policy of a component.
pub(super) fn policy(component: Component, values: &Values) -> NetworkPolicy {
    let served: &[u16] = match component {
        Component::Control => &[ports::DISCOVERY, ports::MONITORING, CONTROL_HEALTH],
        Component::Injector => &[ports::WEBHOOK, ports::MONITORING],
    };
    NetworkPolicy {
        metadata: component.metadata(values),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(component.label_selector(&values.revision)),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: Some(vec![NetworkPolicyIngressRule {
                ports: Some(served.iter().copied().map(port).collect()),
                ..NetworkPolicyIngressRule::default()
            }]),
            egress: Some(vec![NetworkPolicyEgressRule::default()]),
        }),
    }
}

fn port(number: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(number.into())),
        protocol: Some("TCP".to_owned()),
        ..NetworkPolicyPort::default()
    }
}
