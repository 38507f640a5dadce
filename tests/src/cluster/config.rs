//! The configuration files of a node's programs, and the objects that a new cluster begins with.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::images::{coredns_name, pause_name};
use super::machine::NETWORK_PLUGINS;
use super::node::Node;
use super::pki::Certificates;
use super::plan::Plan;

/// Where kubelet finds containerd, on the node.
pub(crate) const CONTAINERD_SOCKET: &str = "/run/containerd/containerd.sock";

/// The region of every node.
const REGION: &str = "local";

/// Writes the files that [`super::component`] points the node's programs at.
///
/// # Errors
/// When a file cannot be written.
pub(crate) fn write(node: &Node, plan: Plan, certificates: &Certificates) -> Result<()> {
    let kubelet = serde_saphyr::to_string(&kubelet(node, plan, certificates))?;
    let network = serde_json::to_string_pretty(&container_network(node))?;
    let files = [
        ("containerd.toml", containerd(node)),
        ("kubelet.yaml", kubelet),
        ("net.d/10-cluster.conflist", network),
        ("resolv.conf", format!("nameserver {}\n", plan.dns().v4)),
    ];
    for (name, content) in files {
        let path = node.config(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&path, content).with_context(|| format!("Writing {}", path.display()))?;
    }
    Ok(())
}

/// The nodes with their pod ranges and zones, and the DNS server, for `kubectl apply`.
///
/// # Errors
/// When the objects cannot be rendered.
pub(crate) fn first_objects(nodes: &[Node], plan: Plan) -> Result<String> {
    let mut objects = dns(plan);
    for node in nodes {
        objects += "---\n";
        objects += &serde_json::to_string(&node_object(node))?;
        objects += "\n";
    }
    Ok(objects)
}

fn containerd(node: &Node) -> String {
    format!(
        r#"version = 2
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs"]

[grpc]
address = "{CONTAINERD_SOCKET}"

[plugins."io.containerd.grpc.v1.cri"]
# Not every machine's root may lower the score.
restrict_oom_score_adj = true
sandbox_image = "{}"

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{NETWORK_PLUGINS}"
conf_dir = "{}"
"#,
        pause_name(),
        node.config("net.d").display()
    )
}

fn kubelet(node: &Node, plan: Plan, certificates: &Certificates) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": certificates.file("ca.crt")},
        },
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", node.name()),
        "clusterDNS": [plan.dns().v4.to_string()],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": format!("unix://{CONTAINERD_SOCKET}"),
        "enforceNodeAllocatable": [],
        // The disk is the machine's, and imported images cannot be pulled again.
        "evictionHard": {
            "imagefs.available": "0%",
            "memory.available": "100Mi",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
        },
        "failCgroupV1": false,
        "failSwapOn": false,
        "imageGCHighThresholdPercent": 100,
        "maxPods": 250,
        "oomScoreAdj": 0,
        "resolvConf": node.config("resolv.conf"),
        "serializeImagePulls": false,
    })
}

/// Every pod on a link of its own, so that all traffic is routed and packets that return from a
/// Service's pod on the same node, or from the very pod that asked, come by the node again.
fn container_network(node: &Node) -> Value {
    let [v4, v6] = node.pods().both();
    json!({
        "cniVersion": "0.4.0",
        "name": "cluster",
        "plugins": [
            // Duplicate address detection would add up to two seconds to the start of every pod; the
            // plugin that switches it off has to come after another, and before the link is there.
            {"type": "loopback"},
            {"type": "tuning", "sysctl": {"net.ipv6.conf.default.accept_dad": "0"}},
            {
                "type": "ptp",
                "ipMasq": false,
                "ipam": {
                    "type": "host-local",
                    "dataDir": "/run/cni",
                    "ranges": [[{"subnet": v4.to_string()}], [{"subnet": v6.to_string()}]],
                    "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    })
}

/// A node as it is before its kubelet takes it over: with the pod ranges that its routes are for.
fn node_object(node: &Node) -> Value {
    let [v4, v6] = node.pods().both().map(|range| range.to_string());
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": node.name(),
            "labels": {
                "kubernetes.io/hostname": node.name(),
                "topology.kubernetes.io/region": REGION,
                "topology.kubernetes.io/zone": node.zone(),
            },
        },
        "spec": {"podCIDR": v4, "podCIDRs": [v4, v6]},
    })
}

fn dns(plan: Plan) -> String {
    include_str!("coredns.yaml")
        .replace("${IMAGE}", &coredns_name())
        .replace("${DNS_V4}", &plan.dns().v4.to_string())
        .replace("${DNS_V6}", &plan.dns().v6.to_string())
        .replace("${HOST_V4}", &plan.host().v4.to_string())
        .replace("${HOST_V6}", &plan.host().v6.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::example::cluster;

    #[test]
    fn pods_get_an_address_of_each_family_and_keep_it() {
        let network = container_network(&cluster(2).nodes()[1]);
        let routed = network["plugins"].as_array().unwrap();
        let routed = routed
            .iter()
            .find(|plugin| plugin["type"] == "ptp")
            .unwrap();
        assert_eq!(routed["ipMasq"], false);
        assert_eq!(
            routed["ipam"]["ranges"],
            json!([[{"subnet": "10.101.2.0/24"}], [{"subnet": "fd1a:7ee0:0:102::/64"}]])
        );
    }

    #[test]
    fn nodes_of_two_clusters_share_no_control_group() {
        let cluster = cluster(2);
        let kubelet = kubelet(&cluster.nodes()[1], cluster.plan(), &cluster.certificates());
        assert_eq!(kubelet["cgroupRoot"], "/mesh-node2");
    }

    #[test]
    fn the_first_objects_are_complete() {
        let cluster = cluster(2);
        let objects = first_objects(cluster.nodes(), cluster.plan()).unwrap();
        assert!(!objects.contains("${"), "{objects}");
        let objects: Vec<Value> = serde_saphyr::from_multiple(&objects).unwrap();
        let kinds = objects
            .iter()
            .map(|object| object["kind"].as_str().unwrap());
        assert_eq!(kinds.filter(|kind| *kind == "Node").count(), 2);
        let zone = &objects.last().unwrap()["metadata"]["labels"]["topology.kubernetes.io/zone"];
        assert_eq!(zone, "local-2");
    }
}
