//! The answers that somebody follows: each is computed once, and again only when a fact it stands
//! on changes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use super::inbox::Inbox;
use super::key::Key;
use crate::snapshot::store::{Changes, Store};
use crate::snapshot::{Fact, Facts, Snapshot};

/// Least time between two rounds of recomputing: under a storm of changes they are taken together. It
/// is short, since a pod that is deleted is told to end at the same time as we hear of it.
const ROUND: Duration = Duration::from_millis(5);

/// What there is to say under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A resource.
    Resource(Arc<Resource>),
    /// There is none of this name.
    Absent,
}

impl Answer {
    /// The resource's version, if there is a resource.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        match self {
            Self::Resource(resource) => Some(&resource.version),
            Self::Absent => None,
        }
    }
}

/// An encoded message.
#[derive(Debug, PartialEq, Eq)]
pub struct Resource {
    /// Hash of the content.
    pub version: String,
    /// The message.
    pub content: Vec<u8>,
}

/// Number of a stream, unique in this process.
pub type StreamId = u64;

/// All answers that are followed.
pub struct Answers {
    store: Arc<Store>,
    // Locked before the snapshot is read, so that no change falls between an answer being computed
    // and its being listed as dependent.
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    entries: HashMap<Arc<Key>, Entry>,
    dependents: HashMap<Fact, HashSet<Arc<Key>>>,
}

struct Entry {
    answer: Answer,
    dependencies: Facts,
    followers: HashMap<StreamId, Arc<Inbox>>,
}

impl Answers {
    /// Answers from the store's snapshot.
    #[must_use]
    pub fn new(store: Arc<Store>) -> Self {
        Self {
            store,
            table: Mutex::default(),
        }
    }

    /// Keeps the answers current, for ever.
    pub async fn keep_current(&self) {
        let mut version = self.store.subscribe();
        loop {
            self.refresh(&self.store.take_changes());
            sleep_until(Instant::now() + ROUND).await;
            if version.changed().await.is_err() {
                return;
            }
        }
    }

    /// Lets a stream follow a key: the key is put into its inbox now and at every change.
    pub fn follow(&self, key: &Arc<Key>, stream: StreamId, inbox: &Arc<Inbox>) {
        let mut table = self.table.lock();
        if !table.entries.contains_key(key) {
            table.compute(key, &self.store.read());
        }
        if let Some(entry) = table.entries.get_mut(key) {
            entry.followers.insert(stream, inbox.clone());
        }
        inbox.put(key.clone(), None);
    }

    /// Ends what [`Self::follow`] began. Answers that nobody follows are forgotten.
    pub fn unfollow(&self, key: &Arc<Key>, stream: StreamId) {
        let mut table = self.table.lock();
        let Some(entry) = table.entries.get_mut(key) else {
            return;
        };
        entry.followers.remove(&stream);
        if entry.followers.is_empty()
            && let Some(entry) = table.entries.remove(key)
        {
            table.unlink(key, &entry.dependencies);
        }
    }

    /// The answer of a key that is followed.
    #[must_use]
    pub fn current(&self, key: &Key) -> Option<Answer> {
        self.table
            .lock()
            .entries
            .get(key)
            .map(|entry| entry.answer.clone())
    }

    /// Recomputes what depends on changed facts and tells the followers of what became different.
    pub fn refresh(&self, changes: &Changes) {
        if changes.facts.is_empty() {
            return;
        }
        let mut table = self.table.lock();
        let touched: HashSet<Arc<Key>> = changes
            .facts
            .iter()
            .filter_map(|fact| table.dependents.get(fact))
            .flatten()
            .cloned()
            .collect();
        let snapshot = self.store.read();
        for key in touched {
            table.recompute(&key, &snapshot, changes.since);
        }
    }
}

impl Table {
    fn compute(&mut self, key: &Arc<Key>, snapshot: &Snapshot) {
        let (answer, dependencies) = key.resolve(snapshot);
        self.link(key, &dependencies);
        let entry = Entry {
            answer,
            dependencies,
            followers: HashMap::new(),
        };
        self.entries.insert(key.clone(), entry);
    }

    fn recompute(&mut self, key: &Arc<Key>, snapshot: &Snapshot, since: Option<Instant>) {
        let (answer, dependencies) = key.resolve(snapshot);
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        if entry.answer != answer {
            entry.answer = answer;
            for inbox in entry.followers.values() {
                inbox.put(key.clone(), since);
            }
        }
        if entry.dependencies != dependencies {
            let old = std::mem::replace(&mut entry.dependencies, dependencies.clone());
            self.unlink(key, &old);
            self.link(key, &dependencies);
        }
    }

    fn link(&mut self, key: &Arc<Key>, facts: &Facts) {
        for fact in facts {
            self.dependents
                .entry(fact.clone())
                .or_default()
                .insert(key.clone());
        }
    }

    fn unlink(&mut self, key: &Arc<Key>, facts: &Facts) {
        for fact in facts {
            if let Some(keys) = self.dependents.get_mut(fact) {
                keys.remove(key);
                if keys.is_empty() {
                    self.dependents.remove(fact);
                }
            }
        }
    }
}
