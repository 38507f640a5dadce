//! Refuses to take over what is not this installation's: objects of another mesh have our names, but
//! other selectors, and a cluster has one injector for the default revision.

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, Client, ResourceExt};
use lateen_wire::names;

use crate::manifest::{MANAGED_LABEL, MANAGED_VALUE};

/// Looks for a control plane in the namespace and an injector in the cluster that are not ours.
pub(super) async fn refuse(client: &Client, namespace: &str) -> Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let control = deployments
        .get_opt(names::CONTROL)
        .await
        .with_context(|| format!("cannot look at Deployment {namespace}/{}", names::CONTROL))?;
    ensure!(
        control.is_none_or(|control| is_ours(&control)),
        "namespace {namespace} has another mesh's control plane; remove it first"
    );

    let webhooks: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let injector = webhooks.get_opt(names::INJECTOR).await.with_context(|| {
        format!(
            "cannot look at MutatingWebhookConfiguration {}",
            names::INJECTOR
        )
    })?;
    let Some(injector) = injector else {
        return Ok(());
    };
    ensure!(
        is_ours(&injector),
        "the cluster has another mesh's sidecar injector; remove it first"
    );
    match home(&injector) {
        Some(home) if home != namespace => bail!(
            "the mesh is installed in namespace {home} already; name it by -i {home} to change it, or uninstall it first"
        ),
        _ => Ok(()),
    }
}

fn is_ours<K: kube::Resource>(object: &K) -> bool {
    object
        .labels()
        .get(MANAGED_LABEL)
        .is_some_and(|value| value == MANAGED_VALUE)
}

/// The namespace of the Service that the webhook configuration leads to.
fn home(webhooks: &MutatingWebhookConfiguration) -> Option<String> {
    let service = webhooks
        .webhooks
        .iter()
        .flatten()
        .find_map(|entry| entry.client_config.service.as_ref());
    service.map(|service| service.namespace.clone())
}
