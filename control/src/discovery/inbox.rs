//! What a stream has still to be told: a set, so that it never holds more than the names the
//! stream follows, however fast things change and however slow the proxy reads.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::key::{Key, Kind};

/// Keys whose answers a stream should look at, with the time of the first change, if it was one.
#[derive(Default)]
pub struct Inbox {
    keys: Mutex<HashMap<Arc<Key>, Option<Instant>>>,
    filled: Notify,
}

impl Inbox {
    /// Adds a key: its answer has changed at that time, or was asked for.
    pub fn put(&self, key: Arc<Key>, changed: Option<Instant>) {
        let mut keys = self.keys.lock();
        let since = keys.entry(key).or_insert(changed);
        *since = since.or(changed);
        self.filled.notify_one();
    }

    /// Waits until there is a key.
    pub async fn filled(&self) {
        while self.keys.lock().is_empty() {
            self.filled.notified().await;
        }
    }

    /// Takes up to `limit` keys of the type that is sent first.
    pub fn take(&self, limit: usize) -> Vec<(Arc<Key>, Option<Instant>)> {
        let mut keys = self.keys.lock();
        let Some(first) = keys.keys().map(|key| key.kind()).min() else {
            return Vec::new();
        };
        take_kind(&mut keys, first, limit)
    }
}

fn take_kind(
    keys: &mut HashMap<Arc<Key>, Option<Instant>>,
    kind: Kind,
    limit: usize,
) -> Vec<(Arc<Key>, Option<Instant>)> {
    let taken: Vec<Arc<Key>> = keys
        .keys()
        .filter(|key| key.kind() == kind)
        .take(limit)
        .cloned()
        .collect();
    taken
        .into_iter()
        .map(|key| {
            let changed = keys.remove(&key).flatten();
            (key, changed)
        })
        .collect()
}
