//! Answers for the cluster of `fixtures/shop.yaml`, and what must hold for every cluster.

use std::net::IpAddr;
use std::sync::Arc;

use lateen_wire::lateen::Protocol;
use proptest::prelude::*;

use super::*;
use crate::discovery::answers::Answer as Encoded;
use crate::discovery::{Key, Kind};
use crate::snapshot::Cluster;

const SHOP: &str = include_str!("../../fixtures/shop.yaml");

fn shop() -> Snapshot {
    let mut snapshot = Snapshot::new(Cluster::default());
    snapshot.read_manifests(SHOP).unwrap();
    snapshot
}

fn ask(snapshot: &Snapshot, namespace: &str, name: &str) -> Answer {
    destination(snapshot, Client { namespace }, &name.parse().unwrap())
        .message
        .answer
        .unwrap()
}

/// An answer on one line.
fn line(answer: &Answer) -> String {
    match answer {
        Answer::Service(service) => format!(
            "service {}:{}{} {} [{}]{}{}",
            service.host.trim_end_matches(".svc.cluster.local"),
            service.port,
            if service.port_name.is_empty() {
                String::new()
            } else {
                format!("({})", service.port_name)
            },
            Protocol::try_from(service.protocol).unwrap().as_str_name(),
            service.endpoint_slices.join(" "),
            if service.headless { " headless" } else { "" },
            if service.client_affinity {
                " sticky"
            } else {
                ""
            },
        ),
        Answer::Workload(workload) => workload_line(workload),
        Answer::Unknown(_) => "unknown".to_owned(),
    }
}

fn workload_line(workload: &Workload) -> String {
    format!(
        "workload {}/{} as {} ({} {}) at {}{}{}",
        workload.namespace,
        workload.name,
        workload.service_account,
        workload.canonical_name,
        workload.canonical_revision,
        workload.locality,
        if workload.mutual_tls { " mtls" } else { "" },
        if workload.host_network { " host" } else { "" },
    )
}

#[test]
fn every_name_has_its_answer() {
    let snapshot = shop();
    let http = "service reviews.shop:9080(http) HTTP [shop/reviews-v4 shop/reviews-v6]";
    let web = "service web.shop:80 UNDECLARED [shop/web-v4] headless";
    let pod = "workload shop/reviews-v1 as bookinfo-reviews (reviews v1) at north/north-a mtls";
    for (namespace, name, expected) in [
        ("shop", "reviews:9080", http),
        ("home", "reviews:9080", "unknown"),
        ("home", "reviews.shop:9080", http),
        ("home", "reviews.shop.svc:9080", http),
        ("home", "reviews.shop.svc.cluster.local:9080", http),
        ("home", "REVIEWS.shop.svc.cluster.local.:9080", http),
        ("home", "reviews.shop.svc.cluster.local:9081", "unknown"),
        ("home", "10.96.0.10:9080", http),
        ("home", "[fd00:96::10]:9080", http),
        (
            "home",
            "10.96.0.10:9090",
            "service reviews.shop:9090(metrics) HTTP2 [shop/reviews-v4 shop/reviews-v6]",
        ),
        // A port that the service lacks, one that is UDP, an address of nobody.
        ("home", "10.96.0.10:1", "unknown"),
        ("home", "10.96.0.10:53", "unknown"),
        ("home", "10.96.0.99:80", "unknown"),
        (
            "shop",
            "reviews-tcp:80",
            "service reviews-tcp.shop:80(tcp-x) TCP [] sticky",
        ),
        ("shop", "web:80", web),
        ("shop", "web-0.web:80", web),
        ("home", "web-0.web:80", "unknown"),
        ("home", "web-0.web.shop:80", web),
        ("home", "web-0.web.shop.svc.cluster.local:80", web),
        ("shop", "pod.reviews:9080", "unknown"),
        ("shop", "elsewhere:80", "unknown"),
        (
            "home",
            "kubernetes.default:443",
            "service kubernetes.default:443(https) TLS [default/kubernetes]",
        ),
        ("home", "www.example.com:80", "unknown"),
        // Pods by address: any port, both families; never those of the host or of ended pods.
        ("home", "10.244.0.5:9080", pod),
        ("home", "10.244.0.5:1234", pod),
        ("home", "[fd00:244::5]:80", pod),
        (
            "home",
            "10.244.0.7:80",
            "workload shop/reviews-leaving as bookinfo-reviews (reviews latest) at south/south-a",
        ),
        (
            "home",
            "10.244.0.20:80",
            "workload shop/web as default (web latest) at north/north-b/rack7 mtls",
        ),
        (
            "home",
            "10.244.0.30:80",
            "workload shop/report as default (report latest) at north/north-b/rack7",
        ),
        ("home", "10.244.0.31:80", "unknown"),
        ("home", "10.99.0.1:6443", "unknown"),
    ] {
        assert_eq!(
            line(&ask(&snapshot, namespace, name)),
            expected,
            "{name} from {namespace}"
        );
    }
}

#[test]
fn a_service_of_the_very_name_comes_before_an_endpoint() {
    let mut snapshot = shop();
    let endpoint = "service web.shop:80 UNDECLARED [shop/web-v4] headless";
    assert_eq!(line(&ask(&snapshot, "shop", "web-0.web:80")), endpoint);
    let exact = "{kind: Service, metadata: {name: web-0, namespace: web}, \
                 spec: {clusterIPs: [10.96.0.77], ports: [{port: 80}]}}";
    snapshot.read_manifests(exact).unwrap();
    for (name, expected) in [
        ("web-0.web:80", "service web-0.web:80 UNDECLARED []"),
        ("web-0.web.svc:80", "service web-0.web:80 UNDECLARED []"),
        // What the service lacks nobody else has under its name.
        ("web-0.web:81", "unknown"),
        ("web-0.web.shop:80", endpoint),
        ("web-0.web.shop.svc.cluster.local:80", endpoint),
    ] {
        assert_eq!(line(&ask(&snapshot, "shop", name)), expected, "{name}");
    }
}

/// It is an alias in DNS: its traffic goes where its address says, to a service or out of the mesh.
#[test]
fn an_external_name_is_nobody_and_takes_nothing_from_others() {
    let mut snapshot = shop();
    let before = own(&snapshot, "shop", "reviews-v1-6d5f-aaaaa").message;
    let alias = "{kind: Service, metadata: {name: alias, namespace: shop}, spec: {type: ExternalName, \
                 externalName: reviews.shop.svc.cluster.local, selector: {app: reviews}, \
                 clusterIP: None, ports: [{name: tcp, port: 9080}]}}";
    snapshot.read_manifests(alias).unwrap();
    for name in [
        "elsewhere:80",
        "elsewhere:443",
        "elsewhere.shop.svc.cluster.local:80",
        "alias:9080",
        "pod.alias:9080",
    ] {
        assert_eq!(line(&ask(&snapshot, "shop", name)), "unknown", "{name}");
    }
    let after = own(&snapshot, "shop", "reviews-v1-6d5f-aaaaa").message;
    assert_eq!(before, after);
    let address = line(&ask(&snapshot, "shop", "10.96.0.10:9080"));
    assert!(
        address.starts_with("service reviews.shop:9080"),
        "{address}"
    );
}

#[test]
fn names_and_hosts_are_of_the_clusters_own_domain() {
    let cluster = Cluster {
        domain: "corp.example".to_owned(),
        ..Cluster::default()
    };
    let mut snapshot = Snapshot::new(cluster);
    snapshot.read_manifests(SHOP).unwrap();
    let Answer::Service(service) = ask(&snapshot, "home", "reviews.shop.svc.corp.example:9080")
    else {
        panic!("not a service");
    };
    assert_eq!(service.host, "reviews.shop.svc.corp.example");
    let foreign = ask(&snapshot, "home", "reviews.shop.svc.cluster.local:9080");
    assert_eq!(line(&foreign), "unknown");
}

#[test]
fn endpoints_are_listed_while_they_serve_and_share_workloads() {
    let slice = endpoint_slice(&shop(), "shop", "reviews-v4")
        .message
        .unwrap();
    let endpoints: Vec<String> = slice
        .endpoints
        .iter()
        .map(|endpoint| {
            let address: [u8; 4] = endpoint.address.clone().try_into().unwrap();
            let workload = &slice.workloads[endpoint.workload as usize - 1];
            format!(
                "{} {}{}{}",
                IpAddr::from(address),
                workload_line(workload),
                if endpoint.ready { " ready" } else { "" },
                if endpoint.terminating {
                    " terminating"
                } else {
                    ""
                },
            )
        })
        .collect();
    let reviews = "workload shop/reviews-v1 as bookinfo-reviews (reviews v1) at north/north-a mtls";
    assert_eq!(
        endpoints,
        [
            format!("10.244.0.5 {reviews} ready"),
            format!("10.244.0.6 {reviews} ready"),
            "10.244.0.7 workload shop/reviews-leaving as bookinfo-reviews (reviews latest) at south/south-a terminating".to_owned(),
            "10.99.0.1 workload shop/agent as agent (agent 3) at north/north-a host ready".to_owned(),
        ]
    );
    assert_eq!(slice.workloads.len(), 3);
    assert!(endpoint_slice(&shop(), "shop", "none").message.is_none());
}

#[test]
fn an_unready_endpoint_that_its_service_publishes_is_ready() {
    let slice = endpoint_slice(&shop(), "shop", "web-v4").message.unwrap();
    assert!(slice.endpoints[0].ready);
}

#[test]
fn an_endpoint_outside_pods_has_no_workload() {
    let slice = endpoint_slice(&shop(), "default", "kubernetes")
        .message
        .unwrap();
    assert_eq!(slice.endpoints[0].workload, 0);
    assert!(slice.workloads.is_empty());
}

#[test]
fn a_proxy_learns_its_ports_from_the_oldest_service() {
    let own = own(&shop(), "shop", "reviews-v1-6d5f-aaaaa")
        .message
        .unwrap();
    let ports: Vec<String> = own
        .inbound
        .iter()
        .map(|port| {
            let protocol = Protocol::try_from(port.protocol).unwrap().as_str_name();
            format!(
                "{} {protocol} {}:{}",
                port.target_port, port.service_host, port.service_port
            )
        })
        .collect();
    assert_eq!(
        ports,
        [
            "9080 HTTP reviews.shop.svc.cluster.local:9080",
            "9090 HTTP2 reviews.shop.svc.cluster.local:9090",
        ]
    );
    assert_eq!(own.service_ranges, ["10.96.0.0/16", "fd00:96::/112"]);
    assert_eq!(own.mesh.unwrap().trust_domain, "cluster.local");
}

/// As the cluster's own name server answers, so that it does not matter which of the two is asked.
#[test]
fn hosts_have_the_addresses_that_dns_gives_them() {
    let snapshot = shop();
    for (host, expected) in [
        ("reviews", "10.96.0.10 fd00:96::10"),
        ("reviews.shop", "10.96.0.10 fd00:96::10"),
        ("reviews.shop.svc.cluster.local", "10.96.0.10 fd00:96::10"),
        ("kubernetes.default.svc", "10.96.0.1"),
        ("web", "10.244.0.20"),
        ("web-0.web", "10.244.0.20"),
        ("web-0.web.shop.svc.cluster.local", "10.244.0.20"),
        ("web-1.web", "none"),
        // It has a name of its own.
        ("10-244-0-20.web", "none"),
        ("10-244-0-5.reviews", "10.244.0.5"),
        ("fd00-244--5.reviews.shop.svc", "fd00:244::5"),
        // Not ready.
        ("10-244-0-8.reviews", "none"),
        ("elsewhere", "none"),
        ("reviews.default", "none"),
        ("www.example.com", "none"),
    ] {
        let client = Client { namespace: "shop" };
        let found = host_addresses(&snapshot, client, host).message;
        let found = found.map(|message| {
            let texts = message.addresses.iter().map(|bytes| address(bytes));
            texts.collect::<Vec<_>>().join(" ")
        });
        assert_eq!(found.as_deref().unwrap_or("none"), expected, "{host}");
    }
}

fn address(bytes: &[u8]) -> String {
    let v4 = <[u8; 4]>::try_from(bytes).map(|octets| IpAddr::from(octets).to_string());
    v4.unwrap_or_else(|_| IpAddr::from(<[u8; 16]>::try_from(bytes).unwrap()).to_string())
}

/// Everything that proxies of the shop could ask for.
pub(crate) fn keys() -> Vec<Arc<Key>> {
    let (namespace, pod) = (Arc::from("shop"), Arc::from("reviews-v1-6d5f-aaaaa"));
    [
        (Kind::Own, "self"),
        (Kind::Destination, "reviews:9080"),
        (Kind::Destination, "reviews.shop:9080"),
        (Kind::Destination, "reviews-tcp:80"),
        (Kind::Destination, "web-0.web:80"),
        (Kind::Destination, "kubernetes.default:443"),
        (Kind::Destination, "10.96.0.10:9080"),
        (Kind::Destination, "10.244.0.5:80"),
        (Kind::Destination, "10.244.0.7:80"),
        (Kind::EndpointSlice, "shop/reviews-v4"),
        (Kind::EndpointSlice, "shop/reviews-v6"),
        (Kind::EndpointSlice, "shop/web-v4"),
        (Kind::EndpointSlice, "default/kubernetes"),
        (Kind::Workload, "10.244.0.20"),
        (Kind::Workload, "10.244.0.30"),
        (Kind::HostAddresses, "reviews"),
        (Kind::HostAddresses, "web-0.web.shop.svc.cluster.local"),
    ]
    .into_iter()
    .map(|(kind, name)| Arc::new(Key::parse(kind, name, &namespace, &pod).unwrap()))
    .collect()
}

fn versions(snapshot: &Snapshot) -> Vec<Option<String>> {
    let version = |key: &Arc<Key>| match key.resolve(snapshot).0 {
        Encoded::Resource(resource) => Some(resource.version.clone()),
        Encoded::Absent => None,
    };
    keys().iter().map(version).collect()
}

/// The documents of the fixture.
pub(crate) fn documents() -> Vec<&'static str> {
    SHOP.split("\n---\n").collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn versions_do_not_depend_on_the_order_of_arrival(
        order in Just(documents()).prop_shuffle(),
        again in proptest::sample::subsequence(documents(), 0..10),
    ) {
        let mut snapshot = Snapshot::new(Cluster::default());
        for document in order.into_iter().chain(again) {
            snapshot.read_manifests(document).unwrap();
        }
        prop_assert_eq!(versions(&snapshot), versions(&shop()));
    }
}
