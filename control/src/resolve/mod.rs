//! Answers to what proxies ask, as pure functions of a [`Snapshot`]. Each answer comes with the
//! facts it was made from: when none of them changes, neither does the answer. Equal snapshots give
//! equal bytes on every replica.
//!
//! Not resolved yet: services of type ExternalName, node ports and load balancer addresses. They
//! are answered [`Unknown`], so that their traffic passes through to where the application sent it.

mod destination;
mod host;
mod name;
mod own;
mod slice;
mod view;
mod workload;

use crate::snapshot::{Facts, Snapshot};
use lateen_wire::lateen::{
    Destination, EndpointSlice, HostAddresses, Own, Workload, destination::Answer,
};
use lateen_wire::resource::DestinationName;
use std::net::IpAddr;

#[cfg(doc)]
use lateen_wire::lateen::Unknown;

use view::View;

/// On whose behalf a name is resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client<'a> {
    /// Short names mean services of this namespace.
    pub namespace: &'a str,
}

/// An answer and what it was made from.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved<T> {
    /// The answer.
    pub message: T,
    /// The facts that were looked at, also those that turned out not to be.
    pub dependencies: Facts,
}

/// Who has this host or address and port. "Nobody" is an answer too.
#[must_use]
pub fn destination(
    snapshot: &Snapshot,
    client: Client<'_>,
    name: &DestinationName,
) -> Resolved<Destination> {
    resolved(snapshot, |view| Destination {
        answer: Some(destination::answer(view, client, name)),
    })
}

/// The endpoints of one slice; None when there is no such slice.
#[must_use]
pub fn endpoint_slice(
    snapshot: &Snapshot,
    namespace: &str,
    name: &str,
) -> Resolved<Option<EndpointSlice>> {
    resolved(snapshot, |view| {
        slice::endpoint_slice(view, namespace, name)
    })
}

/// What DNS says of a host; None when it is not of the mesh, or has no address now.
#[must_use]
pub fn host_addresses(
    snapshot: &Snapshot,
    client: Client<'_>,
    host: &str,
) -> Resolved<Option<HostAddresses>> {
    resolved(snapshot, |view| host::addresses(view, client, host))
}

/// The workload that has an address for itself.
#[must_use]
pub fn workload(snapshot: &Snapshot, address: IpAddr) -> Resolved<Option<Workload>> {
    resolved(snapshot, |view| {
        view.pod_at(address).map(|pod| workload::of_pod(view, pod))
    })
}

/// What the proxy of a pod must know of its own workload; None when there is no such pod.
#[must_use]
pub fn own(snapshot: &Snapshot, namespace: &str, pod: &str) -> Resolved<Option<Own>> {
    resolved(snapshot, |view| own::own(view, namespace, pod))
}

fn resolved<'a, T>(snapshot: &'a Snapshot, answer: impl FnOnce(&View<'a>) -> T) -> Resolved<T> {
    let view = View::new(snapshot);
    let message = answer(&view);
    Resolved {
        message,
        dependencies: view.into_seen(),
    }
}

/// An address as messages hold it: 4 or 16 bytes.
fn bytes_of(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

const UNKNOWN: Answer = Answer::Unknown(lateen_wire::lateen::Unknown {});

#[cfg(test)]
pub(crate) mod tests;
