//! The mesh configuration (ConfigMap `istio`, key `mesh`), read again whenever it changes. A bad
//! one is refused whole: the last good one stays in force, and people are told.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Event, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher;
use kube::{Api, Client};
use lateen_api::MeshConfig;
use lateen_api::mesh::{AccessLogEncoding, OutboundTrafficMode};
use lateen_wire::lateen::Mesh;
use lateen_wire::names::CONTROL;
use sha2::{Digest, Sha256};
use tracing::{debug, error, info, warn};

use crate::metrics::Metrics;
use crate::serve::Readiness;
use crate::snapshot::store::Store;

/// Key of the ConfigMap.
const KEY: &str = "mesh";

/// Keeps the snapshot's mesh settings as the ConfigMap says.
pub struct MeshWatch {
    /// To watch the ConfigMap and to write events.
    pub client: Client,
    /// Where control runs.
    pub namespace: String,
    /// Name of the ConfigMap.
    pub config_map: String,
    /// Where the settings go.
    pub store: Arc<Store>,
    /// Counts bad configurations.
    pub metrics: Arc<Metrics>,
    /// Hears when there is a configuration.
    pub readiness: Arc<Readiness>,
}

impl MeshWatch {
    /// Watches, for ever.
    pub async fn run(self) {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let watch = watcher::watch_object(maps, &self.config_map).default_backoff();
        let mut watch = std::pin::pin!(watch);
        let mut last = None;
        let mut trust_domain = TrustDomain::default();
        while let Some(event) = watch.next().await {
            match event {
                Ok(None) if last.is_some() => {
                    warn!("The mesh configuration is gone; the last good one stays.");
                }
                Ok(map) => {
                    let text = map
                        .and_then(|map| map.data?.remove(KEY))
                        .unwrap_or_default();
                    if last.as_ref() != Some(&text) {
                        // A new replica has no last good one to go by: with the defaults it would
                        // sign for another trust domain than its peers, so it is not ready.
                        if self.apply(&text, &mut trust_domain).await {
                            self.readiness.mesh_config.store(true, Ordering::Release);
                        }
                        last = Some(text);
                    }
                }
                Err(error) => {
                    warn!(%error, "Watching the mesh configuration failed; it is retried.")
                }
            }
        }
    }

    /// Puts a text in force; whether it could be.
    async fn apply(&self, text: &str, trust_domain: &mut TrustDomain) -> bool {
        let parsed = match MeshConfig::parse(text) {
            Ok(parsed) => parsed,
            Err(reason) => {
                self.metrics.mesh_config_errors.inc();
                error!(%reason, "The mesh configuration is refused; the last good one stays.");
                self.tell(text, &reason.to_string()).await;
                return false;
            }
        };
        for field in &parsed.not_honoured {
            warn!(
                field = field.path,
                reason = field.reason,
                "A field of the mesh configuration is not honoured."
            );
        }
        for field in &parsed.unknown {
            warn!(
                field,
                "The mesh configuration has a field that does not exist."
            );
        }
        let ignored = parsed.not_honoured.len() + parsed.unknown.len();
        self.metrics
            .mesh_config_not_honoured
            .set(i64::try_from(ignored).unwrap_or(i64::MAX));
        let mut mesh = settings(parsed.config);
        mesh.trust_domain = trust_domain.settle(mesh.trust_domain);
        info!(
            trust_domain = mesh.trust_domain,
            "The mesh configuration is in force."
        );
        self.store
            .update(|snapshot, changed| snapshot.set_mesh(mesh, changed));
        true
    }

    /// Writes an event on the ConfigMap, one per bad text.
    async fn tell(&self, text: &str, reason: &str) {
        let digest = Sha256::digest(text);
        let tag: String = digest
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let now = Some(Time(Timestamp::now()));
        let event = Event {
            metadata: ObjectMeta {
                name: Some(format!("{}.{tag}", self.config_map)),
                ..ObjectMeta::default()
            },
            involved_object: ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("ConfigMap".to_owned()),
                name: Some(self.config_map.clone()),
                namespace: Some(self.namespace.clone()),
                ..ObjectReference::default()
            },
            type_: Some("Warning".to_owned()),
            reason: Some("InvalidMeshConfig".to_owned()),
            message: Some(format!(
                "Key {KEY} is refused; the last good one stays in force: {reason}"
            )),
            reporting_component: Some(CONTROL.to_owned()),
            first_timestamp: now.clone(),
            last_timestamp: now,
            count: Some(1),
            ..Event::default()
        };
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        if let Err(error) = events.create(&PostParams::default(), &event).await {
            // Another replica has said the same, or people have to read the log.
            debug!(%error, "Writing an event failed.");
        }
    }
}

/// The trust domain is the first one that is read, for the life of the process: another one would make
/// peers refuse each other until the last certificate has been renewed. Its aliases may change.
#[derive(Default)]
struct TrustDomain {
    in_force: Option<String>,
    refused: Option<String>,
}

impl TrustDomain {
    /// The trust domain in force when the configuration says this one. A change is told once.
    fn settle(&mut self, configured: String) -> String {
        let in_force = self
            .in_force
            .get_or_insert_with(|| configured.clone())
            .clone();
        if configured == in_force {
            self.refused = None;
        } else if self.refused.as_ref() != Some(&configured) {
            warn!(
                in_force,
                configured,
                "The trust domain does not change while control runs. Name the old one in trustDomainAliases, then restart to take it."
            );
            self.refused = Some(configured);
        }
        in_force
    }
}

/// The part that proxies act on.
fn settings(config: MeshConfig) -> Mesh {
    let milliseconds =
        |duration: lateen_api::Duration| u64::try_from(duration.0.as_millis()).unwrap_or(u64::MAX);
    Mesh {
        trust_domain: config.trust_domain,
        trust_domain_aliases: config.trust_domain_aliases,
        connect_timeout_ms: milliseconds(config.connect_timeout),
        protocol_detection_timeout_ms: config.protocol_detection_timeout.map(milliseconds),
        access_log_file: config.access_log_file,
        access_log_json: config.access_log_encoding == AccessLogEncoding::Json,
        access_log_format: config.access_log_format,
        registry_only: config.outbound_traffic_policy.mode == OutboundTrafficMode::RegistryOnly,
        auto_mtls_disabled: !config.enable_auto_mtls,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Cluster;

    #[tokio::test]
    async fn the_trust_domain_is_taken_at_the_start_and_its_aliases_at_any_time() {
        let watch = MeshWatch {
            client: crate::api_server::client(|_| (404, serde_json::json!({}))),
            namespace: "istio-system".to_owned(),
            config_map: "istio".to_owned(),
            store: Arc::new(Store::new(Cluster::default())),
            metrics: Arc::default(),
            readiness: Arc::default(),
        };
        let mut trust_domain = TrustDomain::default();
        for (text, aliases) in [
            ("trustDomain: first", vec![]),
            (
                "{trustDomain: second, trustDomainAliases: [old]}",
                vec!["old"],
            ),
            ("{trustDomain: second, trustDomainAliases: []}", vec![]),
        ] {
            assert!(watch.apply(text, &mut trust_domain).await, "{text}");
            let snapshot = watch.store.read();
            assert_eq!(snapshot.mesh().trust_domain, "first", "{text}");
            assert_eq!(snapshot.mesh().trust_domain_aliases, aliases, "{text}");
        }
        assert_eq!(trust_domain.refused.as_deref(), Some("second"));
    }
}
