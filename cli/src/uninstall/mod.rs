//! `lateenctl uninstall`: removes what `install` applied and what the control plane wrote itself.
//! Webhook configurations go first, so that no pod is held up by an injector that is gone; so do tags
//! that lead to it.
//!
//! What revisions share stays while there is another one. The custom resource definitions, with
//! everybody's resources, and the root certificate, by which running sidecars know each other, stay
//! for a later installation unless `--purge` is given. The namespace stays: others may have put things
//! there.

mod revision;
mod shared;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use lateen_wire::{Revision, names};

use crate::arguments::{Connection, Uninstall};
use crate::cluster::connect;
use crate::console::Console;
use crate::hooks::{self, Hook};
use crate::manifest::{Component, MANAGED_LABEL, MANAGED_VALUE};
use crate::tag::takeover;
use revision::Removal;
use shared::Shared;

/// Uninstalls.
///
/// # Errors
/// Several revisions are installed and none is named, the user declines, or the API server refuses
/// to list or delete something.
pub async fn run(connection: &Connection, options: &Uninstall, console: &Console) -> Result<()> {
    let client = connect(connection).await?;
    remove(client, connection.system_namespace(), options, console).await
}

async fn remove(
    client: Client,
    namespace: &str,
    options: &Uninstall,
    console: &Console,
) -> Result<()> {
    let installed = installed(&client, namespace).await?;
    let doomed = doomed(&installed, options.revision.as_ref(), options.purge)?;
    let elsewhere = elsewhere(&client, namespace).await?;
    ensure!(
        elsewhere.is_empty() || !options.purge,
        "--purge removes what all meshes share, and there are others, in namespace {}; uninstall them first, or leave out --purge",
        elsewhere.join(", ")
    );
    if !options.skip_confirmation {
        console.confirm(&question(namespace, &doomed, options.purge))?;
    }
    give_back(&client, &doomed, console).await?;
    let mut removed = 0;
    for revision in &doomed {
        let removal = Removal {
            client: client.clone(),
            namespace,
            revision,
            console,
        };
        removed += removal.run().await?;
    }
    if elsewhere.is_empty() && installed.is_subset(&doomed) {
        let shared = Shared {
            client,
            namespace,
            console,
        };
        removed += shared.run(options.purge).await?;
    }
    if removed == 0 {
        console.note(&format!("Nothing is installed in namespace {namespace}."));
        for other in &elsewhere {
            console.note(&format!(
                "There is a mesh in namespace {other}; name it by -i {other}."
            ));
        }
        return Ok(());
    }
    console.note("Pods keep their sidecars until they are made anew: kubectl rollout restart deployment -n NAMESPACE");
    Ok(())
}

/// Puts the revision without a name back into action if the tag that has taken over from it goes.
async fn give_back(client: &Client, doomed: &BTreeSet<Revision>, console: &Console) -> Result<()> {
    let hooks = hooks::list(client).await?;
    let goes = |hook: &Hook| {
        doomed
            .iter()
            .any(|doomed| hook.revision() == doomed.as_str())
    };
    let mut defaults = hooks
        .iter()
        .filter(|hook| hook.tag() == Some(names::DEFAULT_REVISION));
    if defaults.any(goes) && !doomed.contains(&Revision::default()) {
        for hook in takeover::sleeping(&hooks) {
            takeover::reactivate(client, hook).await?;
            console.note(&format!(
                "{} is in action again: the tag default goes with its revision",
                hook.name()
            ));
        }
    }
    Ok(())
}

/// The revisions whose objects there are in a namespace.
async fn installed(client: &Client, namespace: &str) -> Result<BTreeSet<Revision>> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let failed = || format!("cannot list what is installed in namespace {namespace}");
    let maps = maps.list(&ours()).await.with_context(failed)?;
    let deployments = deployments.list(&ours()).await.with_context(failed)?;
    let revision = |labels: &BTreeMap<String, String>| labels.get(names::REVISION)?.parse().ok();
    let of_maps = maps.iter().filter_map(|map| revision(map.labels()));
    let of_deployments = deployments
        .iter()
        .filter_map(|deployment| revision(deployment.labels()));
    Ok(of_maps.chain(of_deployments).collect())
}

/// Other namespaces that a control plane of ours is installed in.
async fn elsewhere(client: &Client, namespace: &str) -> Result<Vec<String>> {
    let deployments: Api<Deployment> = Api::all(client.clone());
    let found = deployments.list(&ours()).await;
    let found = found.context("cannot list Deployments")?;
    let identity = Component::Control.identity();
    let controls = found.iter().filter(|deployment| {
        let labels = deployment.labels();
        identity
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value))
    });
    let namespaces: BTreeSet<String> = controls.filter_map(ResourceExt::namespace).collect();
    let others = namespaces.into_iter().filter(|other| other != namespace);
    Ok(others.collect())
}

/// Which revisions are to go. What only parts of are there may go too.
fn doomed(
    installed: &BTreeSet<Revision>,
    named: Option<&Revision>,
    purge: bool,
) -> Result<BTreeSet<Revision>> {
    match named {
        Some(revision) if purge && installed.iter().any(|other| other != revision) => bail!(
            "--purge removes what all revisions share, and there are others than {revision}: {}; leave out --revision to remove them all, or --purge to keep them",
            listed(installed)
        ),
        Some(revision) => Ok(BTreeSet::from([revision.clone()])),
        None if purge || installed.len() == 1 => Ok(installed
            .iter()
            .cloned()
            .chain(at_least(installed))
            .collect()),
        None if installed.is_empty() => Ok(at_least(installed).into_iter().collect()),
        None => bail!(
            "several revisions are installed: {}; name one by --revision, or remove all by --purge",
            listed(installed)
        ),
    }
}

/// Where nothing tells a revision, the default one's leavings are looked for.
fn at_least(installed: &BTreeSet<Revision>) -> Option<Revision> {
    installed.is_empty().then(Revision::default)
}

fn listed(revisions: &BTreeSet<Revision>) -> String {
    let names: Vec<&str> = revisions.iter().map(Revision::as_str).collect();
    names.join(", ")
}

fn question(namespace: &str, doomed: &BTreeSet<Revision>, purge: bool) -> String {
    let more = if purge {
        ", all of its custom resources and its root certificate"
    } else {
        ""
    };
    format!(
        "This removes the mesh in namespace {namespace}, revision {}{more}.",
        listed(doomed)
    )
}

async fn step(
    what: &str,
    removal: impl Future<Output = Result<usize>>,
    console: &Console,
) -> Result<usize> {
    let started = Instant::now();
    let count = removal.await?;
    if count > 0 {
        console.done(&format!("{what}: {count} removed"), started.elapsed());
    }
    Ok(count)
}

/// Selects what installations made.
fn ours() -> ListParams {
    ListParams::default().labels(&format!("{MANAGED_LABEL}={MANAGED_VALUE}"))
}

#[cfg(test)]
mod tests;
