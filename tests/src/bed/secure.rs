//! TLS connections to the mesh's own servers, through the API server's port forwarding.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Bed;

/// Either side of a connection, whatever carries it.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A certificate with its key, to show to a server.
pub struct ClientCertificate {
    /// The leaf and what it needs to be verified.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the leaf.
    pub key: PrivateKeyDer<'static>,
}

impl Bed {
    /// A plain connection to a port of a pod.
    ///
    /// # Errors
    /// When the API server does not forward.
    pub async fn connect(&self, pod: &str, port: u16) -> Result<Box<dyn Stream>> {
        let mut forward = self
            .api::<Pod>()
            .portforward(pod, &[port])
            .await
            .with_context(|| format!("Forwarding port {port} of {pod}"))?;
        Ok(Box::new(forward.take_stream(port).context("no stream")?))
    }

    /// A TLS connection to a port of a pod, which must show a certificate of the mesh's root for `name`.
    ///
    /// # Errors
    /// When the handshake fails.
    pub async fn connect_tls(
        &self,
        pod: &str,
        port: u16,
        name: &str,
        protocols: &[&str],
        certificate: Option<ClientCertificate>,
    ) -> Result<TlsStream<Box<dyn Stream>>> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.root().await?);
        let mut config = match certificate {
            Some(ClientCertificate { chain, key }) => builder.with_client_auth_cert(chain, key)?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        let stream = self.connect(pod, port).await?;
        let server = ServerName::try_from(name.to_owned())?;
        let connected = TlsConnector::from(Arc::new(config))
            .connect(server, stream)
            .await;
        connected.with_context(|| format!("TLS handshake with {name} in {pod}"))
    }

    /// The mesh's root certificate, as published in `istio-system`.
    async fn root(&self) -> Result<RootCertStore> {
        let maps: kube::Api<ConfigMap> = kube::Api::namespaced(self.client.clone(), "istio-system");
        let data = maps
            .get("istio-ca-root-cert")
            .await?
            .data
            .unwrap_or_default();
        let pem = data.get("root-cert.pem").context("no root-cert.pem")?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            roots.add(certificate?)?;
        }
        Ok(roots)
    }
}
