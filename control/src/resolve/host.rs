//! What DNS says of a host: the cluster addresses of a service, the ready endpoints of a headless one, or
//! one endpoint by its own name. The same as the cluster's name server would say (Kubernetes'
//! "DNS-Based Service Discovery", version 1.1.0, sections 2.3 and 2.4).

use std::collections::BTreeSet;
use std::net::IpAddr;

use lateen_wire::lateen::HostAddresses;

use super::name::{self, Candidate};
use super::view::View;
use super::{Client, bytes_of};
use crate::snapshot::{Endpoint, Service};

/// Addresses of one host at most: more than a DNS message can hold.
const MAX_ADDRESSES: usize = 4_096;

/// The addresses of the first service or endpoint that the host can mean. None when there is none, or
/// when it has no address now: the cluster's name server knows what to say then.
pub(super) fn addresses(view: &View<'_>, client: Client<'_>, host: &str) -> Option<HostAddresses> {
    let candidates = name::candidates(host, client.namespace, &view.cluster().domain);
    let found = candidates
        .iter()
        .map(|candidate| addresses_of(view, candidate, host))
        .find(|found| !found.is_empty())?;
    Some(HostAddresses {
        addresses: found
            .into_iter()
            .take(MAX_ADDRESSES)
            .map(bytes_of)
            .collect(),
    })
}

fn addresses_of(view: &View<'_>, candidate: &Candidate<'_>, host: &str) -> BTreeSet<IpAddr> {
    let service = view
        .service(candidate.namespace, candidate.service)
        .filter(|service| !service.external);
    let Some(service) = service else {
        return BTreeSet::new();
    };
    if candidate.endpoint_of {
        let label = host.split('.').next().unwrap_or(host);
        endpoints(view, service, |endpoint| is_named(endpoint, label))
    } else if service.headless {
        endpoints(view, service, |_| true)
    } else {
        service.addresses.iter().copied().collect()
    }
}

fn endpoints(
    view: &View<'_>,
    service: &Service,
    meant: impl Fn(&Endpoint) -> bool,
) -> BTreeSet<IpAddr> {
    view.slices_of(service)
        .filter_map(|slice| view.slice(&service.namespace, slice))
        .flat_map(|slice| &slice.endpoints)
        .filter(|endpoint| endpoint.ready && meant(endpoint))
        .map(|endpoint| endpoint.address)
        .collect()
}

/// An endpoint without a name of its own is called by its address, with dashes.
fn is_named(endpoint: &Endpoint, label: &str) -> bool {
    match &endpoint.hostname {
        Some(hostname) => **hostname == *label,
        None => endpoint.address.to_string().replace(['.', ':'], "-") == label,
    }
}
