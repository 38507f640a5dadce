//! ConfigMap `istio-ca-root-cert` in every namespace: written when a namespace appears, repaired
//! when somebody edits or deletes it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Config, Event};
use kube::{Api, Client, ResourceExt};
use lateen_wire::names::{ROOT_CERT_KEY, ROOT_CONFIG_MAP};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};

use super::{MANAGER, Publisher};
use crate::snapshot::{Phase, Snapshot};

/// Label of configuration that the mesh writes.
const CONFIG_LABEL: &str = "istio.io/config";
/// Pause before a namespace that could not be written is tried again, doubled with each failure,
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Writes under way at a time.
const PARALLEL: usize = 8;

/// Publishes, for ever.
pub(super) async fn publish(publisher: &Publisher) {
    let mut authority = publisher.authority.subscribe();
    loop {
        let roots = authority.borrow_and_update().roots_pem();
        tokio::select! {
            () = publish_these(publisher, &roots) => return,
            _ = authority.changed() => {}
        }
    }
}

async fn publish_these(publisher: &Publisher, root: &str) {
    let client = publisher.client.clone();
    let mut namespaces = publisher.store.subscribe();
    let config = Config::default().fields(&format!("metadata.name={ROOT_CONFIG_MAP}"));
    let maps = watcher::watcher(Api::<ConfigMap>::all(client.clone()), config).default_backoff();
    let mut maps = std::pin::pin!(maps);
    let mut published = Published::default();
    loop {
        if published.listed {
            let due = published.due(&publisher.store.read());
            write_all(&client, root, due, &mut published).await;
        }
        let retry = published.next_try();
        tokio::select! {
            event = maps.next() => match event {
                Some(Ok(event)) => published.apply(event, root),
                Some(Err(error)) => warn!(%error, "Watching root certificates failed; it is retried."),
                None => return,
            },
            _ = namespaces.changed() => {}
            () = sleep_until(retry.unwrap_or_else(Instant::now)), if retry.is_some() => {}
        }
    }
}

/// Namespaces that have the right root, and those that cannot be given it now.
#[derive(Default)]
struct Published {
    right: HashSet<String>,
    waiting: HashMap<String, BackOff>,
    listing: HashSet<String>,
    listed: bool,
}

/// When a namespace is tried again, and how long it waits should that fail too.
struct BackOff {
    until: Instant,
    pause: Duration,
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

    /// The namespaces to write to now. Those that are gone or leaving are not waited for any more.
    fn due(&mut self, snapshot: &Snapshot) -> Vec<String> {
        let missing: HashSet<&str> = snapshot
            .namespaces()
            .filter(|(name, phase)| *phase == Phase::Active && !self.right.contains(name.as_ref()))
            .map(|(name, _)| name.as_ref())
            .collect();
        self.waiting
            .retain(|namespace, _| missing.contains(namespace.as_str()));
        let now = Instant::now();
        let waits = |namespace: &str| {
            let back_off = self.waiting.get(namespace);
            back_off.is_some_and(|back_off| back_off.until > now)
        };
        let due = missing.into_iter().filter(|namespace| !waits(namespace));
        due.map(str::to_owned).collect()
    }

    /// When the first of the waiting namespaces is due.
    fn next_try(&self) -> Option<Instant> {
        self.waiting.values().map(|back_off| back_off.until).min()
    }

    fn succeeded(&mut self, namespace: String) {
        self.waiting.remove(&namespace);
        self.right.insert(namespace);
    }

    fn failed(&mut self, namespace: String) {
        let pause = self
            .waiting
            .get(&namespace)
            .map_or(FIRST_PAUSE, |back_off| {
                (back_off.pause * 2).min(LONGEST_PAUSE)
            });
        let until = Instant::now() + pause;
        self.waiting.insert(namespace, BackOff { until, pause });
    }
}

async fn write_all(
    client: &Client,
    root: &str,
    namespaces: Vec<String>,
    published: &mut Published,
) {
    let mut writes = futures::stream::iter(namespaces)
        .map(async |namespace| {
            let written = write(client, root, &namespace).await;
            (namespace, written)
        })
        .buffer_unordered(PARALLEL);
    while let Some((namespace, written)) = writes.next().await {
        match written {
            Ok(()) => {
                debug!(namespace, "Published the root certificate.");
                published.succeeded(namespace);
            }
            Err(error) => {
                warn!(namespace, %error, "Publishing the root certificate failed; it is retried.");
                published.failed(namespace);
            }
        }
    }
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::json;

    use super::*;
    use crate::api_server;
    use crate::snapshot::Cluster;

    /// An admission policy may keep us out of a namespace for ever.
    #[tokio::test(start_paused = true)]
    async fn a_namespace_that_refuses_is_left_alone_for_longer_each_time() {
        let tried = Arc::new(Mutex::new(Vec::new()));
        let client = api_server::client({
            let tried = tried.clone();
            move |request| {
                let path = request.uri().path().to_owned();
                let refused = path.contains("/closed/");
                tried.lock().unwrap().push(path);
                if refused {
                    return api_server::refusal(403, "Forbidden");
                }
                (
                    200,
                    json!({ "metadata": { "name": ROOT_CONFIG_MAP, "namespace": "open" } }),
                )
            }
        });
        let mut snapshot = Snapshot::new(Cluster::default());
        for namespace in ["open", "closed"] {
            snapshot.set_namespace(namespace, Some(Phase::Active));
        }
        let mut published = Published::default();
        let begin = Instant::now();
        let mut pauses = Vec::new();
        while pauses.len() < 9 {
            let before = tried.lock().unwrap().len();
            // However often something changes in the meantime, there is one try.
            for _ in 0..100 {
                let due = published.due(&snapshot);
                write_all(&client, "root", due, &mut published).await;
            }
            let tries = tried.lock().unwrap().len() - before;
            assert_eq!(tries, if pauses.is_empty() { 2 } else { 1 });
            let next = published.next_try().unwrap();
            pauses.push((next - Instant::now()).as_secs());
            sleep_until(next).await;
        }
        assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert!(begin.elapsed() > Duration::from_secs(800));

        snapshot.set_namespace("closed", None);
        assert!(published.due(&snapshot).is_empty());
        assert!(published.next_try().is_none());
    }
}
