//! Events: what people see who look at a ConfigMap with `kubectl describe`, or at the namespace with
//! `kubectl get events`.

use k8s_openapi::api::core::v1::{ConfigMap, Event};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client, Resource, ResourceExt};

use lateen_wire::names;

/// Writes a warning about a ConfigMap: one of each kind for each of its versions, however many replicas
/// say it.
pub(super) async fn warn(client: &Client, about: &ConfigMap, reason: &str, message: String) {
    let version = about.resource_version().unwrap_or_default();
    let now = Some(Time(Timestamp::now()));
    let event = Event {
        metadata: ObjectMeta {
            name: Some(format!(
                "{}.{}-{version}",
                about.name_any(),
                reason.to_lowercase()
            )),
            ..ObjectMeta::default()
        },
        involved_object: about.object_ref(&()),
        type_: Some("Warning".to_owned()),
        reason: Some(reason.to_owned()),
        message: Some(message),
        reporting_component: Some(names::INJECTOR.to_owned()),
        first_timestamp: now.clone(),
        last_timestamp: now,
        count: Some(1),
        ..Event::default()
    };
    let namespace = about.namespace().unwrap_or_default();
    let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
    if let Err(error) = api.create(&PostParams::default(), &event).await {
        // Another replica has said the same, or people have to read the log.
        tracing::debug!(%error, "Cannot write an event.");
    }
}
