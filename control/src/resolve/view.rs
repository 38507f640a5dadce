//! A snapshot that remembers what was looked at, so that no answer can forget a dependency.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use lateen_wire::lateen::Mesh;

use crate::snapshot::{Cluster, Fact, Facts, Pod, Service, Slice, Snapshot};

/// A snapshot under observation.
pub(super) struct View<'a> {
    snapshot: &'a Snapshot,
    seen: RefCell<Facts>,
}

impl<'a> View<'a> {
    pub(super) fn new(snapshot: &'a Snapshot) -> Self {
        Self {
            snapshot,
            seen: RefCell::default(),
        }
    }

    pub(super) fn into_seen(self) -> Facts {
        self.seen.into_inner()
    }

    pub(super) const fn cluster(&self) -> &'a Cluster {
        self.snapshot.cluster()
    }

    pub(super) fn service(&self, namespace: &str, name: &str) -> Option<&'a Service> {
        self.see(Fact::Service(Arc::from(namespace), Arc::from(name)));
        self.snapshot.service(namespace, name)
    }

    pub(super) fn service_at(&self, address: IpAddr) -> Option<&'a Service> {
        self.see(Fact::ServiceAddress(address));
        self.snapshot.service_at(address)
    }

    pub(super) fn services_in(&self, namespace: &str) -> impl Iterator<Item = &'a Service> {
        self.see(Fact::ServicesIn(Arc::from(namespace)));
        self.snapshot.services_in(namespace)
    }

    pub(super) fn slices_of(&self, service: &Service) -> impl Iterator<Item = &'a str> {
        self.see(Fact::SlicesOf(
            service.namespace.clone(),
            service.name.clone(),
        ));
        self.snapshot.slices_of(&service.namespace, &service.name)
    }

    pub(super) fn slice(&self, namespace: &str, name: &str) -> Option<&'a Slice> {
        self.see(Fact::Slice(Arc::from(namespace), Arc::from(name)));
        self.snapshot.slice(namespace, name)
    }

    pub(super) fn pod(&self, namespace: &str, name: &str) -> Option<&'a Pod> {
        self.see(Fact::Pod(Arc::from(namespace), Arc::from(name)));
        self.snapshot.pod(namespace, name)
    }

    pub(super) fn pod_at(&self, address: IpAddr) -> Option<&'a Pod> {
        self.see(Fact::PodAddress(address));
        self.snapshot.pod_at(address)
    }

    pub(super) fn locality(&self, node: &Arc<str>) -> &'a str {
        self.see(Fact::Node(node.clone()));
        self.snapshot.locality(node)
    }

    pub(super) fn service_ranges(&self) -> BTreeSet<IpNet> {
        self.see(Fact::ServiceRanges);
        self.snapshot.service_ranges()
    }

    pub(super) fn mesh(&self) -> &'a Mesh {
        self.see(Fact::Mesh);
        self.snapshot.mesh()
    }

    fn see(&self, fact: Fact) {
        self.seen.borrow_mut().insert(fact);
    }
}
