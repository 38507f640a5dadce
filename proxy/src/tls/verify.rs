//! Who the peer is: chains are checked to the roots of the mesh, then the SPIFFE identity in the
//! certificate. A client accepts exactly the identity of the workload it chose (secure naming); a
//! server accepts any identity of its trust domain or its aliases.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use lateen_wire::Identity;
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DistinguishedName, Error, OtherError};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

use super::roots::Roots;
use super::signatures::signature_methods;

/// Trust domains whose identities are accepted; changes with MeshConfig.
pub type TrustDomains = Arc<ArcSwap<Vec<String>>>;

/// Accepts a server with one identity.
#[derive(Debug)]
pub(super) struct ServerVerifier {
    pub(super) roots: Arc<Roots>,
    pub(super) expected: Identity,
}

/// Accepts clients of the mesh, and clients without a certificate: whether those may stay is for
/// policy to say.
#[derive(Debug)]
pub(super) struct ClientVerifier {
    pub(super) roots: Arc<ArcSwap<Roots>>,
    pub(super) trust_domains: TrustDomains,
}

/// A peer has a valid certificate, but is not who it must be.
#[derive(thiserror::Error)]
enum WrongIdentity {
    #[error("the certificate names no workload")]
    None,
    #[error("the peer is {found}, expected {expected}")]
    Other { found: Identity, expected: Identity },
    #[error("the peer is {0}, of a trust domain that is not accepted")]
    TrustDomain(Identity),
}

/// rustls shows the cause of a refusal by `Debug`: people shall read the sentence.
impl fmt::Debug for WrongIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// The workload a certificate was issued to.
#[must_use]
pub fn peer_identity(certificate: &CertificateDer<'_>) -> Option<Identity> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    identity(&certificate)
}

/// SPIFFE allows one URI name only (X.509-SVID, section 2).
fn identity(certificate: &EndEntityCert<'_>) -> Option<Identity> {
    let mut names = certificate.valid_uri_names();
    let identity = names.next()?.parse().ok()?;
    names.next().is_none().then_some(identity)
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = parse(end_entity)?;
        self.roots
            .verify(&certificate, intermediates, now, KeyUsage::server_auth())
            .map_err(chain_error)?;
        match identity(&certificate) {
            Some(found) if found == self.expected => Ok(ServerCertVerified::assertion()),
            Some(found) => Err(refuse(WrongIdentity::Other {
                found,
                expected: self.expected.clone(),
            })),
            None => Err(refuse(WrongIdentity::None)),
        }
    }

    signature_methods!();
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let certificate = parse(end_entity)?;
        self.roots
            .load()
            .verify(&certificate, intermediates, now, KeyUsage::client_auth())
            .map_err(chain_error)?;
        let found = identity(&certificate).ok_or_else(|| refuse(WrongIdentity::None))?;
        let accepted = self.trust_domains.load();
        if accepted
            .iter()
            .any(|trust_domain| trust_domain == found.trust_domain())
        {
            Ok(ClientCertVerified::assertion())
        } else {
            Err(refuse(WrongIdentity::TrustDomain(found)))
        }
    }

    signature_methods!();
}

fn parse<'a>(certificate: &'a CertificateDer<'a>) -> Result<EndEntityCert<'a>, Error> {
    EndEntityCert::try_from(certificate)
        .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))
}

fn chain_error(error: webpki::Error) -> Error {
    let reason = match error {
        webpki::Error::CertExpired { .. } => CertificateError::Expired,
        webpki::Error::CertNotValidYet { .. } => CertificateError::NotValidYet,
        webpki::Error::UnknownIssuer => CertificateError::UnknownIssuer,
        other => CertificateError::Other(OtherError(Arc::new(other))),
    };
    Error::InvalidCertificate(reason)
}

fn refuse(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
}
