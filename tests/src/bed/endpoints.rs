//! Pods as endpoints of their Services. Who sends requests learns of them a moment after they are
//! ready, and until then answers that there is nobody.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::ResourceExt as _;
use kube::api::ListParams;
use lateen_wire::ports;

use super::{Bed, eventually};

/// An address of a pod, which the Service has as an endpoint.
struct Member {
    service: String,
    address: IpAddr,
}

impl Bed {
    /// Waits until every replica of control tells sidecars of these pods as endpoints of the Services
    /// that select them.
    ///
    /// # Errors
    /// Who does not know of which, after [`super::PATIENCE`].
    pub(super) async fn told(&self, pods: &[Pod]) -> Result<()> {
        let members = self.members(pods).await?;
        if members.is_empty() {
            return Ok(());
        }
        let system = Self {
            client: self.client.clone(),
            namespace: "istio-system".to_owned(),
        };
        let what = format!("endpoints in {} that sidecars are told of", self.namespace);
        eventually(&what, async || {
            let replicas = system.pods("app=istiod").await?;
            ensure!(!replicas.is_empty(), "there is no control");
            for replica in &replicas {
                system.tells(&replica.name_any(), &members).await?;
            }
            Ok(())
        })
        .await
    }

    async fn members(&self, pods: &[Pod]) -> Result<Vec<Member>> {
        let services = self.api::<Service>().list(&ListParams::default()).await?;
        let mut members = Vec::new();
        for service in services {
            let name = format!("{}/{}", self.namespace, service.name_any());
            let selected = pods.iter().filter(|pod| selects(&service, pod));
            for address in selected.flat_map(addresses) {
                let address: IpAddr = address.parse().context("the address of a pod")?;
                if has_family(&service, address) {
                    let service = name.clone();
                    members.push(Member { service, address });
                }
            }
        }
        Ok(members)
    }

    /// That a replica of control, in this namespace, tells of all of them.
    async fn tells(&self, replica: &str, members: &[Member]) -> Result<()> {
        let page = self.get(replica, ports::MONITORING, "/debug/endpointz");
        let told: BTreeMap<String, Vec<IpAddr>> = serde_json::from_str(&page.await?)?;
        for Member { service, address } in members {
            let endpoints = told.get(service);
            let known = endpoints.is_some_and(|endpoints| endpoints.contains(address));
            ensure!(known, "{replica} tells of no {address} of {service}");
        }
        Ok(())
    }
}

/// The addresses of a pod, of either family.
fn addresses(pod: &Pod) -> impl Iterator<Item = &str> {
    let status = pod.status.iter();
    let addresses = status.flat_map(|status| status.pod_ips.iter().flatten());
    addresses.map(|address| address.ip.as_str())
}

fn selects(service: &Service, pod: &Pod) -> bool {
    let selector = service
        .spec
        .as_ref()
        .and_then(|spec| spec.selector.as_ref());
    selector.is_some_and(|selector| {
        let mut labels = selector.iter();
        !selector.is_empty() && labels.all(|(key, value)| pod.labels().get(key) == Some(value))
    })
}

fn has_family(service: &Service, address: IpAddr) -> bool {
    let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
    let spec = service.spec.iter();
    let mut families = spec.flat_map(|spec| spec.ip_families.iter().flatten());
    families.any(|one| one == family)
}
