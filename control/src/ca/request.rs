//! Certificate requests (PKCS#10, RFC 2986): the signature must be good, and the public key is all
//! that is taken from them. Names that they ask for are only compared with what the caller may have.

use lateen_wire::Identity;
use rcgen::{
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PublicKeyData,
    SignatureAlgorithm, SubjectPublicKeyInfo,
};
use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey as ParsedKey;

/// Longest request, as PEM. One with an RSA key of 4,096 bits has 1,700 bytes.
const MAX_SIZE: usize = 16 * 1024;
/// Smallest RSA key, in bits.
const MIN_RSA: usize = 2048;

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Longer than any good one.
    #[error("the certificate request is longer than {MAX_SIZE} bytes")]
    TooLong,
    /// Not a request.
    #[error("the certificate request is not PEM of PKCS#10")]
    Malformed,
    /// Not made by the owner of the key.
    #[error("the signature of the certificate request is wrong")]
    BadSignature,
    /// A key that we do not sign.
    #[error("the key must be ECDSA P-256 or P-384, Ed25519, or RSA of at least {MIN_RSA} bits")]
    UnsupportedKey,
}

/// A public key whose owner has proved to have the private one.
#[derive(Debug)]
pub struct PublicKey(SubjectPublicKeyInfo);

/// A certificate request that its key's owner has made.
#[derive(Debug)]
pub struct SigningRequest {
    /// The key to sign.
    pub key: PublicKey,
    uris: Vec<String>,
}

impl SigningRequest {
    /// Reads and checks a request.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(pem: &str) -> Result<Self, RequestError> {
        if pem.len() > MAX_SIZE {
            return Err(RequestError::TooLong);
        }
        let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| RequestError::Malformed)?;
        let (rest, request) =
            X509CertificationRequest::from_der(&der).map_err(|_| RequestError::Malformed)?;
        if !rest.is_empty() {
            return Err(RequestError::Malformed);
        }
        let info = &request.certification_request_info.subject_pki;
        let key =
            SubjectPublicKeyInfo::from_der(info.raw).map_err(|_| RequestError::UnsupportedKey)?;
        let strong = match info.parsed() {
            Ok(ParsedKey::RSA(rsa)) => rsa.key_size() >= MIN_RSA,
            _ => [
                &PKCS_ECDSA_P256_SHA256,
                &PKCS_ECDSA_P384_SHA384,
                &PKCS_ED25519,
            ]
            .contains(&key.algorithm()),
        };
        if !strong {
            return Err(RequestError::UnsupportedKey);
        }
        request
            .verify_signature()
            .map_err(|_| RequestError::BadSignature)?;
        Ok(Self {
            key: PublicKey(key),
            uris: uris(&request),
        })
    }

    /// An identity that is asked for and that the caller does not have, if there is one. Under which
    /// trust domain it is asked for does not count: we sign for our own.
    #[must_use]
    pub fn asks_for_other_than(&self, own: &Identity) -> Option<&str> {
        let is_own = |uri: &&String| {
            uri.parse::<Identity>().is_ok_and(|asked| {
                asked.namespace() == own.namespace()
                    && asked.service_account() == own.service_account()
            })
        };
        self.uris
            .iter()
            .find(|uri| !is_own(uri))
            .map(String::as_str)
    }
}

/// The URIs among the alternative names that are asked for.
fn uris(request: &X509CertificationRequest<'_>) -> Vec<String> {
    let extensions = request.requested_extensions().into_iter().flatten();
    let names = extensions.filter_map(|extension| match extension {
        ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
        _ => None,
    });
    names
        .flatten()
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some((*uri).to_owned()),
            _ => None,
        })
        .collect()
}

impl PublicKeyData for PublicKey {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.0.algorithm()
    }
}
