//! The difference between a pod and its injected form as JSON Patch (RFC 6902).
//!
//! The patch is for the pod as the API server has it, which may hold fields that this program has
//! never heard of. So nothing is replaced that has not changed, and items of lists with names are
//! inserted and removed by their place, never overwritten by their neighbours.

use std::collections::BTreeSet;

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation, RemoveOperation};
use k8s_openapi::api::core::v1::{Container, LocalObjectReference, Pod, PodSpec, Volume};
use serde::Serialize;
use serde_json::Value;

/// The operations that turn `before` into `after`, in an order that depends on nothing else.
#[must_use]
pub fn diff(mut before: Pod, mut after: Pod) -> Patch {
    let mut operations = Operations::default();
    let (old, new) = (&mut before.metadata, &mut after.metadata);
    operations.field(
        &["metadata", "labels"],
        &old.labels.take(),
        &new.labels.take(),
    );
    operations.field(
        &["metadata", "annotations"],
        &old.annotations.take(),
        &new.annotations.take(),
    );
    if let (Some(old), Some(new)) = (&mut before.spec, &mut after.spec) {
        operations.spec(old, new);
    }
    if before != after {
        operations.value(&mut PointerBuf::root(), &json(&before), &json(&after));
    }
    Patch(operations.0)
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

#[derive(Default)]
struct Operations(Vec<PatchOperation>);

impl Operations {
    /// Compares the lists of a pod, and takes them out of it.
    fn spec(&mut self, old: &mut PodSpec, new: &mut PodSpec) {
        let list = |list: &mut Option<Vec<Container>>| list.take().unwrap_or_default();
        let (before, after) = (
            list(&mut old.init_containers),
            list(&mut new.init_containers),
        );
        self.list("initContainers", &before, &after);
        let before = std::mem::take(&mut old.containers);
        let after = std::mem::take(&mut new.containers);
        self.list("containers", &before, &after);
        let (before, after) = (old.volumes.take(), new.volumes.take());
        self.list(
            "volumes",
            &before.unwrap_or_default(),
            &after.unwrap_or_default(),
        );
        let (before, after) = (old.image_pull_secrets.take(), new.image_pull_secrets.take());
        self.list(
            "imagePullSecrets",
            &before.unwrap_or_default(),
            &after.unwrap_or_default(),
        );
    }

    /// Compares two values of a field that may be absent.
    fn field<T: PartialEq + Serialize>(
        &mut self,
        path: &[&str],
        before: &Option<T>,
        after: &Option<T>,
    ) {
        let mut path = PointerBuf::from_tokens(path.iter().copied());
        match (before, after) {
            (Some(before), Some(after)) if before != after => {
                self.value(&mut path, &json(before), &json(after));
            }
            (None, Some(after)) => self.add(&path, json(after)),
            (Some(_), None) => self.remove(&path),
            _ => {}
        }
    }

    /// Compares two lists of `spec`.
    fn list<T: Named + PartialEq + Serialize>(&mut self, field: &str, before: &[T], after: &[T]) {
        if before == after {
            return;
        }
        let mut path = PointerBuf::from_tokens(["spec", field]);
        if before.is_empty() || !keeps_order(before, after) {
            return self.add(&path, json(after));
        }
        let stays: BTreeSet<&str> = after.iter().map(Named::name).collect();
        for (index, _) in before
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, item)| !stays.contains(item.name()))
        {
            path.push_back(index);
            self.remove(&path);
            path.pop_back();
        }
        for (index, item) in after.iter().enumerate() {
            path.push_back(index);
            match before.iter().find(|old| old.name() == item.name()) {
                Some(old) if old == item => {}
                Some(old) => self.value(&mut path, &json(old), &json(item)),
                None => self.add(&path, json(item)),
            }
            path.pop_back();
        }
    }

    /// Compares two values: objects member by member, anything else as a whole.
    fn value(&mut self, path: &mut PointerBuf, before: &Value, after: &Value) {
        let (Value::Object(old), Value::Object(new)) = (before, after) else {
            if before != after {
                self.add(path, after.clone());
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
                None => self.add(path, value.clone()),
            }
            path.pop_back();
        }
    }

    /// Adds a member, replacing one of the same name (which `null` is too), or inserts an item.
    fn add(&mut self, path: &PointerBuf, value: Value) {
        self.0.push(PatchOperation::Add(AddOperation {
            path: path.clone(),
            value,
        }));
    }

    fn remove(&mut self, path: &PointerBuf) {
        self.0.push(PatchOperation::Remove(RemoveOperation {
            path: path.clone(),
        }));
    }
}

/// Whether the items that both lists have are in the same order in both, each name once. Everything
/// that the injector does keeps the order; a pod with a name twice is refused by the API server.
fn keeps_order<T: Named>(before: &[T], after: &[T]) -> bool {
    let names = |list: &[T]| {
        list.iter()
            .map(|item| item.name().to_owned())
            .collect::<Vec<_>>()
    };
    let (before, after) = (names(before), names(after));
    let (old, new): (BTreeSet<_>, BTreeSet<_>) = (before.iter().collect(), after.iter().collect());
    old.len() == before.len()
        && new.len() == after.len()
        && before
            .iter()
            .filter(|name| new.contains(name))
            .eq(after.iter().filter(|name| old.contains(name)))
}

#[expect(
    clippy::expect_used,
    reason = "Kubernetes' types have string keys alone, which JSON has too"
)]
fn json<T: Serialize + ?Sized>(value: &T) -> Value {
    serde_json::to_value(value).expect("a Kubernetes object is JSON")
}

#[cfg(test)]
mod tests;
