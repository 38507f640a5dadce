//! The two parts of the control plane: their names and labels.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use lateen_wire::names;

use super::object::{MANAGED_LABEL, MANAGED_VALUE};
use crate::values::{self, Values};

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
    /// Name of its Deployment, Service, ServiceAccount and Role.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Control => names::CONTROL,
            Self::Injector => names::INJECTOR,
        }
    }

    /// Name of its container.
    #[must_use]
    pub const fn container(self) -> &'static str {
        match self {
            Self::Control => "discovery",
            Self::Injector => "sidecar-injector-webhook",
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

    /// Labels that tell its pods from all others.
    #[must_use]
    pub fn selector(self) -> BTreeMap<String, String> {
        let (app, istio) = match self {
            Self::Control => ("istiod", "pilot"),
            Self::Injector => ("sidecar-injector", "sidecar-injector"),
        };
        text_map([("app", app), ("istio", istio)])
    }

    /// [`Component::selector`] as Kubernetes has it in specs.
    #[must_use]
    pub fn label_selector(self) -> LabelSelector {
        LabelSelector {
            match_labels: Some(self.selector()),
            ..LabelSelector::default()
        }
    }

    /// Labels of all of its objects.
    #[must_use]
    pub fn labels(self) -> BTreeMap<String, String> {
        let mut labels = self.selector();
        labels.extend(text_map([
            (names::REVISION, names::DEFAULT_REVISION),
            ("app.kubernetes.io/name", self.name()),
            (MANAGED_LABEL, MANAGED_VALUE),
        ]));
        labels
    }

    /// Metadata of an object in the control plane's namespace.
    pub(super) fn metadata(self, namespace: &str) -> ObjectMeta {
        ObjectMeta {
            namespace: Some(namespace.to_owned()),
            ..self.cluster_metadata(self.name())
        }
    }

    /// Metadata of an object of the whole cluster.
    pub(super) fn cluster_metadata(self, name: &str) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(self.labels()),
            ..ObjectMeta::default()
        }
    }
}

/// A map of owned text.
pub(super) fn text_map<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}
