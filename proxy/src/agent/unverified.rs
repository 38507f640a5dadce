//! TLS to the application without a look at its certificate, for probes and scrapes only: the kubelet
//! and Prometheus do not verify it either, and nothing secret is sent.

use std::sync::Arc;

use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, Error};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::tls::signature_methods;

/// A client configuration that accepts any certificate and offers HTTP/2 and HTTP/1.1.
pub(crate) fn client_config() -> Arc<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    #[expect(
        clippy::expect_used,
        reason = "the provider of rustls supports its default versions"
    )]
    let builder = builder
        .with_safe_default_protocol_versions()
        .expect("default versions");
    let mut config = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AcceptAny))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

#[derive(Debug)]
struct AcceptAny;

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    signature_methods!();
}
