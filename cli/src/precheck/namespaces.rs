//! Namespaces that are injected: whether their Pod Security level lets injected pods in.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use super::finding::Finding;
use crate::hooks::Hook;
use crate::hooks::selector::Labels;
use crate::injection;

/// Name of the check.
pub(super) const CHECK: &str = "pod security";
/// Name of the findings about labels that lead nowhere.
const CHECK_LABELS: &str = "injection";
/// Label of the level that pods must have to be let in.
const ENFORCED: &str = "pod-security.kubernetes.io/enforce";
/// The one level that lets containers have NET_ADMIN.
const OPEN: &str = "privileged";

/// Looks at all namespaces that are injected, or ask for it by their labels.
pub(super) async fn look(client: &Client, hooks: &[Hook]) -> Result<Vec<Finding>> {
    let api: Api<Namespace> = Api::all(client.clone());
    let namespaces = api
        .list(&ListParams::default())
        .await
        .context("cannot list namespaces")?;
    let mut findings: Vec<Finding> = namespaces
        .iter()
        .flat_map(|namespace| of_namespace(&namespace.name_any(), namespace.labels(), hooks))
        .collect();
    if findings.is_empty() {
        let told = "no namespace that is injected restricts its pods";
        findings.push(Finding::info(CHECK, told));
    }
    Ok(findings)
}

fn of_namespace(name: &str, labels: &Labels, hooks: &[Hook]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let injects = hooks
        .iter()
        .any(|hook| hook.firing(labels, &Labels::new()).is_some());
    let wish = injection::wish(labels);
    if let Some((key, value)) = wish
        && !injects
        && !hooks.is_empty()
    {
        findings.push(
            Finding::warning(
                CHECK_LABELS,
                format!("namespace {name} has label {key}={value}, but no injector goes by it"),
            )
            .remedy("`tag list` and the revisions found above are what a label can name"),
        );
    }
    let level = labels.get(ENFORCED).filter(|level| *level != OPEN);
    if let Some(level) = level
        && (wish.is_some() || injects)
    {
        findings.push(
            Finding::warning(
                CHECK,
                format!("namespace {name} is injected and enforces the Pod Security level {level}, which refuses the capability NET_ADMIN that istio-init needs: its injected pods cannot be made"),
            )
            .remedy(format!(
                "kubectl label --overwrite namespace {name} {ENFORCED}={OPEN}, or do without redirection by the annotation sidecar.istio.io/interceptionMode: NONE"
            )),
        );
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_restricted_namespaces_that_are_injected_are_told() {
        for (labels, expected) in [
            (
                &[("istio-injection", "enabled"), (ENFORCED, "baseline")][..],
                1,
            ),
            (&[("istio.io/rev", "canary"), (ENFORCED, "restricted")], 1),
            (&[("istio-injection", "enabled"), (ENFORCED, OPEN)], 0),
            (
                &[("istio-injection", "disabled"), (ENFORCED, "baseline")],
                0,
            ),
            (&[(ENFORCED, "baseline")], 0),
        ] {
            let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
            let labels: Labels = labels.iter().map(owned).collect();
            assert_eq!(
                of_namespace("x", &labels, &[]).len(),
                expected,
                "{labels:?}"
            );
        }
    }
}
