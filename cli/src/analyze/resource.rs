//! An object, and where it comes from.

use std::fmt;

use kube::api::ApiResource;
use kube::{Resource as Kind, ResourceExt};

/// What a message is about, as `istioctl` tells it: `Pod shop/web`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Origin {
    pub(super) kind: String,
    pub(super) namespace: Option<String>,
    pub(super) name: String,
    /// File and line, if it comes from a file.
    pub(super) reference: Option<String>,
}

/// An object and its origin.
#[derive(Clone, Debug)]
pub(super) struct Resource<K> {
    pub(super) object: K,
    pub(super) origin: Origin,
}

impl<K: Kind<DynamicType = ()>> Resource<K> {
    /// An object with the file and line that it comes from, if it does.
    pub(super) fn new(object: K, reference: Option<String>) -> Self {
        let origin = Origin {
            kind: ApiResource::erase::<K>(&()).kind,
            namespace: object.namespace(),
            name: object.name_any(),
            reference,
        };
        Self { object, origin }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, name, .. } = self;
        match &self.namespace {
            Some(namespace) => write!(formatter, "{kind} {namespace}/{name}"),
            None => write!(formatter, "{kind} {name}"),
        }
    }
}
