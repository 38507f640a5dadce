use serde_json::from_value;

use super::*;
use crate::cluster::example::cluster;

fn service(name: &str, families: &[&str], policy: &str, addresses: &[&str]) -> Service {
    let ingress: Vec<_> = addresses.iter().map(|ip| json!({"ip": ip})).collect();
    from_value(json!({
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"type": "LoadBalancer", "ipFamilies": families, "externalTrafficPolicy": policy},
        "status": {"loadBalancer": {"ingress": ingress}},
    }))
    .unwrap()
}

fn slice(service: &str, node: &str, ready: bool) -> EndpointSlice {
    from_value(json!({
        "metadata": {"name": format!("{service}-1"), "namespace": "shop",
                     "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.101.1.5"], "nodeName": node, "conditions": {"ready": ready}}],
    }))
    .unwrap()
}

fn addresses(addresses: &[&str]) -> Vec<IpAddr> {
    addresses
        .iter()
        .map(|address| address.parse().unwrap())
        .collect()
}

fn assigned(services: &[Service]) -> Vec<Vec<IpAddr>> {
    assign(
        &services.iter().collect::<Vec<_>>(),
        cluster(1).plan().load_balancers(),
    )
}

#[test]
fn a_service_gets_an_address_of_each_of_its_families() {
    let services = [
        service("both", &["IPv4", "IPv6"], "Cluster", &[]),
        service("six", &["IPv6"], "Cluster", &[]),
    ];
    let expected = [
        addresses(&["10.103.0.1", "fd1a:7ee0:0:3::1"]),
        addresses(&["fd1a:7ee0:0:3::2"]),
    ];
    assert_eq!(assigned(&services), expected);
}

#[test]
fn addresses_are_kept_when_others_come_and_go() {
    let services = [
        service("new", &["IPv4"], "Cluster", &[]),
        service("old", &["IPv4"], "Cluster", &["10.103.0.1"]),
    ];
    assert_eq!(
        assigned(&services),
        [addresses(&["10.103.0.2"]), addresses(&["10.103.0.1"])]
    );
}

#[test]
fn an_address_that_is_not_ours_or_used_twice_is_replaced() {
    let services = [
        service("one", &["IPv4"], "Cluster", &["10.103.0.7"]),
        service("two", &["IPv4"], "Cluster", &["10.103.0.7"]),
        service("three", &["IPv4"], "Cluster", &["192.168.1.1"]),
    ];
    let expected = [&["10.103.0.7"], &["10.103.0.1"], &["10.103.0.2"]].map(|one| addresses(one));
    assert_eq!(assigned(&services), expected);
}

#[test]
fn a_service_with_a_class_or_of_another_type_is_left_alone() {
    let mut with_class = service("one", &["IPv4"], "Cluster", &[]);
    assert!(is_ours(&&with_class));
    with_class.spec.as_mut().unwrap().load_balancer_class = Some("example.com/other".to_owned());
    assert!(!is_ours(&&with_class));
    let mut cluster_ip = service("two", &["IPv4"], "Cluster", &[]);
    cluster_ip.spec.as_mut().unwrap().type_ = Some("ClusterIP".to_owned());
    assert!(!is_ours(&&cluster_ip));
}

#[test]
fn a_local_policy_routes_to_nodes_with_a_ready_endpoint() {
    let cluster = cluster(2);
    let hops = |service: &Service, slices: &[&EndpointSlice]| {
        let hops = next_hops(
            service,
            "10.103.0.1".parse().unwrap(),
            slices,
            cluster.nodes(),
        );
        hops.into_iter().collect::<Vec<_>>()
    };
    let local = service("web", &["IPv4"], "Local", &[]);
    let ready = slice("web", "mesh-node2", true);
    assert_eq!(hops(&local, &[&ready]), addresses(&["10.100.0.12"]));
    assert!(hops(&local, &[&slice("web", "mesh-node2", false)]).is_empty());
    assert!(hops(&local, &[&slice("other", "mesh-node2", true)]).is_empty());
    let everywhere = service("web", &["IPv4"], "Cluster", &[]);
    assert_eq!(
        hops(&everywhere, &[&ready]),
        addresses(&["10.100.0.11", "10.100.0.12"])
    );
}

#[test]
fn only_differences_between_routes_are_set() {
    let routes = |pairs: &[(&str, &[&str])]| -> Routes {
        let route = |(to, hops): &(&str, &[&str])| {
            (to.parse().unwrap(), addresses(hops).into_iter().collect())
        };
        pairs.iter().map(route).collect()
    };
    let current = routes(&[
        ("10.103.0.1", &["10.100.0.11"]),
        ("10.103.0.2", &["10.100.0.11"]),
        ("10.103.0.3", &["10.100.0.11"]),
        ("10.103.0.4", &[]),
    ]);
    let wanted = routes(&[
        ("10.103.0.1", &["10.100.0.11"]),
        ("10.103.0.2", &["10.100.0.11", "10.100.0.12"]),
        ("10.103.0.3", &[]),
    ]);
    assert_eq!(
        route_changes(&current, &wanted),
        "route delete 10.103.0.3\n\
         route replace 10.103.0.2 nexthop via 10.100.0.11 nexthop via 10.100.0.12\n"
    );
}
