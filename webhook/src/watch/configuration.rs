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
mod tests {
    use std::time::Duration;

    use axum::http::Method;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
    use serde_json::{Value, json};
    use tokio::sync::mpsc;
    use tokio::time::timeout;

    use super::super::api_server;
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
        let mut maps = Maps::default();
        let native = NativeSidecars::Auto;
        assert!(maps.apply(Change::Mesh(map(&[("mesh", "trustDomain: td")])), &names));
        assert!(maps.injector(native).unwrap().is_none());
        assert!(maps.apply(Change::Injection(map(&[("values", "{}")])), &names));
        assert!(maps.injector(native).unwrap().is_some());
        assert!(!maps.apply(Change::Injection(map(&[("values", "{}")])), &names));
        assert!(!maps.apply(Change::Injection(None), &names));
        assert!(maps.injector(native).unwrap().is_some());
        assert!(maps.apply(Change::Injection(map(&[("values", "{]")])), &names));
        assert!(maps.injector(native).is_err());
    }
    /// A list with a ConfigMap, as an API server answers.
    fn list(name: &str, data: &Value) -> Value {
        json!({
            "kind": "ConfigMapList", "apiVersion": "v1", "metadata": {"resourceVersion": "9"},
            "items": [{
                "metadata": {
                    "name": name, "namespace": "istio-system", "uid": "u1", "resourceVersion": "7",
                },
                "data": data,
            }],
        })
    }

    #[tokio::test]
    async fn a_configuration_that_is_refused_is_told_on_its_config_map() {
        let (told, mut events) = mpsc::channel(1);
        let client = api_server::client(move |request| {
            if request.method() == Method::POST {
                let event: Value = serde_json::from_slice(request.body()).unwrap();
                let path = request.uri().path().to_owned();
                told.try_send((path, event.clone())).unwrap();
                return Some((201, event));
            }
            let query = request.uri().query().unwrap_or_default();
            let list = if query.contains("istio-sidecar-injector") {
                list("istio-sidecar-injector", &json!({"values": "{}"}))
            } else {
                list(
                    "istio",
                    &json!({"mesh": "defaultConfig: {interceptionMode: X}"}),
                )
            };
            (!query.contains("watch=")).then_some((200, list))
        });
        let names = Names {
            namespace: "istio-system".into(),
            injection: "istio-sidecar-injector".into(),
            mesh: "istio".into(),
        };
        let (metrics, (injector, _)) = (Arc::new(Metrics::default()), watch::channel(None));
        let counted = Arc::clone(&metrics);
        let following = follow(
            client,
            names,
            NativeSidecars::Auto,
            metrics,
            injector.clone(),
        );
        let following = tokio::spawn(following);
        let event = timeout(Duration::from_secs(10), events.recv()).await;
        let (path, event) = event.expect("nobody is told").unwrap();
        following.abort();
        assert_eq!(path, "/api/v1/namespaces/istio-system/events");
        assert_eq!(event["metadata"]["name"], "istio.injector-7");
        assert_eq!(event["type"], "Warning");
        let object = &event["involvedObject"];
        assert_eq!(
            (&object["name"], &object["uid"]),
            (&json!("istio"), &json!("u1"))
        );
        let message = event["message"].as_str().unwrap();
        assert!(message.contains("interceptionMode"), "{message}");
        assert_eq!(counted.refused_configurations.get(), 1);
        assert!(injector.borrow().is_none());
    }
}
