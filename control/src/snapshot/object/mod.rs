//! Kubernetes objects as they arrive, with the fields that are used and no others, and how each
//! kind enters and leaves the snapshot.

mod cluster;
mod pod;
mod service;
mod slice;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::IpAddr;
use std::sync::Arc;

use kube::Resource;
use serde::de::DeserializeOwned;

use super::{Facts, Labels, Names, Snapshot};

pub use cluster::{NamespaceObject, NodeObject, ServiceRangeObject};
pub use pod::PodObject;
pub use service::ServiceObject;
pub use slice::SliceObject;

/// A kind of object that the snapshot holds.
pub trait Object:
    Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static
{
    /// Enters the snapshot, or replaces what it holds under this name.
    fn store(self, snapshot: &mut Snapshot, changed: &mut Facts);

    /// Leaves the snapshot.
    fn remove(namespace: &str, name: &str, snapshot: &mut Snapshot, changed: &mut Facts);

    /// Namespaces (empty for cluster-wide kinds) and names of all that the snapshot holds.
    fn held(snapshot: &Snapshot) -> Vec<(Arc<str>, Arc<str>)>;
}

fn labels(pairs: &BTreeMap<String, String>, names: &mut Names) -> Labels {
    Labels::new(
        pairs
            .iter()
            .map(|(name, value)| (names.intern(name), names.intern(value))),
    )
}

/// An address as the API server writes it; anything else (`None`, a host) is none.
fn address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>()
        .ok()
        .map(|address| address.to_canonical())
}
