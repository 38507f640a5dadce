use super::*;
use crate::cluster::example::cluster;

#[test]
fn every_node_has_a_way_to_the_pods_of_the_others() {
    let cluster = cluster(2);
    let network = Network {
        cluster: "mesh",
        slot: cluster.slot,
        nodes: cluster.nodes(),
    };
    insta::assert_snapshot!(network.node_side(&cluster.nodes()[0]), @r"
    link set lo up
    address add 10.100.0.11/24 dev eth0
    address add fd1a:7ee0:0:1::b/64 dev eth0 nodad
    link set eth0 up
    route add default via 10.100.0.1
    route add default via fd1a:7ee0:0:1::1
    route add 10.101.2.0/24 via 10.100.0.12
    route add fd1a:7ee0:0:102::/64 via fd1a:7ee0:0:1::c
    ");
}

#[test]
fn the_host_has_a_way_to_pods_and_services() {
    let cluster = cluster(1);
    let network = Network {
        cluster: "mesh",
        slot: cluster.slot,
        nodes: cluster.nodes(),
    };
    insta::assert_snapshot!(network.host_side(), @r"
    address add 10.100.0.1/24 dev lateen0
    address add fd1a:7ee0:0:1::1/64 dev lateen0 nodad
    link set lateen0 up
    route add 10.101.1.0/24 via 10.100.0.11
    route add fd1a:7ee0:0:101::/64 via fd1a:7ee0:0:1::b
    route add 10.102.0.0/16 via 10.100.0.11
    route add fd1a:7ee0:0:2::/112 via fd1a:7ee0:0:1::b
    ");
}

#[test]
fn pods_keep_their_address_within_the_cluster() {
    let cluster = cluster(2);
    let rules = masquerading(cluster.plan(), cluster.nodes()[1].pods());
    for inside in [
        "10.100.0.0/24, 10.101.0.0/16",
        "fd1a:7ee0:0:1::/64, fd1a:7ee0:0:100::/56",
    ] {
        let rule = rules.lines().find(|rule| rule.contains(inside)).unwrap();
        assert!(
            rule.contains("daddr != {") && rule.ends_with("masquerade"),
            "{rule}"
        );
    }
}

#[test]
fn namespaces_of_other_clusters_are_left_alone() {
    for ours in ["mesh-switch", "mesh-node1", "mesh-node12"] {
        assert!(is_namespace_of("mesh", ours), "{ours}");
    }
    for others in [
        "mesh",
        "mesh2-node1",
        "mesh-node",
        "mesh-node1-switch",
        "mesh-two-node1",
    ] {
        assert!(!is_namespace_of("mesh", others), "{others}");
    }
}

#[test]
fn names_of_links_fit() {
    let ports = cluster(9)
        .nodes()
        .iter()
        .map(Node::port)
        .collect::<Vec<_>>();
    let links = Slot::all().map(Slot::host_link);
    assert!(links.chain(ports).all(|name| name.len() <= 15));
}

#[test]
fn routes_of_every_form_are_understood() {
    let parsed = ["10.0.0.0/8", "10.1.2.3", "fd00::/64", "::1", "default"].map(parse_range);
    let shown = parsed.map(|range| range.map(|range| range.to_string()));
    let expected = ["10.0.0.0/8", "10.1.2.3/32", "fd00::/64", "::1/128"].map(str::to_owned);
    assert_eq!(shown.into_iter().flatten().collect::<Vec<_>>(), expected);
}
