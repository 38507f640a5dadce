//! Kubernetes objects as answers need them: checked, compact, with shared names.

use std::net::IpAddr;
use std::sync::Arc;

use lateen_wire::lateen::Protocol;

/// A Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Cluster addresses of both families; empty for headless services.
    pub addresses: Box<[IpAddr]>,
    /// `clusterIP: None`: clients see the endpoints themselves.
    pub headless: bool,
    /// `type: ExternalName`: an alias in DNS, with neither address nor endpoints.
    pub external: bool,
    /// Its ports.
    pub ports: Box<[Port]>,
    /// Labels a pod must have; empty when endpoints are managed by hand.
    pub selector: Labels,
    /// `sessionAffinity: ClientIP`.
    pub client_affinity: bool,
    /// Seconds since the epoch: of two services that claim a port the older wins.
    pub created: i64,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// May be empty when it is the only one.
    pub name: Arc<str>,
    /// The port clients connect to.
    pub number: u16,
    /// The port of the pod.
    pub target: TargetPort,
    /// Declared protocol. [`Protocol::Udp`] for UDP and SCTP, which the mesh leaves alone.
    pub protocol: Protocol,
}

/// `targetPort` of a Service's port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetPort {
    /// The same for every pod.
    Number(u16),
    /// Whatever the pod's container calls so.
    Name(Arc<str>),
}

/// A Pod that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Tells it from an earlier pod of the same name.
    pub uid: Arc<str>,
    /// The service account it runs as.
    pub service_account: Arc<str>,
    /// The node it runs on; empty before it is scheduled.
    pub node: Arc<str>,
    /// All of `status.podIPs`.
    pub addresses: Box<[IpAddr]>,
    /// Shares the node's network, and so its addresses.
    pub host_network: bool,
    /// Has a `deletionTimestamp`.
    pub terminating: bool,
    /// All labels.
    pub labels: Labels,
    /// Name of the Deployment, StatefulSet and so on that made it; its own when nothing did.
    pub workload: Arc<str>,
    /// Container ports with a name.
    pub named_ports: Box<[(Arc<str>, u16)]>,
}

impl Pod {
    /// Addresses that name this pod and no other.
    #[must_use]
    pub fn own_addresses(&self) -> &[IpAddr] {
        if self.host_network {
            &[]
        } else {
            &self.addresses
        }
    }
}

/// An EndpointSlice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// The service it belongs to.
    pub service: Option<Arc<str>>,
    /// Ports that every endpoint has.
    pub ports: Box<[SlicePort]>,
    /// Its endpoints, in the order of the object.
    pub endpoints: Box<[Endpoint]>,
}

/// A port of every endpoint of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlicePort {
    /// The service port's name.
    pub name: Arc<str>,
    /// The pod's port.
    pub number: u16,
}

/// An endpoint of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its first address; the others are by definition the same.
    pub address: IpAddr,
    /// Condition `ready`; what is not said counts as ready.
    pub ready: bool,
    /// Condition `serving`; what is not said counts as `ready`.
    pub serving: bool,
    /// Condition `terminating`.
    pub terminating: bool,
    /// Name of the pod behind it, in the slice's namespace.
    pub pod: Option<Arc<str>>,
    /// Its own name below the service's in DNS, if it was given one.
    pub hostname: Option<Arc<str>>,
}

/// Labels, in the order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(Box<[(Arc<str>, Arc<str>)]>);

impl Labels {
    /// From pairs in any order.
    pub fn new(pairs: impl IntoIterator<Item = (Arc<str>, Arc<str>)>) -> Self {
        let mut pairs: Vec<_> = pairs.into_iter().collect();
        pairs.sort_unstable();
        Self(pairs.into_boxed_slice())
    }

    /// The value of a label.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self
            .0
            .binary_search_by(|(key, _)| key.as_ref().cmp(name))
            .ok()?;
        self.0.get(found).map(|(_, value)| value.as_ref())
    }

    /// The first of several labels that is there and not empty.
    #[must_use]
    pub fn first_of(&self, names: &[&str]) -> Option<&str> {
        names
            .iter()
            .find_map(|name| self.get(name).filter(|value| !value.is_empty()))
    }

    /// Whether these labels, taken as a selector, select a pod with the labels of `pod`. An empty
    /// selector selects nothing, as for Services.
    #[must_use]
    pub fn selects(&self, pod: &Self) -> bool {
        !self.0.is_empty()
            && self
                .0
                .iter()
                .all(|(name, value)| pod.get(name) == Some(value.as_ref()))
    }
}
