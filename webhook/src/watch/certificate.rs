//! Secret `istio-sidecar-injector-certs`, with the revision as suffix: the certificate that control issues for us.

use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use tokio::sync::watch;

use crate::server::tls::{Certificate, CertificateError};

/// Where the certificate is, and what it must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Namespace of the Secret.
    pub namespace: String,
    /// Name of the Secret.
    pub name: String,
    /// DNS name that the API server calls us by.
    pub server_name: String,
}

/// Follows the Secret for ever.
pub async fn follow(
    client: Client,
    source: Source,
    certificate: watch::Sender<Option<Arc<Certificate>>>,
) {
    let api: Api<Secret> = Api::namespaced(client, &source.namespace);
    let mut secrets = Box::pin(super::object(api, &source.name));
    while let Some(secret) = secrets.next().await {
        let Some(secret) = secret else {
            tracing::warn!(
                object = source.name,
                "The Secret does not exist; the last known certificate stays in use."
            );
            continue;
        };
        match read(&secret, &source.server_name) {
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
