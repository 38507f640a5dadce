//! Whether the proxy is a native sidecar: an init container that is restarted and outlives none of
//! the application's containers (KEP-753, on by default in the kubelet from 1.29, stable in 1.33).

use std::collections::HashMap;
use std::str::FromStr;

/// The first minor version of Kubernetes 1 whose kubelet is trusted with native sidecars.
const FIRST_MINOR: u16 = 33;

/// How the installation wants the choice made: environment variable `ENABLE_NATIVE_SIDECARS`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NativeSidecars {
    /// Native where the kubelet is new enough.
    #[default]
    Auto,
    /// Always native.
    Always,
    /// Never native.
    Never,
}

impl FromStr for NativeSidecars {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "true" => Ok(Self::Always),
            "false" => Ok(Self::Never),
            _ => Err(format!("{text:?} is not auto, true or false")),
        }
    }
}

/// The kubelets of the cluster, as far as the choice needs to know them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kubelets {
    supports_native: HashMap<String, bool>,
}

impl Kubelets {
    /// Notes the version that a node's kubelet reports, such as `v1.34.1`; answers whether that makes a
    /// difference. A version that cannot be read counts as too old.
    pub fn note(&mut self, node: &str, version: &str) -> bool {
        let supports = minor(version).is_some_and(|minor| minor >= FIRST_MINOR);
        let before = self.supports_native.insert(node.to_owned(), supports);
        before != Some(supports)
    }

    /// Forgets a node; answers whether it was known.
    pub fn forget(&mut self, node: &str) -> bool {
        self.supports_native.remove(node).is_some()
    }

    /// Whether a pod can have a native sidecar: on its own node if that is known, else on every
    /// node. A cluster without nodes counts as new.
    #[must_use]
    pub fn support_native(&self, node: Option<&str>) -> bool {
        match node.and_then(|node| self.supports_native.get(node)) {
            Some(supports) => *supports,
            None => self.supports_native.values().all(|supports| *supports),
        }
    }
}

/// The minor version in `v1.34.1-suffix`.
fn minor(version: &str) -> Option<u16> {
    let rest = version
        .strip_prefix("v")
        .unwrap_or(version)
        .strip_prefix("1.")?;
    let digits = rest.split(|letter: char| !letter.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_must_be_new_unless_the_pod_has_one() {
        let mut kubelets = Kubelets::default();
        assert!(kubelets.support_native(None));
        kubelets.note("new", "v1.34.1");
        kubelets.note("old", "v1.32.9-gke.1");
        assert!(!kubelets.support_native(None));
        assert!(kubelets.support_native(Some("new")));
        assert!(!kubelets.support_native(Some("old")));
        assert!(!kubelets.support_native(Some("unknown")));
        kubelets.forget("old");
        assert!(kubelets.support_native(None));
        kubelets.note("odd", "main-4711");
        assert!(!kubelets.support_native(None));
    }
}
