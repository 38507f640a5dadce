//! A cluster with the mesh in it: what the demo and the cluster tests begin with.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use lateen_tests::bed::installation;
use lateen_tests::cluster::{self, Cache, Cluster, Name, Spec};

use crate::blocking::wait_for;
use crate::images::{self, Images};
use crate::kubectl::Kubectl;
use crate::workspace::Workspace;
use crate::{output, shell};

/// Where control and webhook live.
pub(crate) const NAMESPACE: &str = "istio-system";

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
    pub(crate) fn up(name: &Name, nodes: u8, kubeconfig: Option<&Path>) -> Result<Self> {
        if let Some(kubeconfig) = kubeconfig {
            let kubectl = Kubectl {
                program: "kubectl".into(),
                kubeconfig: kubeconfig.to_path_buf(),
            };
            return Ok(Self {
                kubectl,
                cluster: None,
            });
        }
        output::step("Starting Kubernetes");
        let name = name.clone();
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
    pub(crate) fn down(name: &Name) -> Result<()> {
        wait_for(cluster::down(name))
    }

    /// Imports the images, unless the cluster finds them in a registry.
    ///
    /// # Errors
    /// When a node does not take them.
    pub(crate) fn import(&self, images: &Images) -> Result<()> {
        self.cluster
            .as_ref()
            .map_or(Ok(()), |cluster| images::import(images, cluster))
    }
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
        .args(["install", "-y"])
        .args(installation::values(&images.hub, &images.tag));
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
