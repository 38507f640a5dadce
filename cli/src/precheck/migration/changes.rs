//! What Istio changed from version to version, where Lateen does as the newer ones do. Changes of
//! what Lateen does not have (such as the `Gateway` merging of 1.31) are no part of it.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client, ResourceExt};
use lateen_wire::names;

use super::super::finding::{Finding, Findings};
use super::{CHECK, IstioVersion};

/// The last version whose sidecars sent spans without being asked to.
const TRACED_UNASKED: IstioVersion = IstioVersion::of_minor(21);
/// The last version that tried requests again when an application answered 503.
const RETRIED_503: IstioVersion = IstioVersion::of_minor(23);
/// The last version with an operator in the cluster.
const HAD_OPERATOR: IstioVersion = IstioVersion::of_minor(23);
/// The last version whose sidecars were ordinary containers by default.
const CLASSIC_SIDECARS: IstioVersion = IstioVersion::of_minor(26);

/// What has changed since a version.
pub(super) async fn since(
    client: &Client,
    definitions: &[CustomResourceDefinition],
    version: IstioVersion,
) -> Findings {
    let mut findings = Findings::default();
    if version <= TRACED_UNASKED {
        findings.add(CHECK, tracing(client).await);
    }
    if version <= RETRIED_503 {
        findings.extend([retries()]);
    }
    if version <= HAD_OPERATOR {
        findings.extend(operator(definitions));
    }
    if version <= CLASSIC_SIDECARS {
        findings.extend([native_sidecars()]);
    }
    findings
}

/// Spans went to `zipkin.istio-system` by default, wherever the mesh was.
async fn tracing(client: &Client) -> Result<Option<Finding>> {
    let namespace = names::SYSTEM_NAMESPACE;
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    let zipkin = services
        .get_opt("zipkin")
        .await
        .with_context(|| format!("cannot look at Service {namespace}/zipkin"))?;
    let told = format!(
        "Service {namespace}/zipkin will get no spans: up to Istio {TRACED_UNASKED} sidecars sent them there without being asked to"
    );
    let remedy = "leave what needs traces in Istio; Lateen does not send spans yet";
    Ok(zipkin.map(|_| Finding::warning(CHECK, told).remedy(remedy)))
}

fn retries() -> Finding {
    let told = format!(
        "answers 503 of applications are not tried again: up to Istio {RETRIED_503} sidecars did so by default"
    );
    Finding::info(CHECK, told)
        .remedy("clients that counted on it have to try again themselves; connections that fail, and requests that no application has seen, are tried again as before")
}

fn operator(definitions: &[CustomResourceDefinition]) -> Option<Finding> {
    let mut all = definitions.iter();
    all.find(|definition| definition.name_any() == "istiooperators.install.istio.io")?;
    let told = format!(
        "nothing in the cluster acts on IstioOperator resources: up to Istio {HAD_OPERATOR} an operator could"
    );
    let remedy = "lateenctl install -f FILE reads the spec of an IstioOperator";
    Some(Finding::warning(CHECK, told).remedy(remedy))
}

fn native_sidecars() -> Finding {
    let told = format!(
        "sidecars are native where kubelets are new enough: istio-proxy is an init container that keeps running; up to Istio {CLASSIC_SIDECARS} it was an ordinary container by default"
    );
    Finding::info(CHECK, told)
        .remedy("look at scripts and policies that expect it among spec.containers; the annotation sidecar.istio.io/nativeSidecar: \"false\" keeps a pod as it was")
}
