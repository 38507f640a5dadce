//! `--from-version`: what will be different for a cluster that comes from an Istio of some version.
//! That is what Istio itself changed since then where Lateen does as the newer versions do, and what
//! Lateen does not do yet, whatever the version. A difference that leaves traces in a cluster is told
//! only where they are.

mod changes;
mod leftovers;
mod version;

use anyhow::Result;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;

use super::finding::Finding;
use crate::values::Values;
pub use version::IstioVersion;

/// Name of the check.
pub(super) const CHECK: &str = "from istio";

/// The newest version of Istio whose changes are known here.
const NEWEST: IstioVersion = IstioVersion::of_minor(31);

/// Compares with a version of Istio.
pub(super) async fn look(
    client: &Client,
    definitions: &[CustomResourceDefinition],
    values: &Values,
    version: IstioVersion,
) -> Result<Vec<Finding>> {
    let mut findings = changes::since(client, definitions, version).await?;
    findings.extend(leftovers::resources(client, definitions).await?);
    findings.extend(leftovers::ambient(client).await?);
    findings.extend(leftovers::mesh_config(client, values.namespace()).await?);
    if version > NEWEST {
        let told = format!("changes after Istio {NEWEST} are not known to this lateenctl");
        findings.push(Finding::warning(CHECK, told));
    }
    if findings.is_empty() {
        let told = format!("nothing that differs from Istio {version} matters to this cluster");
        findings.push(Finding::info(CHECK, told));
    }
    Ok(findings)
}

#[cfg(test)]
mod tests;
