//! `lateenctl injector list`: which revision injects which namespace, which revisions its pods have,
//! and what every injector gives them.

mod namespaces;
mod report;

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use crate::arguments::{Connection, Injector};
use crate::cluster::connect;
use crate::console::Console;
use crate::hooks::selector::Labels;
use crate::hooks::{self, Hook, proxy_image};
use crate::injection::is_ambient;
use crate::manifest::admission::SYSTEM_NAMESPACES;
use crate::pages;
use namespaces::Tally;
use report::{Description, Report};

/// Lists.
///
/// # Errors
/// The cluster cannot be reached, the API server refuses, or there is no such namespace.
pub async fn run(connection: &Connection, command: &Injector, console: &Console) -> Result<()> {
    let Injector::List(options) = command;
    let client = connect(connection).await?;
    let only = connection.namespace.as_deref();
    let report = look(&client, connection.system_namespace(), only).await?;
    console.answer(options.output, &report, || report.to_text())
}

/// All that there is to list, or what concerns one namespace.
async fn look(client: &Client, system_namespace: &str, only: Option<&str>) -> Result<Report> {
    let hooks = hooks::list(client).await?;
    let mut namespaces = namespaces(client).await?;
    namespaces.retain(|name, labels| match only {
        Some(only) => name == only,
        None => {
            !is_ambient(labels)
                && name != system_namespace
                && !SYSTEM_NAMESPACES.contains(&name.as_str())
        }
    });
    if let Some(only) = only {
        ensure!(!namespaces.is_empty(), "there is no namespace {only}");
    }
    let pods: Api<Pod> = match only {
        Some(only) => Api::namespaced(client.clone(), only),
        None => Api::all(client.clone()),
    };
    let mut tally = Tally::new(&namespaces, &hooks);
    pages::each(&pods, ListParams::default(), |pod| tally.note(pod))
        .await
        .context("cannot list pods")?;
    let mut injectors = Vec::new();
    for hook in &hooks {
        injectors.push(describe(client, hook, &namespaces).await?);
    }
    Ok(Report {
        namespaces: tally.finish(),
        injectors,
    })
}

/// All namespaces and their labels.
async fn namespaces(client: &Client) -> Result<BTreeMap<String, Labels>> {
    let api: Api<Namespace> = Api::all(client.clone());
    let mut found = BTreeMap::new();
    pages::each(&api, ListParams::default(), |namespace| {
        found.insert(namespace.name_any(), namespace.labels().clone());
    })
    .await
    .context("cannot list namespaces")?;
    Ok(found)
}

async fn describe(
    client: &Client,
    hook: &Hook,
    namespaces: &BTreeMap<String, Labels>,
) -> Result<Description> {
    let injected = namespaces
        .iter()
        .filter(|(_, labels)| hook.firing(labels, &Labels::new()).is_some());
    let configuration = proxy_image::configuration(client, hook).await?;
    Ok(Description {
        name: hook.name().to_owned(),
        revision: hook.revision().to_owned(),
        tag: hook.tag().map(str::to_owned),
        namespaces: injected.map(|(name, _)| name.clone()).collect(),
        image: configuration.as_ref().and_then(proxy_image::of),
    })
}

#[cfg(test)]
mod tests;
