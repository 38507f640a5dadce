//! What the API server and the control plane publish on the way: served kinds, certificates, trust.

use anyhow::Result;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::ListParams;
use kube::{Api, Client, Resource};
use lateen_wire::{Revision, names};

use crate::hooks::trial;
use crate::manifest::Object;
use crate::manifest::admission::ENTRY_SUFFIX;
use crate::wait::State;

/// Whether the API server serves all kinds.
pub(super) async fn definitions(client: &Client, definitions: &[Object]) -> Result<State> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let served: Vec<String> = api
        .list(&ListParams::default())
        .await?
        .into_iter()
        .filter(is_established)
        .filter_map(|definition| definition.metadata.name)
        .collect();
    let missing: Vec<&str> = definitions
        .iter()
        .map(Object::name)
        .filter(|name| !served.iter().any(|served| served == name))
        .collect();
    if missing.is_empty() {
        return Ok(State::Ready);
    }
    Ok(State::Waiting(format!(
        "the API server does not serve yet: {}",
        missing.join(", ")
    )))
}

fn is_established(definition: &CustomResourceDefinition) -> bool {
    let conditions = definition
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|condition| condition.type_ == "Established" && condition.status == "True")
}

/// Whether control has published its root and signed the injector's certificate.
pub(super) async fn certificates(
    client: &Client,
    namespace: &str,
    revision: &Revision,
) -> Result<State> {
    let certificate = revision.name_of(names::INJECTOR_CERTS);
    let control = revision.name_of(names::CONTROL);
    let roots: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    if roots.get_opt(names::ROOT_CONFIG_MAP).await?.is_none() {
        return Ok(State::Waiting(format!(
            "control has not written ConfigMap {namespace}/{}; its log says why: kubectl -n {namespace} logs deployment/{control}",
            names::ROOT_CONFIG_MAP,
        )));
    }
    if secrets.get_opt(&certificate).await?.is_none() {
        return Ok(State::Waiting(format!(
            "control has not written Secret {namespace}/{certificate}; its log says why: kubectl -n {namespace} logs deployment/{control}",
        )));
    }
    Ok(State::Ready)
}

/// Whether the injector has put its root into every entry of its webhook configurations.
pub(super) async fn trust(client: &Client, admission: &[Object]) -> Result<State> {
    let api: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let kind = MutatingWebhookConfiguration::kind(&());
    let configurations = admission
        .iter()
        .filter(|object| object.resource.kind == kind);
    for name in configurations.map(Object::name) {
        let entries = api.get(name).await?.webhooks.unwrap_or_default();
        let trusted = |bundle: &k8s_openapi::ByteString| !bundle.0.is_empty();
        if !entries
            .iter()
            .all(|entry| entry.client_config.ca_bundle.as_ref().is_some_and(trusted))
        {
            return Ok(State::Waiting(format!(
                "the injector has not set caBundle in MutatingWebhookConfiguration {name}; its log says why"
            )));
        }
    }
    Ok(State::Ready)
}

/// Whether the API server reaches the injector: nodes learn of a Service's first pods a moment after
/// these are ready, and until then pods that are to be injected are refused.
pub(super) async fn reach(client: &Client, namespace: &str, revision: &Revision) -> Result<State> {
    let label = (names::REVISION.to_owned(), revision.as_str().to_owned());
    match trial::create(client, namespace, [label].into()).await {
        Err(kube::Error::Api(status)) if is_unreached(&status.message) => {
            Ok(State::Waiting(status.message.clone()))
        }
        // What else refuses the pod, such as Pod Security, comes after the injector.
        Ok(_) | Err(kube::Error::Api(_)) => Ok(State::Ready),
        Err(error) => Err(error.into()),
    }
}

/// Whether the API server could not call a sidecar injector; other webhooks are not waited for.
fn is_unreached(message: &str) -> bool {
    message.contains("failed calling webhook") && message.contains(ENTRY_SUFFIX)
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::json;

    use super::*;

    /// What comes of an API server that refuses the pod with a message.
    async fn refused(message: &'static str) -> State {
        let server = tower::service_fn(move |request: Request<Body>| async move {
            assert_eq!(request.uri().query(), Some("&dryRun=All"));
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
                "message": message, "reason": "InternalError", "code": 500});
            let mut answer = Response::new(Body::from(status.to_string().into_bytes()));
            *answer.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
            Ok::<_, kube::Error>(answer)
        });
        let client = Client::new(server, "default");
        reach(&client, "istio-system", &Revision::default())
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn only_an_injector_that_is_not_reached_is_waited_for() {
        let message = "Internal error occurred: failed calling webhook \"object.sidecar-injector.istio.io\": connection refused";
        assert_eq!(refused(message).await, State::Waiting(message.to_owned()));
        for other in ["violates PodSecurity", "failed calling webhook \"other\""] {
            assert_eq!(refused(other).await, State::Ready, "{other}");
        }
    }
}
