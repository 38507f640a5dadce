//! The programs of a cluster: where each runs and with which arguments.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::Cluster;
use super::config::CONTAINERD_SOCKET;
use super::machine::find_program;
use super::node::{Detached, NetworkOf, Node};
use super::pki::{API_PORT, Client};
use super::process::Process;

/// A long-lived program of the cluster.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Component {
    ApiServer,
    Containerd,
    ControllerManager,
    Etcd,
    KubeProxy,
    Kubelet,
    LoadBalancer,
    Scheduler,
}

impl Component {
    /// The programs of the control plane, which run on the first node.
    pub(crate) const CONTROL_PLANE: [Self; 5] = [
        Self::Etcd,
        Self::ApiServer,
        Self::ControllerManager,
        Self::Scheduler,
        Self::LoadBalancer,
    ];

    /// The programs of every node.
    pub(crate) const EVERY_NODE: [Self; 3] = [Self::Containerd, Self::Kubelet, Self::KubeProxy];

    /// The programs of `node`.
    pub(crate) fn of_node(node: &Node) -> impl Iterator<Item = Self> {
        let control_plane: &[Self] = if node.is_first() {
            &Self::CONTROL_PLANE
        } else {
            &[]
        };
        control_plane.iter().chain(&Self::EVERY_NODE).copied()
    }

    /// The name people know it by.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ApiServer => "kube-apiserver",
            Self::Containerd => "containerd",
            Self::ControllerManager => "kube-controller-manager",
            Self::Etcd => "etcd",
            Self::KubeProxy => "kube-proxy",
            Self::Kubelet => "kubelet",
            Self::LoadBalancer => "load-balancer",
            Self::Scheduler => "kube-scheduler",
        }
    }

    /// Where it answers.
    pub(crate) fn address(self, node: &Node) -> Option<String> {
        let host = node.address().v4;
        match self {
            Self::ApiServer => Some(format!("https://{host}:{API_PORT}")),
            Self::Containerd => Some(format!("unix://{CONTAINERD_SOCKET}")),
            Self::ControllerManager => Some("https://127.0.0.1:10257".to_owned()),
            Self::Etcd => Some("http://127.0.0.1:2379".to_owned()),
            Self::KubeProxy => Some(format!("http://{host}:10256")),
            Self::Kubelet => Some(format!("https://{host}:10250")),
            Self::LoadBalancer => None,
            Self::Scheduler => Some("https://127.0.0.1:10259".to_owned()),
        }
    }

    /// The process that runs it on a node with these processes.
    pub(crate) fn find_in(self, processes: &[Process]) -> Option<&Process> {
        processes.iter().find(|process| match self {
            Self::LoadBalancer => process.arguments.iter().any(|word| word == self.name()),
            _ => process.program() == self.name(),
        })
    }

    /// How to start it on `node`.
    ///
    /// # Errors
    /// When its program cannot be found.
    pub(crate) fn detached(self, cluster: &Cluster, node: &Node, tools: &Path) -> Result<Detached> {
        let arguments = match self {
            Self::ApiServer => api_server(cluster, node),
            Self::Containerd => {
                vec![
                    "--config".to_owned(),
                    shown(&node.config("containerd.toml")),
                ]
            }
            Self::ControllerManager => controller_manager(cluster),
            Self::Etcd => etcd(),
            Self::KubeProxy => kube_proxy(cluster, node),
            Self::Kubelet => kubelet(cluster, node),
            Self::LoadBalancer => ["cluster", self.name(), "--name", cluster.name().as_str()]
                .map(str::to_owned)
                .into(),
            Self::Scheduler => vec![
                flag(
                    "kubeconfig",
                    shown(&cluster.certificates().kubeconfig(Client::Scheduler)),
                ),
                flag("leader-elect", false),
            ],
        };
        let network = match self {
            // It sets routes of the host.
            Self::LoadBalancer => NetworkOf::Host,
            _ => NetworkOf::Node,
        };
        Ok(Detached {
            name: self.name(),
            path: self.program(tools)?,
            arguments,
            network,
        })
    }

    fn program(self, tools: &Path) -> Result<PathBuf> {
        match self {
            Self::Containerd | Self::Etcd => {
                find_program(self.name()).with_context(|| format!("{} is missing", self.name()))
            }
            Self::LoadBalancer => {
                std::env::current_exe().context("Finding the program that is running")
            }
            _ => Ok(tools.join(self.name())),
        }
    }
}

fn etcd() -> Vec<String> {
    vec![
        flag("data-dir", "/var/lib/etcd"),
        flag("listen-client-urls", "http://127.0.0.1:2379"),
        flag("advertise-client-urls", "http://127.0.0.1:2379"),
        flag("listen-peer-urls", "http://127.0.0.1:2380"),
        // The cluster does not outlive the machine.
        flag("unsafe-no-fsync", true),
    ]
}

fn api_server(cluster: &Cluster, node: &Node) -> Vec<String> {
    let file = |name: &str| shown(&cluster.certificates().file(name));
    vec![
        flag("etcd-servers", "http://127.0.0.1:2379"),
        flag("bind-address", "0.0.0.0"),
        flag("advertise-address", node.address().v4),
        flag("secure-port", API_PORT),
        flag("service-cluster-ip-range", service_range(cluster)),
        flag("client-ca-file", file("ca.crt")),
        flag("tls-cert-file", file("apiserver.crt")),
        flag("tls-private-key-file", file("apiserver.key")),
        flag("kubelet-client-certificate", file("apiserver-client.crt")),
        flag("kubelet-client-key", file("apiserver-client.key")),
        flag("kubelet-preferred-address-types", "InternalIP"),
        flag("service-account-key-file", file("service-accounts.pub")),
        flag(
            "service-account-signing-key-file",
            file("service-accounts.key"),
        ),
        flag(
            "service-account-issuer",
            "https://kubernetes.default.svc.cluster.local",
        ),
        flag("authorization-mode", "Node,RBAC"),
        flag("allow-privileged", true),
        flag("enable-admission-plugins", "NodeRestriction"),
        flag("endpoint-reconciler-type", "lease"),
    ]
}

fn controller_manager(cluster: &Cluster) -> Vec<String> {
    let file = |name: &str| shown(&cluster.certificates().file(name));
    vec![
        flag(
            "kubeconfig",
            shown(&cluster.certificates().kubeconfig(Client::ControllerManager)),
        ),
        flag(
            "service-account-private-key-file",
            file("service-accounts.key"),
        ),
        flag("root-ca-file", file("ca.crt")),
        flag("cluster-signing-cert-file", file("ca.crt")),
        flag("cluster-signing-key-file", file("ca.key")),
        flag("use-service-account-credentials", true),
        // Twenty a second would be what limits how fast a Deployment of fifty pods comes up.
        flag("kube-api-qps", 500),
        flag("kube-api-burst", 1000),
        flag("leader-elect", false),
    ]
}

fn kubelet(cluster: &Cluster, node: &Node) -> Vec<String> {
    let [v4, v6] = node.address().both();
    let client = Client::Kubelet { node: node.name() };
    vec![
        flag("config", shown(&node.config("kubelet.yaml"))),
        flag(
            "kubeconfig",
            shown(&cluster.certificates().kubeconfig(client)),
        ),
        flag("hostname-override", node.name()),
        flag("node-ip", format!("{v4},{v6}")),
    ]
}

fn kube_proxy(cluster: &Cluster, node: &Node) -> Vec<String> {
    let [v4, v6] = cluster.plan().pods().both();
    vec![
        flag(
            "kubeconfig",
            shown(&cluster.certificates().kubeconfig(Client::KubeProxy)),
        ),
        flag("proxy-mode", "nftables"),
        flag("hostname-override", node.name()),
        flag("cluster-cidr", format!("{v4},{v6}")),
        flag("conntrack-max-per-core", 0),
        flag("oom-score-adj", 0),
    ]
}

fn service_range(cluster: &Cluster) -> String {
    let [v4, v6] = cluster.plan().services().both();
    format!("{v4},{v6}")
}

fn flag(name: &str, value: impl std::fmt::Display) -> String {
    format!("--{name}={value}")
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// The address under which containerd's own client finds it, on the node.
pub(crate) fn containerd_client() -> [&'static str; 4] {
    ["--address", CONTAINERD_SOCKET, "--namespace", "k8s.io"]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::example::cluster;

    #[test]
    fn only_the_first_node_runs_the_control_plane() {
        let cluster = cluster(2);
        let of = |index: usize| Component::of_node(&cluster.nodes()[index]).collect::<Vec<_>>();
        assert_eq!(of(0)[..5], Component::CONTROL_PLANE);
        assert_eq!(of(0)[5..], Component::EVERY_NODE);
        assert_eq!(of(1), Component::EVERY_NODE);
    }

    #[test]
    fn every_component_recognises_the_process_it_starts() {
        let cluster = cluster(1);
        let node = &cluster.nodes()[0];
        let processes: Vec<_> = Component::of_node(node)
            .map(|component| {
                component
                    .detached(&cluster, node, "/tools".as_ref())
                    .unwrap()
            })
            .map(|program| {
                Process::example(&[&[shown(&program.path)], &*program.arguments].concat())
            })
            .collect();
        for (index, component) in Component::of_node(node).enumerate() {
            let found = component.find_in(&processes).unwrap();
            assert!(
                std::ptr::eq(found, &processes[index]),
                "{}",
                component.name()
            );
        }
    }

    #[test]
    fn the_api_server_serves_both_families() {
        let cluster = cluster(1);
        let arguments = api_server(&cluster, &cluster.nodes()[0]);
        let range = "--service-cluster-ip-range=10.102.0.0/16,fd1a:7ee0:0:2::/112";
        assert!(arguments.contains(&range.to_owned()), "{arguments:#?}");
    }
}
