//! Configuration of the injector in the formats of Istio's ConfigMaps: `config` and `values` of
//! `istio-sidecar-injector`, and `mesh` of `istio`.

pub(crate) mod overlay;
pub mod policy;
pub mod templates;
pub mod values;

#[cfg(test)]
mod tests;

use lateen_api::{Error, MeshConfig};

pub use policy::{InjectionConfig, Policy};
pub use values::Values;

/// The three texts of a configuration, as they lie in the ConfigMaps. An empty text is the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sources<'a> {
    /// Key `config` of ConfigMap `istio-sidecar-injector`: YAML.
    pub config: &'a str,
    /// Key `values` of ConfigMap `istio-sidecar-injector`: JSON (YAML is read too).
    pub values: &'a str,
    /// Key `mesh` of ConfigMap `istio`: YAML.
    pub mesh: &'a str,
}

/// A whole configuration, read and checked.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Who is injected.
    pub injection: InjectionConfig,
    /// Values of the installation.
    pub values: Values,
    /// Settings of the mesh.
    pub mesh: MeshConfig,
}

impl Config {
    /// Reads the three texts. Returned beside the configuration: one sentence for everything in
    /// them that has no effect.
    ///
    /// # Errors
    /// When a text is not YAML or a field has a value it cannot have.
    pub fn parse(sources: Sources<'_>) -> Result<(Self, Vec<String>), Error> {
        let (injection, of_injection) = InjectionConfig::parse(sources.config)?;
        let (values, unknown_values) = Values::parse(sources.values)?;
        let mesh = MeshConfig::parse(sources.mesh)?;
        let mut notices = Vec::new();
        let mut add = |source: &str, sentences: Vec<String>| {
            let named = sentences
                .iter()
                .map(|sentence| format!("{source}: {sentence}"));
            notices.extend(named);
        };
        let unknown = |fields: &[String]| {
            let sentences = fields.iter().map(|field| format!("{field}: unknown field"));
            sentences.collect()
        };
        add(
            "mesh",
            mesh.not_honoured.iter().map(ToString::to_string).collect(),
        );
        add("mesh", unknown(&mesh.unknown));
        add("config", of_injection);
        add("values", unknown(&unknown_values));
        add(
            "values",
            values
                .pilot
                .notice()
                .map(str::to_owned)
                .into_iter()
                .collect(),
        );
        Ok((
            Self {
                injection,
                values,
                mesh: mesh.config,
            },
            notices,
        ))
    }
}
