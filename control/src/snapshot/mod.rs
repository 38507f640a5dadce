//! What the cluster looks like, as far as answers need it: compact records and the indexes over
//! them. Pure data: objects go in, records and the [`Fact`]s that changed come out. The watches
//! that feed it are in [`watch`], sharing between tasks in [`store`].

mod fact;
mod intern;
mod manifest;
pub mod object;
mod protocol;
mod record;
pub mod store;
mod table;
pub mod watch;

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use lateen_wire::lateen::Mesh;

pub use fact::{Fact, Facts};
pub use intern::Names;
pub use record::{Endpoint, Labels, Pod, Port, Service, Slice, SlicePort, TargetPort};
pub use table::Table;

/// What stays the same for the life of the process.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// `CLUSTER_ID`, the value of `*_cluster` metric labels.
    pub id: String,
    /// The cluster's DNS domain, such as `cluster.local`.
    pub domain: String,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            id: "Kubernetes".to_owned(),
            domain: "cluster.local".to_owned(),
        }
    }
}

/// The state of the cluster at one moment.
#[derive(Default)]
pub struct Snapshot {
    cluster: Cluster,
    names: Names,
    services: Table<Service>,
    services_by_address: HashMap<IpAddr, BTreeSet<Owner>>,
    pods: Table<Pod>,
    pods_by_address: HashMap<IpAddr, BTreeSet<Owner>>,
    slices: Table<Slice>,
    slices_by_service: HashMap<Owner, BTreeSet<Arc<str>>>,
    localities: HashMap<Arc<str>, Arc<str>>,
    namespaces: HashMap<Arc<str>, Phase>,
    service_ranges: HashMap<Arc<str>, Vec<IpNet>>,
    mesh: Mesh,
}

/// Namespace and name of an object that an index points to.
type Owner = (Arc<str>, Arc<str>);

/// Where a namespace is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Objects can be made in it.
    Active,
    /// It is being deleted.
    Terminating,
}

/// Reading.
impl Snapshot {
    /// An empty cluster.
    #[must_use]
    pub fn new(cluster: Cluster) -> Self {
        let mesh = Mesh {
            trust_domain: lateen_wire::names::TRUST_DOMAIN.to_owned(),
            ..Mesh::default()
        };
        Self {
            cluster,
            mesh,
            ..Self::default()
        }
    }

    /// What never changes.
    #[must_use]
    pub const fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// A service by its name.
    #[must_use]
    pub fn service(&self, namespace: &str, name: &str) -> Option<&Service> {
        self.services.get(namespace, name)
    }

    /// All services of a namespace, in no order.
    pub fn services_in(&self, namespace: &str) -> impl Iterator<Item = &Service> {
        self.services.in_namespace(namespace)
    }

    /// All services, in no order.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.services.iter()
    }

    /// The service that has this cluster address.
    #[must_use]
    pub fn service_at(&self, address: IpAddr) -> Option<&Service> {
        let owners = self.services_by_address.get(&address)?;
        owners
            .iter()
            .find_map(|(namespace, name)| self.services.get(namespace, name))
    }

    /// A pod by its name.
    #[must_use]
    pub fn pod(&self, namespace: &str, name: &str) -> Option<&Pod> {
        self.pods.get(namespace, name)
    }

    /// The pod that has this address for itself. While an address moves from a leaving pod to a
    /// new one, the new one has it.
    #[must_use]
    pub fn pod_at(&self, address: IpAddr) -> Option<&Pod> {
        let owners = self.pods_by_address.get(&address)?;
        owners
            .iter()
            .filter_map(|(namespace, name)| self.pods.get(namespace, name))
            .min_by_key(|pod| pod.terminating)
    }

    /// An endpoint slice by its name.
    #[must_use]
    pub fn slice(&self, namespace: &str, name: &str) -> Option<&Slice> {
        self.slices.get(namespace, name)
    }

    /// Names of the slices of a service, in order.
    pub fn slices_of(&self, namespace: &str, service: &str) -> impl Iterator<Item = &str> {
        let owner = (Arc::from(namespace), Arc::from(service));
        self.slices_by_service
            .get(&owner)
            .into_iter()
            .flatten()
            .map(AsRef::as_ref)
    }

    /// `region/zone/subzone` of a node, as its labels say; empty when they say nothing.
    #[must_use]
    pub fn locality(&self, node: &str) -> &str {
        self.localities.get(node).map_or("", AsRef::as_ref)
    }

    /// All namespaces with their phase, in no order.
    pub fn namespaces(&self) -> impl Iterator<Item = (&Arc<str>, Phase)> {
        self.namespaces.iter().map(|(name, phase)| (name, *phase))
    }

    /// The address ranges that services get addresses from, in order.
    #[must_use]
    pub fn service_ranges(&self) -> BTreeSet<IpNet> {
        self.service_ranges.values().flatten().copied().collect()
    }

    /// The mesh settings in force.
    #[must_use]
    pub const fn mesh(&self) -> &Mesh {
        &self.mesh
    }
}

/// Writing. Each call adds the facts that are different now to `changed`.
impl Snapshot {
    /// The names that records share.
    pub const fn names(&mut self) -> &mut Names {
        &mut self.names
    }

    /// Puts a service in place of what had its name.
    pub fn put_service(&mut self, service: Service, changed: &mut Facts) {
        if self.services.get(&service.namespace, &service.name) == Some(&service) {
            return;
        }
        let (namespace, name) = (service.namespace.clone(), service.name.clone());
        self.remove_service(&namespace, &name, changed);
        for address in &service.addresses {
            self.services_by_address
                .entry(*address)
                .or_default()
                .insert((namespace.clone(), name.clone()));
            changed.insert(Fact::ServiceAddress(*address));
        }
        changed.insert(Fact::Service(namespace.clone(), name.clone()));
        changed.insert(Fact::ServicesIn(namespace.clone()));
        self.services.insert(namespace, name, service);
    }

    /// Takes a service out.
    pub fn remove_service(&mut self, namespace: &str, name: &str, changed: &mut Facts) {
        let Some(service) = self.services.remove(namespace, name) else {
            return;
        };
        let owner = (service.namespace.clone(), service.name.clone());
        for address in &service.addresses {
            unlink(&mut self.services_by_address, address, &owner);
            changed.insert(Fact::ServiceAddress(*address));
        }
        changed.insert(Fact::ServicesIn(owner.0.clone()));
        changed.insert(Fact::Service(owner.0, owner.1));
    }

    /// Puts a pod in place of what had its name.
    pub fn put_pod(&mut self, pod: Pod, changed: &mut Facts) {
        if self.pods.get(&pod.namespace, &pod.name) == Some(&pod) {
            return;
        }
        let (namespace, name) = (pod.namespace.clone(), pod.name.clone());
        self.remove_pod(&namespace, &name, changed);
        for address in pod.own_addresses() {
            self.pods_by_address
                .entry(*address)
                .or_default()
                .insert((namespace.clone(), name.clone()));
            changed.insert(Fact::PodAddress(*address));
        }
        changed.insert(Fact::Pod(namespace.clone(), name.clone()));
        self.pods.insert(namespace, name, pod);
    }

    /// Takes a pod out.
    pub fn remove_pod(&mut self, namespace: &str, name: &str, changed: &mut Facts) {
        let Some(pod) = self.pods.remove(namespace, name) else {
            return;
        };
        let owner = (pod.namespace.clone(), pod.name.clone());
        for address in pod.own_addresses() {
            unlink(&mut self.pods_by_address, address, &owner);
            changed.insert(Fact::PodAddress(*address));
        }
        changed.insert(Fact::Pod(owner.0, owner.1));
    }

    /// Puts an endpoint slice in place of what had its name.
    pub fn put_slice(&mut self, slice: Slice, changed: &mut Facts) {
        let old = self.slices.get(&slice.namespace, &slice.name);
        if old == Some(&slice) {
            return;
        }
        let (namespace, name) = (slice.namespace.clone(), slice.name.clone());
        if old.is_none_or(|old| old.service != slice.service) {
            self.remove_slice(&namespace, &name, changed);
            if let Some(service) = slice.service.clone() {
                let owner = (namespace.clone(), service);
                changed.insert(Fact::SlicesOf(owner.0.clone(), owner.1.clone()));
                self.slices_by_service
                    .entry(owner)
                    .or_default()
                    .insert(name.clone());
            }
        }
        changed.insert(Fact::Slice(namespace.clone(), name.clone()));
        self.slices.insert(namespace, name, slice);
    }

    /// Takes an endpoint slice out.
    pub fn remove_slice(&mut self, namespace: &str, name: &str, changed: &mut Facts) {
        let Some(slice) = self.slices.remove(namespace, name) else {
            return;
        };
        if let Some(service) = slice.service {
            let owner = (slice.namespace.clone(), service);
            unlink(&mut self.slices_by_service, &owner, &slice.name);
            changed.insert(Fact::SlicesOf(owner.0, owner.1));
        }
        changed.insert(Fact::Slice(slice.namespace, slice.name));
    }

    /// Sets where a node is; `None` when the node is gone.
    pub fn set_locality(&mut self, node: &str, locality: Option<&str>, changed: &mut Facts) {
        if self.localities.get(node).map(AsRef::as_ref) == locality {
            return;
        }
        let node = self.names.intern(node);
        changed.insert(Fact::Node(node.clone()));
        match locality {
            Some(locality) => {
                let locality = self.names.intern(locality);
                self.localities.insert(node, locality);
            }
            None => {
                self.localities.remove(&node);
            }
        }
    }

    /// Sets the phase of a namespace; `None` when it is gone.
    pub fn set_namespace(&mut self, name: &str, phase: Option<Phase>) {
        let name = self.names.intern(name);
        match phase {
            Some(phase) => self.namespaces.insert(name, phase),
            None => self.namespaces.remove(&name),
        };
    }

    /// Sets the ranges of one ServiceCIDR object; empty when it is gone.
    pub fn set_service_ranges(&mut self, object: &str, ranges: Vec<IpNet>, changed: &mut Facts) {
        let object = self.names.intern(object);
        let old = if ranges.is_empty() {
            self.service_ranges.remove(&object)
        } else {
            self.service_ranges.insert(object.clone(), ranges)
        };
        if old.as_ref() != self.service_ranges.get(&object) {
            changed.insert(Fact::ServiceRanges);
        }
    }

    /// Sets the mesh settings.
    pub fn set_mesh(&mut self, mesh: Mesh, changed: &mut Facts) {
        if self.mesh != mesh {
            self.mesh = mesh;
            changed.insert(Fact::Mesh);
        }
    }
}

/// Names of what is held of one kind, for finding what a new list no longer has.
impl Snapshot {
    pub(crate) fn service_names(&self) -> Vec<Owner> {
        self.services.names()
    }

    pub(crate) fn pod_names(&self) -> Vec<Owner> {
        self.pods.names()
    }

    pub(crate) fn slice_names(&self) -> Vec<Owner> {
        self.slices.names()
    }

    pub(crate) fn node_names(&self) -> Vec<Owner> {
        self.localities
            .keys()
            .map(|name| (Arc::from(""), name.clone()))
            .collect()
    }

    pub(crate) fn namespace_names(&self) -> Vec<Owner> {
        self.namespaces
            .keys()
            .map(|name| (Arc::from(""), name.clone()))
            .collect()
    }

    pub(crate) fn service_range_names(&self) -> Vec<Owner> {
        self.service_ranges
            .keys()
            .map(|name| (Arc::from(""), name.clone()))
            .collect()
    }
}

/// Takes one owner out of an index, and the entry with its last owner.
fn unlink<K: std::hash::Hash + Eq, V: Ord>(
    index: &mut HashMap<K, BTreeSet<V>>,
    key: &K,
    owner: &V,
) {
    if let Some(owners) = index.get_mut(key) {
        owners.remove(owner);
        if owners.is_empty() {
            index.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
