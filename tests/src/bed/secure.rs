//! TLS connections to the mesh's own servers, through the API server's port forwarding or from
//! within a pod, and what is asked of its authority over them.

use std::io;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use lateen_wire::ca::IstioCertificateRequest;
use lateen_wire::ca::istio_certificate_service_client::IstioCertificateServiceClient;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::Status;
use tonic::transport::Endpoint;

use super::Bed;

/// The name of control, and of its certificate.
pub const CONTROL: &str = "istiod.istio-system.svc";

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
    /// A plain connection to a port of a pod, which the pod sees come from itself.
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
        let stream = self.connect(pod, port).await?;
        shake_hands(stream, self.roots().await?, name, protocols, certificate)
            .await
            .with_context(|| format!("in {pod}"))
    }

    /// The mesh's root certificates, as published in `istio-system`.
    ///
    /// # Errors
    /// When they are not there.
    pub async fn roots(&self) -> Result<RootCertStore> {
        let maps: kube::Api<ConfigMap> = kube::Api::namespaced(self.client.clone(), "istio-system");
        let data = maps
            .get("istio-ca-root-cert")
            .await?
            .data
            .unwrap_or_default();
        read_roots(data.get("root-cert.pem").context("no root-cert.pem")?)
    }
}

/// Root certificates in PEM.
///
/// # Errors
/// When one is wrong.
pub fn read_roots(pem: &str) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate?)?;
    }
    Ok(roots)
}

/// Makes a connection a TLS connection to `name`.
///
/// # Errors
/// When the handshake fails.
pub async fn shake_hands(
    stream: Box<dyn Stream>,
    roots: RootCertStore,
    name: &str,
    protocols: &[&str],
    certificate: Option<ClientCertificate>,
) -> Result<TlsStream<Box<dyn Stream>>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let mut config = match certificate {
        Some(ClientCertificate { chain, key }) => builder.with_client_auth_cert(chain, key)?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = protocols
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    let server = ServerName::try_from(name.to_owned())?;
    let connected = TlsConnector::from(Arc::new(config))
        .connect(server, stream)
        .await;
    connected.with_context(|| format!("TLS handshake with {name}"))
}

/// Asks control for a certificate over a TLS connection of protocol `h2`: the chain, or its refusal.
///
/// # Errors
/// When the connection breaks.
pub async fn request_certificate(
    stream: TlsStream<Box<dyn Stream>>,
    token: &str,
    csr: String,
) -> Result<Result<Vec<String>, Status>> {
    let mut stream = Some(TokioIo::new(stream));
    let connector = tower::service_fn(move |_| {
        let stream = stream.take();
        async move { stream.ok_or_else(|| io::Error::other("connected before")) }
    });
    let channel = Endpoint::try_from(format!("http://{CONTROL}"))?
        .connect_with_connector(connector)
        .await?;
    let mut request = tonic::Request::new(IstioCertificateRequest {
        csr,
        validity_duration: 3600,
        metadata: None,
    });
    let bearer = format!("Bearer {token}").parse()?;
    request.metadata_mut().insert("authorization", bearer);
    let answer = IstioCertificateServiceClient::new(channel)
        .create_certificate(request)
        .await;
    Ok(answer.map(|answer| answer.into_inner().cert_chain))
}
