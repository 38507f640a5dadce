//! Probe rewriting: the kubelet asks the agent, and the agent asks the application from inside the
//! pod, because the kubelet has no certificate of the mesh (Istio's `rewriteAppHTTPProbers`).
//!
//! A probe is left alone if it does not go to the pod itself (`host`), if its named port does not
//! exist (the kubelet reports that better than we could), or if it goes to the agent already.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Container, GRPCAction, HTTPGetAction, LifecycleHandler, PodSpec, Probe, TCPSocketAction,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::{Deserialize, Serialize};

use lateen_wire::names;

/// Environment variable that tells the agent what to ask the application.
pub(crate) const VARIABLE: &str = "ISTIO_KUBE_APP_PROBERS";

/// What the agent asks the application when the kubelet asks for a path. Exactly one handler is set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Prober {
    #[serde(skip_serializing_if = "Option::is_none")]
    http_get: Option<HTTPGetAction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp_socket: Option<TCPSocketAction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grpc: Option<GRPCAction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_seconds: Option<i32>,
}

/// Rewrites the probes and hooks of all containers but our own, and answers with what the agent must
/// know, by path. Init containers have probes only if they are native sidecars, and those of a
/// classic pod start before the agent: they keep their own.
pub(crate) fn rewrite(
    spec: &mut PodSpec,
    status_port: u16,
    native: bool,
) -> BTreeMap<String, Prober> {
    let mut probers = BTreeMap::new();
    let init_containers = spec.init_containers.iter_mut().flatten().filter(|_| native);
    for container in spec.containers.iter_mut().chain(init_containers) {
        if container.name != names::PROXY_CONTAINER {
            rewrite_container(container, i32::from(status_port), &mut probers);
        }
    }
    probers
}

fn rewrite_container(
    container: &mut Container,
    status_port: i32,
    probers: &mut BTreeMap<String, Prober>,
) {
    let ports = NamedPorts::of(container);
    for (path, probe) in probes_of(container) {
        if let Some(prober) = prober_of(probe, &ports, status_port) {
            probe.http_get = Some(ask_agent(prober.http_get.as_ref(), &path, status_port));
            probe.tcp_socket = None;
            probe.grpc = None;
            probers.insert(path, prober);
        }
    }
    for (path, hook) in hooks_of(container) {
        if let Some(prober) = prober_of_hook(hook, &ports, status_port) {
            hook.http_get = Some(ask_agent(prober.http_get.as_ref(), &path, status_port));
            hook.tcp_socket = None;
            probers.insert(path, prober);
        }
    }
}

/// Undoes [`rewrite`]: brings back the probes and hooks that `probers`, the value of [`VARIABLE`],
/// tells of, as far as they still ask the agent.
pub(crate) fn restore(spec: &mut PodSpec, probers: &str) {
    let Ok(mut probers) = serde_json::from_slice::<BTreeMap<String, Prober>>(probers.as_bytes())
    else {
        return;
    };
    let init_containers = spec.init_containers.iter_mut().flatten();
    for container in spec.containers.iter_mut().chain(init_containers) {
        for (path, probe) in probes_of(container) {
            if asks_agent(probe.http_get.as_ref(), &path)
                && let Some(prober) = probers.remove(&path)
            {
                probe.http_get = prober.http_get;
                probe.tcp_socket = prober.tcp_socket;
                probe.grpc = prober.grpc;
            }
        }
        for (path, hook) in hooks_of(container) {
            if asks_agent(hook.http_get.as_ref(), &path)
                && let Some(prober) = probers.remove(&path)
            {
                hook.http_get = prober.http_get;
                hook.tcp_socket = prober.tcp_socket;
            }
        }
    }
}

/// The probes of a container, each with the path at which the agent stands for it.
fn probes_of(container: &mut Container) -> impl Iterator<Item = (String, &mut Probe)> {
    let name = &container.name;
    let probes = [
        ("readyz", &mut container.readiness_probe),
        ("livez", &mut container.liveness_probe),
        ("startupz", &mut container.startup_probe),
    ];
    let present = probes
        .into_iter()
        .filter_map(|(kind, probe)| Some((kind, probe.as_mut()?)));
    present.map(move |(kind, probe)| (format!("/app-health/{name}/{kind}"), probe))
}

/// The hooks of a container, likewise.
fn hooks_of(container: &mut Container) -> impl Iterator<Item = (String, &mut LifecycleHandler)> {
    let name = &container.name;
    let hooks = container.lifecycle.iter_mut().flat_map(|lifecycle| {
        [
            ("prestopz", &mut lifecycle.pre_stop),
            ("poststartz", &mut lifecycle.post_start),
        ]
    });
    let present = hooks.filter_map(|(kind, hook)| Some((kind, hook.as_mut()?)));
    present.map(move |(kind, hook)| (format!("/app-lifecycle/{name}/{kind}"), hook))
}

fn asks_agent(http_get: Option<&HTTPGetAction>, path: &str) -> bool {
    http_get.and_then(|get| get.path.as_deref()) == Some(path)
}

fn prober_of(probe: &Probe, ports: &NamedPorts, status_port: i32) -> Option<Prober> {
    let prober = Prober {
        grpc: probe.grpc.clone(),
        timeout_seconds: probe.timeout_seconds,
        ..prober(probe.http_get.as_ref(), probe.tcp_socket.as_ref(), ports)?
    };
    prober.is_for_application(status_port).then_some(prober)
}

fn prober_of_hook(hook: &LifecycleHandler, ports: &NamedPorts, status_port: i32) -> Option<Prober> {
    let prober = prober(hook.http_get.as_ref(), hook.tcp_socket.as_ref(), ports)?;
    prober.is_for_application(status_port).then_some(prober)
}

/// The handlers with their ports as numbers; `None` if one of them cannot be taken over.
fn prober(
    http_get: Option<&HTTPGetAction>,
    tcp_socket: Option<&TCPSocketAction>,
    ports: &NamedPorts,
) -> Option<Prober> {
    let mut prober = Prober::default();
    if let Some(http_get) = http_get {
        let port = ports.number(&http_get.port, http_get.host.as_deref())?;
        prober.http_get = Some(HTTPGetAction {
            port,
            host: None,
            ..http_get.clone()
        });
    }
    if let Some(tcp_socket) = tcp_socket {
        let port = ports.number(&tcp_socket.port, tcp_socket.host.as_deref())?;
        prober.tcp_socket = Some(TCPSocketAction { port, host: None });
    }
    Some(prober)
}

impl Prober {
    /// There is a handler, and it does not lead to the agent.
    fn is_for_application(&self, status_port: i32) -> bool {
        let port = self
            .http_get
            .as_ref()
            .map(|get| &get.port)
            .or(self.tcp_socket.as_ref().map(|socket| &socket.port));
        match port {
            Some(port) => *port != IntOrString::Int(status_port),
            None => self.grpc.is_some(),
        }
    }
}

/// The request of the kubelet to the agent. Headers stay; the scheme is plain HTTP.
fn ask_agent(original: Option<&HTTPGetAction>, path: &str, status_port: i32) -> HTTPGetAction {
    let scheme = original
        .and_then(|get| get.scheme.as_ref())
        .map(|_| "HTTP".to_owned());
    HTTPGetAction {
        host: None,
        http_headers: original.and_then(|get| get.http_headers.clone()),
        path: Some(path.to_owned()),
        port: IntOrString::Int(status_port),
        scheme,
    }
}

/// The numbers of a container's named ports.
struct NamedPorts(BTreeMap<String, i32>);

impl NamedPorts {
    fn of(container: &Container) -> Self {
        let ports = container.ports.iter().flatten();
        Self(
            ports
                .filter_map(|port| Some((port.name.clone()?, port.container_port)))
                .collect(),
        )
    }

    /// The port as a number, if it is a port of this very pod.
    fn number(&self, port: &IntOrString, host: Option<&str>) -> Option<IntOrString> {
        if host.is_some_and(|host| !host.is_empty()) {
            return None;
        }
        match port {
            IntOrString::Int(number) => Some(IntOrString::Int(*number)),
            IntOrString::String(name) => {
                let number = self.0.get(name).copied().or_else(|| name.parse().ok())?;
                Some(IntOrString::Int(number))
            }
        }
    }
}

#[cfg(test)]
mod tests;
