//! Fields that somebody changed by hand since the last installation. The API server names them and
//! who holds them; we leave them out of what we apply, so that an installation does not undo what
//! an operator did.

use std::fmt;

use kube::api::DynamicObject;
use kube::core::Status;
use serde_json::Value;

/// Managers that install: what they wrote is meant to be overwritten by the next installation.
const INSTALLERS: [&str; 2] = ["helm", super::apply::MANAGER];

/// One field that somebody else holds with another value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Conflict {
    /// Where: `.spec.replicas`, `.spec.containers[name="x"].image`.
    pub(super) field: String,
    /// Who.
    pub(super) manager: String,
}

impl Conflict {
    /// The conflicts that the API server's refusal names.
    pub(super) fn all(status: &Status) -> Vec<Self> {
        let causes = status.details.iter().flat_map(|details| &details.causes);
        causes
            .filter(|cause| cause.reason == "FieldManagerConflict")
            .map(|cause| Self {
                field: cause.field.clone(),
                manager: cause
                    .message
                    .split('"')
                    .nth(1)
                    .unwrap_or("somebody")
                    .to_owned(),
            })
            .collect()
    }

    pub(super) fn is_with_installer(&self) -> bool {
        INSTALLERS.contains(&self.manager.as_str())
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} as {} changed it", self.field, self.manager)
    }
}

/// The object without one field; `None` if it has no such field.
pub(super) fn without(object: &DynamicObject, field: &str) -> Option<DynamicObject> {
    let mut value = serde_json::to_value(object).ok()?;
    remove(&mut value, field)?;
    serde_json::from_value(value).ok()
}

/// Removes what the path leads to.
fn remove(value: &mut Value, path: &str) -> Option<()> {
    if let Some(rest) = path.strip_prefix('.') {
        let map = value.as_object_mut()?;
        let (key, rest) = key_of(map.keys(), rest)?;
        if rest.is_empty() {
            map.remove(&key)?;
            return Some(());
        }
        return remove(map.get_mut(&key)?, rest);
    }
    let (selector, rest) = path.strip_prefix('[')?.split_once(']')?;
    let list = value.as_array_mut()?;
    let position = list.iter().position(|item| matches(item, selector))?;
    if rest.is_empty() {
        list.remove(position);
        return Some(());
    }
    remove(list.get_mut(position)?, rest)
}

/// The key that a path begins with, and what follows it. Keys such as `istio.io/rev` hold dots
/// themselves, so the longest key that fits is meant.
fn key_of<'k, 'p>(
    keys: impl Iterator<Item = &'k String>,
    path: &'p str,
) -> Option<(String, &'p str)> {
    keys.filter_map(|key| {
        let rest = path.strip_prefix(key.as_str())?;
        (rest.is_empty() || rest.starts_with(['.', '['])).then_some((key.clone(), rest))
    })
    .max_by_key(|(key, _)| key.len())
}

/// Whether a list's item is the one that `name="x",port=1` or `="x"` selects.
fn matches(item: &Value, selector: &str) -> bool {
    selector.split(',').all(|condition| {
        let Some((key, wanted)) = condition.split_once('=') else {
            return false;
        };
        let actual = if key.is_empty() {
            Some(item)
        } else {
            item.get(key)
        };
        actual.is_some() && serde_json::from_str(wanted).ok().as_ref() == actual
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object() -> Value {
        json!({
            "metadata": {"labels": {"istio.io/rev": "default", "istio": "x"}},
            "data": {"mesh": "a", "meshNetworks": "b"},
            "spec": {"replicas": 2, "containers": [
                {"name": "a", "image": "1"},
                {"name": "b", "image": "2", "ports": [{"containerPort": 1, "protocol": "TCP"}]}
            ], "finalizers": ["x", "y"]}
        })
    }

    #[test]
    fn the_field_and_nothing_else_is_removed() {
        for (path, pointer) in [
            (".data.mesh", "/data/mesh"),
            (
                ".metadata.labels.istio.io/rev",
                "/metadata/labels/istio.io~1rev",
            ),
            (".spec.replicas", "/spec/replicas"),
            (
                r#".spec.containers[name="b"].image"#,
                "/spec/containers/1/image",
            ),
            (
                r#".spec.containers[name="b"].ports[containerPort=1,protocol="TCP"].protocol"#,
                "/spec/containers/1/ports/0/protocol",
            ),
        ] {
            let mut left = object();
            remove(&mut left, path).unwrap();
            assert!(left.pointer(pointer).is_none(), "{path}");
            *left
                .pointer_mut(pointer.rsplit_once('/').unwrap().0)
                .unwrap() = json!(null);
            let mut expected = object();
            *expected
                .pointer_mut(pointer.rsplit_once('/').unwrap().0)
                .unwrap() = json!(null);
            assert_eq!(left, expected, "{path}");
        }
    }

    #[test]
    fn items_of_lists_are_removed() {
        let mut value = object();
        remove(&mut value, r#".spec.finalizers[="x"]"#).unwrap();
        assert_eq!(value["spec"]["finalizers"], json!(["y"]));
    }

    #[test]
    fn what_is_not_there_cannot_be_removed() {
        for path in [
            ".spec.nothing",
            ".data",
            ".spec.containers[name=\"z\"].image",
            "spec",
            ".spec.replicas.x",
        ] {
            let mut value = json!({"spec": {"replicas": 1, "containers": []}});
            assert!(remove(&mut value, path).is_none(), "{path}");
        }
    }

    #[test]
    fn the_manager_is_read_from_the_message() {
        let status: Status = serde_json::from_value(json!({"details": {"causes": [
            {"reason": "FieldManagerConflict", "message": "conflict with \"kubectl-edit\" using v1", "field": ".data.mesh"},
            {"reason": "FieldManagerConflict", "message": "conflict with \"helm\" using apps/v1", "field": ".spec.replicas"},
            {"reason": "Other", "message": "", "field": ".x"}
        ]}}))
        .unwrap();
        let conflicts = Conflict::all(&status);
        assert_eq!(conflicts.len(), 2);
        assert_eq!(
            conflicts[0].to_string(),
            ".data.mesh as kubectl-edit changed it"
        );
        assert!(!conflicts[0].is_with_installer());
        assert!(conflicts[1].is_with_installer());
    }
}
