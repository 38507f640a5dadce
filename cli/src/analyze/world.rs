//! All that analyzers look at. An analyzer that goes by more kinds adds them here, and to
//! [`cluster`](super::cluster) and [`files`](super::files).

use std::collections::BTreeMap;
use std::collections::btree_map::Values;

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Service};
use kube::ResourceExt;

use super::resource::Resource;
use crate::hooks::Hook;
use crate::hooks::selector::Labels;

static NO_LABELS: Labels = Labels::new();

/// Objects by kind.
#[derive(Clone, Debug)]
pub(super) struct World {
    /// Namespace of the control plane.
    pub(super) system_namespace: String,
    pub(super) namespaces: Collection<Namespace>,
    pub(super) pods: Collection<Pod>,
    pub(super) deployments: Collection<Deployment>,
    pub(super) services: Collection<Service>,
    /// Those of injectors.
    pub(super) config_maps: Collection<ConfigMap>,
    pub(super) webhooks: Collection<MutatingWebhookConfiguration>,
}

/// Objects of one kind.
#[derive(Clone, Debug)]
pub(super) struct Collection<K> {
    /// By namespace, which is empty for those of the cluster, and name.
    found: BTreeMap<(String, String), Resource<K>>,
    /// Whether what is not in it does not exist.
    pub(super) is_complete: bool,
}

impl World {
    /// A world of which nothing is known.
    pub(super) fn new(system_namespace: &str) -> Self {
        Self {
            system_namespace: system_namespace.to_owned(),
            namespaces: Collection::default(),
            pods: Collection::default(),
            deployments: Collection::default(),
            services: Collection::default(),
            config_maps: Collection::default(),
            webhooks: Collection::default(),
        }
    }

    /// Files alone are taken to have all objects of a kind if they have any.
    pub(super) fn take_files_for_all(&mut self) {
        self.services.is_complete = !self.services.found.is_empty();
        self.webhooks.is_complete = !self.webhooks.found.is_empty();
    }

    /// The injectors.
    pub(super) fn hooks(&self) -> Vec<Hook> {
        let webhooks = self.webhooks.iter();
        webhooks
            .filter_map(|webhook| Hook::new(webhook.object.clone()))
            .collect()
    }

    /// Labels of a namespace, if it is known.
    pub(super) fn labels_of(&self, namespace: &str) -> &Labels {
        let namespace = self.namespaces.get("", namespace);
        namespace.map_or(&NO_LABELS, |namespace| namespace.object.labels())
    }
}

impl<K> Default for Collection<K> {
    fn default() -> Self {
        Self {
            found: BTreeMap::new(),
            is_complete: false,
        }
    }
}

impl<K> Collection<K> {
    /// Adds an object, or replaces the one of its name.
    pub(super) fn add(&mut self, resource: Resource<K>) {
        let origin = &resource.origin;
        let namespace = origin.namespace.clone().unwrap_or_default();
        let place = (namespace, origin.name.clone());
        self.found.insert(place, resource);
    }

    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<&Resource<K>> {
        self.found.get(&(namespace.to_owned(), name.to_owned()))
    }

    pub(super) fn iter(&self) -> Values<'_, (String, String), Resource<K>> {
        self.found.values()
    }
}

impl<'a, K> IntoIterator for &'a Collection<K> {
    type Item = &'a Resource<K>;
    type IntoIter = Values<'a, (String, String), Resource<K>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
