//! TLS of port 15012: our own certificate, renewed while we run, and client certificates that are
//! optional at the handshake (a workload without one comes for its first) and verified when shown.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{RootCertStore, ServerConfig};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tracing::error;

use crate::ca::{Authority, CurrentAuthority, Subject};
use crate::error::Error;

/// Life of our own certificate; it is renewed at half of it.
const LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// How connections are secured from the next handshake on.
pub struct Tls {
    subject: Subject,
    config: ArcSwap<ServerConfig>,
}

impl Tls {
    /// Shows a certificate of this authority for that subject, and takes its clients' certificates.
    ///
    /// # Errors
    /// When the authority cannot sign or has no usable root.
    pub fn new(authority: &Authority, subject: Subject) -> Result<Self, Error> {
        let config = ArcSwap::from_pointee(server_config(authority, &subject)?);
        Ok(Self { subject, config })
    }

    /// Renews the certificate at half life, and when the authority changes, for ever.
    pub async fn keep_current(&self, authority: &CurrentAuthority) {
        let mut authority = authority.subscribe();
        loop {
            let signer = authority.borrow_and_update().clone();
            match server_config(&signer, &self.subject) {
                Ok(config) => self.config.store(Arc::new(config)),
                Err(error) => error!(%error, "Renewing our own certificate failed."),
            }
            let _ = timeout(LIFE / 2, authority.changed()).await;
        }
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }
}

/// TLS 1.3 and 1.2, HTTP/2. Sessions are not resumed: whoever connects shows a certificate that is
/// valid now.
fn server_config(authority: &Authority, subject: &Subject) -> Result<ServerConfig, Error> {
    let own = authority.issue(subject, LIFE)?.certified_key()?;
    let provider: Arc<CryptoProvider> = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut store = RootCertStore::empty();
    for root in authority.roots() {
        store
            .add(root.clone())
            .map_err(|error| Error::Tls(error.to_string()))?;
    }
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(|error| Error::Tls(error.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Tls(error.to_string()))?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(own)));
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}
