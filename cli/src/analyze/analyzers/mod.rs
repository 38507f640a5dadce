//! The analyzers. Another one is another line of [`ANALYZERS`]: a name, what it looks for, and a
//! function from the world to messages.

mod annotations;
mod application_user;
mod image;
mod image_auto;
mod injection;
mod webhook;

use anyhow::{Result, bail};

use super::report::Report;
use super::world::World;

/// What looks for one thing, or several that are closely related.
#[derive(Clone, Copy, Debug)]
pub(super) struct Analyzer {
    /// `istioctl`'s name of it.
    name: &'static str,
    description: &'static str,
    /// Whether it runs although nobody names it.
    by_default: bool,
    pub(super) analyze: fn(&World, &mut Report),
}

/// All of them, by name.
const ANALYZERS: [Analyzer; 7] = [
    Analyzer {
        name: "annotations.AlphaAnalyzer",
        description: "Annotations of alpha maturity (runs only if --analyzer names it)",
        by_default: false,
        analyze: annotations::analyze_maturity,
    },
    Analyzer {
        name: "annotations.K8sAnalyzer",
        description: "Annotations that are unknown, misplaced, deprecated or have a wrong value",
        by_default: true,
        analyze: annotations::analyze,
    },
    Analyzer {
        name: "applicationUID.Analyzer",
        description: "Applications that run as the user of the proxy",
        by_default: true,
        analyze: application_user::analyze,
    },
    Analyzer {
        name: "injection.Analyzer",
        description: "Namespaces that are not injected or are by unclear labels, and pods without a sidecar",
        by_default: true,
        analyze: injection::analyze,
    },
    Analyzer {
        name: "injection.ImageAnalyzer",
        description: "Pods whose proxy is not the one that would be injected now",
        by_default: true,
        analyze: image::analyze,
    },
    Analyzer {
        name: "injection.ImageAutoAnalyzer",
        description: "Pods and Deployments with `image: auto` that nobody injects",
        by_default: true,
        analyze: image_auto::analyze,
    },
    Analyzer {
        name: "webhook.Analyzer",
        description: "Injectors that claim the same pods, or that do not exist",
        by_default: true,
        analyze: webhook::analyze,
    },
];

/// The analyzers of these names, or those that run by default.
///
/// # Errors
/// There is none of a name.
pub(super) fn select(names: &[String]) -> Result<Vec<Analyzer>> {
    for name in names {
        if ANALYZERS.iter().all(|analyzer| analyzer.name != name) {
            bail!("there is no analyzer {name}; -L lists those that there are");
        }
    }
    let is_wanted = |analyzer: &Analyzer| {
        if names.is_empty() {
            analyzer.by_default
        } else {
            names.iter().any(|name| name == analyzer.name)
        }
    };
    Ok(ANALYZERS.into_iter().filter(is_wanted).collect())
}

/// Names and descriptions.
pub(super) fn list() -> String {
    let told = ANALYZERS
        .iter()
        .map(|analyzer| format!("* {}:\n    {}\n", analyzer.name, analyzer.description));
    told.collect()
}

#[cfg(test)]
mod example;
