//! Signing: a root or intermediate certificate with its key, and what it signs. The key never
//! leaves the authority, except to be stored when it is made.

use std::fmt;
use std::time::Duration;

use lateen_wire::Identity;
use rcgen::{
    CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType,
};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use time::OffsetDateTime;

use super::pem;
use crate::error::Error;

/// Certificates are valid from this long ago: clocks differ.
const CLOCK_SKEW: Duration = Duration::from_secs(120);

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    signer: CertificateDer<'static>,
    /// PEM of what stands between a leaf and the root, the signer first; empty if the root signs.
    intermediates: Vec<String>,
    roots: Vec<CertificateDer<'static>>,
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
}

/// What an authority is stored as.
pub struct Material {
    /// PEM of the signing certificate.
    pub certificate: String,
    /// PEM of its private key.
    pub key: String,
    /// PEM of the roots; empty if the signing certificate is the root.
    pub roots: String,
    /// PEM of what stands between signer and root, with the signer first; may be empty.
    pub chain: String,
}

/// Whom a certificate is for.
pub enum Subject {
    /// A workload, client and server in one.
    Workload(Identity),
    /// A server of these DNS names.
    Server(Vec<String>),
}

/// A certificate for somebody else's key.
#[derive(Debug)]
pub struct Signed {
    /// PEM certificates: the leaf, its intermediates, and last the root.
    pub chain: Vec<String>,
    /// When it ends.
    pub not_after: OffsetDateTime,
}

/// A certificate and the key that was made for it.
pub struct Issued {
    /// The certificate.
    pub signed: Signed,
    /// PEM (PKCS#8) of the key.
    pub key: String,
}

impl Authority {
    /// Loads an authority.
    ///
    /// # Errors
    /// A sentence without any key material that says what is wrong.
    pub fn load(material: &Material) -> Result<Self, String> {
        let certificates =
            pem::certificates(&material.certificate).ok_or("the certificate is not PEM")?;
        let signer = certificates.first().ok_or("there is no certificate")?;
        let key = KeyPair::from_pem(&material.key).map_err(|_| "the key cannot be read")?;
        let (_, parsed) = x509_parser::parse_x509_certificate(signer)
            .map_err(|_| "the certificate cannot be read")?;
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err("the key is not the certificate's".to_owned());
        }
        if !parsed.is_ca() {
            return Err("the certificate is not an authority's".to_owned());
        }
        let not_before = parsed.validity().not_before.to_datetime();
        let not_after = parsed.validity().not_after.to_datetime();
        if not_after <= OffsetDateTime::now_utc() {
            return Err("the certificate has ended".to_owned());
        }
        let (roots, intermediates) = if material.roots.is_empty() {
            (vec![signer.clone()], Vec::new())
        } else {
            let roots = pem::certificates(&material.roots).ok_or("the roots are not PEM")?;
            (roots, intermediates(signer, material)?)
        };
        let issuer = Issuer::from_ca_cert_der(signer, key)
            .map_err(|error| format!("the certificate cannot sign: {error}"))?;
        Ok(Self {
            issuer,
            signer: signer.clone(),
            intermediates,
            roots,
            not_before,
            not_after,
        })
    }

    /// Signs a key. Only what is said here goes into the certificate.
    ///
    /// # Errors
    /// When signing fails.
    pub fn sign(
        &self,
        key: &impl PublicKeyData,
        subject: &Subject,
        life: Duration,
    ) -> Result<Signed, Error> {
        let mut parameters = CertificateParams::default();
        // Without a subject the alternative name is marked critical (RFC 5280, 4.2.1.6).
        parameters.distinguished_name = DistinguishedName::new();
        parameters.subject_alt_names = subject.names()?;
        parameters.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
        ];
        parameters.extended_key_usages = subject.usages();
        parameters.use_authority_key_identifier_extension = true;
        (parameters.not_before, parameters.not_after) = valid_for(life);
        parameters.not_after = parameters.not_after.min(self.not_after);
        let certificate = parameters.signed_by(key, &self.issuer)?;
        let mut chain = vec![certificate.pem()];
        chain.extend(self.intermediates.iter().cloned());
        chain.extend(self.roots.first().map(pem::text));
        Ok(Signed {
            chain,
            not_after: parameters.not_after,
        })
    }

    /// Makes a key and signs it.
    ///
    /// # Errors
    /// When the system has no randomness or signing fails.
    pub fn issue(&self, subject: &Subject, life: Duration) -> Result<Issued, Error> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        Ok(Issued {
            signed: self.sign(&key, subject, life)?,
            key: key.serialize_pem(),
        })
    }

    /// The roots that peers trust.
    #[must_use]
    pub fn roots(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }

    /// The roots that peers trust, as one text.
    #[must_use]
    pub fn roots_pem(&self) -> String {
        self.roots.iter().map(pem::text).collect()
    }

    /// When the signing certificate began.
    #[must_use]
    pub const fn not_before(&self) -> OffsetDateTime {
        self.not_before
    }

    /// When the signing certificate ends.
    #[must_use]
    pub const fn not_after(&self) -> OffsetDateTime {
        self.not_after
    }

    /// When the first of the roots ends.
    #[must_use]
    pub fn root_not_after(&self) -> Option<OffsetDateTime> {
        let end = |root| {
            let (_, parsed) = x509_parser::parse_x509_certificate(root).ok()?;
            Some(parsed.validity().not_after.to_datetime())
        };
        self.roots
            .iter()
            .filter_map(|root| end(root.as_ref()))
            .min()
    }
}

/// Authorities are equal that sign alike and are trusted by the same roots.
impl PartialEq for Authority {
    fn eq(&self, other: &Self) -> bool {
        self.signer == other.signer
            && self.intermediates == other.intermediates
            && self.roots == other.roots
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Authority")
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

impl Subject {
    fn names(&self) -> Result<Vec<SanType>, Error> {
        match self {
            Self::Workload(identity) => {
                let uri = identity.to_string().try_into()?;
                Ok(vec![SanType::URI(uri)])
            }
            Self::Server(names) => names
                .iter()
                .map(|name| Ok(SanType::DnsName(name.clone().try_into()?)))
                .collect(),
        }
    }

    fn usages(&self) -> Vec<ExtendedKeyUsagePurpose> {
        match self {
            Self::Workload(_) => {
                vec![
                    ExtendedKeyUsagePurpose::ServerAuth,
                    ExtendedKeyUsagePurpose::ClientAuth,
                ]
            }
            Self::Server(_) => vec![ExtendedKeyUsagePurpose::ServerAuth],
        }
    }
}

impl Issued {
    /// The certificate without the root, as a server shows it, and its key.
    ///
    /// # Errors
    /// When the TLS library cannot use what was just made.
    pub fn certified_key(&self) -> Result<CertifiedKey, Error> {
        let unusable = |what: &str| Error::Tls(format!("{what} that was just made is unusable"));
        let chain = pem::certificates(&self.certificate_chain())
            .ok_or_else(|| unusable("the certificate"))?;
        let key =
            PrivateKeyDer::from_pem_slice(self.key.as_bytes()).map_err(|_| unusable("the key"))?;
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        CertifiedKey::from_der(chain, key, &provider).map_err(|error| Error::Tls(error.to_string()))
    }

    /// PEM of the leaf and its intermediates.
    #[must_use]
    pub fn certificate_chain(&self) -> String {
        let without_root = self
            .signed
            .chain
            .split_last()
            .map_or(&[][..], |(_, rest)| rest);
        without_root.concat()
    }
}

/// The signer and what is above it, without roots. Some chains begin with the signer, some do not.
fn intermediates(signer: &CertificateDer<'_>, material: &Material) -> Result<Vec<String>, String> {
    let chain = if material.chain.trim().is_empty() {
        Vec::new()
    } else {
        pem::certificates(&material.chain).ok_or("the chain is not PEM")?
    };
    let roots = pem::certificates(&material.roots).unwrap_or_default();
    let above = chain
        .iter()
        .filter(|link| *link != signer && !roots.contains(link));
    let mut all = Vec::new();
    if !roots.contains(signer) {
        all.push(pem::text(signer));
    }
    all.extend(above.map(pem::text));
    Ok(all)
}

pub(super) fn valid_for(life: Duration) -> (OffsetDateTime, OffsetDateTime) {
    let now = OffsetDateTime::now_utc();
    (now - CLOCK_SKEW, now + life)
}
