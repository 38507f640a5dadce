//! Names of one type that are followed each for itself, with what control says of them.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::hash::Hash;
use std::sync::Arc;

use ahash::AHashMap;

use super::cache::Entry;
use super::state::{NameChanges, RECENT, is_idle};

/// What control says under a name: a value, or that there is none.
pub type OptionalEntry<V> = Entry<Option<Arc<V>>>;

/// Names and their entries.
pub(super) struct Table<K, V> {
    entries: AHashMap<K, Arc<OptionalEntry<V>>>,
    pub(super) changes: NameChanges,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self {
            entries: AHashMap::default(),
            changes: NameChanges::default(),
        }
    }
}

impl<K: Clone + Display + Eq + Hash, V> Table<K, V> {
    /// The entry of a name that is followed already.
    pub(super) fn get(&self, name: &K) -> Option<Arc<OptionalEntry<V>>> {
        self.entries.get(name).cloned()
    }

    /// Follows a name.
    pub(super) fn follow(&mut self, name: K) -> Arc<OptionalEntry<V>> {
        let entry = Arc::new(Entry::default());
        self.changes.add(name.to_string());
        self.entries.insert(name, Arc::clone(&entry));
        entry
    }

    /// Number of names.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Every name, and whether control has answered.
    pub(super) fn followed(&self) -> BTreeMap<String, bool> {
        let entries = self.entries.iter();
        entries
            .map(|(name, entry)| (name.to_string(), entry.answer().is_some()))
            .collect()
    }

    /// Takes in an answer, or that there is nothing of that name.
    pub(super) fn apply(&mut self, name: &K, value: Option<V>) {
        if let Some(entry) = self.entries.get(name) {
            entry.publish(value.map(Arc::new));
        }
    }

    /// Stops following every name that nobody holds and nobody used since `oldest`.
    pub(super) fn evict_idle(&mut self, oldest: u32) {
        let changes = &mut self.changes;
        self.entries.retain(|name, entry| {
            let keep = !is_idle(entry, oldest);
            if !keep {
                changes.remove(name.to_string());
            }
            keep
        });
    }

    /// Makes room for one name, in place of the one unused for longest. False when all were used
    /// a moment ago.
    pub(super) fn evict_one(&mut self, now: u32) -> bool {
        let victim = self
            .entries
            .iter()
            .filter(|(_, entry)| Arc::strong_count(entry) == 1)
            .min_by_key(|(_, entry)| entry.last_used());
        match victim {
            Some((name, entry)) if now.saturating_sub(entry.last_used()) > RECENT => {
                let name = name.clone();
                self.entries.remove(&name);
                self.changes.remove(name.to_string());
                true
            }
            _ => false,
        }
    }
}
