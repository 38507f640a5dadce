//! What injection by hand depends on. Strongest first: an `IstioOperator` file (`--operatorFileName`)
//! has the say in the mesh configuration and the values, single files in what they are for, and the
//! ConfigMaps of a revision in the rest.

use anyhow::{Context, Result};
use kube::Client;
use lateen_webhook::Injector;
use lateen_webhook::config::{Config, Policy, Sources};
use lateen_webhook::native::NativeSidecars;
use lateen_wire::names;

use super::live::Live;
use super::read;
use crate::arguments::{Connection, KubeInject};
use crate::cluster::connect;
use crate::console::Console;
use crate::manifest::Manifest;
use crate::values;

/// Namespace of manifests that name none, where no flag and no context tells.
const DEFAULT_NAMESPACE: &str = "default";

/// The three texts of a configuration, and where pods are meant for.
pub(super) struct Settings {
    pub(super) mesh: String,
    pub(super) config: String,
    pub(super) values: String,
    /// Where pods are created whose manifest names no namespace.
    pub(super) namespace: String,
    /// The cluster, unless all is in files.
    pub(super) client: Option<Client>,
}

/// Those texts that files have.
#[derive(Default)]
struct Texts {
    mesh: Option<String>,
    config: Option<String>,
    values: Option<String>,
}

impl Settings {
    /// Reads the files that are named and asks the cluster for the rest; if all is in files, there
    /// need not be a cluster.
    pub(super) async fn gather(
        connection: &Connection,
        options: &KubeInject,
        console: &Console,
    ) -> Result<Self> {
        let texts = Texts::from_files(options)?;
        if let Texts {
            mesh: Some(mesh),
            config: Some(config),
            values: Some(values),
        } = texts
        {
            return Ok(Self {
                mesh,
                config,
                values,
                namespace: connection
                    .namespace
                    .clone()
                    .unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()),
                client: None,
            });
        }

        let client = connect(connection).await?;
        let live = Live::find(&client, connection, options, console).await?;
        let mesh_map = live.name_or(
            options.mesh_config_map_name.as_deref(),
            names::MESH_CONFIG_MAP,
        );
        let injector_map = live.name_or(options.inject_config_map_name.as_deref(), names::INJECTOR);
        Ok(Self {
            mesh: live.or_key(texts.mesh, &mesh_map, "mesh").await?,
            config: live.or_key(texts.config, &injector_map, "config").await?,
            values: live.or_key(texts.values, &injector_map, "values").await?,
            namespace: connection
                .namespace
                .clone()
                .unwrap_or_else(|| client.default_namespace().to_owned()),
            client: Some(client),
        })
    }

    /// The injector with these settings, for whom everybody is to be injected.
    pub(super) fn injector(&self, console: &Console) -> Result<Injector> {
        let sources = Sources {
            config: &self.config,
            values: &self.values,
            mesh: &self.mesh,
        };
        let (mut config, notices) = Config::parse(sources)?;
        notices.iter().for_each(|notice| console.warning(notice));
        config.injection.policy = Policy::Enabled;
        config.injection.never_inject.clear();
        config.injection.always_inject.clear();
        Ok(Injector::new(config, NativeSidecars::Auto)?)
    }
}

impl Texts {
    fn from_files(options: &KubeInject) -> Result<Self> {
        let file = |path: &Option<_>| path.as_deref().map(read).transpose();
        let mut texts = Self {
            mesh: file(&options.mesh_config_file)?,
            config: file(&options.inject_config_file)?,
            values: file(&options.values_file)?,
        };
        if let Some(operator) = &options.operator_file_name {
            let rendered = Self::from_operator(operator, options)
                .with_context(|| format!("cannot use {}", operator.display()))?;
            texts = Self {
                mesh: rendered.mesh,
                config: texts.config.or(rendered.config),
                values: rendered.values,
            };
        }
        Ok(texts)
    }

    /// What an installation with the values of a file would have.
    fn from_operator(file: &std::path::Path, options: &KubeInject) -> Result<Self> {
        let values = values::Values::load(&values::Sources {
            files: vec![file.to_owned()],
            revision: options.revision.clone(),
            ..values::Sources::default()
        })?;
        let mut texts = Self::default();
        for map in Manifest::build(&values)?.configuration {
            let text =
                |key: &str| Some(map.content.data.get("data")?.get(key)?.as_str()?.to_owned());
            texts.mesh = texts.mesh.or_else(|| text("mesh"));
            texts.config = texts.config.or_else(|| text("config"));
            texts.values = texts.values.or_else(|| text("values"));
        }
        Ok(texts)
    }
}
