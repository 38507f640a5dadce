//! The cluster that control is told of: two pods that exist, and others in any number.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::bench::lab::{CLIENT, PORT, SERVER};

/// A service that is called, and its pod.
pub(crate) struct Application {
    pub(crate) name: &'static str,
    /// The address of the Service, which no interface has.
    pub(crate) service: Ipv4Addr,
    /// All these are addresses of the server's network namespace.
    pub(crate) pod: Ipv4Addr,
}

/// What the client calls; all are served by one process behind one proxy.
pub(crate) const APPLICATIONS: [Application; 3] = [
    Application::new("server", 10, SERVER),
    Application::new("reviews", 11, Ipv4Addr::new(10, 88, 0, 4)),
    Application::new("ratings", 12, Ipv4Addr::new(10, 88, 0, 5)),
];

/// The service account of that proxy.
const SERVER_ACCOUNT: &str = "server";

impl Application {
    const fn new(name: &'static str, number: u8, pod: Ipv4Addr) -> Self {
        Self {
            name,
            service: Ipv4Addr::new(10, 96, 0, number),
            pod,
        }
    }
}

/// The client's pod, the applications, and `services` others with a pod each.
pub(super) fn manifests(services: usize) -> Vec<Value> {
    let mut items = vec![
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "bench" } }),
        json!({ "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
            "metadata": { "name": "kubernetes" }, "spec": { "cidrs": ["10.96.0.0/12"] } }),
        pod("client", "client", &CLIENT.to_string()),
    ];
    for application in &APPLICATIONS {
        let [service, pod] =
            [application.service, application.pod].map(|address| address.to_string());
        items.extend(objects(application.name, SERVER_ACCOUNT, &service, &pod));
    }
    for number in 0..services {
        let part = |base: usize| {
            format!(
                "{}.{}.{}",
                base + number / 60_000,
                number / 250 % 240,
                number % 250 + 1
            )
        };
        let (service, pod) = (format!("10.{}", part(100)), format!("10.{}", part(200)));
        let name = format!("service-{number}");
        items.extend(objects(&name, &name, &service, &pod));
    }
    items
}

/// A Service, its slice and its pod.
fn objects(name: &str, account: &str, service: &str, address: &str) -> [Value; 3] {
    [
        json!({ "apiVersion": "v1", "kind": "Service",
            "metadata": { "name": name, "namespace": "bench" },
            "spec": { "clusterIP": service, "clusterIPs": [service], "selector": { "app": name },
                "ports": [{ "name": "http", "port": PORT, "targetPort": PORT, "protocol": "TCP" }] } }),
        json!({ "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": { "name": format!("{name}-1"), "namespace": "bench",
                "labels": { "kubernetes.io/service-name": name } },
            "addressType": "IPv4",
            "ports": [{ "name": "http", "port": PORT, "protocol": "TCP" }],
            "endpoints": [{ "addresses": [address], "conditions": { "ready": true },
                "targetRef": { "kind": "Pod", "name": name, "namespace": "bench" } }] }),
        pod(name, account, address),
    ]
}

fn pod(name: &str, account: &str, address: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": "bench", "uid": format!("{name}-uid"),
            "labels": { "app": name, "version": "v1", "security.istio.io/tlsMode": "istio" } },
        "spec": { "serviceAccountName": account, "containers": [], "nodeName": "node" },
        "status": { "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }],
            "conditions": [{ "type": "Ready", "status": "True" }] } })
}
