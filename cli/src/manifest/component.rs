//! The two parts of the control plane: their names and labels.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use lateen_wire::{Revision, names, ports};

use super::object::{MANAGED_LABEL, MANAGED_VALUE};
use crate::values::{self, Values};

/// Where control answers the kubelet.
pub(super) const CONTROL_HEALTH: u16 = 8080;

/// Both parts, in the order of installation.
pub const COMPONENTS: [Component; 2] = [Component::Control, Component::Injector];

/// A part of the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// Discovery and certificates.
    Control,
    /// The webhook that injects sidecars.
    Injector,
}

impl Component {
    /// What it is called; the name of its Deployment, Service, ServiceAccount and Role in the
    /// default revision.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Control => names::CONTROL,
            Self::Injector => names::INJECTOR,
        }
    }

    /// Name of these objects in a revision.
    #[must_use]
    pub fn name_in(self, revision: &Revision) -> String {
        revision.name_of(self.name())
    }

    /// Name of its ClusterRole, which carries the namespace, so that two control planes do not
    /// share one.
    #[must_use]
    pub fn cluster_role(self, revision: &Revision, namespace: &str) -> String {
        format!("{}-{namespace}", self.name_in(revision))
    }

    /// Name of its container.
    #[must_use]
    pub const fn container(self) -> &'static str {
        match self {
            Self::Control => "discovery",
            Self::Injector => "sidecar-injector-webhook",
        }
    }

    /// Port where its pods answer `/ready`.
    #[must_use]
    pub const fn health_port(self) -> u16 {
        match self {
            Self::Control => CONTROL_HEALTH,
            Self::Injector => ports::MONITORING,
        }
    }

    /// The values that configure it.
    #[must_use]
    pub const fn values(self, values: &Values) -> &values::Component {
        match self {
            Self::Control => &values.pilot,
            Self::Injector => &values.injector,
        }
    }

    /// Where those values are, for people.
    #[must_use]
    pub const fn values_path(self) -> &'static str {
        match self {
            Self::Control => "pilot",
            Self::Injector => "sidecarInjectorWebhook",
        }
    }

    /// Labels that tell its pods from those of the other component, whatever their revision.
    #[must_use]
    pub fn identity(self) -> BTreeMap<String, String> {
        let (app, istio) = match self {
            Self::Control => ("istiod", "pilot"),
            Self::Injector => ("sidecar-injector", "sidecar-injector"),
        };
        text_map([("app", app), ("istio", istio)])
    }

    /// Labels that tell its pods of a revision from all others.
    #[must_use]
    pub fn selector(self, revision: &Revision) -> BTreeMap<String, String> {
        let mut labels = self.identity();
        labels.extend(text_map([(names::REVISION, revision.as_str())]));
        labels
    }

    /// [`Component::selector`] as Kubernetes has it in specs.
    #[must_use]
    pub fn label_selector(self, revision: &Revision) -> LabelSelector {
        LabelSelector {
            match_labels: Some(self.selector(revision)),
            ..LabelSelector::default()
        }
    }

    /// Labels of all of its objects.
    #[must_use]
    pub fn labels(self, revision: &Revision) -> BTreeMap<String, String> {
        let mut labels = self.selector(revision);
        labels.extend(text_map([
            ("app.kubernetes.io/name", self.name()),
            (MANAGED_LABEL, MANAGED_VALUE),
        ]));
        labels
    }

    /// Metadata of an object that has the component's name, in the control plane's namespace.
    pub(super) fn metadata(self, values: &Values) -> ObjectMeta {
        ObjectMeta {
            namespace: Some(values.namespace().to_owned()),
            ..self.cluster_metadata(values, &self.name_in(&values.revision))
        }
    }

    /// Metadata of an object of the whole cluster.
    pub(super) fn cluster_metadata(self, values: &Values, name: &str) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(self.labels(&values.revision)),
            ..ObjectMeta::default()
        }
    }
}

/// Labels as the API server takes them in a query.
pub fn query(labels: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    pairs.join(",")
}

/// A map of owned text.
pub(super) fn text_map<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}
