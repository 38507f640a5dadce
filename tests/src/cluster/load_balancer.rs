//! Gives Services of type LoadBalancer an address that the host reaches: what a cloud's controller
//! does. It runs beside the control plane for as long as the cluster does, on the host's network.
//!
//! Each address is routed to all nodes, or with `externalTrafficPolicy: Local` to those that have an
//! endpoint; kube-proxy does the rest. Services that name a `loadBalancerClass` are left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;

use anyhow::{Context as _, Result, bail};
use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt as _, reflector, watcher};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use super::command::{host, run_with_input};
use super::network::reserve_load_balancers;
use super::node::Node;
use super::plan::Range;
use super::{Cluster, Progress};

/// The label by which a slice names its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Where the host shall send an address: the nodes' addresses of its family.
type Routes = BTreeMap<IpAddr, BTreeSet<IpAddr>>;

/// Works until the cluster ends.
///
/// # Errors
/// When the cluster's kubeconfig cannot be read.
pub(crate) async fn run(cluster: &Cluster) -> Result<()> {
    let progress = Progress::begin();
    reserve_load_balancers(cluster.plan()).await?;
    let client = cluster.client().await?;
    let (services, service_writer) = reflector::store::<Service>();
    let (slices, slice_writer) = reflector::store::<EndpointSlice>();
    let every_service = watcher(
        Api::<Service>::all(client.clone()),
        watcher::Config::default(),
    );
    let every_slice = watcher(
        Api::<EndpointSlice>::all(client.clone()),
        watcher::Config::default(),
    );
    let changed_service =
        reflector(service_writer, every_service.default_backoff()).map(|event| event.map(drop));
    let changed_slice =
        reflector(slice_writer, every_slice.default_backoff()).map(|event| event.map(drop));
    let mut changes = std::pin::pin!(stream::select(changed_service, changed_slice));

    let mut controller = Controller {
        cluster,
        client,
        routes: Routes::new(),
    };
    while let Some(change) = changes.next().await {
        let done = match change {
            Ok(()) => {
                controller
                    .reconcile(&services.state(), &slices.state())
                    .await
            }
            Err(error) => Err(error.into()),
        };
        if let Err(error) = done {
            progress.tell(format_args!("{error:#}"));
        }
    }
    bail!("The watch of the API server has ended")
}

struct Controller<'a> {
    cluster: &'a Cluster,
    client: kube::Client,
    /// The routes that are set.
    routes: Routes,
}

impl Controller<'_> {
    async fn reconcile(
        &mut self,
        services: &[impl AsRef<Service>],
        slices: &[impl AsRef<EndpointSlice>],
    ) -> Result<()> {
        let services: Vec<&Service> = services.iter().map(AsRef::as_ref).filter(is_ours).collect();
        let slices: Vec<&EndpointSlice> = slices.iter().map(AsRef::as_ref).collect();
        let assigned = assign(&services, self.cluster.plan().load_balancers());
        let mut routes = Routes::new();
        for (service, addresses) in services.iter().zip(&assigned) {
            for address in addresses {
                routes.insert(
                    *address,
                    next_hops(service, *address, &slices, self.cluster.nodes()),
                );
            }
        }
        self.set_routes(routes).await?;
        for (service, addresses) in services.iter().zip(&assigned) {
            if addresses_of(service) != *addresses {
                self.publish(service, addresses).await?;
            }
        }
        Ok(())
    }

    async fn set_routes(&mut self, wanted: Routes) -> Result<()> {
        let batch = route_changes(&self.routes, &wanted);
        if !batch.is_empty() {
            run_with_input(&mut host("ip", ["-force", "-batch", "-"]), &batch).await?;
        }
        self.routes = wanted;
        Ok(())
    }

    async fn publish(&self, service: &Service, addresses: &[IpAddr]) -> Result<()> {
        let name = service.name_any();
        let namespace = service.namespace().unwrap_or_default();
        let ingress: Vec<_> = addresses
            .iter()
            .map(|ip| json!({"ip": ip, "ipMode": "VIP"}))
            .collect();
        let status = json!({"status": {"loadBalancer": {"ingress": ingress}}});
        let services: Api<Service> = Api::namespaced(self.client.clone(), &namespace);
        services
            .patch_status(&name, &PatchParams::default(), &Patch::Merge(&status))
            .await
            .map(drop)
            .with_context(|| format!("Writing the addresses of Service {namespace}/{name}"))
    }
}

fn is_ours(service: &&Service) -> bool {
    let spec = service.spec.as_ref();
    service.metadata.deletion_timestamp.is_none()
        && spec.is_some_and(|spec| {
            spec.type_.as_deref() == Some("LoadBalancer") && spec.load_balancer_class.is_none()
        })
}

/// The addresses that a Service says it has.
fn addresses_of(service: &Service) -> Vec<IpAddr> {
    let balancer = service
        .status
        .iter()
        .flat_map(|status| &status.load_balancer);
    let ingress = balancer.flat_map(|balancer| balancer.ingress.iter().flatten());
    ingress
        .filter_map(|ingress| ingress.ip.as_ref()?.parse().ok())
        .collect()
}

/// Addresses for each of `services`, one of every family it has: those it has already if nobody
/// before it in the list has them, or the first that are free.
fn assign(services: &[&Service], range: Range) -> Vec<Vec<IpAddr>> {
    let mut taken: BTreeSet<IpAddr> = BTreeSet::new();
    let kept: Vec<Vec<IpAddr>> = services
        .iter()
        .map(|service| {
            let mut own = addresses_of(service);
            own.retain(|address| {
                range.both().iter().any(|range| range.contains(address)) && taken.insert(*address)
            });
            own
        })
        .collect();
    let mut assign_one = |service: &Service, kept: &[IpAddr]| {
        let families = service
            .spec
            .iter()
            .flat_map(|spec| spec.ip_families.iter().flatten());
        families
            .filter_map(|family| {
                let is_v6 = family == "IPv6";
                let own = kept
                    .iter()
                    .copied()
                    .find(|address| address.is_ipv6() == is_v6);
                own.or_else(|| first_free(&mut taken, range, is_v6))
            })
            .collect()
    };
    services
        .iter()
        .zip(&kept)
        .map(|(service, kept)| assign_one(service, kept))
        .collect()
}

fn first_free(taken: &mut BTreeSet<IpAddr>, range: Range, is_v6: bool) -> Option<IpAddr> {
    let every = (1..255).map(|offset| range.address(offset));
    let mut candidates = every.map(|address| {
        if is_v6 {
            address.v6.into()
        } else {
            address.v4.into()
        }
    });
    candidates.find(|address| taken.insert(*address))
}

/// The nodes that take packets to `address` of `service`.
fn next_hops(
    service: &Service,
    address: IpAddr,
    slices: &[&EndpointSlice],
    nodes: &[Node],
) -> BTreeSet<IpAddr> {
    let spec = service.spec.as_ref();
    let policy = spec.and_then(|spec| spec.external_traffic_policy.as_deref());
    let with_endpoints = nodes_with_endpoints(service, slices);
    nodes
        .iter()
        .filter(|node| policy != Some("Local") || with_endpoints.contains(node.name()))
        .flat_map(|node| node.address().both())
        .filter(|hop| hop.is_ipv6() == address.is_ipv6())
        .collect()
}

fn nodes_with_endpoints<'a>(service: &Service, slices: &[&'a EndpointSlice]) -> BTreeSet<&'a str> {
    let of_service = slices.iter().filter(|slice| {
        slice.namespace() == service.namespace()
            && slice.labels().get(SERVICE_NAME) == Some(&service.name_any())
    });
    of_service
        .flat_map(|slice| slice.endpoints.iter())
        .filter(|endpoint| {
            endpoint
                .conditions
                .as_ref()
                .and_then(|conditions| conditions.ready)
                != Some(false)
        })
        .filter_map(|endpoint| endpoint.node_name.as_deref())
        .collect()
}

/// What `ip -batch` has to be told. An address that nobody takes is left to the unreachable route
/// of the whole range.
fn route_changes(current: &Routes, wanted: &Routes) -> String {
    let mut batch = String::new();
    let is_routed =
        |routes: &Routes, address| routes.get(address).is_some_and(|hops| !hops.is_empty());
    for address in current.keys().filter(|address| !is_routed(wanted, address)) {
        if is_routed(current, address) {
            _ = writeln!(batch, "route delete {address}");
        }
    }
    for (address, hops) in wanted.iter().filter(|(_, hops)| !hops.is_empty()) {
        if current.get(address) != Some(hops) {
            let hops = hops.iter().fold(String::new(), |all, hop| {
                all + &format!(" nexthop via {hop}")
            });
            _ = writeln!(batch, "route replace {address}{hops}");
        }
    }
    batch
}

#[cfg(test)]
mod tests;
