//! Whether a pod is injected: the policy inside Istio's webhook, rule by rule in its order. The
//! selectors of the webhook configuration have had their say before.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::Pod;

use lateen_wire::names;

use crate::config::policy::{self, InjectionConfig, Policy};

/// Namespaces whose pods are never injected.
const SYSTEM_NAMESPACES: [&str; 4] = [
    "kube-system",
    "kube-public",
    "kube-node-lease",
    "local-path-storage",
];

static NO_LABELS: BTreeMap<String, String> = BTreeMap::new();

/// Whether a pod is injected, and by which rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The pod is injected.
    pub inject: bool,
    /// The rule that decided.
    pub reason: Reason,
}

/// The rule that decided whether a pod is injected. Displayed as the end of a sentence that begins
/// with "because".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The pod is in the network of its node, which must not be redirected.
    HostNetwork,
    /// The namespace belongs to Kubernetes itself.
    SystemNamespace,
    /// The pod's label, or else its annotation, says so.
    Pod,
    /// A selector of `neverInjectSelector` matches.
    NeverSelector,
    /// A selector of `alwaysInjectSelector` matches.
    AlwaysSelector,
    /// The pod says nothing, and this is the policy.
    Policy,
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::HostNetwork => "the pod uses the network of its node",
            Self::SystemNamespace => "the namespace belongs to Kubernetes",
            Self::Pod => "label or annotation sidecar.istio.io/inject of the pod says so",
            Self::NeverSelector => "a selector of neverInjectSelector matches the pod",
            Self::AlwaysSelector => "a selector of alwaysInjectSelector matches the pod",
            Self::Policy => "this is the policy for pods that say nothing",
        })
    }
}

/// Decides about a pod that is created in a namespace.
#[must_use]
pub fn decide(pod: &Pod, namespace: &str, config: &InjectionConfig) -> Decision {
    if pod.spec.as_ref().and_then(|spec| spec.host_network) == Some(true) {
        return Decision {
            inject: false,
            reason: Reason::HostNetwork,
        };
    }
    if SYSTEM_NAMESPACES.contains(&namespace) {
        return Decision {
            inject: false,
            reason: Reason::SystemNamespace,
        };
    }
    if let Some(inject) = wish(pod) {
        return Decision {
            inject,
            reason: Reason::Pod,
        };
    }
    let labels = pod.metadata.labels.as_ref().unwrap_or(&NO_LABELS);
    if policy::any_matches(&config.never_inject, labels) {
        return Decision {
            inject: false,
            reason: Reason::NeverSelector,
        };
    }
    if policy::any_matches(&config.always_inject, labels) {
        return Decision {
            inject: true,
            reason: Reason::AlwaysSelector,
        };
    }
    Decision {
        inject: config.policy == Policy::Enabled,
        reason: Reason::Policy,
    }
}

/// What the pod itself wants.
fn wish(pod: &Pod) -> Option<bool> {
    match stated_wish(pod)? {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// What the pod says of its wish. The label hides the annotation, even with a value that says nothing.
pub(crate) fn stated_wish(pod: &Pod) -> Option<&str> {
    let label = pod
        .metadata
        .labels
        .as_ref()
        .and_then(|labels| labels.get(names::INJECT));
    let annotations = pod.metadata.annotations.as_ref();
    let value = label.or_else(|| annotations.and_then(|keys| keys.get(names::INJECT)));
    value.map(String::as_str)
}

#[cfg(test)]
mod tests;
