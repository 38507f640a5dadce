//! Who we are to the API server. The certificate is looked up for every handshake, so that a new one
//! is in use the moment it is read.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio::sync::watch;

/// A certificate with its key, and the authority that the API server shall check it by.
#[derive(Debug)]
pub struct Certificate {
    key: Arc<CertifiedKey>,
    verifier: Arc<WebPkiServerVerifier>,
    server_name: ServerName<'static>,
    ca_bundle: Vec<u8>,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// One of the texts is not PEM of the right kind.
    #[error("cannot read {field}: {reason}")]
    Pem {
        /// The key of the Secret, such as `tls.crt`.
        field: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Key, certificate and authority do not belong together.
    #[error("the certificate cannot be used: {0}")]
    Unusable(String),
}

impl Certificate {
    /// Reads the PEM texts of a Secret: `tls.crt`, `tls.key` and `ca.crt`. `server_name` is the DNS
    /// name that the API server calls.
    ///
    /// # Errors
    /// When a text cannot be read or the three do not belong together. Dates are not looked at.
    pub fn parse(
        chain: &[u8],
        key: &[u8],
        authority: &[u8],
        server_name: &str,
    ) -> Result<Self, CertificateError> {
        let unusable = |error: &dyn ToString| CertificateError::Unusable(error.to_string());
        let provider = provider();
        let chain = certificates("tls.crt", chain)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| CertificateError::Pem {
            field: "tls.key",
            reason: error.to_string(),
        })?;
        let key =
            CertifiedKey::from_der(chain, key, &provider).map_err(|error| unusable(&error))?;
        let mut roots = RootCertStore::empty();
        for root in certificates("ca.crt", authority)? {
            roots.add(root).map_err(|error| unusable(&error))?;
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| unusable(&error))?;
        let server_name =
            ServerName::try_from(server_name.to_owned()).map_err(|error| unusable(&error))?;
        Ok(Self {
            key: Arc::new(key),
            verifier,
            server_name,
            ca_bundle: authority.to_vec(),
        })
    }

    /// What belongs into `caBundle`: PEM.
    #[must_use]
    pub fn ca_bundle(&self) -> &[u8] {
        &self.ca_bundle
    }

    /// Checks the certificate as the API server does: authority, name and dates.
    ///
    /// # Errors
    /// When the API server would refuse it at that time.
    pub fn verify(&self, now: UnixTime) -> Result<(), rustls::Error> {
        let (end, intermediates) = self
            .key
            .cert
            .split_first()
            .ok_or_else(|| rustls::Error::General("the chain is empty".to_owned()))?;
        self.verifier
            .verify_server_cert(end, intermediates, &self.server_name, &[], now)?;
        Ok(())
    }
}

/// TLS 1.2 or newer, HTTP/2 preferred, with whatever certificate is newest at each handshake.
///
/// # Errors
/// When the provider of cryptography offers none of these versions.
pub fn server_config(
    certificate: watch::Receiver<Option<Arc<Certificate>>>,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Newest(certificate)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

#[derive(Debug)]
struct Newest(watch::Receiver<Option<Arc<Certificate>>>);

impl ResolvesServerCert for Newest {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0
            .borrow()
            .as_ref()
            .map(|certificate| Arc::clone(&certificate.key))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn certificates(
    field: &'static str,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let wrong = |reason: String| CertificateError::Pem { field, reason };
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(error.to_string()))?;
    if certificates.is_empty() {
        return Err(wrong("it holds no certificate".to_owned()));
    }
    Ok(certificates)
}
