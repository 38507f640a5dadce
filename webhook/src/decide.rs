//! Whether a pod is injected: the policy inside Istio's webhook, rule by rule in its order. The
//! selectors of the webhook configuration have had their say before.
//!
//! [`decide`] answers; `explain(&pod, namespace, &config.injection) -> Vec<Step>` lists the rules
//! that lead to the answer, the last of which is the one that decides.

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

/// Label of nodes with their operating system.
const OPERATING_SYSTEM: &str = "kubernetes.io/os";
const WINDOWS: &str = "windows";

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
    /// The pod is for Windows, where there is no sidecar. A rule of our own: Istio's injector makes a
    /// pod of it that the API server refuses.
    OperatingSystem,
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
            Self::OperatingSystem => "the pod is for Windows",
            Self::HostNetwork => "the pod uses the network of its node",
            Self::SystemNamespace => "the namespace belongs to Kubernetes",
            Self::Pod => "label or annotation sidecar.istio.io/inject of the pod says so",
            Self::NeverSelector => "a selector of neverInjectSelector matches the pod",
            Self::AlwaysSelector => "a selector of alwaysInjectSelector matches the pod",
            Self::Policy => "this is the policy for pods that say nothing",
        })
    }
}

/// One rule that was looked at on the way to a decision. Displayed as what was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The rule.
    pub rule: Reason,
    /// What it decides; `None` if it leaves the decision to the rules after it.
    pub inject: Option<bool>,
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.inject.is_some() {
            return self.rule.fmt(formatter);
        }
        formatter.write_str(match self.rule {
            Reason::OperatingSystem => "the pod is for Linux",
            Reason::HostNetwork => "the pod has a network of its own",
            Reason::SystemNamespace => "the namespace does not belong to Kubernetes",
            Reason::Pod => {
                "neither label nor annotation sidecar.istio.io/inject of the pod is true or false"
            }
            Reason::NeverSelector => "no selector of neverInjectSelector matches the pod",
            Reason::AlwaysSelector => "no selector of alwaysInjectSelector matches the pod",
            Reason::Policy => "the policy says nothing",
        })
    }
}

/// Decides about a pod that is created in a namespace.
#[must_use]
pub fn decide(pod: &Pod, namespace: &str, config: &InjectionConfig) -> Decision {
    first_decision(steps(pod, namespace, config))
}

fn first_decision(mut steps: impl Iterator<Item = Step>) -> Decision {
    let decided = steps.find_map(|step| Some((step.rule, step.inject?)));
    let (reason, inject) = decided.unwrap_or((Reason::Policy, false));
    Decision { inject, reason }
}

/// Decides as if there were no such rule.
pub(crate) fn decide_regardless_of(
    rule: Reason,
    pod: &Pod,
    namespace: &str,
    config: &InjectionConfig,
) -> Decision {
    let steps = steps(pod, namespace, config).filter(|step| step.rule != rule);
    first_decision(steps)
}

/// The rules that are looked at for a pod that is created in a namespace, in their order, up to the
/// one that decides: [`decide`] in slow motion.
#[must_use]
pub fn explain(pod: &Pod, namespace: &str, config: &InjectionConfig) -> Vec<Step> {
    let mut looked_at = Vec::new();
    for step in steps(pod, namespace, config) {
        looked_at.push(step);
        if step.inject.is_some() {
            break;
        }
    }
    looked_at
}

/// All rules in their order; each is worked out only when it is asked for.
fn steps<'a>(
    pod: &'a Pod,
    namespace: &'a str,
    config: &'a InjectionConfig,
) -> impl Iterator<Item = Step> + 'a {
    let labels = pod.metadata.labels.as_ref().unwrap_or(&NO_LABELS);
    let rules = [
        Reason::OperatingSystem,
        Reason::HostNetwork,
        Reason::SystemNamespace,
        Reason::Pod,
        Reason::NeverSelector,
        Reason::AlwaysSelector,
        Reason::Policy,
    ];
    rules.into_iter().map(move |rule| Step {
        rule,
        inject: match rule {
            Reason::OperatingSystem => is_for_windows(pod).then_some(false),
            Reason::HostNetwork => uses_node_network(pod).then_some(false),
            Reason::SystemNamespace => SYSTEM_NAMESPACES.contains(&namespace).then_some(false),
            Reason::Pod => wish(pod),
            Reason::NeverSelector => {
                policy::any_matches(&config.never_inject, labels).then_some(false)
            }
            Reason::AlwaysSelector => {
                policy::any_matches(&config.always_inject, labels).then_some(true)
            }
            Reason::Policy => Some(config.policy == Policy::Enabled),
        },
    })
}

fn is_for_windows(pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let wanted = spec.os.as_ref().map(|system| &system.name);
    let selected = spec.node_selector.as_ref();
    let selected = selected.and_then(|labels| labels.get(OPERATING_SYSTEM));
    [wanted, selected]
        .into_iter()
        .flatten()
        .any(|system| system == WINDOWS)
}

/// Whether a pod uses the network of its node, of which redirection would be: it is never injected.
#[must_use]
pub fn uses_node_network(pod: &Pod) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.host_network) == Some(true)
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
