//! Records by namespace and name, looked up without allocating.

use std::collections::HashMap;
use std::sync::Arc;

/// A map from namespace and name.
pub struct Table<T> {
    namespaces: HashMap<Arc<str>, HashMap<Arc<str>, T>>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            namespaces: HashMap::new(),
        }
    }
}

impl<T> Table<T> {
    /// One record.
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<&T> {
        self.namespaces.get(namespace)?.get(name)
    }

    /// Replaces a record.
    pub fn insert(&mut self, namespace: Arc<str>, name: Arc<str>, record: T) {
        self.namespaces
            .entry(namespace)
            .or_default()
            .insert(name, record);
    }

    /// Takes a record out.
    pub fn remove(&mut self, namespace: &str, name: &str) -> Option<T> {
        let records = self.namespaces.get_mut(namespace)?;
        let record = records.remove(name);
        if records.is_empty() {
            self.namespaces.remove(namespace);
        }
        record
    }

    /// The records of one namespace, in no order.
    pub fn in_namespace(&self, namespace: &str) -> impl Iterator<Item = &T> {
        self.namespaces
            .get(namespace)
            .into_iter()
            .flat_map(HashMap::values)
    }

    /// All records, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.namespaces.values().flat_map(HashMap::values)
    }

    /// The namespace and name of every record.
    #[must_use]
    pub fn names(&self) -> Vec<(Arc<str>, Arc<str>)> {
        let pairs = |(namespace, records): (&Arc<str>, &HashMap<Arc<str>, T>)| {
            let namespace = namespace.clone();
            records
                .keys()
                .map(move |name| (namespace.clone(), name.clone()))
                .collect::<Vec<_>>()
        };
        self.namespaces.iter().flat_map(pairs).collect()
    }
}
