//! The network of a cluster: a namespace per node, one more with the bridge that joins them (so that
//! the host's firewall has no say in what nodes tell each other), and one link to the host.
//!
//! ```text
//!  host: lateen0 ══ NAME-switch: br0 ══ NAME-node1: eth0, a link per pod
//!                                    ══ NAME-node2: eth0, ...
//! ```
//!
//! The cluster is an island: the host is the only thing outside that it reaches, and nothing is
//! forwarded beyond.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use ipnet::IpNet;
use serde::Deserialize;

use super::command::{host, run, run_with_input};
use super::node::Node;
use super::plan::{Plan, Range, Slot};

/// The bridge, within the namespace of the switch.
const BRIDGE: &str = "br0";

/// What a node needs to route for its pods. Duplicate address detection would hold up every link to
/// a pod by a second or two, and only we hand out addresses here.
const NODE_SETTINGS: [&str; 8] = [
    "net.ipv4.ip_forward=1",
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.all.send_redirects=0",
    "net.ipv4.conf.default.rp_filter=0",
    "net.ipv4.conf.default.send_redirects=0",
    "net.ipv6.conf.all.forwarding=1",
    "net.ipv6.conf.default.accept_dad=0",
    "net.ipv6.conf.default.dad_transmits=0",
];

/// The network of one cluster.
#[derive(Debug)]
pub(crate) struct Network<'a> {
    pub(crate) cluster: &'a str,
    pub(crate) slot: Slot,
    pub(crate) nodes: &'a [Node],
}

impl Network<'_> {
    /// Makes all of it; nothing of it may be there yet.
    ///
    /// # Errors
    /// When a command fails; what was made until then is for `remove`.
    pub(crate) async fn make(&self) -> Result<()> {
        let switch = switch_namespace(self.cluster);
        for namespace in self.nodes.iter().map(Node::name).chain([&*switch]) {
            run(&mut host("ip", ["netns", "add", namespace])).await?;
        }
        run_with_input(&mut host("ip", ["-batch", "-"]), &self.links(&switch)).await?;
        let mut ip = host("ip", ["-netns", &switch, "-batch", "-"]);
        run_with_input(&mut ip, &self.switch_side()).await?;
        let unfiltered = [
            "net.bridge.bridge-nf-call-iptables=0",
            "net.bridge.bridge-nf-call-ip6tables=0",
        ];
        let mut set = host("ip", ["netns", "exec", &switch, "sysctl", "-q", "-w"]);
        // Without that kernel module there is no filter to switch off.
        run(set.args(unfiltered)).await.ok();
        for node in self.nodes {
            self.set_up_node(node).await?;
        }
        run_with_input(&mut host("ip", ["-batch", "-"]), &self.host_side()).await?;
        reserve_load_balancers(self.slot.plan()).await
    }

    /// Whether every namespace and the host's link are there.
    pub(crate) fn is_complete(&self) -> bool {
        let switch = switch_namespace(self.cluster);
        let mut namespaces = self.nodes.iter().map(Node::name).chain([&*switch]);
        namespaces.all(|namespace| namespace_file(namespace).exists())
            && Path::new("/sys/class/net")
                .join(self.slot.host_link())
                .exists()
    }

    async fn set_up_node(&self, node: &Node) -> Result<()> {
        let name = node.name();
        let settings = ["netns", "exec", name, "sysctl", "-q", "-w"];
        run(host("ip", settings).args(NODE_SETTINGS)).await?;
        let mut ip = host("ip", ["-netns", name, "-batch", "-"]);
        run_with_input(&mut ip, &self.node_side(node)).await?;
        let mut nft = host("ip", ["netns", "exec", name, "nft", "-f", "-"]);
        run_with_input(&mut nft, &masquerading(self.slot.plan(), node.pods())).await?;
        Ok(())
    }

    /// The bridge, the links to it, and the host's link.
    fn links(&self, switch: &str) -> String {
        let host_link = self.slot.host_link();
        let mut batch = format!(
            "link add name {BRIDGE} netns {switch} type bridge mcast_snooping 0\n\
             link add name {host_link} type veth peer name host netns {switch}\n"
        );
        for node in self.nodes {
            let (name, port) = (node.name(), node.port());
            _ = writeln!(
                batch,
                "link add name {port} netns {switch} type veth peer name eth0 netns {name}"
            );
        }
        batch
    }

    /// The host's addresses, and its ways to pods, Services and load balancers.
    fn host_side(&self) -> String {
        let plan = self.slot.plan();
        let link = self.slot.host_link();
        let mut batch = with_addresses(&link, plan.host().both(), plan.nodes());
        for node in self.nodes {
            batch += &routes(node.pods(), node);
        }
        if let Some(first) = self.nodes.first() {
            batch += &routes(plan.services(), first);
        }
        batch
    }

    /// A node's addresses, its way out, and its ways to the pods of the other nodes.
    fn node_side(&self, node: &Node) -> String {
        let plan = self.slot.plan();
        let mut batch = "link set lo up\n".to_owned();
        batch += &with_addresses("eth0", node.address().both(), plan.nodes());
        for host in plan.host().both() {
            _ = writeln!(batch, "route add default via {host}");
        }
        for other in self
            .nodes
            .iter()
            .filter(|other| other.name() != node.name())
        {
            batch += &routes(other.pods(), other);
        }
        batch
    }

    /// The ports of the bridge, set from within the switch.
    fn switch_side(&self) -> String {
        let ports = self.nodes.iter().map(Node::port).chain(["host".to_owned()]);
        let mut batch = format!("link set lo up\nlink set {BRIDGE} up\n");
        for port in ports {
            _ = writeln!(batch, "link set {port} master {BRIDGE} up");
        }
        batch
    }
}

/// Removes what there is of a cluster's network, with or without a record of it. The host's link goes
/// with the switch, and with the link its routes.
///
/// # Errors
/// When a namespace cannot be removed.
pub(crate) async fn remove(cluster: &str, plan: Option<Plan>) -> Result<()> {
    for namespace in namespaces(cluster)? {
        if namespace == switch_namespace(cluster) {
            // A namespace takes its time to end; a link that is deleted is gone.
            run(&mut host(
                "ip",
                ["-netns", &namespace, "link", "delete", "host"],
            ))
            .await
            .ok();
        }
        run(&mut host("ip", ["netns", "delete", &namespace])).await?;
    }
    match plan {
        Some(plan) => forget_load_balancers(plan).await,
        None => Ok(()),
    }
}

/// Forgets all routes to load balancers. Until a Service has an address of their range nobody has:
/// packets to it must not leave this machine.
///
/// # Errors
/// When the routes cannot be changed.
pub(crate) async fn reserve_load_balancers(plan: Plan) -> Result<()> {
    forget_load_balancers(plan).await?;
    for range in plan.load_balancers().both() {
        run(&mut host(
            "ip",
            ["route", "add", "unreachable", &range.to_string()],
        ))
        .await?;
    }
    Ok(())
}

async fn forget_load_balancers(plan: Plan) -> Result<()> {
    for range in plan.load_balancers().both() {
        let family = if range.addr().is_ipv6() { "-6" } else { "-4" };
        run(&mut host(
            "ip",
            [family, "route", "flush", "root", &range.to_string()],
        ))
        .await?;
    }
    Ok(())
}

/// The namespace with the bridge.
fn switch_namespace(cluster: &str) -> String {
    format!("{cluster}-switch")
}

/// Where a namespace is mounted.
pub(crate) fn namespace_file(namespace: &str) -> PathBuf {
    Path::new("/run/netns").join(namespace)
}

/// The namespaces there are of a cluster, with or without a record of it.
///
/// # Errors
/// When they cannot be listed.
pub(crate) fn namespaces(cluster: &str) -> Result<Vec<String>> {
    let Ok(entries) = Path::new("/run/netns").read_dir() else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry
            .context("Listing /run/netns")?
            .file_name()
            .to_string_lossy()
            .into_owned();
        if is_namespace_of(cluster, &name) {
            found.push(name);
        }
    }
    Ok(found)
}

/// The nodes whose namespaces there are, by name.
///
/// # Errors
/// As for [`namespaces`].
pub(crate) fn nodes_with_namespaces(cluster: &str) -> Result<Vec<String>> {
    let mut names = namespaces(cluster)?;
    names.retain(|name| *name != switch_namespace(cluster));
    Ok(names)
}

fn is_namespace_of(cluster: &str, namespace: &str) -> bool {
    let Some(role) = namespace
        .strip_prefix(cluster)
        .and_then(|rest| rest.strip_prefix('-'))
    else {
        return false;
    };
    role == "switch"
        || role
            .strip_prefix("node")
            .is_some_and(|number| number.parse::<u8>().is_ok())
}

/// The ranges that this machine has routes to.
///
/// # Errors
/// When the routes cannot be listed.
pub(crate) async fn ranges_in_use() -> Result<Vec<IpNet>> {
    let mut found = Vec::new();
    for family in ["-4", "-6"] {
        let listed = run(&mut host(
            "ip",
            ["-json", family, "route", "show", "table", "all"],
        ))
        .await?;
        let routes: Vec<Route> = serde_json::from_str(&listed).context("Reading the routes")?;
        found.extend(routes.iter().filter_map(|route| parse_range(&route.dst)));
    }
    Ok(found)
}

#[derive(Deserialize)]
struct Route {
    dst: String,
}

fn parse_range(destination: &str) -> Option<IpNet> {
    let host = || Some(IpNet::from(destination.parse::<std::net::IpAddr>().ok()?));
    destination.parse().ok().or_else(host)
}

fn with_addresses(link: &str, addresses: [std::net::IpAddr; 2], range: Range) -> String {
    let [range_v4, range_v6] = range.both().map(|range| range.prefix_len());
    let [v4, v6] = addresses;
    format!(
        "address add {v4}/{range_v4} dev {link}\n\
         address add {v6}/{range_v6} dev {link} nodad\n\
         link set {link} up\n"
    )
}

fn routes(to: Range, through: &Node) -> String {
    to.both()
        .into_iter()
        .zip(through.address().both())
        .fold(String::new(), |batch, (range, node)| {
            batch + &format!("route add {range} via {node}\n")
        })
}

/// Gives pods the node's address outside the cluster, and nowhere else.
fn masquerading(plan: Plan, pods: Range) -> String {
    let listed = |ranges: Vec<String>| ranges.join(", ");
    let inside_v4 = listed(plan.all().map(|range| range.v4.to_string()).into());
    let inside_v6 = listed(plan.all().map(|range| range.v6.to_string()).into());
    format!(
        "table inet lateen {{\n\
           chain outside {{\n\
             type nat hook postrouting priority srcnat + 10;\n\
             ip saddr {} ip daddr != {{ {inside_v4} }} masquerade\n\
             ip6 saddr {} ip6 daddr != {{ {inside_v6} }} masquerade\n\
           }}\n\
         }}\n",
        pods.v4, pods.v6
    )
}

#[cfg(test)]
mod tests;
