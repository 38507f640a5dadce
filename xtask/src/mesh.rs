//! A cluster with the mesh in it: what the demo and the cluster tests begin with.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use lateen_tests::cluster::{self, Cache, Cluster, Spec};

use crate::blocking::wait_for;
use crate::images::{self, Images};
use crate::kubectl::Kubectl;
use crate::workspace::Workspace;
use crate::{output, shell};

/// Where control and webhook live.
pub(crate) const NAMESPACE: &str = "istio-system";

/// Sidecars ask for less than the charts' defaults, so that a small machine holds many.
const SMALL_SIDECARS: [&str; 2] = [
    "values.global.proxy.resources.requests.cpu=10m",
    "values.global.proxy.resources.requests.memory=40Mi",
];

/// A cluster to work in.
#[derive(Debug)]
pub(crate) struct Place {
    /// The way to talk to it.
    pub(crate) kubectl: Kubectl,
    /// The cluster, if we made it.
    cluster: Option<Cluster>,
}

impl Place {
    /// Takes the cluster of `kubeconfig`, or makes one of our own with this name unless it runs
    /// already.
    ///
    /// # Errors
    /// When the cluster cannot be made.
    pub(crate) fn up(name: &str, nodes: u8, kubeconfig: Option<PathBuf>) -> Result<Self> {
        if let Some(kubeconfig) = kubeconfig {
            let kubectl = Kubectl {
                program: "kubectl".into(),
                kubeconfig,
            };
            return Ok(Self {
                kubectl,
                cluster: None,
            });
        }
        output::step("Starting Kubernetes");
        let name = name.parse()?;
        let cluster = wait_for(cluster::up(&Spec { name, nodes }))?;
        let kubectl = Kubectl {
            program: Cache::locate()?.programs().join("kubectl"),
            kubeconfig: cluster.kubeconfig(),
        };
        Ok(Self {
            kubectl,
            cluster: Some(cluster),
        })
    }

    /// Takes our own cluster of this name down, whatever state it is in.
    ///
    /// # Errors
    /// When something of it stays.
    pub(crate) fn down(name: &str) -> Result<()> {
        wait_for(cluster::down(&name.parse()?))
    }
}

/// Builds the images and brings them where the cluster finds them.
///
/// # Errors
/// When an image cannot be built, imported or pushed.
pub(crate) fn images(workspace: &Workspace, place: &Place, push: Option<String>) -> Result<Images> {
    let options = images::Options {
        push,
        ..Default::default()
    };
    let images = images::build(workspace, &options)?;
    if let Some(cluster) = &place.cluster {
        images::import(&images, cluster)?;
    }
    Ok(images)
}

/// Installs the mesh, as a user would, and waits until it is ready.
///
/// # Errors
/// When the installation fails.
pub(crate) fn install(kubectl: &Kubectl, images: &Images) -> Result<()> {
    output::step("Installing the mesh");
    let mut lateenctl = Command::new(&images.lateenctl);
    lateenctl
        .env("KUBECONFIG", &kubectl.kubeconfig)
        .args(["install", "-y"]);
    let names = [format!("hub={}", images.hub), format!("tag={}", images.tag)];
    let values = names.iter().map(String::as_str).chain(SMALL_SIDECARS);
    lateenctl.args(values.flat_map(|value| ["--set", value]));
    shell::run(&mut lateenctl)
}

/// Takes the mesh out of the cluster.
///
/// # Errors
/// When the command line does not build, or something cannot be removed.
pub(crate) fn uninstall(workspace: &Workspace, kubectl: &Kubectl) -> Result<()> {
    output::step("Removing the mesh");
    let mut lateenctl = Command::new(images::lateenctl(workspace)?);
    shell::run(lateenctl.env("KUBECONFIG", &kubectl.kubeconfig).args([
        "uninstall",
        "-y",
        "--purge",
    ]))
}
