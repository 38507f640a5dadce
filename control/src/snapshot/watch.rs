//! Feeds the snapshot from watches of the API server. While the API server is away the snapshot
//! stays as it is: only a deletion event, or a complete new list, takes anything out.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::StreamExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Config, Event};
use kube::{Api, Client};
use tracing::{info, warn};

use super::object::{
    NamespaceObject, NodeObject, Object, PodObject, ServiceObject, ServiceRangeObject, SliceObject,
};
use super::store::Store;
use crate::metrics::{KindLabels, Metrics};

/// Objects per page of a list: bounds the memory that a list needs on its way through.
const PAGE: u32 = 100;
/// Kinds that must be listed before answers are complete.
const KINDS: usize = 6;

/// How many kinds have been listed once.
#[derive(Default)]
pub struct Progress {
    listed: AtomicUsize,
}

impl Progress {
    /// Whether every kind has been listed.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.listed.load(Ordering::Acquire) >= KINDS
    }
}

/// Watches everything the snapshot holds, for ever.
pub async fn watch_cluster(
    client: Client,
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    progress: Arc<Progress>,
) {
    let watch = Watch {
        client,
        store,
        metrics,
        progress,
    };
    // Pods that have ended serve nobody, and there can be many.
    let alive = Config::default().fields("status.phase!=Succeeded,status.phase!=Failed");
    tokio::join!(
        watch.kind::<NamespaceObject>(Config::default()),
        watch.kind::<NodeObject>(Config::default()),
        watch.kind::<ServiceRangeObject>(Config::default()),
        watch.kind::<ServiceObject>(Config::default()),
        watch.kind::<SliceObject>(Config::default()),
        watch.kind::<PodObject>(alive),
    );
}

struct Watch {
    client: Client,
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    progress: Arc<Progress>,
}

impl Watch {
    async fn kind<K: Object>(&self, config: Config) {
        let kind = K::kind(&());
        let events = watcher::watcher(Api::<K>::all(self.client.clone()), config.page_size(PAGE));
        let mut events = std::pin::pin!(events.default_backoff());
        let mut listed = Listed::default();
        let mut synced = false;
        while let Some(event) = events.next().await {
            let done = match event {
                Ok(event) => {
                    let done = matches!(event, Event::InitDone);
                    let label = listed.apply(event, &self.store);
                    self.metrics
                        .registry_events
                        .get_or_create(&KindLabels::new(&kind, label))
                        .inc();
                    done
                }
                Err(error) => {
                    warn!(%kind, %error, "Watching failed; what is known stays and the watch is retried.");
                    is_unknown_kind(&error)
                }
            };
            if done && !synced {
                synced = true;
                info!(%kind, "Listed all objects.");
                self.progress.listed.fetch_add(1, Ordering::AcqRel);
            }
        }
    }
}

/// Whether the API server is too old to have the kind: there is nothing of it to wait for.
fn is_unknown_kind(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == 404)
}

/// Names seen in the list that is under way.
#[derive(Default)]
struct Listed {
    seen: HashSet<(String, String)>,
}

impl Listed {
    /// Applies an event to the snapshot and names it for metrics.
    fn apply<K: Object>(&mut self, event: Event<K>, store: &Store) -> &'static str {
        match event {
            Event::Init => {
                self.seen.clear();
                "list"
            }
            Event::InitApply(object) => {
                self.seen.insert(name(&object));
                store.update(|snapshot, changed| object.store(snapshot, changed));
                "add"
            }
            Event::InitDone => {
                let seen = std::mem::take(&mut self.seen);
                store.update(|snapshot, changed| {
                    for (namespace, name) in K::held(snapshot) {
                        if !seen.contains(&(namespace.to_string(), name.to_string())) {
                            K::remove(&namespace, &name, snapshot, changed);
                        }
                    }
                });
                "listed"
            }
            Event::Apply(object) => {
                store.update(|snapshot, changed| object.store(snapshot, changed));
                "update"
            }
            Event::Delete(object) => {
                let (namespace, name) = name(&object);
                store.update(|snapshot, changed| K::remove(&namespace, &name, snapshot, changed));
                "delete"
            }
        }
    }
}

fn name<K: Object>(object: &K) -> (String, String) {
    let meta = object.meta();
    (
        meta.namespace.clone().unwrap_or_default(),
        meta.name.clone().unwrap_or_default(),
    )
}
