//! ConfigMaps `istio` and `istio-sidecar-injector`: a new configuration is taken whole or not at
//! all, and the last good one stays in force.

use std::sync::Arc;

use futures::{Stream, StreamExt, stream};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use lateen_api::Error;
use tokio::sync::watch;

use super::event;
use crate::config::{Config, Sources, policy, values};
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

/// The ConfigMaps, as far as they have been seen.
#[derive(Debug, Default)]
struct Maps {
    injection: Option<ConfigMap>,
    mesh: Option<ConfigMap>,
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
    let mut changes = Box::pin(changes(client.clone(), &names));
    let mut maps = Maps::default();
    while let Some(change) = changes.next().await {
        if let Some(map) = maps.missing(&change) {
            let message =
                "Deleted; what it said last stays in force while injectors run, and none starts";
            event::warn(&client, map, "MissingInjectionConfig", message.to_owned()).await;
        }
        if !maps.apply(change, &names) {
            continue;
        }
        match maps.injector(native) {
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
                if let Some(map) = maps.at_fault(&error) {
                    let message = format!("Refused; the last good one stays in force: {error}");
                    event::warn(&client, map, "InvalidInjectionConfig", message).await;
                }
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

impl Maps {
    /// The ConfigMap that has been there until this change.
    fn missing(&self, change: &Change) -> Option<&ConfigMap> {
        match change {
            Change::Injection(None) => self.injection.as_ref(),
            Change::Mesh(None) => self.mesh.as_ref(),
            Change::Injection(Some(_)) | Change::Mesh(Some(_)) => None,
        }
    }

    /// Takes a change over; answers whether there is something new.
    fn apply(&mut self, change: Change, names: &Names) -> bool {
        let (known, new, name) = match change {
            Change::Injection(map) => (&mut self.injection, map, &names.injection),
            Change::Mesh(map) => (&mut self.mesh, map, &names.mesh),
        };
        let Some(new) = new else {
            tracing::warn!(
                object = name,
                "The ConfigMap does not exist; the last known one stays in force."
            );
            return false;
        };
        let is_news = known.as_ref().is_none_or(|known| known.data != new.data);
        *known = Some(new);
        is_news
    }

    /// The injector of these texts, once both ConfigMaps have been seen.
    fn injector(&self, native: NativeSidecars) -> Result<Option<Injector>, Error> {
        let (Some(injection), Some(mesh)) = (&self.injection, &self.mesh) else {
            return Ok(None);
        };
        let (config, notices) = Config::parse(Sources {
            config: text(injection, "config"),
            values: text(injection, "values"),
            mesh: text(mesh, "mesh"),
        })?;
        if !notices.is_empty() {
            let fields = notices.join("; ");
            tracing::warn!(fields, "Some settings have no effect.");
        }
        Injector::new(config, native).map(Some)
    }

    /// Where the text is that an error is about.
    fn at_fault(&self, error: &Error) -> Option<&ConfigMap> {
        match error.kind() {
            policy::SOURCE | values::SOURCE => self.injection.as_ref(),
            _ => self.mesh.as_ref(),
        }
    }
}

fn text<'a>(map: &'a ConfigMap, key: &str) -> &'a str {
    let text = map.data.as_ref().and_then(|data| data.get(key));
    text.map(String::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests;
