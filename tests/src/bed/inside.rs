//! The network as a pod sees it, and as the node beneath it does: both are network namespaces of this
//! machine, so this works on local clusters only.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use lateen_wire::names::PROXY_UID;
use nix::sched::{CloneFlags, setns};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::cluster::command::host;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// The network namespace of a pod, found by a process in its control group.
///
/// # Errors
/// When no process of this machine is in the pod: it has ended, or runs on another machine.
pub fn network_of(pod: &Pod) -> Result<PathBuf> {
    let group = format!("pod{}", pod.uid().context("a pod without uid")?);
    let processes = fs::read_dir("/proc").context("Listing the processes")?;
    let mut folders = processes.flatten().map(|entry| entry.path());
    let process = folders.find(|folder| {
        fs::read_to_string(folder.join("cgroup")).is_ok_and(|groups| groups.contains(&group))
    });
    process
        .map(|folder| folder.join("ns/net"))
        .with_context(|| {
            format!(
                "No process of this machine is in the pod {}",
                pod.name_any()
            )
        })
}

/// Connects from within a network namespace, as an application in it does: what is redirected there
/// is redirected for this connection too.
///
/// # Errors
/// When the namespace cannot be entered (root is needed) or nobody answers.
pub async fn connect_within(namespace: &Path, address: SocketAddr) -> Result<TcpStream> {
    connect(namespace, address, || ()).await
}

/// As [`connect_within`], as the sidecar, whose connections are not redirected.
///
/// # Errors
/// As [`connect_within`].
pub async fn connect_as_sidecar(namespace: &Path, address: SocketAddr) -> Result<TcpStream> {
    // What netfilter takes for the owner of a socket is a thread's user for files (setfsuid(2)).
    let become_sidecar = || {
        nix::unistd::setfsuid(PROXY_UID.into());
    };
    connect(namespace, address, become_sidecar).await
}

async fn connect(namespace: &Path, address: SocketAddr, prepare: fn()) -> Result<TcpStream> {
    let connect = move || {
        prepare();
        let stream = std::net::TcpStream::connect_timeout(&address, CONNECT)?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    };
    let stream = inside(namespace, connect)
        .await
        .with_context(|| format!("Connecting to {address} within {}", namespace.display()))?;
    Ok(TcpStream::from_std(stream)?)
}

/// Does something on a thread that is in a network namespace.
///
/// # Errors
/// When the namespace cannot be entered (root is needed), or the deed's own.
pub(crate) async fn inside<T: Send + 'static>(
    namespace: &Path,
    act: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T> {
    let namespace = File::open(namespace).context("Opening a network namespace")?;
    let enter = move || -> Result<T> {
        setns(namespace, CloneFlags::CLONE_NEWNET)?;
        Ok(act()?)
    };
    // A thread of its own, which ends with the namespace and the user that it has.
    let thread = || std::thread::spawn(enter).join();
    tokio::task::spawn_blocking(thread)
        .await?
        .map_err(|_| anyhow!("the thread ended early"))
        .flatten()
}

/// A program in the network of a node.
#[must_use]
pub fn on_node(node: &str, program: &str) -> Command {
    let mut command = host("nsenter", [format!("--net=/run/netns/{node}")]);
    command.arg(program);
    command
}
