//! The grain of change: what an answer can depend on.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

/// One thing that is known, or known not to be, about the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fact {
    /// The service of this namespace and name.
    Service(Arc<str>, Arc<str>),
    /// Which service has this cluster address.
    ServiceAddress(IpAddr),
    /// Which services a namespace has, and what they are.
    ServicesIn(Arc<str>),
    /// Which slices the service of this namespace and name has.
    SlicesOf(Arc<str>, Arc<str>),
    /// The slice of this namespace and name.
    Slice(Arc<str>, Arc<str>),
    /// The pod of this namespace and name.
    Pod(Arc<str>, Arc<str>),
    /// Which pod has this address.
    PodAddress(IpAddr),
    /// The node of this name.
    Node(Arc<str>),
    /// The ranges of service addresses.
    ServiceRanges,
    /// The mesh settings.
    Mesh,
}

/// A set of facts.
pub type Facts = HashSet<Fact>;
