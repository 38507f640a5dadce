//! What a proxy must know of its own workload: the ports that services send to it, and the mesh.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use lateen_wire::lateen::{InboundPort, Own, Protocol};

use super::view::View;
use super::{destination, workload};
use crate::snapshot::{Pod, Port, Service, TargetPort};

pub(super) fn own(view: &View<'_>, namespace: &str, pod: &str) -> Option<Own> {
    let pod = view.pod(namespace, pod)?;
    Some(Own {
        workload: Some(workload::of_pod(view, pod)),
        inbound: inbound(view, pod),
        service_ranges: view
            .service_ranges()
            .iter()
            .map(ToString::to_string)
            .collect(),
        mesh: Some(view.mesh().clone()),
    })
}

/// The pod's ports that services select, in order. Where several services target one port, the
/// oldest says what it speaks.
fn inbound(view: &View<'_>, pod: &Pod) -> Vec<InboundPort> {
    let mut services: Vec<&Service> = view
        .services_in(&pod.namespace)
        .filter(|service| !service.external && service.selector.selects(&pod.labels))
        .collect();
    services.sort_unstable_by_key(|service| (service.created, &service.name));

    let mut ports = BTreeMap::new();
    for service in services {
        for port in service
            .ports
            .iter()
            .filter(|port| port.protocol != Protocol::Udp)
        {
            let Some(number) = target(pod, port) else {
                continue;
            };
            if let Entry::Vacant(free) = ports.entry(number) {
                free.insert(InboundPort {
                    target_port: number.into(),
                    protocol: port.protocol.into(),
                    service_name: service.name.to_string(),
                    service_namespace: service.namespace.to_string(),
                    service_host: destination::host(view, service),
                    service_port: port.number.into(),
                });
            }
        }
    }
    ports.into_values().collect()
}

fn target(pod: &Pod, port: &Port) -> Option<u16> {
    match &port.target {
        TargetPort::Number(number) => Some(*number),
        TargetPort::Name(name) => {
            let named = pod
                .named_ports
                .iter()
                .find(|(container, _)| container == name);
            named.map(|(_, number)| *number)
        }
    }
}
