//! Pods that several injectors claim, found by trying every combination of the labels that injection
//! goes by.

use std::collections::BTreeSet;

use lateen_wire::names;

use super::Hook;
use super::selector::Labels;

/// A namespace and a pod, known by their labels, that several injectors claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contest {
    /// Label of the namespace, `no label` if there is none.
    pub namespace: String,
    /// Label of the pod, `no label` if there is none.
    pub pod: String,
    /// The webhook configurations that fire.
    pub hooks: Vec<String>,
}

/// One example for each set of injectors that claim the same pods.
#[must_use]
pub fn contests(hooks: &[Hook]) -> Vec<Contest> {
    let revisions = revisions(hooks);
    let mut found: Vec<Contest> = Vec::new();
    for namespace in &possible(&[(names::INJECTION, "enabled")], &revisions) {
        for pod in &possible(&[(names::INJECT, "true")], &revisions) {
            let firing = hooks
                .iter()
                .filter(|hook| hook.firing(namespace, pod).is_some());
            let firing: Vec<String> = firing.map(|hook| hook.name().to_owned()).collect();
            if firing.len() > 1 && found.iter().all(|known| known.hooks != firing) {
                found.push(Contest {
                    namespace: told(namespace),
                    pod: told(pod),
                    hooks: firing,
                });
            }
        }
    }
    found
}

/// The revisions and tags that selectors name.
fn revisions(hooks: &[Hook]) -> BTreeSet<String> {
    let entries = hooks.iter().flat_map(Hook::entries);
    let selectors = entries.flat_map(|entry| {
        [
            entry.namespace_selector.as_ref(),
            entry.object_selector.as_ref(),
        ]
    });
    let expressions = selectors
        .flat_map(|selector| selector?.match_expressions.as_ref())
        .flatten();
    expressions
        .filter(|expression| expression.key == names::REVISION)
        .flat_map(|expression| expression.values.clone().unwrap_or_default())
        .collect()
}

/// No label, each of the given ones, and each revision.
fn possible(given: &[(&str, &str)], revisions: &BTreeSet<String>) -> Vec<Labels> {
    let revisions = revisions
        .iter()
        .map(|revision| (names::REVISION, revision.as_str()));
    let labels = given.iter().copied().chain(revisions);
    let labelled = labels.map(|(key, value)| Labels::from([(key.to_owned(), value.to_owned())]));
    std::iter::once(Labels::new()).chain(labelled).collect()
}

fn told(labels: &Labels) -> String {
    let labels: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    if labels.is_empty() {
        "no label".to_owned()
    } else {
        labels.join(",")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::manifest::admission::{Audience, Call, entries};

    fn hook(name: &str, revision: &str, is_default: bool) -> Hook {
        let audience = Audience {
            revision,
            is_default,
            unlabelled_namespaces: false,
        };
        let configuration = json!({"metadata": {"name": name}});
        let mut configuration: k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration =
            serde_json::from_value(configuration).unwrap();
        configuration.webhooks = Some(entries(audience, &Call::default()));
        Hook::new(configuration).unwrap()
    }

    #[test]
    fn revisions_side_by_side_do_not_contest() {
        let hooks = [hook("a", "default", true), hook("b", "canary", false)];
        assert_eq!(contests(&hooks), []);
    }

    #[test]
    fn a_second_default_contests_every_silence() {
        let hooks = [hook("a", "default", true), hook("b", "canary", true)];
        let found = contests(&hooks);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].namespace, "no label");
        assert_eq!(found[0].pod, "sidecar.istio.io/inject=true");
        assert_eq!(found[0].hooks, ["a", "b"]);
    }

    #[test]
    fn a_tag_with_the_name_of_a_revision_contests_it() {
        let hooks = [hook("a", "canary", false), hook("b", "canary", false)];
        assert_eq!(contests(&hooks)[0].namespace, "no label");
        assert_eq!(contests(&hooks)[0].pod, "istio.io/rev=canary");
    }
}
