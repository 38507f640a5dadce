//! What a cluster has of revisions and tags: injectors, and Services that lead to control planes.
//! These are looked for where the meshes are, in the namespaces of the injectors and the one that
//! `--istioNamespace` names. What others have labelled alike elsewhere is not ours to touch.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Service;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use lateen_wire::names;

use crate::hooks::{self, Hook};
use crate::manifest::tag::TAG_LABEL;

/// Selects Services of control, ours and Istio's, of revisions as of tags.
const CONTROL_SERVICES: &str = "app=istiod";

/// Injectors and Services, each a revision's own or a tag's.
#[derive(Clone, Debug, Default)]
pub(super) struct Inventory {
    pub(super) hooks: Vec<Hook>,
    pub(super) services: Vec<Service>,
}

impl Inventory {
    /// Looks into a cluster.
    pub(super) async fn of(client: &Client, system_namespace: &str) -> Result<Self> {
        let hooks = hooks::list(client).await?;
        let called = hooks.iter().filter_map(Hook::service);
        let mut namespaces: BTreeSet<&str> = called.map(|place| place.namespace.as_str()).collect();
        namespaces.insert(system_namespace);
        let selected = ListParams::default().labels(CONTROL_SERVICES);
        let mut services = Vec::new();
        for namespace in namespaces {
            let api: Api<Service> = Api::namespaced(client.clone(), namespace);
            let found = api.list(&selected).await;
            services.extend(
                found.with_context(|| format!("cannot list Services in namespace {namespace}"))?,
            );
        }
        Ok(Self { hooks, services })
    }

    /// The injectors that are no tag's.
    pub(super) fn own_hooks(&self) -> impl Iterator<Item = &Hook> {
        self.hooks.iter().filter(|hook| hook.tag().is_none())
    }

    /// The Service that leads to the control plane of a revision by its own name.
    pub(super) fn control(&self, revision: &str, namespace: &str) -> Option<&Service> {
        self.services.iter().find(|service| {
            service.namespace().as_deref() == Some(namespace)
                && tag(service).is_none()
                && label(service, names::REVISION) == Some(revision)
        })
    }

    /// The Services that lead somewhere by the name of a tag.
    pub(super) fn services_of(&self, name: &str) -> impl Iterator<Item = &Service> {
        self.services
            .iter()
            .filter(move |service| tag(service) == Some(name))
    }

    /// The revisions that there is a part of.
    pub(super) fn revisions(&self) -> BTreeSet<&str> {
        let of_services = self
            .services
            .iter()
            .filter(|service| tag(service).is_none());
        let of_services = of_services.filter_map(|service| label(service, names::REVISION));
        self.own_hooks()
            .map(Hook::revision)
            .chain(of_services)
            .collect()
    }

    /// The tags and the revisions that they lead to. A Service alone is enough for a tag.
    pub(super) fn tags(&self) -> BTreeSet<(&str, &str)> {
        let of_hooks = self
            .hooks
            .iter()
            .filter_map(|hook| Some((hook.tag()?, hook.revision())));
        let of_services = self
            .services
            .iter()
            .filter_map(|service| Some((tag(service)?, label(service, names::REVISION)?)));
        of_hooks.chain(of_services).collect()
    }
}

fn tag(service: &Service) -> Option<&str> {
    label(service, TAG_LABEL)
}

fn label<'a>(service: &'a Service, key: &str) -> Option<&'a str> {
    service.labels().get(key).map(String::as_str)
}
