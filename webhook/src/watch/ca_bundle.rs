//! Keeps `caBundle` of the webhook configurations equal to the authority of our certificate, so that
//! no chart needs to know it and no upgrade can blank it: in the configuration of our revision, and in
//! those of the tags that point to it, which have its label `istio.io/rev`.
//!
//! Replicas don't fight: all write the same value, only where it differs, and only to the version
//! that they have seen. Entries that call somebody else's Service are left alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt;
use json_patch::Patch;
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, MutatingWebhookConfiguration};
use kube::api::{Patch as KubePatch, PatchParams};
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use lateen_wire::{Revision, names};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::server::readiness::Bundles;
use crate::server::tls::Certificate;

/// Entries with other names are not ours, whatever configuration they are in.
const OUR_ENTRIES: &str = "sidecar-injector.istio.io";

/// How long to wait after a write that failed.
const PAUSE: Duration = Duration::from_secs(2);

/// Which configurations, and which of their entries, are ours.
#[derive(Clone, Debug)]
pub struct Ours {
    /// The configuration of our revision, which readiness depends on.
    pub name: String,
    /// Our revision.
    pub revision: Revision,
    /// Namespace of our Service.
    pub namespace: String,
    /// Our Service.
    pub service: String,
}

/// Follows the configurations and the certificate for ever. `bundles` learns what is in force.
pub async fn follow(
    client: Client,
    ours: Ours,
    mut certificate: watch::Receiver<Option<Arc<Certificate>>>,
    bundles: watch::Sender<Option<Bundles>>,
) {
    let api: Api<MutatingWebhookConfiguration> = Api::all(client);
    let of_revision = format!("{}={}", names::REVISION, ours.revision);
    let config = watcher::Config::default().labels(&of_revision);
    let mut events = Box::pin(watcher(api.clone(), config).default_backoff());
    let mut configurations = Configurations::default();
    let mut failed = false;
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(event)) => configurations.apply(event),
                Some(Err(error)) => {
                    tracing::warn!(%error, "Cannot watch webhook configurations; trying again.");
                    continue;
                }
                None => return,
            },
            changed = certificate.changed() => if changed.is_err() { return },
            () = sleep(PAUSE), if failed => {}
        }
        if !configurations.complete {
            continue;
        }
        let own = configurations.known.get(&ours.name);
        let in_force = own.map(|own| current(own, &ours));
        bundles.send_if_modified(|known| {
            let news = Some(in_force);
            let differs = *known != news;
            *known = news;
            differs
        });
        let authority = certificate.borrow_and_update().clone();
        failed = false;
        for configuration in configurations.known.values() {
            if let Some(authority) = &authority {
                failed |= write(&api, configuration, &ours, authority.ca_bundle())
                    .await
                    .is_err();
            }
        }
    }
}

/// The configurations of our revision, by name.
#[derive(Debug, Default)]
struct Configurations {
    known: BTreeMap<String, MutatingWebhookConfiguration>,
    /// All have been listed.
    complete: bool,
}

impl Configurations {
    fn apply(&mut self, event: Event<MutatingWebhookConfiguration>) {
        match event {
            Event::Init => *self = Self::default(),
            Event::InitDone => self.complete = true,
            Event::InitApply(new) | Event::Apply(new) => {
                self.known.insert(new.name_any(), new);
            }
            Event::Delete(old) => {
                self.known.remove(&old.name_any());
            }
        }
    }
}

/// Writes the authority where it is not yet.
async fn write(
    api: &Api<MutatingWebhookConfiguration>,
    configuration: &MutatingWebhookConfiguration,
    ours: &Ours,
    authority: &[u8],
) -> Result<(), kube::Error> {
    let Some(patch) = patch(configuration, ours, authority) else {
        return Ok(());
    };
    let name = configuration.name_any();
    let patch = KubePatch::Json::<()>(patch);
    let written = api.patch(&name, &PatchParams::default(), &patch).await;
    match &written {
        Ok(_) => tracing::info!(object = %name, "Wrote the caBundle."),
        Err(error) => {
            tracing::warn!(object = %name, %error, "Cannot write the caBundle; trying again.");
        }
    }
    written.map(drop)
}

/// The bundles of our entries.
fn current(configuration: &MutatingWebhookConfiguration, ours: &Ours) -> Vec<Vec<u8>> {
    entries(configuration, ours)
        .map(|(_, entry)| bundle(entry).to_vec())
        .collect()
}

/// What makes all our entries right; `None` if they are.
fn patch(
    configuration: &MutatingWebhookConfiguration,
    ours: &Ours,
    authority: &[u8],
) -> Option<Patch> {
    let wrong = entries(configuration, ours).filter(|(_, entry)| bundle(entry) != authority);
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

fn entries<'a>(
    configuration: &'a MutatingWebhookConfiguration,
    ours: &'a Ours,
) -> impl Iterator<Item = (usize, &'a MutatingWebhook)> {
    let calls_us = |entry: &MutatingWebhook| {
        let service = entry.client_config.service.as_ref();
        service
            .is_some_and(|called| called.name == ours.service && called.namespace == ours.namespace)
    };
    let entries = configuration.webhooks.iter().flatten().enumerate();
    entries.filter(move |(_, entry)| entry.name.ends_with(OUR_ENTRIES) && calls_us(entry))
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
mod tests;
