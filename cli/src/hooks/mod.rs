//! The sidecar injectors that a cluster knows: its MutatingWebhookConfigurations with entries of
//! Istio's names, ours and others', of all revisions and tags.

pub mod contest;
pub(crate) mod proxy_image;
pub mod selector;
pub(crate) mod trial;

use anyhow::{Context, Result};
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhook, MutatingWebhookConfiguration, ServiceReference,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use lateen_wire::names;

use crate::manifest::admission::{Call, ENTRY_SUFFIX};
use crate::manifest::is_managed;
use crate::manifest::tag::TAG_LABEL;
use selector::{Labels, matches};

/// A label that nobody has, by which a selector never matches. Istio writes the same.
const NEVER: (&str, &str) = ("istio.io/deactivated", "never-match");

/// One injector: a revision's or a tag's webhook configuration.
#[derive(Clone, Debug)]
pub struct Hook(MutatingWebhookConfiguration);

/// All injectors of a cluster, by name.
///
/// # Errors
/// The API server refuses to list webhook configurations.
pub async fn list(client: &Client) -> Result<Vec<Hook>> {
    let api: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let found = api
        .list(&ListParams::default())
        .await
        .context("cannot list MutatingWebhookConfigurations")?;
    let mut hooks: Vec<Hook> = found.into_iter().filter_map(Hook::new).collect();
    hooks.sort_by(|one, other| one.name().cmp(other.name()));
    Ok(hooks)
}

impl Hook {
    /// The configuration as an injector, if it is one.
    #[must_use]
    pub fn new(configuration: MutatingWebhookConfiguration) -> Option<Self> {
        let hook = Self(configuration);
        let is_injector = hook.entries().next().is_some();
        is_injector.then_some(hook)
    }

    /// Name of the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.metadata.name.as_deref().unwrap_or_default()
    }

    /// The revision that injects.
    #[must_use]
    pub fn revision(&self) -> &str {
        let label = self.0.labels().get(names::REVISION);
        label.map_or(names::DEFAULT_REVISION, String::as_str)
    }

    /// The tag that leads to the revision, unless this is the revision's own configuration.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.0.labels().get(TAG_LABEL).map(String::as_str)
    }

    /// Whether Lateen installed it.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        is_managed(&self.0)
    }

    /// Its entries that inject sidecars.
    pub fn entries(&self) -> impl Iterator<Item = &MutatingWebhook> {
        let entries = self.0.webhooks.iter().flatten();
        entries.filter(|entry| entry.name.ends_with(ENTRY_SUFFIX))
    }

    /// The Service that it leads to, unless that is outside of the cluster.
    #[must_use]
    pub fn service(&self) -> Option<&ServiceReference> {
        self.entries()
            .find_map(|entry| entry.client_config.service.as_ref())
    }

    /// How its injector is called.
    #[must_use]
    pub(crate) fn call(&self) -> Call {
        let first = self.entries().next();
        first.map_or_else(Call::default, |entry| Call {
            client_config: entry.client_config.clone(),
            reinvocation_policy: entry.reinvocation_policy.clone(),
        })
    }

    /// The first entry that fires for a pod.
    #[must_use]
    pub fn firing(&self, namespace: &Labels, pod: &Labels) -> Option<&MutatingWebhook> {
        self.entries().find(|entry| {
            matches(entry.namespace_selector.as_ref(), namespace)
                && matches(entry.object_selector.as_ref(), pod)
        })
    }

    /// Whether a default tag has put it out of action.
    #[must_use]
    pub fn is_deactivated(&self) -> bool {
        let never = Some(never());
        self.entries()
            .all(|entry| entry.namespace_selector == never && entry.object_selector == never)
    }

    /// The whole configuration.
    #[must_use]
    pub fn configuration(&self) -> &MutatingWebhookConfiguration {
        &self.0
    }
}

/// A selector that never matches.
#[must_use]
pub fn never() -> LabelSelector {
    let (key, value) = NEVER;
    LabelSelector {
        match_labels: Some([(key.to_owned(), value.to_owned())].into()),
        ..LabelSelector::default()
    }
}
