//! ConfigMap `istio-ca-root-cert` in every namespace: written when a namespace appears, repaired
//! when somebody edits or deletes it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Config, Event};
use kube::{Api, Client, ResourceExt};
use lateen_wire::names::{ROOT_CERT_KEY, ROOT_CONFIG_MAP};
use tokio::time::sleep;
use tracing::{debug, warn};

use super::{MANAGER, Publisher};
use crate::snapshot::{Phase, Snapshot};

/// Label of configuration that the mesh writes.
const CONFIG_LABEL: &str = "istio.io/config";
/// Pause before namespaces that could not be written are tried again.
const RETRY: Duration = Duration::from_secs(2);
/// Writes under way at a time.
const PARALLEL: usize = 8;

/// Publishes, for ever.
pub(super) async fn publish(publisher: &Publisher) {
    let client = publisher.client.clone();
    let root = publisher.authority.roots_pem();
    let mut namespaces = publisher.store.subscribe();
    let config = Config::default().fields(&format!("metadata.name={ROOT_CONFIG_MAP}"));
    let maps = watcher::watcher(Api::<ConfigMap>::all(client.clone()), config).default_backoff();
    let mut maps = std::pin::pin!(maps);
    let mut published = Published::default();
    let mut failed = false;
    loop {
        if published.listed {
            let missing = published.missing(&publisher.store.read());
            failed = !write_all(&client, &root, missing, &mut published).await;
        }
        tokio::select! {
            event = maps.next() => match event {
                Some(Ok(event)) => published.apply(event, &root),
                Some(Err(error)) => warn!(%error, "Watching root certificates failed; it is retried."),
                None => return,
            },
            _ = namespaces.changed() => {}
            () = sleep(RETRY), if failed => {}
        }
    }
}

/// Namespaces that have the right root.
#[derive(Default)]
struct Published {
    right: HashSet<String>,
    listing: HashSet<String>,
    listed: bool,
}

impl Published {
    fn apply(&mut self, event: Event<ConfigMap>, root: &str) {
        let is_right = |map: &ConfigMap| {
            map.data
                .as_ref()
                .and_then(|data| data.get(ROOT_CERT_KEY))
                .is_some_and(|pem| pem == root)
        };
        match event {
            Event::Init => self.listing.clear(),
            Event::InitApply(map) => {
                if is_right(&map) {
                    self.listing.extend(map.namespace());
                }
            }
            Event::InitDone => {
                self.right = std::mem::take(&mut self.listing);
                self.listed = true;
            }
            Event::Apply(map) if is_right(&map) => self.right.extend(map.namespace()),
            Event::Apply(map) | Event::Delete(map) => {
                let namespace = map.namespace().unwrap_or_default();
                if self.right.remove(&namespace) {
                    debug!(namespace, "A root certificate was changed or deleted.");
                }
            }
        }
    }

    fn missing(&self, snapshot: &Snapshot) -> BTreeSet<String> {
        snapshot
            .namespaces()
            .filter(|(name, phase)| *phase == Phase::Active && !self.right.contains(name.as_ref()))
            .map(|(name, _)| name.to_string())
            .collect()
    }
}

/// Writes to all these namespaces; false if one could not be written.
async fn write_all(
    client: &Client,
    root: &str,
    namespaces: BTreeSet<String>,
    published: &mut Published,
) -> bool {
    let mut writes = futures::stream::iter(namespaces)
        .map(async |namespace| {
            let written = write(client, root, &namespace).await;
            (namespace, written)
        })
        .buffer_unordered(PARALLEL);
    let mut all = true;
    while let Some((namespace, written)) = writes.next().await {
        match written {
            Ok(()) => {
                debug!(namespace, "Published the root certificate.");
                published.right.insert(namespace);
            }
            Err(error) => {
                warn!(namespace, %error, "Publishing the root certificate failed; it is retried.");
                all = false;
            }
        }
    }
    all
}

async fn write(client: &Client, root: &str, namespace: &str) -> Result<(), kube::Error> {
    let label = (CONFIG_LABEL.to_owned(), "true".to_owned());
    let map = ConfigMap {
        metadata: ObjectMeta {
            name: Some(ROOT_CONFIG_MAP.to_owned()),
            labels: Some(BTreeMap::from([label])),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(
            ROOT_CERT_KEY.to_owned(),
            root.to_owned(),
        )])),
        ..ConfigMap::default()
    };
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let apply = PatchParams::apply(MANAGER).force();
    maps.patch(ROOT_CONFIG_MAP, &apply, &Patch::Apply(&map))
        .await
        .map(drop)
}
