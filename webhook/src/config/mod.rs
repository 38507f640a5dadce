//! Configuration of the injector in the formats of Istio's ConfigMaps: `config` and `values` of
//! `istio-sidecar-injector`, and `mesh` of `istio`.

pub mod policy;
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
        let (injection, unknown_config) = InjectionConfig::parse(sources.config)?;
        let (values, unknown_values) = Values::parse(sources.values)?;
        let mesh = MeshConfig::parse(sources.mesh)?;
        let mut notices: Vec<String> = mesh
            .not_honoured
            .iter()
            .map(|field| format!("mesh: {field}"))
            .collect();
        let unknown = [
            ("mesh", mesh.unknown),
            ("config", unknown_config),
            ("values", unknown_values),
        ];
        for (source, fields) in unknown {
            notices.extend(
                fields
                    .iter()
                    .map(|field| format!("{source}: {field}: unknown field")),
            );
        }
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
