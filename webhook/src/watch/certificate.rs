//! Secret `istio-sidecar-injector-certs`: the certificate that control issues for us.

use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use tokio::sync::watch;

use lateen_wire::names;

use crate::server::tls::{Certificate, CertificateError};

/// Follows the Secret for ever. `server_name` is the DNS name that the API server calls us by.
pub async fn follow(
    client: Client,
    namespace: String,
    server_name: String,
    certificate: watch::Sender<Option<Arc<Certificate>>>,
) {
    let api: Api<Secret> = Api::namespaced(client, &namespace);
    let mut secrets = Box::pin(super::object(api, names::INJECTOR_CERTS));
    while let Some(secret) = secrets.next().await {
        let Some(secret) = secret else {
            tracing::warn!(
                object = names::INJECTOR_CERTS,
                "The Secret does not exist; the last known certificate stays in use."
            );
            continue;
        };
        match read(&secret, &server_name) {
            Ok(new) => {
                tracing::info!("A certificate is in use.");
                certificate.send_replace(Some(Arc::new(new)));
            }
            Err(error) => {
                tracing::error!(%error, "A certificate is refused; the last good one stays in use.");
            }
        }
    }
}

fn read(secret: &Secret, server_name: &str) -> Result<Certificate, CertificateError> {
    let field = |key: &str| {
        let data = secret.data.as_ref().and_then(|data| data.get(key));
        data.map(|bytes| bytes.0.as_slice()).unwrap_or_default()
    };
    Certificate::parse(
        field("tls.crt"),
        field("tls.key"),
        field("ca.crt"),
        server_name,
    )
}
