//! ConfigMaps `istio` and `istio-sidecar-injector`: a new configuration is taken whole or not at
//! all, and the last good one stays in force.

use std::sync::Arc;

use futures::{Stream, StreamExt, stream};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use lateen_api::Error;
use tokio::sync::watch;

use crate::config::{Config, Sources};
use crate::inject::Injector;
use crate::native::NativeSidecars;
use crate::server::metrics::Metrics;

/// Which ConfigMaps hold the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// Their namespace.
    pub namespace: String,
    /// The ConfigMap with keys `config` and `values`.
    pub injection: String,
    /// The ConfigMap with key `mesh`.
    pub mesh: String,
}

/// The texts of the ConfigMaps, as far as they have been seen.
#[derive(Debug, Default)]
struct Texts {
    injection: Option<(String, String)>,
    mesh: Option<String>,
}

enum Change {
    Injection(Option<ConfigMap>),
    Mesh(Option<ConfigMap>),
}

/// Follows the ConfigMaps for ever.
pub async fn follow(
    client: Client,
    names: Names,
    native: NativeSidecars,
    metrics: Arc<Metrics>,
    injector: watch::Sender<Option<Arc<Injector>>>,
) {
    let mut changes = Box::pin(changes(client, &names));
    let mut texts = Texts::default();
    while let Some(change) = changes.next().await {
        if !texts.apply(change, &names) {
            continue;
        }
        match texts.injector(native) {
            Ok(None) => {}
            Ok(Some(new)) => {
                tracing::info!(
                    revision = new.config().values.revision(),
                    "Configuration is in force."
                );
                injector.send_replace(Some(Arc::new(new)));
            }
            Err(error) => {
                metrics.refused_configurations.inc();
                tracing::error!(%error, "Configuration is refused; the last good one stays in force.");
            }
        }
    }
}

fn changes(client: Client, names: &Names) -> impl Stream<Item = Change> + Send + use<> {
    let api: Api<ConfigMap> = Api::namespaced(client, &names.namespace);
    let injection = super::object(api.clone(), &names.injection).map(Change::Injection);
    let mesh = super::object(api, &names.mesh).map(Change::Mesh);
    stream::select(injection, mesh)
}

impl Texts {
    /// Takes a change over; answers whether there is something new.
    fn apply(&mut self, change: Change, names: &Names) -> bool {
        match change {
            Change::Injection(Some(map)) => {
                let new = Some((text(&map, "config"), text(&map, "values")));
                std::mem::replace(&mut self.injection, new) != self.injection
            }
            Change::Mesh(Some(map)) => {
                let new = Some(text(&map, "mesh"));
                std::mem::replace(&mut self.mesh, new) != self.mesh
            }
            Change::Injection(None) => missing(&names.injection),
            Change::Mesh(None) => missing(&names.mesh),
        }
    }

    /// The injector of these texts, once both ConfigMaps have been seen.
    fn injector(&self, native: NativeSidecars) -> Result<Option<Injector>, Error> {
        let (Some((config, values)), Some(mesh)) = (&self.injection, &self.mesh) else {
            return Ok(None);
        };
        let (config, notices) = Config::parse(Sources {
            config,
            values,
            mesh,
        })?;
        if !notices.is_empty() {
            let fields = notices.join("; ");
            tracing::warn!(fields, "Some settings have no effect.");
        }
        Injector::new(config, native).map(Some)
    }
}

fn missing(name: &str) -> bool {
    tracing::warn!(
        object = name,
        "The ConfigMap does not exist; the last known one stays in force."
    );
    false
}

fn text(map: &ConfigMap, key: &str) -> String {
    map.data
        .as_ref()
        .and_then(|data| data.get(key))
        .cloned()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    use super::*;

    fn map(entries: &[(&str, &str)]) -> Option<ConfigMap> {
        let entries = entries
            .iter()
            .map(|(key, text)| ((*key).to_owned(), (*text).to_owned()));
        Some(ConfigMap {
            data: Some(entries.collect()),
            metadata: ObjectMeta::default(),
            ..ConfigMap::default()
        })
    }

    #[test]
    fn a_configuration_is_taken_whole_once_both_parts_are_there() {
        let names = Names {
            namespace: String::new(),
            injection: "i".into(),
            mesh: "m".into(),
        };
        let mut texts = Texts::default();
        let native = NativeSidecars::Auto;
        assert!(texts.apply(Change::Mesh(map(&[("mesh", "trustDomain: td")])), &names));
        assert!(texts.injector(native).unwrap().is_none());
        assert!(texts.apply(Change::Injection(map(&[("values", "{}")])), &names));
        assert!(texts.injector(native).unwrap().is_some());
        assert!(!texts.apply(Change::Injection(map(&[("values", "{}")])), &names));
        assert!(!texts.apply(Change::Injection(None), &names));
        assert!(texts.injector(native).unwrap().is_some());
        assert!(texts.apply(Change::Injection(map(&[("values", "{]")])), &names));
        assert!(texts.injector(native).is_err());
    }
}
