//! Keeps `caBundle` of the webhook configuration equal to the authority of our certificate, so that
//! no chart needs to know it and no upgrade can blank it.
//!
//! Replicas don't fight: all write the same value, only where it differs, and only to the version
//! that they have seen.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt;
use json_patch::Patch;
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, MutatingWebhookConfiguration};
use kube::api::{Patch as KubePatch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::server::readiness::Bundles;
use crate::server::tls::Certificate;

/// Entries with other names are not ours, whatever configuration they are in.
const OUR_ENTRIES: &str = "sidecar-injector.istio.io";

/// How long to wait after a write that failed.
const PAUSE: Duration = Duration::from_secs(2);

/// Follows the configuration and the certificate for ever. `bundles` learns what is in force.
pub async fn follow(
    client: Client,
    name: String,
    mut certificate: watch::Receiver<Option<Arc<Certificate>>>,
    bundles: watch::Sender<Option<Bundles>>,
) {
    let api: Api<MutatingWebhookConfiguration> = Api::all(client);
    let mut configurations = Box::pin(super::object(api.clone(), &name));
    let mut newest = None;
    let mut failed = false;
    loop {
        tokio::select! {
            configuration = configurations.next() => match configuration {
                Some(configuration) => newest = configuration,
                None => return,
            },
            changed = certificate.changed() => if changed.is_err() { return },
            () = sleep(PAUSE), if failed => {}
        }
        failed = false;
        let Some(configuration) = &newest else {
            if bundles.borrow().is_none() || bundles.borrow().as_ref().is_some_and(Option::is_some)
            {
                bundles.send_replace(Some(None));
            }
            continue;
        };
        bundles.send_replace(Some(Some(current(configuration))));
        let authority = certificate
            .borrow_and_update()
            .as_ref()
            .map(|new| new.ca_bundle().to_vec());
        let Some(patch) = authority.and_then(|authority| patch(configuration, &authority)) else {
            continue;
        };
        let patch = KubePatch::Json::<()>(patch);
        match api.patch(&name, &PatchParams::default(), &patch).await {
            Ok(_) => tracing::info!(object = %name, "Wrote the caBundle."),
            Err(error) => {
                failed = true;
                tracing::warn!(object = %name, %error, "Cannot write the caBundle; trying again.");
            }
        }
    }
}

/// The bundles of our entries.
fn current(configuration: &MutatingWebhookConfiguration) -> Vec<Vec<u8>> {
    entries(configuration)
        .map(|(_, entry)| bundle(entry).to_vec())
        .collect()
}

/// What makes all our entries right; `None` if they are.
fn patch(configuration: &MutatingWebhookConfiguration, authority: &[u8]) -> Option<Patch> {
    let wrong = entries(configuration).filter(|(_, entry)| bundle(entry) != authority);
    let value = STANDARD.encode(authority);
    let mut operations: Vec<_> = wrong
        .map(|(index, _)| {
            let path = format!("/webhooks/{index}/clientConfig/caBundle");
            json!({"op": "add", "path": path, "value": value})
        })
        .collect();
    if operations.is_empty() {
        return None;
    }
    let version = configuration.metadata.resource_version.as_deref()?;
    let seen = json!({"op": "test", "path": "/metadata/resourceVersion", "value": version});
    operations.insert(0, seen);
    serde_json::from_value(operations.into()).ok()
}

fn entries(
    configuration: &MutatingWebhookConfiguration,
) -> impl Iterator<Item = (usize, &MutatingWebhook)> {
    let entries = configuration.webhooks.iter().flatten().enumerate();
    entries.filter(|(_, entry)| entry.name.ends_with(OUR_ENTRIES))
}

fn bundle(entry: &MutatingWebhook) -> &[u8] {
    entry
        .client_config
        .ca_bundle
        .as_ref()
        .map(|bundle| bundle.0.as_slice())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(bundles: [(&str, &[u8]); 3]) -> MutatingWebhookConfiguration {
        let entry = |(name, bundle): (&str, &[u8])| {
            json!({
                "name": name,
                "clientConfig": {"caBundle": STANDARD.encode(bundle)},
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
            })
        };
        let object = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"resourceVersion": "7"},
            "webhooks": bundles.map(entry),
        });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn writes_only_our_entries_that_differ() {
        let mut configuration = configuration([
            ("namespace.sidecar-injector.istio.io", b"new"),
            ("somebody.else", b"theirs"),
            ("object.sidecar-injector.istio.io", b"old"),
        ]);
        let patch = patch(&configuration, b"new").unwrap();
        let mut value = serde_json::to_value(&configuration).unwrap();
        json_patch::patch(&mut value, &patch).unwrap();
        configuration = serde_json::from_value(value).unwrap();
        assert_eq!(current(&configuration), [b"new", b"new"]);
        assert_eq!(patch.0.len(), 2, "{patch}");
        assert!(super::patch(&configuration, b"new").is_none());
    }
}
