//! `--from-version`: what will be different for a cluster that comes from an Istio of some version.
//! That is what Istio itself changed since then where Lateen does as the newer versions do, and what
//! Lateen does not do yet, whatever the version. A difference that leaves traces in a cluster is told
//! only where they are.

mod changes;
mod leftovers;
mod settings;
mod version;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;

use super::finding::{Finding, Findings};
use crate::values::Values;
pub use version::IstioVersion;

/// Name of the check.
pub(super) const CHECK: &str = "from istio";

/// The newest version of Istio whose changes are known here.
const NEWEST: IstioVersion = IstioVersion::of_minor(31);

/// Compares with a version of Istio. Without the cluster's definitions, what they would tell is left
/// out.
pub(super) async fn look(
    client: &Client,
    definitions: Option<&[CustomResourceDefinition]>,
    values: &Values,
    version: IstioVersion,
) -> Findings {
    let mut findings = Findings::default();
    let known = definitions.unwrap_or_default();
    findings.extend(changes::since(client, known, version).await);
    findings.extend(leftovers::resources(client, known).await);
    findings.add(CHECK, leftovers::ambient_namespaces(client).await);
    findings.add(CHECK, leftovers::ambient_pods(client).await);
    findings.extend(settings::look(client, values.namespace()).await);
    if version > NEWEST {
        let told = format!("changes after Istio {NEWEST} are not known to this lateenctl");
        findings.extend([Finding::warning(CHECK, told)]);
    }
    if findings.is_empty() && definitions.is_some() {
        let told = format!("nothing that differs from Istio {version} matters to this cluster");
        findings.extend([Finding::info(CHECK, told)]);
    }
    findings
}

#[cfg(test)]
mod tests;
