//! What people read, in `istioctl`'s columns.

use serde::Serialize;

use super::namespaces::{Count, Injected};
use crate::table::Table;

/// What `istioctl` calls the revision of pods that were not injected.
const NOT_INJECTED: &str = "<non-Istio>";

/// Namespaces and injectors.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    pub(super) namespaces: Vec<Injected>,
    pub(super) injectors: Vec<Description>,
}

/// An injector.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Description {
    /// Name of its webhook configuration.
    pub(super) name: String,
    pub(super) revision: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tag: Option<String>,
    /// Namespaces whose pods it injects without being asked by them.
    pub(super) namespaces: Vec<String>,
    /// The image of the proxy, if its configuration can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) image: Option<String>,
}

impl Report {
    pub(super) fn to_text(&self) -> String {
        format!("{}\n{}", self.namespaces(), self.injectors())
    }

    fn namespaces(&self) -> String {
        if self.namespaces.is_empty() {
            return "No namespace is injected.\n".to_owned();
        }
        let mut table = Table::new(["NAMESPACE", "ISTIO-REVISION", "POD-REVISIONS"]);
        for namespace in &self.namespaces {
            let mut counts: Vec<String> = namespace.pods.iter().map(Count::told).collect();
            if counts.is_empty() {
                counts.push("<no pods>".to_owned());
            }
            for count in counts {
                let (name, revision) = (namespace.namespace.clone(), namespace.revision.clone());
                table.row([name, revision, count]);
            }
        }
        table.to_string()
    }

    fn injectors(&self) -> String {
        if self.injectors.is_empty() {
            return "There are no injectors.\n".to_owned();
        }
        let headings = [
            "NAMESPACES",
            "INJECTOR-HOOK",
            "ISTIO-REVISION",
            "SIDECAR-IMAGE",
        ];
        let mut table = Table::new(headings);
        for injector in &self.injectors {
            let mut namespaces = injector.namespaces.clone();
            if namespaces.is_empty() {
                namespaces.push("DOES NOT AUTOINJECT".to_owned());
            }
            for namespace in namespaces {
                table.row([
                    namespace,
                    injector.name.clone(),
                    injector.revision.clone(),
                    injector.image.clone().unwrap_or_default(),
                ]);
            }
        }
        table.to_string()
    }
}

impl Count {
    fn told(&self) -> String {
        let revision = self.revision.as_deref().unwrap_or(NOT_INJECTED);
        let mut text = format!("{revision}: {}", self.pods);
        if self.disabled > 0 {
            text.push_str(&format!(" (injection disabled: {})", self.disabled));
        }
        if self.needs_restart > 0 {
            text.push_str(&format!(" NEEDS RESTART: {}", self.needs_restart));
        }
        text
    }
}
