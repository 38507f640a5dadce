//! The certificate in use and the TLS configurations made of it. A new certificate takes effect
//! for new connections; open ones go on undisturbed.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::{ArcSwap, ArcSwapOption};
use lateen_wire::Identity;
use rustls::client::{ClientConfig, Resumption};
use rustls::server::{NoServerSessionStorage, ServerConfig};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::Serialize;
use tokio::sync::Notify;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::roots::{Roots, RootsError, unix_seconds};
use super::verify::{ClientVerifier, ServerVerifier, TrustDomains, peer_identity};
use super::{Alpn, SERVER_PROTOCOLS, provider};

/// How long a connection waits for the first certificate.
const FIRST_CERTIFICATE: Duration = Duration::from_secs(10);

/// Holds the present certificate. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Certificates {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    current: ArcSwapOption<Issued>,
    changed: Notify,
}

/// One certificate with its key, which never leaves the process.
#[derive(Debug)]
pub struct Issued {
    /// Who it was issued to.
    pub identity: Identity,
    /// Begin of its life.
    pub not_before: SystemTime,
    /// End of its life.
    pub not_after: SystemTime,
    serial: String,
    /// The root of the authority that issued it.
    authority: Option<CertificateDer<'static>>,
    /// Read at each handshake, since they may change while the certificate is in use.
    roots: Arc<ArcSwap<Roots>>,
    key: Arc<SingleCertAndKey>,
    server: Arc<ServerConfig>,
}

/// What can be told about the certificate.
#[derive(Clone, Debug, Serialize)]
pub struct CertificateSnapshot {
    /// The SPIFFE identity.
    pub identity: String,
    /// Serial number in hexadecimal.
    pub serial: String,
    /// Begin of its life, Unix seconds.
    pub not_before: i64,
    /// End of its life, Unix seconds.
    pub not_after: i64,
}

/// Control's answer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidCertificate {
    /// Not PEM, not X.509, or empty.
    #[error("the certificate chain is wrong: {0}")]
    Chain(String),
    /// It names no workload.
    #[error("the certificate carries no workload identity")]
    Identity,
    /// rustls does not take it.
    #[error("the certificate cannot be used: {0}")]
    Tls(#[from] rustls::Error),
    /// The root at its end is wrong.
    #[error(transparent)]
    Roots(#[from] RootsError),
}

impl Certificates {
    /// The present certificate.
    #[must_use]
    pub fn current(&self) -> Option<Arc<Issued>> {
        self.inner.current.load_full()
    }

    /// The present certificate, or the first one if it comes soon.
    pub async fn wait(&self) -> Option<Arc<Issued>> {
        match self.current() {
            Some(issued) => Some(issued),
            None => tokio::time::timeout(FIRST_CERTIFICATE, self.first())
                .await
                .ok(),
        }
    }

    /// The present certificate, or the first one whenever it comes.
    pub async fn first(&self) -> Arc<Issued> {
        loop {
            let mut changed = pin!(self.inner.changed.notified());
            changed.as_mut().enable();
            if let Some(issued) = self.current() {
                return issued;
            }
            changed.await;
        }
    }

    /// Puts a new certificate into use.
    pub fn replace(&self, issued: Issued) {
        self.inner.current.store(Some(Arc::new(issued)));
        self.inner.changed.notify_waiters();
    }

    /// What can be told about the present certificate.
    #[must_use]
    pub fn snapshot(&self) -> Option<CertificateSnapshot> {
        self.current().map(|issued| CertificateSnapshot {
            identity: issued.identity.to_string(),
            serial: issued.serial.clone(),
            not_before: unix_seconds(issued.not_before),
            not_after: unix_seconds(issued.not_after),
        })
    }
}

impl Issued {
    /// Makes a usable certificate of a chain in PEM (leaf first, the authority's root last), its
    /// key, and the roots that are trusted besides.
    ///
    /// # Errors
    /// When the chain is no certificate of a workload, or does not fit the key.
    pub fn new(
        chain: &[String],
        key: PrivateKeyDer<'static>,
        roots: Roots,
        trust_domains: TrustDomains,
    ) -> Result<Self, InvalidCertificate> {
        let mut chain = read_chain(chain)?;
        let authority = if chain.len() > 1 { chain.pop() } else { None };
        let leaf = chain
            .first()
            .ok_or_else(|| InvalidCertificate::Chain("it is empty".into()))?;
        let identity = peer_identity(leaf).ok_or(InvalidCertificate::Identity)?;
        let facts = Facts::read(leaf)?;
        let certified = CertifiedKey::from_der(chain, key, &provider())?;
        let key = Arc::new(SingleCertAndKey::from(certified));
        let roots = Arc::new(ArcSwap::from_pointee(with(roots, authority.as_ref())?));
        let server = server_config(Arc::clone(&key), Arc::clone(&roots), trust_domains)?;
        Ok(Self {
            identity,
            not_before: facts.not_before,
            not_after: facts.not_after,
            serial: facts.serial,
            authority,
            roots,
            key,
            server: Arc::new(server),
        })
    }

    /// Trusts these roots from now on, besides that of its own authority; says whether that
    /// changes anything.
    ///
    /// # Errors
    /// When the authority's root is no certificate.
    pub fn trust(&self, roots: Roots) -> Result<bool, RootsError> {
        let roots = with(roots, self.authority.as_ref())?;
        let changes = roots != **self.roots.load();
        if changes {
            self.roots.store(Arc::new(roots));
        }
        Ok(changes)
    }

    /// How we accept peers.
    #[must_use]
    pub fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }

    /// How we call a peer that must be `expected`.
    ///
    /// # Errors
    /// When the cryptography lacks a protocol version, which would be a wrong build.
    pub fn client_config(
        &self,
        expected: &Identity,
        alpn: Alpn,
    ) -> Result<ClientConfig, rustls::Error> {
        let verifier = ServerVerifier {
            roots: self.roots.load_full(),
            expected: expected.clone(),
        };
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(self.key.clone());
        // A resumed session would skip the check of the peer's certificate.
        config.resumption = Resumption::disabled();
        config.alpn_protocols = alpn.offers();
        Ok(config)
    }

    /// How we call control, which is checked by its DNS name.
    ///
    /// # Errors
    /// As [`Issued::client_config`].
    pub fn control_config(&self, roots: &Roots) -> Result<ClientConfig, rustls::Error> {
        let mut config = anonymous_config(roots)?;
        config.client_auth_cert_resolver = self.key.clone();
        Ok(config)
    }

    /// Whether it is in force.
    #[must_use]
    pub fn is_live(&self, now: SystemTime) -> bool {
        self.not_before <= now && now < self.not_after
    }

    /// When to ask for the next one: half its life after now, a little earlier or later so that
    /// proxies that started together do not ask together.
    #[must_use]
    pub fn renew_after(&self, now: SystemTime) -> Duration {
        let left = self.not_after.duration_since(now).unwrap_or_default();
        left.mul_f64(0.5 + (fastrand::f64() - 0.5) * 0.02)
            .max(Duration::from_secs(1))
    }
}

/// How we call control without a certificate.
///
/// # Errors
/// As [`Issued::client_config`].
pub fn anonymous_config(roots: &Roots) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots.to_store())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn with(
    mut roots: Roots,
    authority: Option<&CertificateDer<'static>>,
) -> Result<Roots, RootsError> {
    if let Some(root) = authority {
        roots.add(root.clone())?;
    }
    Ok(roots)
}

fn server_config(
    key: Arc<SingleCertAndKey>,
    roots: Arc<ArcSwap<Roots>>,
    trust_domains: TrustDomains,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(Arc::new(ClientVerifier {
            roots,
            trust_domains,
        }))
        .with_cert_resolver(key);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = SERVER_PROTOCOLS.iter().map(|name| name.to_vec()).collect();
    Ok(config)
}

fn read_chain(chain: &[String]) -> Result<Vec<CertificateDer<'static>>, InvalidCertificate> {
    let wrong = |error: rustls_pki_types::pem::Error| InvalidCertificate::Chain(error.to_string());
    let mut certificates = Vec::new();
    for pem in chain {
        // An entry may hold several, as Istio's own intermediates do.
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            certificates.push(certificate.map_err(wrong)?);
        }
    }
    Ok(certificates)
}

struct Facts {
    serial: String,
    not_before: SystemTime,
    not_after: SystemTime,
}

impl Facts {
    fn read(leaf: &CertificateDer<'_>) -> Result<Self, InvalidCertificate> {
        let (_, parsed) = X509Certificate::from_der(leaf)
            .map_err(|error| InvalidCertificate::Chain(error.to_string()))?;
        let time = |seconds: i64| {
            SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
        };
        Ok(Self {
            serial: parsed.tbs_certificate.serial.to_str_radix(16),
            not_before: time(parsed.validity().not_before.timestamp()),
            not_after: time(parsed.validity().not_after.timestamp()),
        })
    }
}
