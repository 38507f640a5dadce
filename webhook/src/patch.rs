//! The difference between a pod and its injected form as JSON Patch (RFC 6902).
//!
//! The patch is for the pod as the API server has it, which may hold fields that this program has
//! never heard of. So nothing is replaced that has not changed, and items of lists with names are
//! inserted and removed by their place, never overwritten by their neighbours.

use std::collections::{BTreeMap, BTreeSet};

use json_patch::jsonptr::PointerBuf;
use k8s_openapi::api::core::v1::{Container, LocalObjectReference, Pod, PodSpec, Volume};
use serde::Serialize;
use serde_json::Value;

use lateen_wire::names::PROXY_CONTAINER;

/// What the patch of an ordinary pod takes, in bytes.
const CAPACITY: usize = 16 * 1024;

/// A JSON Patch, as the text that is sent. Each operation is written to it as soon as it is known.
#[derive(Clone, Debug)]
pub struct Patch(Vec<u8>);

/// One operation (RFC 6902 section 4).
#[derive(Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Operation<'a, T: ?Sized> {
    /// Adds a member, replacing one of the same name (which `null` is too), or inserts an item.
    Add {
        path: &'a PointerBuf,
        value: &'a T,
    },
    Remove {
        path: &'a PointerBuf,
    },
}

/// A patch that does not fit an object.
#[derive(Debug, thiserror::Error)]
#[error("the patch does not fit the object: {0}")]
pub struct Misfit(String);

impl Patch {
    fn empty() -> Self {
        let mut text = Vec::with_capacity(CAPACITY);
        text.extend(b"[]");
        Self(text)
    }

    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0 == b"[]"
    }

    /// The JSON.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Changes an object.
    ///
    /// # Errors
    /// When it is not the object that the patch was made for.
    pub fn apply(&self, object: &mut Value) -> Result<(), Misfit> {
        let misfit = |error: &dyn ToString| Misfit(error.to_string());
        let operations: json_patch::Patch =
            serde_json::from_slice(&self.0).map_err(|error| misfit(&error))?;
        json_patch::patch(object, &operations).map_err(|error| misfit(&error))
    }
}

/// The operations that turn `before` into `after`, in an order that depends on nothing else.
#[must_use]
pub fn diff(mut before: Pod, mut after: Pod) -> Patch {
    let mut patch = Patch::empty();
    let (old, new) = (&mut before.metadata, &mut after.metadata);
    patch.entries("labels", old.labels.take(), new.labels.take());
    patch.entries(
        "annotations",
        old.annotations.take(),
        new.annotations.take(),
    );
    if let (Some(old), Some(new)) = (&mut before.spec, &mut after.spec) {
        patch.lists(old, new);
    }
    if before != after {
        patch.value(&mut PointerBuf::root(), &json(&before), &json(&after));
    }
    patch
}

/// An item of a list whose items are told apart by name.
trait Named {
    fn name(&self) -> &str;
}

impl Named for Container {
    fn name(&self) -> &str {
        &self.name
    }
}

impl Named for Volume {
    fn name(&self) -> &str {
        &self.name
    }
}

impl Named for LocalObjectReference {
    fn name(&self) -> &str {
        &self.name
    }
}

impl Patch {
    /// Compares labels or annotations.
    fn entries(
        &mut self,
        field: &str,
        before: Option<BTreeMap<String, String>>,
        after: Option<BTreeMap<String, String>>,
    ) {
        let mut path = PointerBuf::from_tokens(["metadata", field]);
        let (before, after) = match (before, after) {
            (Some(before), Some(after)) => (before, after),
            (None, Some(after)) => return self.add(&path, &after),
            (Some(_), None) => return self.remove(&path),
            (None, None) => return,
        };
        for key in before.keys().filter(|key| !after.contains_key(*key)) {
            path.push_back(key);
            self.remove(&path);
            path.pop_back();
        }
        for (key, value) in after
            .iter()
            .filter(|(key, value)| before.get(*key) != Some(value))
        {
            path.push_back(key);
            self.add(&path, value);
            path.pop_back();
        }
    }

    /// Compares the lists of a pod, and takes them out of it.
    fn lists(&mut self, old: &mut PodSpec, new: &mut PodSpec) {
        let (before, after) = (old.init_containers.take(), new.init_containers.take());
        self.list("initContainers", before, after);
        let before = std::mem::take(&mut old.containers);
        let after = std::mem::take(&mut new.containers);
        self.list("containers", Some(before), Some(after));
        self.list("volumes", old.volumes.take(), new.volumes.take());
        let (before, after) = (old.image_pull_secrets.take(), new.image_pull_secrets.take());
        self.list("imagePullSecrets", before, after);
    }

    /// Compares two lists of `spec`.
    fn list<T: Named + PartialEq + Serialize>(
        &mut self,
        field: &str,
        before: Option<Vec<T>>,
        after: Option<Vec<T>>,
    ) {
        let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
        if before == after {
            return;
        }
        let mut path = PointerBuf::from_tokens(["spec", field]);
        if before.is_empty() || !has_unique_names(&before) || !has_unique_names(&after) {
            return self.add(&path, &after);
        }
        let staying = staying(&before, &after);
        let stays = |item: &T| staying.contains(item.name());
        for (index, _) in before
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, item)| !stays(item))
        {
            path.push_back(index);
            self.remove(&path);
            path.pop_back();
        }
        for (index, item) in after.iter().enumerate() {
            path.push_back(index);
            match before
                .iter()
                .find(|old| stays(old) && old.name() == item.name())
            {
                Some(old) if old == item => {}
                Some(old) => self.value(&mut path, &json(old), &json(item)),
                None => self.add(&path, item),
            }
            path.pop_back();
        }
    }

    /// Compares two values: objects member by member, anything else as a whole.
    fn value(&mut self, path: &mut PointerBuf, before: &Value, after: &Value) {
        let (Value::Object(old), Value::Object(new)) = (before, after) else {
            if before != after {
                self.add(path, after);
            }
            return;
        };
        for name in old.keys().filter(|name| !new.contains_key(*name)) {
            path.push_back(name);
            self.remove(path);
            path.pop_back();
        }
        for (name, value) in new {
            path.push_back(name);
            match old.get(name) {
                Some(old) => self.value(path, old, value),
                None => self.add(path, value),
            }
            path.pop_back();
        }
    }

    fn add<T: Serialize + ?Sized>(&mut self, path: &PointerBuf, value: &T) {
        self.push(&Operation::Add { path, value });
    }

    fn remove(&mut self, path: &PointerBuf) {
        let operation: Operation<'_, ()> = Operation::Remove { path };
        self.push(&operation);
    }

    #[expect(
        clippy::expect_used,
        reason = "Kubernetes' types have string keys alone, as JSON does"
    )]
    fn push<T: Serialize + ?Sized>(&mut self, operation: &Operation<'_, T>) {
        let Self(text) = self;
        let is_first = text.len() == b"[]".len();
        text.pop();
        text.extend((!is_first).then_some(b','));
        serde_json::to_writer(&mut *text, operation).expect("a Kubernetes object is JSON");
        text.push(b']');
    }
}

/// A pod with a name twice is refused by the API server; here it must only do no harm.
fn has_unique_names<T: Named>(list: &[T]) -> bool {
    let names: BTreeSet<&str> = list.iter().map(Named::name).collect();
    names.len() == list.len()
}

/// The items that need not move: most of those that both lists have in the same order, so that a
/// sidecar that moves leaves the application's containers, with all their fields, where they are.
fn staying<'a, T: Named>(before: &'a [T], after: &[T]) -> BTreeSet<&'a str> {
    let place = |item: &T| after.iter().position(|kept| kept.name() == item.name());
    // For each item the heaviest run of items in order that ends with it.
    let mut runs: Vec<Run<'_>> = Vec::new();
    for item in before {
        let Some(place) = place(item) else { continue };
        let earlier = runs.iter().filter(|run| run.end < place);
        let heaviest = earlier.max_by_key(|run| run.weight);
        let mut run = heaviest.cloned().unwrap_or_default();
        run.end = place;
        // The proxy knows all its fields, and so is the one to move where there is a choice.
        run.weight += if item.name() == PROXY_CONTAINER { 1 } else { 2 };
        run.names.insert(item.name());
        runs.push(run);
    }
    let heaviest = runs.into_iter().max_by_key(|run| run.weight);
    heaviest.map(|run| run.names).unwrap_or_default()
}

/// Items that both lists have in the same order.
#[derive(Clone, Debug, Default)]
struct Run<'a> {
    /// Place of the last one in the new list.
    end: usize,
    weight: usize,
    names: BTreeSet<&'a str>,
}

#[expect(
    clippy::expect_used,
    reason = "Kubernetes' types have string keys alone, as JSON does"
)]
fn json<T: Serialize + ?Sized>(value: &T) -> Value {
    serde_json::to_value(value).expect("a Kubernetes object is JSON")
}

#[cfg(test)]
mod tests;
