//! Nodes: kubelets that are new enough, and room for the control plane that no taint closes.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Node, Pod, Toleration};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use super::finding::{Finding, Findings};
use super::server::{NATIVE, OLDEST, minor};
use crate::manifest::{COMPONENTS, Component};
use crate::pages;
use crate::values::Values;

/// Name of the check.
pub(super) const CHECK: &str = "nodes";

/// CPU in millicores and memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Amount {
    cpu: u64,
    memory: u64,
}

impl Amount {
    /// What requests or a node's allocatable resources say. What cannot be read counts as nothing.
    fn of(get: impl Fn(&str) -> Option<String>) -> Self {
        let read = |name, unit: f64| {
            let amount = get(name).and_then(|text| quantity(&text));
            amount.map_or(0, |amount| whole(amount * unit))
        };
        Self {
            cpu: read("cpu", 1_000.0),
            memory: read("memory", 1.0),
        }
    }

    fn holds(self, other: Self) -> bool {
        self.cpu >= other.cpu && self.memory >= other.memory
    }

    fn plus(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_add(other.cpu),
            memory: self.memory.saturating_add(other.memory),
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(other.cpu),
            memory: self.memory.saturating_sub(other.memory),
        }
    }
}

/// Looks at all nodes.
pub(super) async fn look(client: &Client, values: &Values) -> Findings {
    let mut findings = Findings::default();
    let Some(nodes) = findings.learn(CHECK, nodes(client).await) else {
        return findings;
    };
    findings.extend(kubelets(&nodes));
    if let Some(requested) = findings.learn(CHECK, requested(client).await) {
        findings.extend(COMPONENTS.map(|component| room(component, values, &nodes, &requested)));
    }
    findings
}

async fn nodes(client: &Client) -> Result<Vec<Node>> {
    let api: Api<Node> = Api::all(client.clone());
    let found = api.list(&ListParams::default()).await;
    Ok(found.context("cannot list nodes")?.items)
}

/// What the pods of each node ask for.
async fn requested(client: &Client) -> Result<BTreeMap<String, Amount>> {
    let pods: Api<Pod> = Api::all(client.clone());
    let running = "status.phase!=Succeeded,status.phase!=Failed";
    let mut requested: BTreeMap<String, Amount> = BTreeMap::new();
    let note = |pod: &Pod| {
        let spec = pod.spec.as_ref();
        if let Some(node) = spec.and_then(|spec| spec.node_name.clone()) {
            let sum = requested.entry(node).or_default();
            *sum = sum.plus(requests(pod));
        }
    };
    pages::each(&pods, ListParams::default().fields(running), note)
        .await
        .context("cannot list pods")?;
    Ok(requested)
}

/// What a pod's containers ask for together, native sidecars included.
fn requests(pod: &Pod) -> Amount {
    let Some(spec) = &pod.spec else {
        return Amount::default();
    };
    let native = spec.init_containers.iter().flatten();
    let native = native.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let requests = spec.containers.iter().chain(native).map(|container| {
        let requests = container.resources.as_ref()?.requests.as_ref()?;
        Some(Amount::of(|name| Some(requests.get(name)?.0.clone())))
    });
    requests.flatten().fold(Amount::default(), Amount::plus)
}

/// Kubelets that are too old, or too old for native sidecars.
fn kubelets(nodes: &[Node]) -> Vec<Finding> {
    let older_than = |limit: u32| -> Vec<String> {
        let is_older = |node: &&Node| {
            let info = node
                .status
                .as_ref()
                .and_then(|status| status.node_info.as_ref());
            info.and_then(|info| minor(&info.kubelet_version))
                .is_some_and(|minor| minor < limit)
        };
        nodes
            .iter()
            .filter(is_older)
            .map(ResourceExt::name_any)
            .collect()
    };
    let mut findings = Vec::new();
    let unsupported = older_than(OLDEST);
    if !unsupported.is_empty() {
        findings.push(
            Finding::error(
                CHECK,
                format!("kubelets older than 1.{OLDEST}: {}", unsupported.join(", ")),
            )
            .remedy("update these nodes"),
        );
    }
    let classic = older_than(NATIVE);
    if !classic.is_empty() {
        findings.push(
            Finding::warning(
                CHECK,
                format!("kubelets older than 1.{NATIVE}, so all pods get classic sidecars: {}", classic.join(", ")),
            )
            .remedy("update these nodes, or set ENABLE_NATIVE_SIDECARS=true by --set sidecarInjectorWebhook.env.ENABLE_NATIVE_SIDECARS=true if they have the feature SidecarContainers"),
        );
    }
    findings
}

/// Whether the replicas of a component find room on nodes that take them.
fn room(
    component: Component,
    values: &Values,
    nodes: &[Node],
    requested: &BTreeMap<String, Amount>,
) -> Finding {
    let own = component.values(values);
    let asked = own.resources.get("requests");
    let asked = Amount::of(|name| Some(asked?.get(name)?.as_str().to_owned()));
    let (mut closed, mut places) = (Vec::new(), 0_u64);
    for node in nodes {
        if let Some(reason) = closes(node, &own.tolerations) {
            closed.push(format!("{} ({reason})", node.name_any()));
            continue;
        }
        let used = requested.get(&node.name_any()).copied().unwrap_or_default();
        places = places.saturating_add(fits(allocatable(node).minus(used), asked));
    }
    let wanted = u64::try_from(own.replica_count).unwrap_or_default();
    let (name, path) = (component.name(), component.values_path());
    if closed.len() == nodes.len() {
        return Finding::error(CHECK, format!("no node takes {name}: {}", closed.join(", ")))
            .remedy(format!("allow the taint by --set {path}.tolerations[0].key=KEY,{path}.tolerations[0].operator=Exists"));
    }
    if places == 0 {
        return Finding::error(CHECK, format!("no node has room for {name}")).remedy(format!(
            "add a node, or ask for less by --set {path}.resources.requests.cpu=10m"
        ));
    }
    if places < wanted {
        return Finding::warning(
            CHECK,
            format!("there is room for {places} of {wanted} pods of {name}"),
        )
        .remedy(format!(
            "add a node, or ask for less by --set {path}.replicaCount={places}"
        ));
    }
    Finding::info(CHECK, format!("there is room for {name}"))
}

/// Why a node takes no such pods, if it takes none.
fn closes(node: &Node, tolerations: &[Toleration]) -> Option<String> {
    let conditions = node
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    let is_ready = |kind: &str, status: &str| kind == "Ready" && status == "True";
    let ready = conditions.into_iter().flatten();
    let mut ready = ready.filter(|condition| is_ready(&condition.type_, &condition.status));
    if ready.next().is_none() {
        return Some("not ready".to_owned());
    }
    let spec = node.spec.as_ref()?;
    if spec.unschedulable == Some(true) {
        return Some("cordoned".to_owned());
    }
    let taints = spec.taints.iter().flatten();
    let mut repelling = taints.filter(|taint| {
        taint.effect != "PreferNoSchedule"
            && !tolerations.iter().any(|toleration| {
                let exists = toleration.operator.as_deref() == Some("Exists");
                let key = toleration.key.as_deref().filter(|key| !key.is_empty());
                let effect = toleration
                    .effect
                    .as_deref()
                    .filter(|effect| !effect.is_empty());
                key.map_or(exists, |key| key == taint.key)
                    && (exists
                        || toleration.value.as_deref().unwrap_or("")
                            == taint.value.as_deref().unwrap_or(""))
                    && effect.is_none_or(|effect| effect == taint.effect)
            })
    });
    repelling
        .next()
        .map(|taint| format!("taint {}:{}", taint.key, taint.effect))
}

fn allocatable(node: &Node) -> Amount {
    let allocatable = node
        .status
        .as_ref()
        .and_then(|status| status.allocatable.as_ref());
    Amount::of(|name| Some(allocatable?.get(name)?.0.clone()))
}

/// How many of an amount there is room for.
fn fits(free: Amount, asked: Amount) -> u64 {
    if !free.holds(asked) {
        return 0;
    }
    let times = |free: u64, asked: u64| free.checked_div(asked).unwrap_or(u64::MAX);
    times(free.cpu, asked.cpu).min(times(free.memory, asked.memory))
}

/// A quantity as Kubernetes writes it: `20m`, `64Mi`, `2`, `1e3`.
fn quantity(text: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 12] = [
        ("Ki", 1_024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("m", 0.001),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("u", 1e-6),
        ("n", 1e-9),
    ];
    let unit = UNITS
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)));
    let (number, factor) = unit.unwrap_or((text, 1.0));
    let number: f64 = number.parse().ok()?;
    (number.is_finite() && number >= 0.0).then_some(number * factor)
}

/// The whole number next to an amount.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and amounts are not negative"
)]
fn whole(amount: f64) -> u64 {
    amount.round() as u64
}

#[cfg(test)]
mod tests;
