//! Who is `HOST:PORT`: a port of a service, a workload, or nobody.

use std::net::IpAddr;

use lateen_wire::lateen::{self, Protocol, destination::Answer};
use lateen_wire::resource::{DestinationName, Host};

use super::name::Candidate;
use super::view::View;
use super::{Client, UNKNOWN, name, workload};
use crate::snapshot::Service;

pub(super) fn answer(view: &View<'_>, client: Client<'_>, asked: &DestinationName) -> Answer {
    match &asked.host {
        Host::Address(address) => by_address(view, *address, asked.port),
        Host::Name(host) => by_name(view, client, host, asked.port),
    }
}

/// A cluster address is its service's or, on a port that the service lacks, nobody's; any port of
/// a pod's address is the pod's. Addresses that pods share with their node are nobody's.
fn by_address(view: &View<'_>, address: IpAddr, port: u16) -> Answer {
    if let Some(service) = view.service_at(address) {
        return service_port(view, service, port);
    }
    match view.pod_at(address) {
        Some(pod) => Answer::Workload(workload::of_pod(view, pod)),
        None => UNKNOWN,
    }
}

/// The first service that the host can mean, in the order of [`name::candidates`].
fn by_name(view: &View<'_>, client: Client<'_>, host: &str, port: u16) -> Answer {
    let domain = &view.cluster().domain;
    let meant = name::candidates(host, client.namespace, domain)
        .into_iter()
        .find_map(|candidate| {
            let Candidate {
                namespace,
                service,
                endpoint_of,
            } = candidate;
            view.service(namespace, service)
                .filter(|service| !endpoint_of || service.headless)
        });
    meant.map_or(UNKNOWN, |service| service_port(view, service, port))
}

fn service_port(view: &View<'_>, service: &Service, number: u16) -> Answer {
    let port = service
        .ports
        .iter()
        .find(|port| port.number == number && port.protocol != Protocol::Udp);
    let Some(port) = port.filter(|_| !service.external) else {
        return UNKNOWN;
    };
    Answer::Service(lateen::Service {
        name: service.name.to_string(),
        namespace: service.namespace.to_string(),
        host: host(view, service),
        port: port.number.into(),
        port_name: port.name.to_string(),
        protocol: port.protocol.into(),
        headless: service.headless,
        endpoint_slices: view
            .slices_of(service)
            .map(|slice| format!("{}/{slice}", service.namespace))
            .collect(),
        client_affinity: service.client_affinity,
    })
}

/// The fully qualified host of a service.
pub(super) fn host(view: &View<'_>, service: &Service) -> String {
    format!(
        "{}.{}.svc.{}",
        service.name,
        service.namespace,
        view.cluster().domain
    )
}
