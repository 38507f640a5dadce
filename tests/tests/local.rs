//! The local cluster itself, as people use it: `cargo xtask cluster up` and `down`. The program is that
//! of `XTASK`, which `cargo xtask test cluster` sets.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use ipnet::IpNet;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::PostParams;
use lateen_tests::bed::within;
use lateen_tests::cluster::{Cluster, Name};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::process::Command;

/// Two clusters, of names that nobody else uses.
const NAMES: [&str; 2] = ["lateen-local-one", "lateen-local-two"];

/// How long the kernel may take to end what was killed, on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs `cargo xtask cluster ACTION --name NAME`.
async fn cluster(action: &str, name: &str) -> Result<()> {
    let program = std::env::var_os("XTASK")
        .context("XTASK is not set: run `cargo xtask test cluster`, which sets it")?;
    let output = Command::new(program)
        .args(["cluster", action, "--name", name])
        .output()
        .await
        .context("Starting the program of XTASK")?;
    let said = [&*output.stdout, &*output.stderr].map(String::from_utf8_lossy);
    ensure!(
        output.status.success(),
        "cluster {action} --name {name}: {}",
        said.concat()
    );
    Ok(())
}

/// The process of every part of a cluster that is well.
async fn processes(name: &str) -> Result<BTreeMap<String, i32>> {
    let status = Cluster::find(&name.parse::<Name>()?)?.status().await;
    ensure!(status.healthy, "{status:?}");
    let rows = status.components.into_iter();
    Ok(rows
        .filter_map(|row| Some((row.component, row.pid?)))
        .collect())
}

/// What there is of a cluster on this machine, by its name and by the addresses of its slot.
async fn traces(name: &str, ranges: &[IpNet]) -> Result<Vec<String>> {
    let mut traces = folders_of(name)?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    traces.extend(mounts.lines().map(str::to_owned));
    for process in std::fs::read_dir("/proc")?.flatten() {
        let read = |file| std::fs::read(process.path().join(file)).unwrap_or_default();
        let text = [read("cgroup"), read("cmdline")].concat();
        traces.push(format!(
            "{}: {}",
            process.path().display(),
            String::from_utf8_lossy(&text)
        ));
    }
    traces.retain(|trace| trace.contains(name));
    for family in ["-4", "-6"] {
        let routes = ["-json", family, "route", "show", "table", "all"];
        let listed = Command::new("ip").args(routes).output().await?.stdout;
        let routes: Vec<Value> = serde_json::from_slice(&listed)?;
        let destinations = routes.iter().filter_map(|route| route["dst"].as_str());
        traces.extend(
            destinations
                .filter(|destination| is_within(destination, ranges))
                .map(|destination| format!("route to {destination}")),
        );
    }
    Ok(traces)
}

/// Network namespaces, control groups and the state in the cache.
fn folders_of(name: &str) -> Result<Vec<String>> {
    let mut parents: Vec<PathBuf> = vec!["/run/netns".into(), "/sys/fs/cgroup".into()];
    parents.extend(entries(Path::new("/sys/fs/cgroup")));
    let mut found: Vec<PathBuf> = parents.iter().flat_map(|parent| entries(parent)).collect();
    let folder = Cluster::find(&name.parse::<Name>()?).map(|cluster| cluster.kubeconfig());
    found.extend(folder);
    Ok(found
        .into_iter()
        .map(|path| path.display().to_string())
        .collect())
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = folder.read_dir().into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

fn is_within(destination: &str, ranges: &[IpNet]) -> bool {
    let address = destination.split('/').next().unwrap_or_default();
    address
        .parse::<IpAddr>()
        .is_ok_and(|address| ranges.iter().any(|range| range.contains(&address)))
}

/// Takes a cluster down; nothing of it may be left.
async fn remove(name: &str) -> Result<()> {
    let cluster = Cluster::find(&name.parse::<Name>()?)?;
    let ranges: Vec<IpNet> = [cluster.pods(), cluster.services()]
        .into_iter()
        .flat_map(|range| range.both())
        .chain([IpNet::from(IpAddr::from(cluster.host().v4))])
        .collect();
    ensure!(
        traces(name, &ranges).await?.len() > 20,
        "the traces of a cluster that runs are not found"
    );
    self::cluster("down", name).await?;
    // A process that was killed may still be on its way out.
    within(LIMIT, "an end without traces", async || {
        let left = traces(name, &ranges).await?;
        if !left.is_empty() {
            bail!("{left:#?}");
        }
        Ok(())
    })
    .await
}

/// Waits until a process that was killed has ended.
async fn gone(name: &str, pid: i32) -> Result<()> {
    let cluster = Cluster::find(&name.parse::<Name>()?)?;
    within(LIMIT, "the end of a process", async || {
        let mut rows = cluster.status().await.components.into_iter();
        match rows.find(|row| row.pid == Some(pid)) {
            Some(row) => bail!("{row:?}"),
            None => Ok(()),
        }
    })
    .await
}

async fn mark(name: &str) -> Result<Api<ConfigMap>> {
    let client = Cluster::find(&name.parse::<Name>()?)?.client().await?;
    let api = Api::namespaced(client, "default");
    let mark = serde_json::from_value(json!({ "metadata": { "name": "mark" } }))?;
    api.create(&PostParams::default(), &mark).await?;
    Ok(api)
}

#[tokio::test]
async fn clusters_are_made_side_by_side_mended_and_taken_down() -> Result<()> {
    let [one, two] = NAMES;
    // What an earlier run left behind when it was interrupted.
    for name in NAMES {
        cluster("down", name).await?;
    }
    tokio::try_join!(cluster("up", one), cluster("up", two))?;
    let (first, second) = (processes(one).await?, processes(two).await?);
    let marks = mark(one).await?;

    cluster("up", one).await?;
    ensure!(processes(one).await? == first, "a second `up` changed it");

    for part in ["kube-apiserver", "containerd"] {
        let pid = first.get(part).with_context(|| format!("no {part}"))?;
        kill(Pid::from_raw(*pid), Signal::SIGKILL)?;
        gone(one, *pid).await?;
    }
    cluster("up", one).await?;
    let mended = processes(one).await?;
    for (part, pid) in &first {
        let is_new = mended.get(part) != Some(pid);
        let was_killed = ["kube-apiserver", "containerd"].contains(&part.as_str());
        ensure!(is_new == was_killed, "{part} is new: {is_new}");
    }
    marks.get("mark").await.context("what was stored is lost")?;

    remove(one).await?;
    ensure!(
        processes(two).await? == second,
        "the cluster beside it changed"
    );
    remove(two).await
}
