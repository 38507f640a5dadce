//! What all of Istio's resources have in common: how a kind is called, how its spec is read, and the
//! CustomResourceDefinition that is made from its Rust type.

mod definition;
mod schema;
mod selector;
mod status;

#[cfg(test)]
mod tests;

use kube_core::{ApiResource, DynamicObject, Object};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Error, document};

pub use definition::crds;
pub use selector::{LabelSelector, TargetReference, WorkloadSelector};
pub use status::{Address, Condition, Status, ValidationMessage};

pub(crate) use schema::object_of_anything;

/// A resource with its metadata and status, as `kube` reads and writes it; its dynamic type is
/// [`api_resource`].
pub type Resource<S> = Object<S, Status>;

/// The `spec` of one of Istio's kinds.
pub trait Spec: Serialize + DeserializeOwned + JsonSchema {
    /// How the kind is called.
    const KIND: Kind;
}

/// How a kind is called and shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// API group, such as `networking.istio.io`.
    pub group: &'static str,
    /// Name in manifests, such as `VirtualService`.
    pub kind: &'static str,
    /// Name in URLs, such as `virtualservices`.
    pub plural: &'static str,
    /// Names that people type, such as `vs`.
    pub short_names: &'static [&'static str],
    /// Versions that are served, all with one schema; the first is the one that is stored.
    pub versions: &'static [&'static str],
    /// What `kubectl get` shows besides the name.
    pub columns: &'static [Column],
}

/// A column of `kubectl get`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Heading.
    pub name: &'static str,
    /// Path of the field below the resource, with a leading dot.
    pub path: &'static str,
    /// `string` or `date`.
    pub kind: &'static str,
    /// What `kubectl get --help` says of it.
    pub description: &'static str,
}

impl Column {
    /// How long ago the resource was made.
    pub(crate) const AGE: Self = Self {
        name: "Age",
        path: ".metadata.creationTimestamp",
        kind: "date",
        description: "When the resource was created.",
    };

    pub(crate) const fn text(
        name: &'static str,
        path: &'static str,
        description: &'static str,
    ) -> Self {
        Self {
            name,
            path,
            kind: "string",
            description,
        }
    }
}

/// How `kube` addresses a kind, in the version that is stored.
#[must_use]
pub fn api_resource<S: Spec>() -> ApiResource {
    let Kind {
        group,
        kind,
        plural,
        versions,
        ..
    } = S::KIND;
    let version = versions.first().copied().unwrap_or_default();
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: format!("{group}/{version}"),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    }
}

/// Reads the `spec` of an object; an object without one has an empty spec.
///
/// # Errors
/// When a field has a value it cannot have; the error names it, below `spec`.
pub fn read_spec<S: Spec>(object: &DynamicObject) -> Result<S, Error> {
    let spec = object.data.get("spec").unwrap_or(&Value::Null);
    let (spec, _) = document::check(S::KIND.kind, &document::without_nulls(spec))?;
    Ok(spec)
}
