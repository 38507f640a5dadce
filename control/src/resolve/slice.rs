//! The endpoints of one EndpointSlice, each with the workload behind it.

use lateen_wire::lateen::{Endpoint, EndpointSlice, SlicePort, Workload};

use super::view::View;
use super::{bytes_of, workload};
use crate::snapshot::{self, Pod};

pub(super) fn endpoint_slice(
    view: &View<'_>,
    namespace: &str,
    name: &str,
) -> Option<EndpointSlice> {
    let slice = view.slice(namespace, name)?;
    let mut workloads = Workloads::default();
    let endpoints = slice
        .endpoints
        .iter()
        .filter(|endpoint| endpoint.ready || endpoint.serving)
        .filter_map(|endpoint| serving(view, namespace, endpoint, &mut workloads))
        .collect();
    let ports = slice.ports.iter().map(|port| SlicePort {
        name: port.name.to_string(),
        number: port.number.into(),
    });
    Some(EndpointSlice {
        ports: ports.collect(),
        endpoints,
        workloads: workloads.distinct,
    })
}

/// An endpoint as proxies see it. A pod with a `deletionTimestamp` is on its way out at once: the
/// slice says so only later, and the application may stop listening before. An endpoint whose pod
/// is not known, or has another address by now, is left out: nobody could say who answers there.
fn serving(
    view: &View<'_>,
    namespace: &str,
    endpoint: &snapshot::Endpoint,
    workloads: &mut Workloads,
) -> Option<Endpoint> {
    let pod = match &endpoint.pod {
        Some(name) => {
            let pod = view.pod(namespace, name);
            Some(pod.filter(|pod| pod.addresses.contains(&endpoint.address))?)
        }
        None => view.pod_at(endpoint.address),
    };
    let terminating = endpoint.terminating || pod.is_some_and(|pod| pod.terminating);
    Some(Endpoint {
        address: bytes_of(endpoint.address),
        workload: pod.map_or(0, |pod| workloads.reference(view, pod)),
        ready: endpoint.ready && !terminating,
        terminating,
    })
}

/// The distinct workloads of a slice, in the order of their first endpoint.
#[derive(Default)]
struct Workloads {
    distinct: Vec<Workload>,
}

impl Workloads {
    /// Index of a pod's workload, plus one.
    fn reference(&mut self, view: &View<'_>, pod: &Pod) -> u32 {
        let workload = workload::of_pod(view, pod);
        let index = self
            .distinct
            .iter()
            .position(|known| *known == workload)
            .unwrap_or_else(|| {
                self.distinct.push(workload);
                self.distinct.len() - 1
            });
        u32::try_from(index).map_or(0, |index| index + 1)
    }
}
