//! The roots that certificates of the mesh must lead to: a set, since old and new roots are in use
//! together while they are exchanged.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

use super::provider;

/// A set of roots.
#[derive(Clone, PartialEq, Eq)]
pub struct Roots {
    certificates: Vec<CertificateDer<'static>>,
    anchors: Vec<TrustAnchor<'static>>,
}

/// The roots cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// The file is not there (yet).
    #[error("the root certificates cannot be read from {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not PEM, or no certificates.
    #[error("the root certificates are wrong: {0}")]
    Parse(String),
}

impl Roots {
    /// Reads roots from a PEM file.
    ///
    /// # Errors
    /// When the file cannot be read, or holds no usable certificate.
    pub fn read(path: &Path) -> Result<Self, RootsError> {
        let pem = std::fs::read(path).map_err(|source| RootsError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::from_pem(&pem)
    }

    /// Reads roots from PEM.
    ///
    /// # Errors
    /// When there is no usable certificate.
    pub fn from_pem(pem: &[u8]) -> Result<Self, RootsError> {
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|error| RootsError::Parse(error.to_string()))?;
        if certificates.is_empty() {
            return Err(RootsError::Parse("there is no certificate".to_owned()));
        }
        let mut roots = Self {
            certificates: Vec::new(),
            anchors: Vec::new(),
        };
        for certificate in certificates {
            roots.add(certificate)?;
        }
        Ok(roots)
    }

    /// Adds a root unless it is there.
    ///
    /// # Errors
    /// When it is no certificate.
    pub fn add(&mut self, certificate: CertificateDer<'static>) -> Result<(), RootsError> {
        if self.certificates.contains(&certificate) {
            return Ok(());
        }
        let anchor = webpki::anchor_from_trusted_cert(&certificate)
            .map_err(|error| RootsError::Parse(error.to_string()))?
            .to_owned();
        self.anchors.push(anchor);
        self.certificates.push(certificate);
        Ok(())
    }

    /// The roots as rustls keeps them, for servers that are checked by DNS name.
    #[must_use]
    pub fn to_store(&self) -> RootCertStore {
        RootCertStore {
            roots: self.anchors.clone(),
        }
    }

    /// Checks that a chain leads to one of the roots and is in force.
    pub(super) fn verify(
        &self,
        certificate: &EndEntityCert<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        usage: KeyUsage,
    ) -> Result<(), webpki::Error> {
        let algorithms = provider().signature_verification_algorithms.all;
        certificate
            .verify_for_usage(
                algorithms,
                &self.anchors,
                intermediates,
                now,
                usage,
                None,
                None,
            )
            .map(drop)
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} roots", self.certificates.len())
    }
}

/// Seconds since 1970, for gauges.
pub(super) fn unix_seconds(time: SystemTime) -> i64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
        })
}
