//! Pods counted by namespace and by the revision that injected them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use lateen_webhook::decide::uses_node_network;
use lateen_wire::names;
use serde::Serialize;

use crate::hooks::Hook;
use crate::hooks::selector::Labels;
use crate::injection::{injected_by, refuses, wish};

/// A namespace that is injected, asks for it, or has pods that were injected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Injected {
    pub(super) namespace: String,
    /// The revision that injects it; `MISSING/NAME` if it asks for one that there is not, and empty
    /// if it does not ask.
    pub(super) revision: String,
    pub(super) pods: Vec<Count>,
}

/// Pods of one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Count {
    /// The revision that has injected them; `None` if none has.
    pub(super) revision: Option<String>,
    pub(super) pods: usize,
    /// Those of them that do not want to be injected.
    pub(super) disabled: usize,
    /// Those of them that would be injected otherwise if they were made now.
    pub(super) needs_restart: usize,
}

/// Counts pods one by one.
pub(super) struct Tally<'a> {
    namespaces: &'a BTreeMap<String, Labels>,
    hooks: &'a [Hook],
    counts: BTreeMap<(String, Option<String>), Count>,
}

impl<'a> Tally<'a> {
    pub(super) fn new(namespaces: &'a BTreeMap<String, Labels>, hooks: &'a [Hook]) -> Self {
        Self {
            namespaces,
            hooks,
            counts: BTreeMap::new(),
        }
    }

    /// Counts a pod, if it is in one of the namespaces.
    pub(super) fn note(&mut self, pod: &Pod) {
        let namespace = pod.namespace().unwrap_or_default();
        let Some(labels) = self.namespaces.get(&namespace) else {
            return;
        };
        let revision = injected_by(pod);
        let is_disabled = refuses(pod);
        let would_be = self.injecting(labels, pod.labels());
        let would_be = would_be.filter(|_| !uses_node_network(pod));
        let count = self
            .counts
            .entry((namespace, revision.clone()))
            .or_default();
        count.pods += 1;
        count.disabled += usize::from(is_disabled);
        count.needs_restart += usize::from(!is_disabled && would_be != revision.as_deref());
        count.revision = revision;
    }

    /// The namespaces that injection has to do with.
    pub(super) fn finish(self) -> Vec<Injected> {
        let all = self.namespaces.iter().map(|(name, labels)| {
            let counts = self.counts.iter();
            let of_this = counts.filter(|((namespace, _), _)| namespace == name);
            Injected {
                namespace: name.clone(),
                revision: self.revision(labels),
                pods: of_this.map(|(_, count)| count.clone()).collect(),
            }
        });
        let is_concerned = |namespace: &Injected| {
            let mut pods = namespace.pods.iter();
            !namespace.revision.is_empty() || pods.any(|count| count.revision.is_some())
        };
        all.filter(is_concerned).collect()
    }

    /// The revision that injects the pods of a namespace that say nothing.
    fn revision(&self, labels: &Labels) -> String {
        if let Some(revision) = self.injecting(labels, &Labels::new()) {
            return revision.to_owned();
        }
        match wish(labels) {
            Some((names::REVISION, revision)) => format!("MISSING/{revision}"),
            Some((label, _)) => format!("MISSING/{label}"),
            None => String::new(),
        }
    }

    /// The revision that is asked about a pod.
    fn injecting(&self, namespace: &Labels, pod: &Labels) -> Option<&'a str> {
        let mut hooks = self.hooks.iter();
        let hook = hooks.find(|hook| hook.firing(namespace, pod).is_some());
        hook.map(Hook::revision)
    }
}
