//! The values of an installation: the charts' defaults with a user's overlays, checked and typed.

mod assignment;
mod overlay;
mod types;
mod unknown;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use lateen_wire::Revision;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

pub use types::{AutoInject, Component, Global, Injection, ReinvocationPolicy, Text};

/// The defaults are those of the chart, so that both ways to install mean the same.
const DEFAULTS: &str = include_str!("../../../charts/istiod/values.yaml");

/// Where a user's values come from, weakest first: files, then `--set`, then the flags.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Values files, later ones over earlier ones.
    pub files: Vec<PathBuf>,
    /// Arguments of `--set`.
    pub assignments: Vec<String>,
    /// The namespace of the control plane, if a flag names one.
    pub namespace: Option<String>,
    /// The revision, if a flag names one.
    pub revision: Option<String>,
}

/// What to install.
#[derive(Clone, Debug)]
pub struct Values {
    /// Which of several control planes this is.
    pub revision: Revision,
    /// Tags that lead to it.
    pub tags: Vec<Revision>,
    /// What all parts share, and what the injector tells sidecars.
    pub global: Global,
    /// The control plane.
    pub pilot: Component,
    /// The injector.
    pub injector: Component,
    /// Which pods the injector is asked about, and what it does.
    pub injection: Injection,
    /// The user's mesh configuration.
    pub mesh_config: Map<String, Value>,
    /// What the user should know: values without effect, most often typing errors.
    pub warnings: Vec<String>,
    /// All values, as the injector's ConfigMap quotes them.
    tree: Map<String, Value>,
}

impl Values {
    /// Reads and checks the values.
    ///
    /// # Errors
    /// Names the file, `--set` argument or path that is wrong, and what is allowed.
    pub fn load(sources: &Sources) -> Result<Self> {
        let mut overlay = Map::new();
        for file in &sources.files {
            let read = || -> Result<_> {
                overlay::normalize(overlay::parse_file(&std::fs::read_to_string(file)?)?)
            };
            let values =
                read().with_context(|| format!("cannot use values file {}", file.display()))?;
            overlay::lay_over(&mut overlay, values);
        }
        let assigned = overlay::normalize(overlay::parse_assignments(&sources.assignments)?)?;
        overlay::lay_over(&mut overlay, assigned);
        if let Some(namespace) = &sources.namespace {
            let flag = overlay::parse_assignments(&[format!("global.istioNamespace={namespace}")])?;
            overlay::lay_over(&mut overlay, flag);
        }
        if let Some(revision) = &sources.revision {
            overlay.insert("revision".to_owned(), Value::from(revision.as_str()));
        }
        Self::with_overlay(overlay)
    }

    /// The defaults with one overlay, in the charts' shape.
    ///
    /// # Errors
    /// Names the path of a value that is wrong, and what is allowed.
    pub fn with_overlay(overlay: Map<String, Value>) -> Result<Self> {
        let mut tree: Map<String, Value> =
            serde_saphyr::from_str(DEFAULTS).context("the built-in values are broken")?;
        let mut warnings: Vec<String> = unknown::unknown(&tree, &overlay)
            .into_iter()
            .map(|path| format!("Value {path} is not known and has no effect."))
            .collect();
        overlay::merge(&mut tree, overlay);
        tree.values_mut().for_each(integers);

        let revision: Text = section(&tree, "revision")?;
        let mesh_config: Map<String, Value> = section(&tree, "meshConfig")?;
        warnings.extend(check_mesh_config(&mesh_config)?);
        check_injection(&tree)?;
        let revision: Revision = revision.as_str().parse().context("value revision")?;
        Ok(Self {
            tags: tags(&tree, &revision)?,
            revision,
            global: section(&tree, "global")?,
            pilot: section(&tree, "pilot")?,
            injector: section(&tree, "sidecarInjectorWebhook")?,
            injection: section(&tree, "sidecarInjectorWebhook")?,
            mesh_config,
            warnings,
            tree,
        })
    }

    /// The namespace of the control plane.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.global.istio_namespace.as_str()
    }

    /// The image of `istio-init`: a whole reference, or `hub/name:tag`.
    #[must_use]
    pub fn init_image(&self) -> String {
        let global = &self.global;
        let name = global.proxy_init.image.as_str();
        if name.contains('/') {
            return name.to_owned();
        }
        let variant = global.variant.given();
        let suffix = variant.map_or_else(String::new, |variant| format!("-{variant}"));
        format!(
            "{}/{name}:{}{suffix}",
            global.hub.as_str(),
            global.tag.as_str()
        )
    }

    /// One of the raw sections, such as `global`; empty if a user took it away.
    pub(crate) fn raw(&self, section: &str) -> Value {
        self.tree.get(section).cloned().unwrap_or_default()
    }
}

/// A typed section of the tree, with the whole path in messages.
fn section<T: DeserializeOwned>(tree: &Map<String, Value>, name: &str) -> Result<T> {
    let value = tree.get(name).unwrap_or(&Value::Null);
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let path = if path == "." {
            name.to_owned()
        } else {
            format!("{name}.{path}")
        };
        anyhow::anyhow!("value {path}: {}", error.into_inner())
    })
}

/// Names of tags are like those of revisions, and none is the revision's own.
fn tags(tree: &Map<String, Value>, revision: &Revision) -> Result<Vec<Revision>> {
    let names: Option<Vec<Text>> = section(tree, "revisionTags")?;
    let tag = |name: Text| {
        let tag: Revision = name.as_str().parse().context("value revisionTags")?;
        ensure!(
            !name.as_str().is_empty() && tag != *revision,
            "value revisionTags: {:?} is the revision itself",
            name.as_str()
        );
        Ok(tag)
    };
    names.into_iter().flatten().map(tag).collect()
}

/// Refuses what the injector would refuse to read.
fn check_injection(tree: &Map<String, Value>) -> Result<()> {
    let json = serde_json::to_string(tree)?;
    lateen_webhook::config::Values::parse(&json).context("values for the injector")?;
    Ok(())
}

/// Warnings about a mesh configuration that can be used; an error about one that cannot.
fn check_mesh_config(mesh_config: &Map<String, Value>) -> Result<Vec<String>> {
    let yaml = serde_saphyr::to_string(mesh_config)?;
    let parsed = lateen_api::MeshConfig::parse(&yaml).context("value meshConfig")?;
    let unknown = parsed
        .unknown
        .iter()
        .map(|path| format!("Mesh configuration: {path} is no field that Istio has."));
    let ignored = parsed
        .not_honoured
        .iter()
        .map(|field| format!("Mesh configuration: {field}"));
    Ok(unknown.chain(ignored).collect())
}

/// Writes numbers without fraction as integers, as Helm does.
fn integers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(whole) = number.as_f64().filter(|_| number.is_f64()).and_then(whole) {
                *value = Value::from(whole);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(integers),
        Value::Object(fields) => fields.values_mut().for_each(integers),
        _ => {}
    }
}

/// The integer that a float is, unless it has a fraction or is too large to be exact.
fn whole(float: f64) -> Option<i64> {
    format!("{float}").parse().ok()
}

#[cfg(test)]
mod tests;
