//! One Kubernetes object of any kind, with what is needed to send it to the API server.

use anyhow::{Context, Result};
use kube::api::{ApiResource, DynamicObject};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde_json::Value;

/// Label of everything that an installation makes, by which `uninstall` finds it again.
pub const MANAGED_LABEL: &str = "app.kubernetes.io/part-of";
/// Value of [`MANAGED_LABEL`].
pub const MANAGED_VALUE: &str = "lateen";

/// Whether an object of a cluster is part of an installation of ours.
pub fn is_managed(object: &impl ResourceExt) -> bool {
    let label = object.labels().get(MANAGED_LABEL);
    label.is_some_and(|value| value == MANAGED_VALUE)
}

/// A Kubernetes object whose type is known only by its name.
#[derive(Clone, Debug)]
pub struct Object {
    /// Group, version, kind and plural.
    pub resource: ApiResource,
    /// The object itself.
    pub content: DynamicObject,
}

impl Object {
    /// Forgets the type of an object.
    ///
    /// # Errors
    /// Only if the object cannot be written as JSON.
    pub fn new<K>(typed: &K) -> Result<Self>
    where
        K: Resource<DynamicType = ()> + Serialize,
    {
        let resource = ApiResource::erase::<K>(&());
        let content = serde_json::to_value(typed)
            .and_then(serde_json::from_value)
            .with_context(|| format!("cannot write a {} as JSON", resource.kind))?;
        Ok(Self { resource, content })
    }

    /// The object's name; empty if it has none.
    #[must_use]
    pub fn name(&self) -> &str {
        self.content.metadata.name.as_deref().unwrap_or_default()
    }

    /// The object's namespace, unless it belongs to the whole cluster.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.content.metadata.namespace.as_deref()
    }

    /// Whether it is the object of a kind with this name in this place.
    #[must_use]
    pub fn is(&self, kind: &ApiResource, namespace: Option<&str>, name: &str) -> bool {
        self.resource == *kind && self.namespace() == namespace && self.name() == name
    }

    /// `Kind namespace/name`, for people.
    #[must_use]
    pub fn title(&self) -> String {
        match self.namespace() {
            Some(namespace) => format!("{} {namespace}/{}", self.resource.kind, self.name()),
            None => format!("{} {}", self.resource.kind, self.name()),
        }
    }

    /// The object as JSON.
    ///
    /// # Errors
    /// Only if the object cannot be written as JSON.
    pub fn to_json(&self) -> Result<Value> {
        serde_json::to_value(&self.content)
            .with_context(|| format!("cannot write {} as JSON", self.title()))
    }

    /// The object as a YAML document.
    ///
    /// # Errors
    /// Only if the object cannot be written as YAML.
    pub fn to_yaml(&self) -> Result<String> {
        let mut value = self.to_json()?;
        value.sort_all_objects();
        serde_saphyr::to_string(&value)
            .with_context(|| format!("cannot write {} as YAML", self.title()))
    }
}
