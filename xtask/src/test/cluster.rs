//! What needs a Kubernetes: the mesh is installed as a user would, with the access rights that
//! ship and nothing more.

use std::collections::BTreeSet;

use anyhow::Result;

use super::Options;
use super::report::Report;
use crate::images::{self, Images};
use crate::mesh::{self, Place};
use crate::shell;
use crate::workspace::Workspace;

/// Tests wait for pods most of the time, so there can be more of them than cores.
const PARALLEL: u8 = 8;

/// Two, so that traffic crosses from one to the other.
const NODES: u8 = 2;

/// Runs the cluster tests and takes the cluster down again, also when they failed.
pub(crate) fn run(workspace: &Workspace, options: &Options, report: &mut Report) {
    let push = options.push.as_deref();
    let build = || images::build(workspace, &images::Options::quick(push));
    let Some(images) = report.stage("cluster: images", build) else {
        return;
    };
    let kubeconfig = options.kubeconfig.as_deref();
    let up = || Place::up(&options.name, NODES, kubeconfig);
    if let Some(place) = report.stage("cluster: up", up)
        && run_in(workspace, &place, &images, report).is_none()
    {
        explain(&place);
    }
    if kubeconfig.is_none() {
        report.stage("cluster: down", || Place::down(&options.name));
    }
}

/// Runs the stages that need each other; none when one failed.
fn run_in(
    workspace: &Workspace,
    place: &Place,
    images: &Images,
    report: &mut Report,
) -> Option<()> {
    report.stage("cluster: install", || {
        place.import(images)?;
        mesh::install(&place.kubectl, images)
    })?;
    let test = |name, threads| cargo_test(workspace, place, images, name, threads);
    let parallel = report.stage("cluster: tests", || test("cluster", Some(PARALLEL)));
    let alone = report.stage("cluster: disruptive tests", || test("disruptive", Some(1)));
    parallel.and(alone)
}

/// Runs one of the test programs of `lateen-tests` against the cluster.
fn cargo_test(
    workspace: &Workspace,
    place: &Place,
    images: &Images,
    name: &str,
    threads: Option<u8>,
) -> Result<()> {
    let mut cargo = workspace.cargo();
    cargo.args([
        "test",
        "--locked",
        "--quiet",
        "--package=lateen-tests",
        "--test",
        name,
        "--",
    ]);
    cargo.args(threads.map(|threads| format!("--test-threads={threads}")));
    cargo.env("KUBECONFIG", &place.kubectl.kubeconfig);
    cargo
        .env("LATEEN_HUB", &images.hub)
        .env("LATEEN_TAG", &images.tag);
    cargo
        .env("LATEENCTL", &images.lateenctl)
        .env("KUBECTL", &place.kubectl.program);
    shell::run(&mut cargo)
}

/// Prints the logs of the mesh and of every namespace with a pod that is not well.
fn explain(place: &Place) {
    let mut namespaces = BTreeSet::from([mesh::NAMESPACE.to_owned()]);
    namespaces.extend(place.kubectl.unwell_namespaces().unwrap_or_default());
    for namespace in &namespaces {
        place.kubectl.explain(namespace);
    }
}
