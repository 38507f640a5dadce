//! The API server: its version, and the APIs that the mesh needs.

use anyhow::{Context, Result};
use kube::Client;

use super::finding::Finding;

/// Name of the check.
pub(super) const CHECK: &str = "kubernetes";
/// Oldest minor version of Kubernetes 1 that is supported.
pub(super) const OLDEST: u32 = 29;
/// First minor version whose kubelets run native sidecars without being asked to.
pub(super) const NATIVE: u32 = 33;

/// Groups whose objects an installation consists of, or control reads.
const GROUPS: [&str; 9] = [
    "admissionregistration.k8s.io/v1",
    "apiextensions.k8s.io/v1",
    "apps/v1",
    "authentication.k8s.io/v1",
    "coordination.k8s.io/v1",
    "discovery.k8s.io/v1",
    "networking.k8s.io/v1",
    "policy/v1",
    "rbac.authorization.k8s.io/v1",
];

/// Looks at the API server.
pub(super) async fn look(client: &Client) -> Result<Vec<Finding>> {
    let version = client
        .apiserver_version()
        .await
        .context("cannot ask for the version")?;
    let mut findings = vec![of_version(&version.git_version)];
    let groups = client
        .list_api_groups()
        .await
        .context("cannot list API groups")?;
    let served: Vec<String> = groups
        .groups
        .into_iter()
        .flat_map(|group| group.versions)
        .map(|version| version.group_version)
        .collect();
    findings.extend(missing(&served));
    Ok(findings)
}

fn of_version(text: &str) -> Finding {
    match minor(text) {
        Some(minor) if minor < OLDEST => Finding::error(CHECK, format!("the API server is {text}"))
            .remedy(format!("Kubernetes 1.{OLDEST} or newer is needed")),
        Some(_) => Finding::info(CHECK, format!("the API server is {text}")),
        None => Finding::warning(
            CHECK,
            format!("the API server's version {text} cannot be read"),
        )
        .remedy(format!(
            "make sure that it is Kubernetes 1.{OLDEST} or newer"
        )),
    }
}

fn missing(served: &[String]) -> Vec<Finding> {
    let missing = GROUPS
        .iter()
        .filter(|group| !served.iter().any(|served| served == *group));
    missing
        .map(|group| {
            Finding::error(CHECK, format!("the API {group} is not served"))
                .remedy("look at --runtime-config of the API server")
        })
        .collect()
}

/// The minor version of `v1.34.2+k3s1`.
pub(super) fn minor(version: &str) -> Option<u32> {
    let mut numbers = version.trim_start_matches('v').split('.');
    let major: u32 = numbers.next()?.parse().ok()?;
    let minor = numbers.next()?;
    let digits = minor.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    (major == 1).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::Level;

    #[test]
    fn versions_are_read_with_what_vendors_add() {
        for (version, expected) in [
            ("v1.34.2", Some(34)),
            ("v1.28.5-gke.100", Some(28)),
            ("v1.30+", Some(30)),
            ("1.33.0+k3s1", Some(33)),
            ("v2.0.0", None),
            ("", None),
        ] {
            assert_eq!(minor(version), expected, "{version}");
        }
        assert_eq!(of_version("v1.28.0").level, Level::Error);
        assert_eq!(of_version("v1.29.0").level, Level::Info);
        assert_eq!(of_version("unknown").level, Level::Warning);
    }

    #[test]
    fn each_missing_api_is_named() {
        let all = GROUPS.map(str::to_owned);
        assert_eq!(missing(&all), []);
        let found = missing(&all[1..]);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].message.contains("admissionregistration"),
            "{found:?}"
        );
    }
}
