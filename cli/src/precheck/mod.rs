//! `lateenctl precheck`: whether the mesh can be installed into a cluster, or works in it. Everything
//! is looked at, also after something was found; what may not be looked at is a finding too. The
//! cluster stays as it is, but for a pod on each kind of node that tries redirection and is taken
//! away again.

mod access;
mod finding;
mod gateway_api;
mod injectors;
mod kernel;
mod meshes;
mod migration;
mod namespaces;
mod nodes;
mod server;

use std::cmp::Reverse;

use anyhow::{Context, Result, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::ListParams;
use kube::{Api, Client};

use crate::arguments::{Connection, Precheck};
use crate::cluster::connect;
use crate::console::Console;
use crate::hooks;
use crate::level::Level;
use crate::manifest::Manifest;
use crate::table::Table;
use crate::values::{Sources, Values};
use finding::{Finding, Findings};
pub use migration::IstioVersion;

/// Looks, and tells what it found.
///
/// # Errors
/// A value is wrong, the cluster cannot be reached, or a finding is an error.
pub async fn run(connection: &Connection, options: &Precheck, console: &Console) -> Result<()> {
    let values = Values::load(&Sources {
        assignments: options.set.clone(),
        namespace: connection.istio_namespace.clone(),
        revision: options.revision.clone(),
        ..Sources::default()
    })?;
    let client = connect(connection).await?;
    let mut findings = look(&client, &values, options, console).await?;
    findings.retain(|finding| finding.level >= options.output_threshold);
    findings.sort_by_key(|finding| Reverse(finding.level));
    console.answer(options.output, &findings, || to_text(&findings))?;
    let errors = findings
        .iter()
        .filter(|finding| finding.level == Level::Error)
        .count();
    ensure!(errors == 0, "{errors} of these must be mended first");
    Ok(())
}

/// All checks, one after the other.
async fn look(
    client: &Client,
    values: &Values,
    options: &Precheck,
    console: &Console,
) -> Result<Vec<Finding>> {
    let manifest = Manifest::build(values)?;
    let mut findings = Findings::default();
    findings.add(server::CHECK, server::look(client).await);
    findings.extend(nodes::look(client, values).await);
    if !options.skip_controlplane {
        findings.add(access::CHECK, access::look(client, &manifest).await);
    }
    let definitions = findings.learn("definitions", definitions(client).await);
    let definitions = definitions.as_deref();
    if !options.skip_controlplane {
        findings.extend(meshes::look(client, definitions, values).await);
    }
    findings.extend(definitions.map(gateway_api::look).unwrap_or_default());
    if let Some(version) = options.from_version {
        findings.extend(migration::look(client, definitions, values, version).await);
    }
    if let Some(hooks) = findings.learn(injectors::CHECK, hooks::list(client).await) {
        findings.extend(injectors::look(client, &hooks).await);
        findings.add(namespaces::CHECK, namespaces::look(client, &hooks).await);
    }
    if !options.skip_kernel {
        let place = options.kernel_namespace.as_deref().unwrap_or("default");
        findings.add(
            kernel::CHECK,
            kernel::look(client, values, place, console).await,
        );
    }
    Ok(findings.into_iter().collect())
}

/// All custom resource definitions of the cluster.
async fn definitions(client: &Client) -> Result<Vec<CustomResourceDefinition>> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let found = api
        .list(&ListParams::default())
        .await
        .context("cannot list custom resource definitions")?;
    Ok(found.items)
}

fn to_text(findings: &[Finding]) -> String {
    let mut table = Table::new(["LEVEL", "CHECK", "FINDING"]);
    for finding in findings {
        table.row([
            finding.level.to_string(),
            finding.check.to_owned(),
            finding.message.clone(),
        ]);
        if let Some(remedy) = &finding.remedy {
            table.row([String::new(), String::new(), format!("→ {remedy}")]);
        }
    }
    table.to_string()
}

#[cfg(test)]
mod tests;
