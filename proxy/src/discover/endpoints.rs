//! How slices and workloads become endpoints. One that stays the same keeps its counts and its
//! connections.

use std::net::SocketAddr;
use std::sync::Arc;

use ahash::AHashMap;
use lateen_wire::resource::{DestinationName, Host};

use super::cache::Entry;
use super::model::{Answer, Service, ServiceDefinition, Slice, SliceEndpoint, Workload};
use crate::tls::server_name;
use crate::upstream::{Endpoint, EndpointSet, Member, Security};

/// Makes what the slices hold the endpoints of a service. Those that leave take nothing new.
pub(super) fn replace_endpoints(service: &Service, slices: &[&Slice]) {
    let before = service.endpoints.load_full();
    let members = members(&service.definition, slices, &before);
    let after = EndpointSet::new(members.iter().cloned());
    for endpoint in before
        .iter()
        .filter(|endpoint| after.at(endpoint.address).is_none())
    {
        endpoint.set_retired(true);
    }
    for Member { endpoint, ready } in members {
        endpoint.set_retired(!ready);
    }
    service.endpoints.store(Arc::new(after));
}

/// The members of a service; an endpoint that stays the same keeps its counts and connections.
fn members(definition: &ServiceDefinition, slices: &[&Slice], before: &EndpointSet) -> Vec<Member> {
    let known: AHashMap<SocketAddr, &Arc<Endpoint>> = before
        .iter()
        .map(|endpoint| (endpoint.address, endpoint))
        .collect();
    let mut members: AHashMap<SocketAddr, Member> = AHashMap::new();
    for slice in slices {
        let port = slice
            .ports
            .iter()
            .find(|(name, _)| *name == definition.port_name);
        let Some((_, port)) = port else { continue };
        for entry in slice
            .endpoints
            .iter()
            .filter(|entry| entry.ready || entry.terminating)
        {
            let address = SocketAddr::new(entry.address, *port);
            let endpoint = match known.get(&address) {
                Some(endpoint) if endpoint.workload == entry.workload => Arc::clone(endpoint),
                _ => Arc::new(service_endpoint(definition, address, entry)),
            };
            // An address that is in two slices for a moment counts as ready if either says so.
            let member = members.entry(address).or_insert(Member {
                endpoint,
                ready: false,
            });
            member.ready |= entry.ready && !entry.terminating;
        }
    }
    members.into_values().collect()
}

fn service_endpoint(
    definition: &ServiceDefinition,
    address: SocketAddr,
    entry: &SliceEndpoint,
) -> Endpoint {
    let security = security(entry.workload.as_deref(), || {
        server_name::of_service(&definition.host, definition.port)
    });
    Endpoint::new(address, entry.workload.clone(), security)
}

/// A workload called by its own address; the same facts keep the same endpoint.
pub(super) fn workload_answer(
    name: &DestinationName,
    workload: Workload,
    entry: &Entry<Answer>,
) -> Answer {
    let Host::Address(ip) = &name.host else {
        // A workload has no other name than its address: nothing to send to.
        return Answer::Unknown;
    };
    let known = entry.answer();
    if let Some(Answer::Workload(endpoint)) = known.as_deref() {
        if endpoint.workload.as_deref() == Some(&workload) {
            return Answer::Workload(Arc::clone(endpoint));
        }
        endpoint.set_retired(true);
    }
    let address = SocketAddr::new(*ip, name.port);
    let security = security(Some(&workload), || {
        server_name::of_workload(*ip, name.port, &workload.namespace)
    });
    Answer::Workload(Arc::new(Endpoint::new(
        address,
        Some(Arc::new(workload)),
        security,
    )))
}

fn security(
    workload: Option<&Workload>,
    name: impl FnOnce() -> rustls_pki_types::ServerName<'static>,
) -> Security {
    match workload.and_then(|workload| workload.mesh_identity.clone()) {
        None => Security::Plain,
        Some(identity) => Security::Mesh {
            identity,
            server_name: name(),
        },
    }
}
